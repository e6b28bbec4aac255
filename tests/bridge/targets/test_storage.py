"""Files of targets: every kind comes back to the last bit, and nothing damaged is read."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.targets.columns import columns, kinds

from .molecules import METHANOL, PEROXIDE, conformers, drive, methanol, noisy, peroxide
from .test_dimers import dimer
from .test_energies import fields
from .test_geometries import geometry
from .test_hessians import target as hessian
from .test_observables import target as observable

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

EXACT = {"note": "1e-3 ≠ 0.001000000000000001", "n": 0.1 + 0.2, "list": [1, None, True]}


def examples():
    measured = fb.targets.ObservableTarget(
        name="density of water",
        quantity="density",
        value=997.05,
        uncertainty=0.01,
        unit="kg/m^3",
        temperature=298.15,
        pressure=1.01325,
        phase="liquid",
        components=("O", "[Na+]"),
        mole_fractions=[0.9, 0.1],
    )
    return {
        "conformers": [
            conformers(PEROXIDE, noisy(peroxide(), 3), provenance=EXACT, level_of_theory="b3lyp-d3bj/dzvp"),
            conformers(METHANOL, noisy(methanol(), 1), forces=False, weight=1 / 3, conformer_weights=[0.1]),
        ],
        "torsion_drive": [drive()],
        "hessian": [hessian(METHANOL, methanol())],
        "optimized_geometry": [geometry(PEROXIDE, peroxide()), geometry(METHANOL, methanol())],
        "dimer": [dimer()],
        "observable": [measured, observable(4)],
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_comes_back(kind, tmp_path):
    targets = examples()[kind]
    fb.targets.save(targets, tmp_path / "t.parquet")
    found = fb.targets.load(tmp_path / "t.parquet")
    assert [type(each) for each in found] == [type(each) for each in targets]
    for one, other in zip(found, targets, strict=True):
        for name, value in fields(other).items():
            read = getattr(one, name)
            if isinstance(value, np.ndarray):
                assert read.dtype == value.dtype, name
                assert read.tobytes() == value.tobytes(), name
                assert read.shape == value.shape, name
            else:
                assert read == value, name


def test_files_state_version_kind_and_units(tmp_path):
    fb.targets.save([drive()], tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert json.loads(schema.metadata[b"ffbridge"]) == {
        "format": "ffbridge-targets",
        "kind": "torsion_drive",
        "version": "1.0",
    }
    assert {
        name: (schema.field(name).metadata or {}).get(b"unit") for name in ("positions", "angles", "dihedrals")
    } == {
        "positions": b"nm",
        "angles": b"rad",
        "dihedrals": None,
    }
    assert schema.names == [column.name for column in columns("torsion_drive")]


def test_nothing_is_half_written(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    fb.targets.save([drive()], path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(TargetError, match=r"t.parquet: cannot be written: No space left"):
        fb.targets.save([drive(points=4)], path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "holds targets of one kind, got none"),
        (["drive", "conformers"], "got the kinds conformers, torsion_drive"),
        (["drive", "drive"], "two targets have the name 'peroxide drive'"),
    ],
)
def test_what_makes_no_file(targets, message, tmp_path):
    made = {"drive": drive(), "conformers": examples()["conformers"][0]}
    with pytest.raises(TargetError, match=f"t.parquet is not written: .*{message}"):
        fb.targets.save([made[name] for name in targets], tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def changed_file(path, change):
    """Write a drive, and change its table."""
    fb.targets.save([drive()], path)
    table = change(pq.read_table(path))
    pq.write_table(table, path)


def with_metadata(**change):
    def apply(table):
        stated = json.loads(table.schema.metadata[b"ffbridge"])
        return table.replace_schema_metadata({b"ffbridge": json.dumps(stated | change)})

    return apply


def with_column(name, values, unit=None, arrow=None):
    def apply(table):
        place = table.schema.names.index(name)
        field = pa.field(name, arrow or table.schema.field(name).type, metadata={"unit": unit} if unit else None)
        return table.set_column(place, field, pa.array([values], field.type))

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.replace_schema_metadata({}), "without the metadata 'ffbridge'"),
        (with_metadata(version="2.0"), "'ffbridge-targets' of version 2.0, expected 'ffbridge-targets' of 1.0"),
        (with_metadata(format="other"), "'other' of version 1.0"),
        (with_metadata(kind="bonds"), "holds targets of kind 'bonds'; known are: conformers"),
        (lambda table: table.drop_columns(["angles"]), "column 'angles' is missing"),
        (lambda table: table.append_column("k", pa.array([1.0])), "column 'k' is none of this kind's"),
        (with_column("energies", [1.0] * 8), "column 'energies' has the unit '', expected 'kJ/mol'"),
        (
            with_column("energies", [1.0] * 8, "kcal/mol"),
            "column 'energies' has the unit 'kcal/mol', expected 'kJ/mol'",
        ),
        (with_column("weight", 1, arrow=pa.int64()), "column 'weight' is int64, expected double"),
        (with_column("energies", [1.0] * 7, "kJ/mol"), r"row 0: angles: got 8 numbers, expected shape"),
        (
            with_column("energies", [np.nan] * 8, "kJ/mol"),
            r"row 0: target 'peroxide drive': energies: nan at index \(0,\)",
        ),
        (with_column("provenance", "{"), "row 0: "),
        (with_column("name", None), "row 0: name: missing"),
        (
            with_column("energies", [1.0] * 7 + [None], "kJ/mol", pa.list_(pa.float64())),
            r"energies: nan at index \(7,\)",
        ),
        (
            with_column("energies", ["1"] * 8, "kJ/mol", pa.list_(pa.string())),
            r"is list<.*string>, expected list<.*double",
        ),
        (lambda table: pa.concat_tables([table, table]), "two targets have the name 'peroxide drive'"),
    ],
)
def test_damaged_files_are_refused(change, message, tmp_path):
    changed_file(tmp_path / "t.parquet", change)
    with pytest.raises(TargetError, match=f"t.parquet: .*{message}"):
        fb.targets.load(tmp_path / "t.parquet")


def test_other_writers_may_use_arrows_large_types(tmp_path):
    large = with_column("energies", [1.0] * 8, "kJ/mol", pa.large_list(pa.float64()))
    changed_file(tmp_path / "t.parquet", lambda table: with_column("name", "n", arrow=pa.large_string())(large(table)))
    (found,) = fb.targets.load(tmp_path / "t.parquet")
    assert found.name == "n"
    assert found.energies.tolist() == [1.0] * 8


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(TargetError, match=r"t.parquet: cannot be read as Parquet"):
        fb.targets.load(tmp_path / "t.parquet")
    with pytest.raises(TargetError, match=r"gone.parquet: cannot be read as Parquet"):
        fb.targets.load(tmp_path / "gone.parquet")
