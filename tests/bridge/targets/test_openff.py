"""Targets and OpenFF: bundles made of the targets' own SMILES are found again, and a fit on them descends."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.targets.internal import dihedral_angles

from .test_energies import fields

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

ETHANOL = "[H:9][O:3][C@@:1]([H:4])([H:5])[C:2]([H:6])([H:7])[H:8]"
ANGLES = np.radians([-150.0, -90, -30, 30, 90, 150])
DIHEDRAL = np.array([[1, 0, 2, 8]])


@pytest.fixture(scope="module")
def ethanol():
    """Bundle and one conformer, in the order of the SMILES's map numbers."""
    from openff.toolkit import Molecule

    from ffbridge.producers.openff import parametrize

    (smiles,) = fb.targets.smiles_of([target(np.zeros((1, 9, 3)))])
    molecule = Molecule.from_mapped_smiles(smiles, allow_undefined_stereo=True)
    molecule.generate_conformers(n_conformers=1)
    return fb.from_interchange(parametrize([molecule])), molecule.conformers[0].m_as("nm")


def target(positions):
    return fb.targets.ConformerTarget(
        name="ethanol",
        smiles=ETHANOL,
        atomic_numbers=[6, 6, 8, 1, 1, 1, 1, 1, 1],
        energies=np.zeros(len(positions)),
        positions=positions,
    )


def test_openffs_systems_are_found(ethanol):
    """Its names are SMILES of its own writing, which differ from the target's as text."""
    bundle, x = ethanol
    assert bundle.system_names != (ETHANOL,)
    objective = fb.targets.objective([target(x[None])], fb.potential(bundle, "numpy"))
    assert objective.systems == ((0,),)
    other = "[H:9][O:3][C:2]([H:4])([H:5])[C:1]([H:6])([H:7])[H:8]"
    moved = fb.targets.ConformerTarget(**{**fields(target(x[None])), "smiles": other})
    with pytest.raises(TargetError, match="the bundle has no system"):
        fb.targets.objective([moved], fb.potential(bundle, "numpy"))


def test_a_torsion_is_fitted_on_relaxed_profiles(ethanol):
    """Data: OpenFF's relaxed profile with another torsion. The fit goes back to it, relaxing as it goes."""
    bundle, x = ethanol
    U = fb.potential(bundle, "torch")
    chosen = fb.trainable(bundle, {"proper_torsions": ["k"]})
    answer = torch.tensor(chosen.initial) * torch.linspace(0.6, 1.5, len(chosen.parameters), dtype=torch.float64)
    held = fb.targets.HeldDihedrals(np.arange(6), np.tile(DIHEDRAL, (6, 1)), ANGLES)
    made = fb.targets.relax(U, np.tile(x, (6, 1, 1)), chosen.tables(answer), held=held)
    assert made.converged.all()
    np.testing.assert_allclose(dihedral_angles(made.positions, DIHEDRAL)[:, 0], ANGLES, atol=1e-9)
    drive = fb.targets.TorsionDrive(
        name="ethanol",
        smiles=ETHANOL,
        atomic_numbers=[6, 6, 8, 1, 1, 1, 1, 1, 1],
        dihedrals=DIHEDRAL,
        energies=made.energies[:, 0],
        angles=ANGLES[:, None],
        positions=made.positions,
    )
    objective = fb.targets.objective([drive], U)
    vector = torch.tensor(chosen.initial).requires_grad_()
    optimizer = torch.optim.Adam([vector], lr=0.05)
    losses = []
    for _ in range(15):
        objective = objective.relaxed(chosen.tables(vector))
        optimizer.zero_grad()
        value = objective(chosen.tables(vector))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert objective.relaxed(chosen.tables(answer))(chosen.tables(answer)).item() < 1e-7
    assert losses[-1] < 0.05 * losses[0]
