"""Readers of data sets: files in the layouts in which they are shipped, whole and damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.units import AVOGADRO, ELEMENTARY_CHARGE, KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

from .molecules import METHANOL, PEROXIDE, conformers, drive, methanol, noisy, peroxide

EV = ELEMENTARY_CHARGE * AVOGADRO * 1e-3


def sample(smiles=PEROXIDE, count=3):
    return conformers(smiles, noisy(peroxide() if smiles == PEROXIDE else methanol(), count))


def assert_same(found, expected):
    assert found.smiles == expected.smiles
    np.testing.assert_array_equal(found.atomic_numbers, expected.atomic_numbers)
    for name in ("positions", "energies", "forces"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12)


def spice_group(file, name, target):
    """One molecule as SPICE's own downloader writes it."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    group = file.create_group(name)
    group.create_dataset("subset", data=["a subset"], dtype=h5py.string_dtype())
    group.create_dataset("smiles", data=[target.smiles], dtype=h5py.string_dtype())
    group.create_dataset("atomic_numbers", data=target.atomic_numbers, dtype=np.int16)
    hartree, bohr = KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR
    for key, values, unit in (
        ("conformations", target.positions / bohr, "bohr"),
        ("formation_energy", target.energies / hartree, "hartree"),
        ("dft_total_energy", target.energies / hartree, "hartree"),
        ("dft_total_gradient", -target.forces / hartree * bohr, "hartree/bohr"),
    ):
        dataset = group.create_dataset(key, data=values, dtype=np.float64)
        dataset.attrs["units"] = unit
    return group


