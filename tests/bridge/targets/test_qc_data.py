"""The committed targets of data/qc: complete, consistent in themselves, and the same when they are made again."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.targets.internal import dihedral_gradients
from ffbridge.units import NM_PER_BOHR

pytest.importorskip("rdkit", reason="RDKit is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from rdkit.Chem import FindMolChiralCenters, MolFromSmiles

from data.qc import __main__ as command
from data.qc.fragments import FRAGMENTS, atomic_numbers, driven, fragment
from data.qc.making import KINDS, add, conformer_fields, is_done, path_of

FOLDER = command.HERE
ROLES = ("training", "held_out")


@pytest.fixture(scope="module")
def stored():
    """Every target by its kind and name."""
    return {kind: {target.name: target for role in ROLES for target in _read(role, kind)} for kind in KINDS}


def _read(role, kind, folder=FOLDER):
    path = path_of(folder, role, kind)
    return fb.targets.load(path) if path.exists() else ()


def test_what_is_stored_is_whole(stored):
    named = {target.name.split()[0] for targets in stored.values() for target in targets.values()}
    assert named == {each.name for each in FRAGMENTS}
    assert all(is_done(each, FOLDER) for each in FRAGMENTS)
    assert len(FRAGMENTS) >= 17
    assert len({each.family for each in FRAGMENTS if each.role == "held_out"}) >= 8
    assert len(stored["hessian"]) >= 9


def test_a_fit_does_not_see_what_is_held_out():
    training, held_out = ({target.smiles for kind in KINDS for target in _read(role, kind)} for role in ROLES)
    assert training
    assert held_out
    assert not training & held_out
    seen, unseen = ({drive.provenance["family"] for drive in _read(role, "torsion_drive")} for role in ROLES)
    assert unseen <= seen


def test_drives_are_whole_and_have_their_forces(stored):
    for name, drive in stored["torsion_drive"].items():
        np.testing.assert_allclose(np.degrees(drive.angles[:, 0]), np.arange(-165, 181, 15), atol=1e-9)
        grid = stored["conformers"][name.replace("drive", "grid")]
        np.testing.assert_array_equal(grid.positions, drive.positions)
        np.testing.assert_array_equal(grid.energies, drive.energies)


def test_profiles_are_those_of_mirror_images(stored):
    """E(φ) = E(-φ), but for what optimizations leave."""
    for each in FRAGMENTS:
        assert not FindMolChiralCenters(
            MolFromSmiles(each.smiles), includeUnassigned=True, useLegacyImplementation=False
        )
    for name, drive in stored["torsion_drive"].items():
        opposite = np.append(drive.energies[-2::-1], drive.energies[-1])
        np.testing.assert_allclose(drive.energies, opposite, atol=0.05, err_msg=name)


def test_forces_are_free_of_rigid_motion(stored):
    """The energy does not change when all atoms move or turn, so forces and torques sum to nothing."""
    for target in stored["conformers"].values():
        assert np.abs(target.forces.sum(axis=1)).max() < 0.2
        centered = target.positions - target.positions.mean(axis=1, keepdims=True)
        assert np.abs(np.cross(centered, target.forces).sum(axis=1)).max() < 0.1


def test_what_is_left_of_forces_is_along_the_driven_dihedral(stored):
    """At a minimum with one angle φ held, dE/dx = λ dφ/dx; what is left across is geomeTRIC's criterion.

    5e-5 hartree/bohr is 2.5 kJ/mol/nm, in its internal coordinates; along a soft mode, 15 kJ/mol/nm are 0.03 kJ/mol.
    """
    for name, drive in stored["torsion_drive"].items():
        forces = stored["conformers"][name.replace("drive", "grid")].forces
        across = forces - _along(drive, forces)[1]
        assert np.abs(across).max() < 15, name


def test_energies_are_the_integral_of_forces(stored):
    """λ is dE/dφ (envelope theorem): beside the derivative of the profile's trigonometric polynomial."""
    drive = stored["torsion_drive"]["anisole drive 1"]
    slopes, _ = _along(drive, stored["conformers"]["anisole grid 1"].forces)
    orders = np.fft.fftfreq(24, 1 / 24)
    orders[12] = 0
    expected = np.fft.ifft(1j * orders * np.fft.fft(drive.energies)).real
    assert np.ptp(expected) > 30
    np.testing.assert_allclose(slopes, expected, atol=1.0)


def _along(drive, forces):
    """dE/dφ ``(n_conformers,)`` and the part of the forces that it makes, by least squares."""
    atoms = drive.dihedrals[0]
    gradients = dihedral_gradients(drive.positions, drive.dihedrals)[:, 0]
    slopes = -np.einsum("cai,cai->c", forces[:, atoms], gradients) / np.einsum("cai,cai->c", gradients, gradients)
    part = np.zeros_like(forces)
    part[:, atoms] = -slopes[:, None, None] * gradients
    return slopes, part


def test_hessians_are_those_of_minima(stored):
    for name, target in stored["hessian"].items():
        matrix = target.hessian.reshape(3 * target.n_atoms, -1)
        shift = np.tile(np.eye(3), (target.n_atoms, 1)) / target.n_atoms**0.5
        assert np.abs(matrix @ shift).max() < 1e-3 * np.abs(matrix).max(), name
        values = np.sort(np.linalg.eigvalsh(matrix))
        assert values[6] > 50, name
        assert np.abs(values[:6]).max() < 20, name


