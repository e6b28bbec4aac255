"""Files of targets made to do harm, and each damage that fuzzing found: a TargetError, or an entry that is rejected."""

from __future__ import annotations

import json
import time

import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.targets.readers.grid import missing_points

from . import readers

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("rdkit", reason="RDKit is not installed")

DEEP = "[" * 100_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile"


def described(change, *, kind=0):
    """A table of targets as JSON describes it, changed."""
    table = json.loads(readers.targets()[2 * kind + 1])
    change(table)
    return json.dumps(table).encode()


class TestTargets:
    METADATA = pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ('{"format": "ffbridge-targets", "kind":' + DEEP, "without the metadata"),
            ("\xff", "without the metadata"),
            ("[]", "without the metadata"),
            ('{"format": "ffbridge-targets", "kind": ["conformers"], "version": "1.0"}', "targets of kind"),
            ('{"format": "ffbridge-targets", "kind": "conformers", "version": {}}', "of version"),
        ],
        ids=range(5),
    )

    @METADATA
    def test_metadata(self, metadata, message, path):
        assert readers.write_table(described(lambda table: table.update(metadata=metadata)), path)
        with pytest.raises(TargetError, match=message):
            fb.targets.load(path)

    @pytest.mark.parametrize("text", ["[]", "[1]", "null", "3", '"x"', DEEP, "{", '{"a": NaN'], ids=range(8))
    def test_provenance(self, text, path):
        def change(table):
            table["columns"]["provenance"]["values"] = [text]

        assert readers.write_table(described(change), path)
        with pytest.raises(TargetError, match="row 0: "):
            fb.targets.load(path)

    def test_metadata_of_parquet_that_are_no_utf_8(self, path):
        path.write_bytes(readers.targets()[0].replace(b"provenance", b"\xcb\xcbovenance"))
        with pytest.raises(TargetError, match="cannot be read as Parquet"):
            fb.targets.load(path)

    @pytest.mark.parametrize("length", range(0, 4000, 97))
    def test_files_cut_off(self, length, path):
        path.write_bytes(readers.targets()[0][:length])
        with pytest.raises(TargetError, match="cannot be read as Parquet"):
            fb.targets.load(path)


class TestEvaluator:
    @staticmethod
    def read(path, change):
        content = json.loads(readers.evaluator()[0])
        change(content["properties"])
        path.write_text(json.dumps(content))
        return fb.targets.read_evaluator(path)

    @pytest.fixture(autouse=True)
    def needs_pint(self):
        pytest.importorskip("pint", reason="pint is not installed")

    DAMAGES = pytest.mark.parametrize(
        "change",
        [
            lambda entries: entries.insert(0, None),
            lambda entries: entries.insert(0, 3),
            lambda entries: entries[0].update(substance=[1]),
            lambda entries: entries[0]["substance"].update(components=3),
            lambda entries: entries[0]["substance"].update(components=["x"]),
            lambda entries: entries[0]["substance"]["components"][0].update(role="x"),
            lambda entries: entries[0]["substance"]["components"][0].update(smiles=[1]),
            lambda entries: entries[0]["substance"].update(amounts={"CCO{solv}": [3]}),
            lambda entries: entries[0]["substance"]["amounts"]["O{solv}"][0].update(value={"a": 1}),
            lambda entries: entries[0]["substance"]["amounts"]["O{solv}"][0].update(value=[[1], 2]),
            lambda entries: entries[0].update(thermodynamic_state="x"),
        ],
        ids=range(11),
    )

    @DAMAGES
    def test_entries_laid_out_in_another_way_are_rejected(self, change, path):
        found = self.read(path, change)
        (rejected,) = found.rejected
        assert "is laid out in another way than its format: " in rejected.reason
        assert len(found.targets) in (1, 2)

    @pytest.mark.parametrize(
        "unit", ["9**9**9**9", "g*9**9**9", "1e9**9**9", "g " * 10_000, "(" * 5000, ["g"], {"g": 1}]
    )
    def test_units_that_are_sums_to_be_worked_out(self, unit, path):
        """Pint computes numbers: this one would take longer than anybody lives."""
        start = time.process_time()
        (rejected,) = self.read(path, lambda entries: entries[0]["value"].update(unit=unit)).rejected
        assert "is no product of units and their powers" in rejected.reason
        assert time.process_time() - start < 5

    @pytest.mark.parametrize(
        "unit", ["g / ml", "kilogram / meter ** 3", "kg * m^-3", "(g) / (cm**3)", "gram/milliliter"]
    )
    def test_units_that_are_used(self, unit, path):
        assert self.read(path, lambda entries: entries[0]["value"].update(unit=unit)).rejected == ()

    def test_a_bracket_that_is_not_closed(self, path):
        (rejected,) = self.read(path, lambda entries: entries[0]["value"].update(unit="(g / ml")).rejected
        assert "does not convert" in rejected.reason


