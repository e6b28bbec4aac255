"""Optimized geometries: at minima of the potential, with derivatives by the implicit function theorem."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.targets.internal import internal_coordinates, values
from ffbridge.targets.molecules import mapped_molecule

from .molecules import METHANOL, PEROXIDE, batch, bundle, methanol, peroxide
from .test_energies import changed


def geometry(smiles, x, **fields):
    return fb.targets.OptimizedGeometry(
        name=f"minimum of {smiles}",
        smiles=smiles,
        atomic_numbers=mapped_molecule(smiles).atomic_numbers,
        positions=x,
        **fields,
    )


def targets():
    return [geometry(PEROXIDE, peroxide(1.9)), geometry(METHANOL, methanol(), weight=2.0)]


@pytest.mark.parametrize("host", ["torch", "jax"])
def test_the_loss_is_its_definition_and_its_derivative_the_total_one(host):
    pytest.importorskip(host, reason=f"{host} is not installed")
    both = batch(PEROXIDE, METHANOL)
    tables = changed(both.tables)
    potentials = {name: fb.potential(both, name) for name in ("torch", host)}

    def at(given, host="torch"):
        arrays = {name: fb.to(table, host) for name, table in given.items()}
        objective = fb.targets.objective(targets(), potentials[host]).relaxed(arrays, tolerance=1e-6)
        return objective, arrays

    objective, arrays = at(tables, host)
    expected = 0.0
    for each, number in zip(targets(), (0, 1), strict=True):
        coordinates = internal_coordinates(mapped_molecule(each.smiles).bonds, each.n_atoms, each.positions)
        off = values(objective.positions[number], coordinates) - values(each.positions, coordinates)
        scale = coordinates.each(distance=0.005, angle=np.radians(8), dihedral=np.radians(20))
        off = np.where(scale > 0.3, (off + np.pi) % (2 * np.pi) - np.pi, off)
        expected += each.weight / 3 * ((off / scale) ** 2).mean()
    np.testing.assert_allclose(float(objective.U.host.fused(objective)(arrays)), expected, rtol=1e-6)
    gradients = gradient(host, objective, arrays)
    for name, column, h in (("bonds", 1, 1e-5), ("angles", 1, 1e-4), ("torsions", 0, 1e-2)):
        moved = []
        for sign in (1, -1):
            given = {**tables, name: tables[name].copy()}
            given[name][0, column] += sign * h
            other, others = at(given)
            moved.append(float(other(others)))
        np.testing.assert_allclose(gradients[name][0, column], (moved[0] - moved[1]) / (2 * h), rtol=2e-4, atol=1e-9)


def gradient(host, objective, arrays):
    if host == "jax":
        import jax

        return {name: np.asarray(each) for name, each in jax.jit(jax.grad(objective))(arrays).items()}
    given = {name: table.clone().requires_grad_() for name, table in arrays.items()}
    objective(given).backward()
    return {name: each.grad.numpy() for name, each in given.items()}


def test_the_potentials_own_minimum_has_no_loss():
    U = fb.potential(bundle(METHANOL), "torch")
    own = fb.targets.relax(U, methanol()[None], tolerance=1e-7).positions[0]
    objective = fb.targets.objective([geometry(METHANOL, own)], U).relaxed(tolerance=1e-6)
    assert float(objective()) < 1e-12
    # A dihedral of 180° may be found as -180°: half a turn apart is a whole turn too far.
    assert abs(objective.parts()[0].predicted).max() > 3


def test_geometries_that_are_not_relaxed_are_refused():
    objective = fb.targets.objective(targets(), fb.potential(batch(PEROXIDE, METHANOL), "torch"))
    with pytest.raises(TargetError, match=r"target 'minimum of .*': an optimized geometry is compared at .*relaxed"):
        objective()


def test_without_smiles_there_are_no_internal_coordinates():
    own = bundle(PEROXIDE)
    target = fb.targets.OptimizedGeometry(
        name="nameless", bundle=own.content_hash, atomic_numbers=own.atomic_numbers, positions=peroxide()
    )
    objective = fb.targets.objective([target], fb.potential(own, "torch"))
    with pytest.raises(TargetError, match="target 'nameless': smiles: missing; internal coordinates follow its bonds"):
        objective.relaxed()