@pytest.fixture
def spice(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "SPICE.hdf5"
    with h5py.File(path, "w") as file:
        for name, target in (("peroxide", sample()), ("methanol", sample(METHANOL, 2))):
            spice_group(file, name, target)
    return path


def test_spice(spice):
    found = {target.name: target for target in fb.targets.read_spice(spice).complete()}
    assert_same(found["peroxide"], sample())
    assert_same(found["methanol"], sample(METHANOL, 2))
    assert found["methanol"].level_of_theory == "wb97m-d3bj/def2-tzvppd"
    assert found["methanol"].provenance["subset"] == "a subset"
    assert [each.name for each in fb.targets.read_spice(spice, groups=["methanol"]).targets] == ["methanol"]
    assert fb.targets.read_spice(spice, subsets=["another"]).targets == ()


def swap(dataset):
    dataset[...] = dataset[()][:, [4, 1, 2, 3, 0, 5]]


SPICE_DAMAGES = {
    "conformations: missing": lambda g: g.__delitem__("conformations"),
    "conformations: the unit is missing, expected one of nm": lambda g: g["conformations"].attrs.__delitem__("units"),
    "dft_total_energy: the unit is 'rydberg', expected one of kJ/mol": lambda g: g["dft_total_energy"].attrs.update(
        units="rydberg"
    ),
    "dft_total_gradient: the unit is 'hartree', expected one of .* by one of": lambda g: g[
        "dft_total_gradient"
    ].attrs.update(units="hartree"),
    "energies: nan at index \\(1,\\)": lambda g: g["dft_total_energy"].__setitem__(1, np.nan),
    "forces: nan at index \\(0, 2, 1\\)": lambda g: g["dft_total_gradient"].__setitem__((0, 2, 1), np.nan),
    "atomic_numbers: atom 0 is element 8, and map number 1": lambda g: g["atomic_numbers"].__setitem__(0, 8),
    "positions: conformer . has the bonded atoms .* apart: the atoms are in another order": lambda g: swap(
        g["conformations"]
    ),
    "smiles: '.' is not understood": lambda g: g["smiles"].__setitem__(0, ")"),
}


@pytest.mark.parametrize(("message", "damage"), SPICE_DAMAGES.items(), ids=range(len(SPICE_DAMAGES)))
def test_damaged_groups_of_spice_are_named(message, damage, spice):
    import h5py

    with h5py.File(spice, "r+") as file:
        damage(file["methanol"])
    reading = fb.targets.read_spice(spice)
    assert [target.name for target in reading.targets] == ["peroxide"]
    with pytest.raises(TargetError, match=f"methanol: {message}"):
        reading.complete()


def test_what_is_no_spice_file_is_refused(tmp_path, spice):
    (tmp_path / "no.hdf5").write_bytes(b"no")
    with pytest.raises(TargetError, match="no.hdf5: cannot be read as HDF5"):
        fb.targets.read_spice(tmp_path / "no.hdf5")
    with pytest.raises(TargetError, match="has no group 'ethane'"):
        fb.targets.read_spice(spice, groups=["ethane"])


def descent_table(targets, **change):
    """descent.targets.energy's schema: kcal/mol, Å, flattened."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    rows = [
        {
            "smiles": target.smiles,
            "coords": (target.positions * 10).reshape(-1).tolist(),
            "energy": (target.energies / 4.184).tolist(),
            "forces": (target.forces / 41.84).reshape(-1).tolist(),
        }
        | change
        for target in targets
    ]
    numbers = pa.list_(pa.float64())
    schema = [("smiles", pa.string()), ("coords", numbers), ("energy", numbers), ("forces", numbers)]
    return pa.Table.from_pylist(rows, schema=pa.schema(schema))


@pytest.mark.parametrize("form", ["table", "parquet", "file", "stream in a folder"])
def test_descent(form, tmp_path):
    targets = [sample(), sample(METHANOL, 2)]
    table = descent_table(targets)
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = table
    if form == "parquet":
        pq.write_table(table, source := tmp_path / "data.parquet")
    elif form == "file":
        with pa.OSFile(str(source := tmp_path / "data.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as w:
            w.write_table(table)
    elif form == "stream in a folder":
        file = tmp_path / "data-00000-of-00001.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as w:
            w.write_table(table)
        source = tmp_path
    for found, expected in zip(fb.targets.read_descent(source).complete(), targets, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coords": [0.0] * 35}, "coords: got 35 numbers, expected 36 for shape"),
        ({"energy": None}, "energy: missing"),
        ({"energy": [np.nan, 0.0, 0.0]}, r"energies: nan at index \(0,\)"),
        ({"smiles": None}, "smiles: missing"),
        ({"forces": [1.0]}, "forces: got 1 numbers, expected 36"),
    ],
)
def test_damaged_rows_of_descent_are_named(change, message):
    import pyarrow as pa

    table = pa.concat_tables([descent_table([sample()]), descent_table([sample()], **change)])
    reading = fb.targets.read_descent(table)
    assert [target.name for target in reading.targets] == ["row 0"]
    with pytest.raises(TargetError, match=f"row 1: {message}"):
        reading.complete()


def test_what_is_no_data_of_descent_is_refused(tmp_path):
    with pytest.raises(TargetError, match="column 'forces' is missing, expected smiles, coords, energy, forces"):
        fb.targets.read_descent(descent_table([sample()]).drop_columns(["forces"]))
    with pytest.raises(TargetError, match="the folder has no file"):
        fb.targets.read_descent(tmp_path)
    with pytest.raises(TargetError, match="got int, expected a path, a pyarrow.Table"):
        fb.targets.read_descent(3)
    (tmp_path / "x.arrow").write_bytes(b"no arrow file at all")
    with pytest.raises(TargetError, match="cannot be read as Arrow or Parquet"):
        fb.targets.read_descent(tmp_path)


def write_xyz(path, targets, **names):
    """By ASE, in its units."""
    ase = pytest.importorskip("ase", reason="ASE is not installed")
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    frames = []
    for target in targets:
        for number, x in enumerate(target.positions):
            frame = ase.Atoms(numbers=target.atomic_numbers, positions=x * 10, info={"smiles": target.smiles})
            energy, forces = target.energies[number] / EV, target.forces[number] / EV / 10
            if names:
                frame.info[names["energy"]] = energy
                frame.arrays[names["forces"]] = forces
            else:
                frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
            frames.append(frame)
    write(path, frames, format="extxyz")


@pytest.mark.parametrize("names", [{}, {"energy": "REF_energy", "forces": "REF_forces"}])
def test_extended_xyz(names, tmp_path):
    targets = [sample(), sample(METHANOL, 2)]
    write_xyz(tmp_path / "data.xyz", targets, **names)
    options = {f"{key}_key": name for key, name in names.items()}
    found = fb.targets.read_extended_xyz(tmp_path / "data.xyz", energy_unit="eV", **options).complete()
    for one, other in zip(found, targets, strict=True):
        assert one.smiles == other.smiles
        # Text with eight digits.
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-9)
        np.testing.assert_allclose(one.energies, other.energies, rtol=1e-7)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-4)


def test_damaged_extended_xyz(tmp_path):
    path = tmp_path / "data.xyz"
    write_xyz(path, [sample(), sample(METHANOL, 1)])
    text = path.read_text()

    def rejected(changed, **options):
        path.write_text(changed)
        reading = fb.targets.read_extended_xyz(path, energy_unit="eV", **options)
        assert [target.smiles for target in reading.targets] == [METHANOL]
        return str(reading.rejected[0])

    assert rejected(text.replace("energy=", "other=", 1)).endswith("energy: missing in frame 0")
    lines = text.splitlines()
    swapped = "\n".join([*lines[:2], lines[3], lines[2], *lines[4:]]) + "\n"
    assert "species: frame 0 has the atoms in another order" in rejected(swapped)
    assert rejected(text.replace("smiles=", "nothing=", 3)).endswith("and no SMILES was given")
    broken = text.replace(lines[2].split()[1], "nan", 1)
    assert "positions: nan at index (0, 0, 0)" in rejected(broken)


@pytest.mark.parametrize("count", ["9" * 300, "5"])
def test_a_frame_of_extended_xyz_with_too_many_atoms_is_refused_at_once(count, tmp_path):
    path = tmp_path / "data.xyz"
    frame = "4\nProperties=species:S:1:pos:R:3 energy=-5\nH 0 0 0\nO 0 0 1\nO 0 1 1\nH 1 1 1\n"
    path.write_text(frame + frame.replace("4", count, 1))
    with pytest.raises(TargetError, match=rf"data.xyz: .* line 7 says {count[:20]} atoms, and 4 lines are left"):
        fb.targets.read_extended_xyz(path, energy_unit="eV", smiles="[H:1][O:2][O:3][H:4]")


@pytest.mark.parametrize("count", ["318446744073709551615", "100000"])
def test_a_column_of_extended_xyz_with_too_many_numbers_is_refused_at_once(count, tmp_path):
    path = tmp_path / "data.xyz"
    path.write_text(f"1\nProperties=species:S:1:pos:R:{count} energy=-5\nH 0 0 0\n")
    with pytest.raises(
        TargetError, match=rf"data.xyz: .* line 2 says {count[:20]} numbers in a column, and the file has"
    ):
        fb.targets.read_extended_xyz(path, energy_unit="eV", smiles="[H:1]")


def test_extended_xyz_without_units_is_refused(tmp_path):
    with pytest.raises(TypeError, match="energy_unit"):
        fb.targets.read_extended_xyz(tmp_path / "data.xyz")
    with pytest.raises(TargetError, match="energy_unit: the unit is 'Ry', expected one of kJ/mol, kcal/mol"):
        fb.targets.read_extended_xyz(tmp_path / "data.xyz", energy_unit="Ry")
    with pytest.raises(TargetError, match="data.xyz: cannot be read as extended XYZ"):
        fb.targets.read_extended_xyz(tmp_path / "data.xyz", energy_unit="eV")


@pytest.fixture
def profile(tmp_path):
    """A folder as OpenFF's fits have them; the SDF is RDKit's."""
    Chem = pytest.importorskip("rdkit.Chem", reason="RDKit is not installed")
    pytest.importorskip("ase", reason="ASE is not installed")
    folder = tmp_path / "targets" / "td_peroxide"
    folder.mkdir(parents=True)
    keep = Chem.SmilesParserParams()
    keep.removeHs = False
    molecule = Chem.RenumberAtoms(Chem.MolFromSmiles(PEROXIDE, keep), [0, 1, 2, 3])
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    conformer = Chem.Conformer(4)
    for number, xyz in enumerate(peroxide() * 10):
        conformer.SetAtomPosition(number, xyz.tolist())
    molecule.AddConformer(conformer)
    (folder / "input.sdf").write_text(Chem.MolToMolBlock(molecule) + "$$$$\n")
    grid = (-90, 0, 90, 180)
    metadata = {"dihedrals": [[0, 1, 2, 3]], "grid_spacing": [90], "torsion_grid_ids": [[a] for a in grid]}
    (folder / "metadata.json").write_text(json.dumps(metadata | {"energy_upper_limit": 0.05}))
    scan, qdata = "", ""
    for number, angle in enumerate(grid):
        x = peroxide(np.radians(angle)) * 10
        rows = "".join(f"{symbol} {a:.9f} {b:.9f} {c:.9f}\n" for symbol, (a, b, c) in zip("HOOH", x, strict=True))
        scan += f"4\nframe {number}\n{rows}"
        coords = " ".join(f"{value:.9f}" for value in x.reshape(-1))
        qdata += f"JOB {number}\nCOORDS {coords}\nENERGY {-150 + 0.001 * number:.9f}\n\n"
    (folder / "scan.xyz").write_text(scan)
    (folder / "qdata.txt").write_text(qdata)
    return folder


def test_torsion_profiles_of_forcebalance(profile):
    for source in (profile, profile.parent):
        (target,) = fb.targets.read_torsion_profiles(source).complete()
        assert target.name == "td_peroxide"
        np.testing.assert_allclose(np.degrees(target.angles[:, 0]), (-90, 0, 90, 180))
        np.testing.assert_allclose(target.energies, (-150 + 0.001 * np.arange(4)) * KJ_PER_MOL_PER_HARTREE, rtol=1e-12)
        np.testing.assert_allclose(target.positions[2], peroxide(np.pi / 2), atol=1e-9)
        assert target.provenance["energy_upper_limit"] == 0.05


def edit(name, old, new, count=-1):
    def apply(folder):
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return apply


PROFILE_DAMAGES = {
    "torsion_grid_ids has 3, scan.xyz has 4, qdata.txt: ENERGY has 4": edit("metadata.json", "[0], ", ""),
    "metadata.json: dihedrals: missing": edit("metadata.json", "dihedrals", "atoms"),
    "metadata.json: cannot be read": edit("metadata.json", "{", "", 1),
    "metadata.json: torsion_grid_ids: \\[0.5\\] is no grid point": edit("metadata.json", "[0]", "[0.5]"),
    "torsion_grid_ids: 4 of 8 grid points are missing: \\(-135,\\)": edit(
        "metadata.json", '"grid_spacing": [90]', '"grid_spacing": [45]'
    ),
    "qdata.txt: ENERGY: missing, or not one number": edit("qdata.txt", "ENERGY", "ENERGIES"),
    "qdata.txt: cannot be read": edit("qdata.txt", "ENERGY -150.000", "ENERGY minus 150", 1),
    "qdata.txt: COORDS are not the geometries of scan.xyz": edit("qdata.txt", "COORDS -", "COORDS 9", 1),
    "qdata.txt: COORDS: missing, or not the same number": edit("qdata.txt", "COORDS ", "COORDS 0.0 ", 1),
    "energies: nan at index \\(0,\\)": edit("qdata.txt", "ENERGY -150.000000000", "ENERGY nan", 1),
    "scan.xyz: cannot be read": edit("scan.xyz", "4\n", "5\n", 1),
    "scan.xyz: frame 1 has other atoms, or another order": lambda f: swap_lines(f / "scan.xyz", 8, 9),
    "atomic_numbers: atom 0 is element 8, and map number 1": edit("scan.xyz", "H ", "O "),
    "input.sdf: RDKit reads no molecule": edit("input.sdf", "V2000", "V9999"),
    "input.sdf: cannot be read": lambda f: (f / "input.sdf").unlink(),
}


def swap_lines(path, one, other):
    lines = path.read_text().splitlines()
    lines[one], lines[other] = lines[other], lines[one]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("message", "damage"), PROFILE_DAMAGES.items(), ids=range(len(PROFILE_DAMAGES)))
def test_damaged_torsion_profiles_are_named(message, damage, profile):
    damage(profile)
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        reading = fb.targets.read_torsion_profiles(profile.parent)
    assert reading.targets == ()
    with pytest.raises(TargetError, match=f"td_peroxide: .*{message}"):
        reading.complete()


def test_partial_torsion_profiles(profile):
    edit("metadata.json", '"grid_spacing": [90]', '"grid_spacing": [45]')(profile)
    (target,) = fb.targets.read_torsion_profiles(profile, partial=True).complete()
    assert target.provenance["missing_grid_points"] == [[-135], [-45], [45], [135]]


def test_a_folder_without_profiles_is_refused(tmp_path):
    with pytest.raises(TargetError, match="no metadata.json in it, nor in a folder of it"):
        fb.targets.read_torsion_profiles(tmp_path)


def test_drives_read_and_made_are_alike(profile, tmp_path):
    (target,) = fb.targets.read_torsion_profiles(profile).complete()
    fb.targets.save([target, drive()], tmp_path / "both.parquet")
    assert [each.name for each in fb.targets.load(tmp_path / "both.parquet")] == ["td_peroxide", "peroxide drive"]