class TestJson:
    @pytest.mark.parametrize("name", ["read_evaluator", "read_torsion_drives", "read_optimizations"])
    @pytest.mark.parametrize("content", [b"", DEEP.encode(), b"\xff", b"{", b"9" * 5000], ids=range(5))
    def test_texts_that_are_no_json(self, name, content, path):
        path.write_bytes(content)
        with pytest.raises(TargetError, match="cannot be read as JSON"):
            getattr(fb.targets, name)(path)

    RECORDS = pytest.mark.parametrize(
        "change",
        [
            lambda record: molecule(record).update(geometry=[[1], 2]),
            lambda record: molecule(record).update(geometry=[{}] * 12),
            lambda record: molecule(record).update(symbols=3),
            lambda record: [each.update(symbols=["\ud800", "O", "O", "H"]) for each in molecules(record)],
            lambda record: record["optimization_records"].update({"[0]": 3.5}),
            lambda record: record["optimization_records"]["[0]"][0].update(energies={"a": 1}),
            lambda record: record["optimization_records"]["[0]"][0].update(energies=[[1]]),
            lambda record: record["optimization_records"]["[0]"][0].update(energies="y"),
            lambda record: record["specification"]["keywords"].update(dihedrals=[[0, 1], [2]]),
            lambda record: record["specification"]["keywords"].update(dihedral_ranges=[[]]),
        ],
        ids=range(10),
    )

    @RECORDS
    def test_records_laid_out_in_another_way_are_rejected(self, change, path):
        record = json.loads(readers.records()[0])
        change(record)
        path.write_text(json.dumps(record))
        found = fb.targets.read_torsion_drives(path)
        assert found.targets == ()
        assert "is laid out in another way than its format: " in found.rejected[0].reason


def molecules(record):
    return [attempts[0]["final_molecule"] for attempts in record["optimization_records"].values()]


def molecule(record):
    return molecules(record)[0]


@pytest.mark.parametrize(
    ("spacing", "ranges"),
    [([1] * 4, None), ([1], [[0, 10**15]]), ([1, 1], [[-(10**6), 10**6]] * 2), ([1], [[0, 1e300]])],
)
def test_grids_that_nobody_computes(spacing, ranges):
    start = time.process_time()
    with pytest.raises(TargetError, match=r"grid_spacing: a grid of .* points, expected 1000000 at most"):
        missing_points({(0,) * len(spacing)}, spacing, ranges)
    assert time.process_time() - start < 1


def test_grids_are_counted_as_they_are():
    assert len(missing_points(set(), [10, 10, 10], None)) == 36**3
    assert missing_points(set(), [90], [[10, -10]]) == []


def test_hdf5_that_h5py_stumbles_over(tmp_path):
    """Its errors are of many kinds."""
    pytest.importorskip("h5py", reason="h5py is not installed")
    content = readers.spice()[0]
    for at in range(0, len(content), 301):
        (tmp_path / "s.hdf5").write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])
        try:
            fb.targets.read_spice(tmp_path / "s.hdf5")
        except TargetError as error:
            assert "s.hdf5" in str(error)  # noqa: PT017  either is right


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # MDTraj's own
def test_a_trajectory_that_mdtraj_stumbles_over(tmp_path):
    pytest.importorskip("mdtraj", reason="MDTraj is not installed")
    (tmp_path / "t.pdb").write_text(readers.PDB.replace("ATOM      2  H1 ", "ATOM      2"))
    with pytest.raises(TargetError, match="MDTraj cannot read it"):
        fb.targets.read_trajectory(tmp_path / "t.pdb")
