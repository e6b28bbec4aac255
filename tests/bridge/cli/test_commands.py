"""The commands: what they print and write, and how they fail."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.units import COULOMB_CONSTANT

HYDROGENS = 0.4 * 0.4 * COULOMB_CONSTANT / 0.21
SDF = """water


  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  0
    1.1000    0.0000    0.0000 H   0  0
   -1.0000    0.0000    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""
PDB = """HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
HETATM    2  H1  HOH A   1      11.000   0.000   0.000  1.00  0.00           H
HETATM    3  H2  HOH A   1     -10.000   0.000   0.000  1.00  0.00           H
END
"""


def test_backends_are_listed(run):
    code, out, _ = run("backends", "--json")
    listed = json.loads(out)
    assert code == 0
    assert {"numpy", "torch", "jax", "cupy"} <= {info["name"] for info in listed["backends"]}
    assert {"numpy", "torch", "jax"} <= {info["name"] for info in listed["engines"]}
    code, out, _ = run("backends")
    assert code == 0
    assert ["numpy", np.__version__] in [line.split()[:2] for line in out.splitlines()]


def test_inspect_shows_terms_tables_keys_and_hash(run, water, bundle):
    code, out, _ = run("inspect", water, "--keys")
    assert code == 0
    for expected in (
        "1 systems, 3 atoms",
        bundle.content_hash,
        "[O:1]([H:2])[H:3]",
        "harmonic_bond",
        "k [kJ/mol/nm^2]",
        "[#8X2:1]-[#1:2]",
        "b87",
        "exceptions: 2 pairs",
    ):
        assert expected in out


def test_inspect_shows_the_first_and_the_last_column_of_a_map(run, tmp_path):
    terms = {"cmap": fb.TermArrays("cmap", [range(16)], [[0, 1, 2, 3, 1, 2, 3, 4]], settings={"size": 4})}
    fb.save(fb.from_arrays(n_atoms=5, terms=terms), tmp_path / "map.ffb")
    code, out, _ = run("inspect", tmp_path / "map.ffb", "--keys")
    assert code == 0
    assert "energy_0_0 [kJ/mol], …, energy_3_3 [kJ/mol]" in out
    assert "energy_0_1" not in out


def test_inspect_for_machines_holds_the_document(run, water, bundle):
    code, out, _ = run("inspect", water, "--json")
    content = json.loads(out)
    assert code == 0
    assert content["tables"] == bundle.document()["tables"]
    assert content["content_hash"] == bundle.content_hash
    assert content["arrays"]["terms/bonds/indices"] == {"shape": [2, 2], "dtype": "int32"}


def test_energy_of_an_array_of_positions(run, water, positions, tmp_path):
    np.save(tmp_path / "x.npy", np.stack([positions, positions * 2]))
    code, out, _ = run("energy", water, "--positions", tmp_path / "x.npy", "--forces", tmp_path / "f.npy", "--json")
    found = json.loads(out)
    assert code == 0
    assert np.array(found["terms"]["bonds"])[0] == pytest.approx([20.0])
    assert np.array(found["terms"]["electrostatics"])[:, 0] == pytest.approx([HYDROGENS, HYDROGENS / 2])
    assert np.array(found["total"])[0] == pytest.approx([20.0 + HYDROGENS])
    forces = np.load(tmp_path / "f.npy")
    assert forces.shape == (2, 3, 3)
    # A bond that is 0.01 nm too long pulls with 4000 kJ/mol/nm.
    assert forces[0, 0] == pytest.approx([4000, 0, 0])
    code, out, _ = run("energy", water, "--positions", tmp_path / "x.npy")
    assert code == 0
    assert f"{20.0 + HYDROGENS:.8f}" in out


@pytest.mark.parametrize(("ending", "content", "scale"), [("sdf", SDF, 1), ("pdb", PDB, 10)])
def test_energy_of_positions_in_a_chemical_file(run, water, tmp_path, ending, content, scale):
    pytest.importorskip({"sdf": "rdkit", "pdb": "openmm"}[ending], reason="its reader is not installed")
    path = tmp_path / f"x.{ending}"
    path.write_text(content)
    code, out, _ = run("energy", water, "--positions", path, "--json")
    assert code == 0
    assert json.loads(out)["terms"]["electrostatics"] == pytest.approx([HYDROGENS / scale], rel=1e-6)


