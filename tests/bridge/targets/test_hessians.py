"""Hessians: against differences of forces, in both kinds of coordinates, and derivatives of their loss."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from ffbridge.targets.internal import internal_coordinates, values, wilson, wrapped
from ffbridge.targets.losses import projection
from ffbridge.targets.molecules import mapped_molecule

from .molecules import METHANOL, PEROXIDE, batch, bundle, methanol, peroxide
from .test_energies import changed


def hessian_by_differences(smiles, x, tables=None, h=1e-6):
    """Of forces, ``(n, 3, n, 3)``."""
    U = fb.potential(bundle(smiles), "numpy")
    steps = h * np.eye(x.size).reshape(-1, *x.shape)
    forces = [U.value_and_grad(x + sign * steps, tables).forces for sign in (1, -1)]
    found = (forces[1] - forces[0]) / (2 * h)
    return ((found + found.transpose(1, 2, 0).reshape(found.shape)) / 2).reshape(*x.shape, *x.shape)


def target(smiles, x, tables=None, **fields):
    return fb.targets.HessianTarget(
        name=f"hessian of {smiles}",
        smiles=smiles,
        atomic_numbers=mapped_molecule(smiles).atomic_numbers,
        positions=x,
        hessian=hessian_by_differences(smiles, x, tables),
        **fields,
    )


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_rows_are_differences_of_forces(engine):
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    both = batch(PEROXIDE, METHANOL)
    x = np.concatenate([peroxide(1.2, 0.004), methanol()])
    U = fb.potential(both, engine)
    rows = U.host.fused(lambda x: fb.targets.hessian_rows(U, x))(fb.to(x[None], engine))
    found = np.asarray(rows)[0]
    assert found.shape == (18, 10, 3)
    scale = 1e-7 * 4e5
    np.testing.assert_allclose(
        found[:12, :4].reshape(12, 12), hessian_by_differences(PEROXIDE, x[:4]).reshape(12, 12), atol=scale
    )
    np.testing.assert_allclose(
        found[:, 4:].reshape(18, 18), hessian_by_differences(METHANOL, x[4:]).reshape(18, 18), atol=scale
    )
    assert not found[12:, :4].any()


def test_wilsons_matrix_is_the_derivative_of_the_coordinates():
    x = methanol()
    coordinates = internal_coordinates(mapped_molecule(METHANOL).bonds, 6, x)
    assert [len(coordinates.distance), len(coordinates.angle), len(coordinates.dihedral)] == [5, 7, 3]
    B, h = wilson(x, coordinates), 1e-6
    for atom, axis in ((0, 0), (4, 1), (5, 2)):
        moved = np.zeros_like(x)
        moved[atom, axis] = h
        expected = wrapped(values(x + moved, coordinates) - values(x - moved, coordinates)) / (2 * h)
        np.testing.assert_allclose(B[:, atom, axis], expected, atol=1e-8)


def test_straight_angles_are_no_internal_coordinates():
    """Propyne's carbons are in a line: no angle of 180°, and no dihedral that holds it."""
    smiles = "[C:1]([H:4])([H:5])([H:6])[C:2]#[C:3][H:7]"
    x = np.array([[0, 0, 0], [0.146, 0, 0], [0.266, 0, 0], *methanol()[1:4], [0.372, 0, 0]])
    coordinates = internal_coordinates(mapped_molecule(smiles).bonds, 7, x)
    assert len(coordinates.distance) == 6
    assert len(coordinates.angle) == 6
    assert len(coordinates.dihedral) == 0


def test_internal_hessians_are_energies_of_displacements():
    """Along one bond of a molecule at its minimum, the projected element is k scale², and the cross terms vanish."""
    made = bundle(PEROXIDE)
    harmonic = {name: 0 * table.values for name, table in made.tables.items() if name not in ("bonds", "angles")}
    harmonic["vdw"] = made.tables["vdw"].values * np.array([1.0, 0.0])
    harmonic["torsions"] = made.tables["torsions"].values * np.array([0.0, 1.0, 1.0])
    relaxed = fb.targets.relax(fb.potential(made, "numpy"), peroxide()[None], harmonic, tolerance=1e-8).positions[0]
    scales = fb.targets.Scales()
    coordinates = internal_coordinates(mapped_molecule(PEROXIDE).bonds, 4, relaxed)
    P = projection(relaxed, coordinates, scales)
    H = P.T @ hessian_by_differences(PEROXIDE, relaxed, harmonic).reshape(12, 12) @ P
    k_oh, k_oo = made.tables["bonds"].values[:, 0]
    k_angle = made.tables["angles"].values[0, 0]
    expected = [k_oh, k_oo, k_oh] * np.array([scales.distance**2])
    expected = [*expected, *[k_angle * scales.angle**2] * 2, 0.0]
    np.testing.assert_allclose(H, np.diag(expected), atol=1e-5)


@pytest.mark.parametrize("coordinates", ["cartesian", "internal"])
def test_the_loss_is_its_definition_and_its_derivative_a_difference(coordinates):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    both = batch(PEROXIDE, METHANOL)
    tables = changed(both.tables)
    targets = [target(METHANOL, methanol(), weight=3.0), target(PEROXIDE, peroxide(1.1))]
    objective = fb.targets.objective(targets, fb.potential(both, "torch"), hessian=coordinates)

    def loss(given):
        with torch.no_grad():
            return float(objective({name: torch.tensor(table) for name, table in given.items()}))

    assert loss({}) < 1e-12
    scales, expected = fb.targets.Scales(), 0.0
    for each in targets:
        own = {name: own_rows(both, bundle(each.smiles), name, table) for name, table in tables.items()}
        off = hessian_by_differences(each.smiles, each.positions, own) - each.hessian
        off = off.reshape(3 * each.n_atoms, -1)
        if coordinates == "internal":
            P = projection(
                each.positions,
                internal_coordinates(mapped_molecule(each.smiles).bonds, each.n_atoms, each.positions),
                scales,
            )
            expected += each.weight / 4 * ((P.T @ off @ P) ** 2).mean() / scales.energy**2
        else:
            expected += each.weight / 4 * (off**2).mean() / scales.hessian**2
    np.testing.assert_allclose(loss(tables), expected, rtol=1e-5)
    theta = torch.tensor(tables["bonds"]).requires_grad_()
    objective({**tables, "bonds": theta}).backward()
    h = np.array([5.0, 1e-7])
    for column in range(2):
        moved = [
            {**tables, "bonds": tables["bonds"] + sign * h * np.eye(2)[column] * [[1], [0], [0], [0]]}
            for sign in (1, -1)
        ]
        difference = (loss(moved[0]) - loss(moved[1])) / (2 * h[column])
        np.testing.assert_allclose(float(theta.grad[0, column]), difference, rtol=1e-5)


def own_rows(both, alone, name, values):
    """The rows of a table of several molecules that one of them has, by key."""
    keys = both.tables[name].keys
    if keys is None:
        start = 0 if alone.n_atoms == 4 else 4
        return values[start : start + alone.n_atoms]
    return values[[keys.index(key) for key in alone.tables[name].keys]]


def test_engines_without_second_derivatives_refuse():
    targets = [target(PEROXIDE, peroxide())]
    objective = fb.targets.objective(targets, fb.potential(bundle(PEROXIDE), "numpy"))
    with pytest.raises(UnsupportedError, match="'numpy' has no automatic differentiation"):
        objective()
    hosted = fb.targets.objective(targets, fb.potential(bundle(PEROXIDE), "numpy", host="torch"))
    with pytest.raises(UnsupportedError, match="first derivatives by reverse mode only"):
        hosted()