@pytest.mark.slow
def test_held_out_drives_share_their_torsion_parameters_with_training():
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    pytest.importorskip("numba", reason="numba is not installed")
    from openff.toolkit import ForceField

    from data.qc.comparison import DEFAULT, shared_parameters

    for name, drives in shared_parameters(ForceField(DEFAULT)).items():
        assert "training" in {each.role for each, _ in drives}, name


def test_a_point_made_again_is_the_stored_one(stored):
    pytest.importorskip("tblite", reason="tblite is not installed (extra qc)")
    pytest.importorskip("geometric", reason="geomeTRIC is not installed (extra qc)")
    from data.qc.optimization import minimum
    from data.qc.programs import GFN2

    each, drive = fragment("anisole"), stored["torsion_drive"]["anisole drive 1"]
    grid = stored["conformers"]["anisole grid 1"]
    atoms = driven(each, each.drives[0])
    assert drive.dihedrals[0].tolist() == list(atoms)
    program = GFN2(atomic_numbers(each))
    there, near, low = (int(np.argmin(np.abs(np.degrees(drive.angles[:, 0]) - angle))) for angle in (60, 75, 0))
    expected = drive.energies[there] - drive.energies[low]
    again = conformer_fields(program, drive.positions[[there, low]])
    np.testing.assert_allclose(np.ptp(again["energies"]), expected, atol=1e-4)
    np.testing.assert_allclose(again["forces"], grid.forces[[there, low]], atol=0.05)
    moved = minimum(program, atomic_numbers(each), drive.positions[near] / NM_PER_BOHR, [(atoms, 60.0)]) * NM_PER_BOHR
    remade = conformer_fields(program, np.stack([moved, drive.positions[low]]))
    np.testing.assert_allclose(np.ptp(remade["energies"]), expected, atol=0.02)


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch, capsys):
    for role in ROLES:
        shutil.copytree(FOLDER / role, tmp_path / role)
    monkeypatch.setattr(sys, "argv", ["data.qc", "anisole", "acetanilide", "--output", str(tmp_path)])
    assert command.main() == 0
    assert capsys.readouterr().out == "2 of 2 fragments are there\n"
    each = fragment("anisole")
    path = path_of(tmp_path, "training", "torsion_drive")
    fb.targets.save([target for target in fb.targets.load(path) if not target.name.startswith("anisole ")], path)
    assert not is_done(each, tmp_path)
    add(each, FOLDER, tmp_path)
    assert is_done(each, tmp_path)
    names = [[target.name for target in _read("training", "torsion_drive", folder)] for folder in (tmp_path, FOLDER)]
    assert names[0] == names[1]


def test_unknown_fragments_are_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["data.qc", "anisol"])
    with pytest.raises(SystemExit):
        command.main()
    assert "there is no fragment 'anisol'; there are: anisole, " in capsys.readouterr().err


@pytest.fixture(scope="module")
def hartree_fock():
    from data.qc.hartree_fock import DRIVES, HESSIANS, stored

    found = stored()
    assert set(found["conformers"]) == {f"{name} grid 1" for name in DRIVES}
    assert set(found["hessian"]) == {f"{name} hessian" for name in HESSIANS}
    assert set(found["optimized_geometry"]) == {f"{name} minimum 1" for name in HESSIANS}
    return found


def test_a_second_program_was_given_the_drive_s_geometries(stored, hartree_fock):
    """And finds nearly the same profile: both methods know that gauche is higher, and eclipsed higher still."""
    other = hartree_fock["conformers"]["butane grid 1"]
    drive = stored["torsion_drive"]["butane drive 1"]
    half = np.degrees(drive.angles[:, 0]) > -1
    assert (other.level_of_theory, drive.level_of_theory) == ("hf/6-31g*", "gfn2-xtb")
    np.testing.assert_array_equal(other.positions, drive.positions[half])
    assert other.energies.argmin() == 12
    assert np.corrcoef(other.energies, drive.energies[half])[0, 1] > 0.95
    assert np.abs(other.forces.sum(axis=1)).max() < 0.2
    centered = other.positions - other.positions.mean(axis=1, keepdims=True)
    assert np.abs(np.cross(centered, other.forces).sum(axis=1)).max() < 0.1


def test_the_second_program_s_hessian_is_that_of_a_minimum(hartree_fock):
    """Butane's stiffest modes are C-H stretches: 3000 to 3300 cm⁻¹ by this method, unscaled."""
    target = hartree_fock["hessian"]["butane hessian"]
    np.testing.assert_array_equal(target.positions, hartree_fock["optimized_geometry"]["butane minimum 1"].positions)
    masses = np.repeat([12.011 if number == 6 else 1.008 for number in target.atomic_numbers], 3)
    scaled = target.hessian.reshape(len(masses), -1) / np.sqrt(np.outer(masses, masses))
    values = np.linalg.eigvalsh(scaled)
    wavenumbers = np.sign(values) * np.sqrt(np.abs(values)) / (2 * np.pi * 0.0299792458)
    assert np.abs(np.sort(np.abs(wavenumbers))[:6]).max() < 60
    assert (wavenumbers[np.abs(wavenumbers) > 60] > 90).all()
    assert 3150 < wavenumbers[-1] < 3350
    assert (wavenumbers > 2900).sum() == 10