def test_records_of_a_file_are_conformers(run, water, tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    (tmp_path / "x.sdf").write_text(SDF + SDF.replace("1.1000", "1.2000"))
    code, out, _ = run("energy", water, "--positions", tmp_path / "x.sdf", "--json")
    assert code == 0
    np.testing.assert_allclose(json.loads(out)["terms"]["bonds"], [[20.0], [80.0]])


def test_jax_holds_float64_in_the_process_of_the_command(water, positions, tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    np.save(tmp_path / "x.npy", positions)
    code = "import sys; from ffbridge.cli import main; sys.argv[0] = 'ffbridge'; main()"
    arguments = ["energy", str(water), "--positions", str(tmp_path / "x.npy"), "--engine", "jax", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["total"] == pytest.approx([20.0 + HYDROGENS], rel=1e-14)


def test_convert_changes_the_dtype(run, water, tmp_path):
    code, out, _ = run("convert", water, tmp_path / "single.ffb", "--dtype", "float32", "--json")
    assert code == 0
    converted = fb.load(tmp_path / "single.ffb")
    assert converted.tables["bonds"].values.dtype == np.float32
    assert json.loads(out)["content_hash"] == converted.content_hash


def test_convert_parametrizes_molecules(run, tmp_path):
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    from openff.toolkit import Molecule

    path = tmp_path / "two.sdf"
    with path.open("w") as file:
        for smiles in ("CO", "O"):
            molecule = Molecule.from_smiles(smiles)
            molecule.generate_conformers(n_conformers=1)
            molecule.to_file(file, file_format="sdf")
    assert run("convert", path, tmp_path / "apart.ffb")[0] == 0
    assert run("convert", path, tmp_path / "together.ffb", "--together")[0] == 0
    apart, together = fb.load(tmp_path / "apart.ffb"), fb.load(tmp_path / "together.ffb")
    assert (apart.n_systems, together.n_systems) == (2, 1)
    assert apart.n_atoms == together.n_atoms == 9
    assert "b84" in {key.id for key in apart.tables["bonds"].keys}
    # The file of both molecules serves either bundle as positions.
    code, out, _ = run("energy", tmp_path / "apart.ffb", "--positions", path, "--json")
    assert code == 0
    assert np.array(json.loads(out)["total"]).shape == (2,)


def test_validate_tells_valid_from_broken(run, water, tmp_path):
    broken = tmp_path / "broken.ffb"
    broken.write_bytes(water.read_bytes()[:300])
    code, out, _ = run("validate", water, "--json")
    assert (code, json.loads(out)) == (0, {str(water): {"valid": True, "faults": []}})
    code, out, _ = run("validate", water, broken)
    assert code == 1
    assert f"{water}: valid" in out
    assert f"{broken}: 1 fault(s)" in out


def bad_positions(folder):
    np.save(folder / "bad.npy", np.zeros((4, 3)))
    (folder / "bad.sdf").write_text(SDF.replace(" O ", " S "))
    (folder / "text.npy").write_text("no array")
    return folder


FAILURES = {
    "no such bundle": (["inspect", "{folder}/none.ffb"], "none.ffb"),
    "unknown engine": (["energy", "{water}", "--positions", "{folder}/x.npy", "--engine", "fortran"], "'fortran'"),
    "no such positions": (["energy", "{water}", "--positions", "{folder}/none.npy"], "there is no such file"),
    "wrong shape": (["energy", "{water}", "--positions", "{folder}/bad.npy"], "got shape (4, 3), expected (..., 3, 3)"),
    "not an array": (["energy", "{water}", "--positions", "{folder}/text.npy"], "cannot be read as positions"),
    "other ending": (["energy", "{water}", "--positions", "{folder}/x.xyz"], "not from '.xyz'"),
    "unknown dtype": (["convert", "{water}", "{folder}/out.ffb", "--dtype", "float12"], "float12"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_error_is_one_line_and_exit_code_2(run, water, positions, tmp_path, case):
    arguments, message = FAILURES[case]
    np.save(bad_positions(tmp_path) / "x.npy", positions)
    code, out, err = run(*(argument.format(water=water, folder=tmp_path) for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("ffbridge: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.ffb").exists()


def test_other_elements_than_the_bundles_are_noticed(run, water, tmp_path):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    code, _, err = run("energy", water, "--positions", bad_positions(tmp_path) / "bad.sdf")
    assert code == 2
    assert "atom 0 of record 0 has atomic number 16, the bundle has 8" in err


def test_molecules_that_cannot_be_read_are_named(run, tmp_path):
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    code, _, err = run("convert", "C(", tmp_path / "out.ffb")
    assert code == 2
    assert err == "ffbridge: error: 'C(' cannot be read as SMILES: Unable to parse the SMILES string\n"
    code, _, err = run("convert", "CO", tmp_path / "out.ffb", "--force-field", "none.offxml")
    assert code == 2
    assert "force field 'none.offxml' cannot be read" in err
