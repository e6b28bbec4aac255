"""Targets are checked when they are made: every refusal names the target and the field."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError, UnknownNameError
from ffbridge.targets.columns import columns, kinds
from ffbridge.targets.kinds import KINDS

from .molecules import METHANOL, PEROXIDE, PEROXIDES, batch, bundle, conformers, drive, methanol, noisy, peroxide
from .test_energies import fields


def energies():
    return conformers(PEROXIDE, noisy(peroxide(), 3), name="t")


def test_classes_have_the_columns_of_the_standard():
    assert set(kinds()) == set(KINDS)
    for kind, cls in KINDS.items():
        assert {field.name for field in dataclass_fields(cls)} == {column.name for column in columns(kind)}
        optional = {field.name for field in dataclass_fields(cls) if field.default is None}
        assert optional == {column.name for column in columns(kind) if column.optional}


def test_arrays_are_kept_for_themselves_and_read_only():
    mine = np.zeros(3)
    target = fb.targets.ConformerTarget(**{**fields(energies()), "energies": mine})
    mine[0] = 7
    assert target.energies[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        target.energies[0] = 1
    assert target.atomic_numbers.dtype == np.int32
    assert target.energies.dtype == np.float64


def test_an_unknown_kind_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="no kind of target 'forces'; there are: conformers, torsion_drive"):
        columns("forces")


BAD = {
    "energies: nan at index \\(1,\\), expected finite numbers \\[kJ/mol\\]": {"energies": [0.0, np.nan, 1.0]},
    "positions: got shape \\(2, 4, 3\\), expected \\(n_conformers, n_atoms, 3\\) with n_conformers = 3, n_atoms = 4": {
        "positions": np.zeros((2, 4, 3))
    },
    "energies: missing, expected float64 of shape \\(n_conformers,\\) \\[kJ/mol\\]": {"energies": None},
    "energies: got numbers of type complex128": {"energies": [1j, 0, 0]},
    "energies: got .*inhomogeneous": {"energies": [[1.0], [1.0, 2.0], 3.0]},
    "atomic_numbers: numbers that are no integers of 32 bits": {"atomic_numbers": [1.5, 8, 8, 1]},
    "atomic_numbers: 0 at atom 2, expected an element": {"atomic_numbers": [1, 8, 0, 1]},
    "weight: got -1.0, expected 0 or more": {"weight": -1.0},
    "name: got int, expected text": {"name": 3},
    "smiles: missing; a target needs a mapped SMILES": {"smiles": None},
    "conformer_weights: got \\[0. 0. 0.\\], expected 0 or more, not all 0": {"conformer_weights": np.zeros(3)},
    "energies: got shape \\(0,\\), expected": {"energies": []},
}


@pytest.mark.parametrize(("message", "change"), BAD.items(), ids=range(len(BAD)))
def test_what_does_not_fit_is_refused(message, change):
    with pytest.raises(TargetError, match=f"target .*: {message}"):
        fb.targets.ConformerTarget(**{**fields(energies()), **change})


def test_dihedrals_must_be_at_their_angles():
    good = fields(drive())
    swapped = good["positions"][:, [0, 1, 2, 3][::-1]].copy()
    swapped[:, :, 2] *= -1
    with pytest.raises(
        TargetError, match=r"positions: conformer \d has dihedral \[0, 1, 2, 3\] at .*°, and angles says"
    ):
        fb.targets.TorsionDrive(**{**good, "positions": swapped})
    with pytest.raises(
        TargetError, match=r"dihedrals: got atoms \[0, 1, 2, 4\], expected four different atoms of 0 … 3"
    ):
        fb.targets.TorsionDrive(**{**good, "dihedrals": [[0, 1, 2, 4]]})
    turned = good["angles"] + 2 * np.pi
    np.testing.assert_allclose(fb.targets.TorsionDrive(**{**good, "angles": turned}).angles, turned)


def test_hessians_must_be_symmetric():
    H = np.zeros((4, 3, 4, 3))
    H[0, 0, 1, 1] = 5.0
    with pytest.raises(TargetError, match=r"hessian: differs from its transpose by 5 at \(\d, \d, \d, \d\)"):
        fb.targets.HessianTarget(
            name="h", smiles=PEROXIDE, atomic_numbers=[1, 8, 8, 1], positions=peroxide(), hessian=H
        )


def test_systems_are_found_by_mapped_smiles_however_written():
    other = "[O:3]([H:4])[O:2][H:1]"
    target = fb.targets.ConformerTarget(**{**fields(energies()), "smiles": other})
    objective = fb.targets.objective([target], fb.potential(batch(METHANOL, PEROXIDE), "numpy"))
    assert objective.systems == ((1,),)


def test_targets_without_their_system_are_refused():
    U = fb.potential(batch(METHANOL, PEROXIDES), "numpy")
    with pytest.raises(TargetError, match=r"target 't': smiles: the bundle has no system .*smiles_of"):
        fb.targets.objective([energies()], U)
    renumbered = fb.targets.ConformerTarget(**{**fields(energies()), "smiles": "[O:1]([H:2])[O:3][H:4]"})
    with pytest.raises(TargetError, match="the bundle has no system"):
        fb.targets.objective([renumbered], fb.potential(batch(METHANOL, PEROXIDE), "numpy"))


def test_systems_can_be_given():
    U = fb.potential(batch(METHANOL, PEROXIDE), "numpy")
    assert float(fb.targets.objective([energies()], U, systems=[1])()) < 1e-15
    with pytest.raises(
        TargetError, match=r"target 't': atomic_numbers: \[1, 8, 8, 1\], and system 0 of the bundle has"
    ):
        fb.targets.objective([energies()], U, systems=[0])
    with pytest.raises(TargetError, match="target 't': system 2, and the bundle has 2"):
        fb.targets.objective([energies()], U, systems=[2])
    with pytest.raises(TargetError, match="systems: got 2, expected one for each of 1 targets"):
        fb.targets.objective([energies()], U, systems=[0, 1])
    with pytest.raises(TargetError, match="target 't': got 3 systems, expected 1"):
        fb.targets.objective([energies()], U, systems=[(0, 1, 1)])


def test_bundles_without_names():
    from dataclasses import replace

    nameless = replace(bundle(PEROXIDE), system_names=None)
    assert float(fb.targets.loss(energies(), fb.potential(nameless, "numpy"))) < 1e-15
    with pytest.raises(TargetError, match="the bundle has 2 systems without names"):
        fb.targets.loss(energies(), fb.potential(replace(batch(METHANOL, PEROXIDE), system_names=None), "numpy"))


def test_a_target_may_name_its_bundle_instead():
    own = bundle(PEROXIDE)
    target = fb.targets.ConformerTarget(**{**fields(energies()), "smiles": None, "bundle": own.content_hash})
    assert float(fb.targets.loss(target, fb.potential(own, "numpy"))) < 1e-15
    with pytest.raises(TargetError, match=r"target 't': bundle: is about the bundle .*, got .* of 1 systems"):
        fb.targets.loss(target, fb.potential(bundle(METHANOL), "numpy"))
    with pytest.raises(TargetError, match="target 't': smiles: missing, so that nothing says which system"):
        fb.targets.smiles_of([target])


def test_no_targets_are_refused():
    U = fb.potential(bundle(METHANOL), "numpy")
    with pytest.raises(TargetError, match="objective: got 0 targets, expected at least one of a weight more than 0"):
        fb.targets.objective([], U)
    idle = conformers(METHANOL, noisy(methanol(), 2), weight=0.0)
    with pytest.raises(TargetError, match="objective: got 1 targets"):
        fb.targets.objective([idle], U)


def test_stereocenters_are_those_of_chemistry():
    """Numbers make no stereocenter of an atom, and leave those that are."""
    from ffbridge.targets.molecules import mapped_molecule

    same = ["[H:4][C@:1]([H:5])([H:6])[O:2][H:3]", "[C:1]([H:4])([H:5])([H:6])[O:2][H:3]"]
    assert len({mapped_molecule(smiles).smiles for smiles in same}) == 1
    mirrored = [f"[H:1][C@{hand}:2]([F:3])([Cl:4])[Br:5]" for hand in ("", "@")]
    assert len({mapped_molecule(smiles).smiles for smiles in mirrored}) == 2


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("[H:1][O:2", "is not understood by RDKit"),
        ("CO", r"the map numbers of 'CO' are \[0, 0\], expected 1 … 2"),
        ("[CH3:1][OH:2]", "has hydrogens without a map number"),
    ],
)
def test_smiles_that_do_not_say_which_atom_is_which(smiles, message):
    from ffbridge.targets.molecules import mapped_molecule

    with pytest.raises(TargetError, match=message):
        mapped_molecule(smiles)
