"""Interaction energies of dimers, whose monomers are systems of their own."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.units import COULOMB_CONSTANT

from .molecules import PEROXIDE, PEROXIDES, batch, bundle, noisy, peroxide
from .test_energies import changed


def dimer(energies=None, distances=(0.4, 0.6, 1.0), **fields):
    x = np.stack([np.concatenate([peroxide(2.0), peroxide(1.4) + np.array([0, 0, r])]) for r in distances])
    return fb.targets.DimerTarget(
        name="dimer",
        smiles=PEROXIDES,
        atomic_numbers=np.array([1, 8, 8, 1] * 2),
        monomers=np.repeat([0, 1], 4),
        energies=np.zeros(len(x)) if energies is None else energies,
        positions=x,
        **fields,
    )


def test_a_dimer_needs_itself_and_its_monomers():
    assert len(fb.targets.smiles_of([dimer(), dimer()])) == 2
    smiles = fb.targets.smiles_of([dimer()])
    assert smiles[0] == PEROXIDES
    systems = fb.targets.objective([dimer()], fb.potential(batch(*smiles), "numpy")).systems
    assert systems == ((0, 1, 1),)


@pytest.mark.parametrize("engine", ["numpy", "torch", "jax"])
def test_the_interaction_is_that_between_the_molecules(engine):
    """Coulomb and Lennard-Jones over the pairs that lie between the two, summed by hand."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    both = batch(PEROXIDES, PEROXIDE)
    target = dimer(conformer_weights=np.array([1.0, 3.0, 0.0]))
    objective = fb.targets.objective([target], fb.potential(both, engine), scales=fb.targets.Scales(energy=1.0))
    charge = bundle(PEROXIDES).parameters("electrostatics")[:, 0]
    sigma, epsilon = bundle(PEROXIDES).parameters("vdw").T
    expected = []
    for x in target.positions:
        r = np.linalg.norm(x[:4, None] - x[None, 4:], axis=-1)
        s = (sigma[:4, None] + sigma[None, 4:]) / 2
        e = np.sqrt(epsilon[:4, None] * epsilon[None, 4:])
        coulomb = COULOMB_CONSTANT * charge[:4, None] * charge[None, 4:] / r
        expected.append((4 * e * ((s / r) ** 12 - (s / r) ** 6) + coulomb).sum())
    (found,) = objective.compare()
    np.testing.assert_allclose(found.predicted, expected, rtol=1e-9)
    np.testing.assert_allclose(float(objective()), np.average(np.square(expected), weights=[1, 3, 0]), rtol=1e-9)


def test_derivatives_by_tables_are_central_differences():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    both = batch(PEROXIDES, PEROXIDE)
    tables = changed(both.tables)
    objective = fb.targets.objective([dimer(np.array([-3.0, 1.0, 0.0]))], fb.potential(both, "torch"))
    theta = torch.tensor(tables["vdw"]).requires_grad_()
    objective({**tables, "vdw": theta}).backward()
    plain = fb.targets.objective(objective.targets, fb.potential(both, "numpy"))
    h = 1e-6
    moved = [plain({**tables, "vdw": tables["vdw"] + sign * h * np.array([[0, 0], [0, 1]])}) for sign in (1, -1)]
    np.testing.assert_allclose(float(theta.grad[1, 1]), (moved[0] - moved[1]) / (2 * h), rtol=1e-6)


def test_a_bond_between_the_monomers_is_refused():
    target = fb.targets.DimerTarget(
        name="one molecule",
        smiles=PEROXIDE,
        atomic_numbers=np.array([1, 8, 8, 1]),
        monomers=np.array([0, 0, 1, 1]),
        energies=np.zeros(1),
        positions=peroxide()[None],
    )
    with pytest.raises(TargetError, match="monomers: a bond of .* leads from one monomer to the other"):
        fb.targets.smiles_of([target])


def test_monomers_other_than_two_are_refused():
    with pytest.raises(TargetError, match=r"target 'dimer': monomers: got the numbers \[0\], expected 0 and 1"):
        fb.targets.DimerTarget(
            name="dimer",
            smiles=PEROXIDE,
            atomic_numbers=np.array([1, 8, 8, 1]),
            monomers=np.zeros(4, dtype=int),
            energies=np.zeros(2),
            positions=noisy(peroxide(), 2),
        )
