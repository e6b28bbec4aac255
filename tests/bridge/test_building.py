"""Files of molecules become bundles; what fails is listed, what hangs or dies stops nothing, what is there is kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

import ffbridge as fb
from ffbridge.building import Record, build_bundles, count_records, read_records
from ffbridge.building.pool import run_records
from ffbridge.building.run import LOCK
from ffbridge.errors import BundleFileError, UnsupportedError

FORCE_FIELD = "openff_unconstrained-2.3.0"
GOOD = {"ethanol": "CCO", "benzoic acid": "OC(=O)c1ccccc1", "a/b": "CC(=O)[O-]", "water": "O"}
BAD = {"ring": "C1CC", "open": "CC(F)(Cl)Br"}
WATER = """water
     made by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  0
    1.0000    0.0000    0.0000 H   0  0
   -1.0000    0.0000    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""
METHANE_WITH_FIVE_BONDS = (
    """crowded

"""
    + """
  6  5  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.0000    0.0000    0.0000 H   0  0
   -1.0000    0.0000    0.0000 H   0  0
    0.0000    1.0000    0.0000 H   0  0
    0.0000   -1.0000    0.0000 H   0  0
    0.0000    0.0000    1.0000 H   0  0
  1  2  1  0
  1  3  1  0
  1  4  1  0
  1  5  1  0
  1  6  1  0
M  END
$$$$
"""
)


@pytest.fixture(scope="module")
def smiles(tmp_path_factory):
    """A file with good molecules, and bad ones between them."""
    path = tmp_path_factory.mktemp("input") / "molecules.smi"
    names = ["ethanol", "ring", "benzoic acid", "a/b", "open", "water"]
    path.write_text("smiles name\n\n" + "".join(f"{(GOOD | BAD)[name]} {name}\n" for name in names))
    return path


@pytest.fixture(scope="module")
def built(smiles, tmp_path_factory):
    """The folder of a finished run, what it reported, and the outcomes as they came."""
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    folder = tmp_path_factory.mktemp("output") / "bundles"
    outcomes = []
    report = build_bundles(smiles, folder, force_field=FORCE_FIELD, jobs=1, on_outcome=outcomes.append)
    return folder, report, outcomes


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def failures(folder):
    return [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != LOCK]


class TestBuild:
    def test_bundles_are_those_that_one_makes_by_hand(self, built):
        from openff.toolkit import Molecule

        from ffbridge.producers.openff import from_interchange, load_force_field, parametrize

        folder, _, _ = built
        force_field = load_force_field(f"{FORCE_FIELD}.offxml")
        entries = {entry["name"]: entry for entry in manifest(folder)["bundles"]}
        assert entries.keys() == GOOD.keys()
        for name, smiles in GOOD.items():
            found = fb.load(folder / entries[name]["file"])
            interchange = parametrize([Molecule.from_smiles(smiles)], force_field=force_field)
            expected = from_interchange(interchange, force_field=force_field)
            assert found.content_hash == entries[name]["content_hash"]
            assert replace(found, provenance=expected.provenance).content_hash == expected.content_hash
            assert found.n_atoms == entries[name]["n_atoms"]
            assert found.provenance["build"]["input_sha256"] == entries[name]["input_sha256"]

    def test_failures_are_listed_with_their_reason(self, built):
        folder, report, outcomes = built
        assert (report.n_built, report.n_kept, report.n_failed) == (4, 0, 2)
        ring, open_ = failures(folder)
        assert (ring["number"], ring["name"], ring["error"]) == (2, "ring", "SMILESParseError")
        assert (open_["number"], open_["name"], open_["error"]) == (5, "open", "UndefinedStereochemistryError")
        assert "Atom C (index 1)" in open_["reason"]
        assert [entry["number"] for entry in manifest(folder)["bundles"]] == [1, 3, 4, 6]
        assert manifest(folder)["n_failed"] == 2
        assert sorted(outcome.number for outcome in outcomes) == [1, 2, 3, 4, 5, 6]

    def test_names_make_no_folders(self, built):
        folder, _, _ = built
        files = sorted(path.name.rpartition("-")[0] for path in folder.glob("*.ffb"))
        assert files == ["a_b", "benzoic_acid", "ethanol", "water"]

    def test_what_is_there_and_sound_is_kept(self, built, smiles, tmp_path):
        folder = tmp_path / "again"
        shutil.copytree(built[0], folder)
        before = manifest(folder)
        files = {entry["name"]: folder / entry["file"] for entry in before["bundles"]}
        content = files["ethanol"].read_bytes()
        files["ethanol"].write_bytes(content[: len(content) // 2])
        files["water"].unlink()
        shutil.copyfile(files["benzoic acid"], files["a/b"])
        (folder / f".{files['water'].name}.0123456789abcdef.part").write_bytes(b"half")
        kept = files["benzoic acid"].stat().st_mtime_ns
        report = build_bundles(smiles, folder, force_field=FORCE_FIELD, jobs=2)
        assert (report.n_built, report.n_kept, report.n_failed) == (3, 1, 2)
        assert files["benzoic acid"].stat().st_mtime_ns == kept
        assert manifest(folder) == before
        assert len(failures(folder)) == 2
        assert hidden(folder) == []

    def test_another_force_field_makes_other_files(self, built, tmp_path):
        folder = tmp_path / "other"
        shutil.copytree(built[0], folder)
        source = tmp_path / "water.smi"
        source.write_text("O water\n")
        report = build_bundles(source, folder, force_field="openff-2.3.0", jobs=1)
        assert (report.n_built, report.n_kept) == (1, 0)
        assert len(list(folder.glob("water-*.ffb"))) == 2

    def test_sdf(self, built, tmp_path):
        source = tmp_path / "molecules.sdf"
        source.write_text(METHANE_WITH_FIVE_BONDS + WATER)
        report = build_bundles(source, tmp_path / "out", force_field=FORCE_FIELD, jobs=1)
        assert (report.n_built, report.n_failed) == (1, 1)
        assert "valence for atom # 0 C, 5, is greater than permitted" in failures(tmp_path / "out")[0]["reason"]
        assert manifest(tmp_path / "out")["bundles"][0]["name"] == "water"

    @pytest.mark.slow
    def test_a_run_that_is_killed_leaves_whole_files_and_goes_on(self, built, tmp_path):
        folder, source = tmp_path / "out", tmp_path / "alkanes.smi"
        source.write_text("".join(f"{'C' * n} n{n}\n" for n in range(1, 13)))
        call = f"build_bundles({str(source)!r}, {str(folder)!r}, force_field={FORCE_FIELD!r}, jobs=1)"
        program = f"from ffbridge.building import build_bundles; {call}"
        run = subprocess.Popen([sys.executable, "-c", program])
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*.ffb"))) < 2:
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (folder / "manifest.json").exists()
        there = {path.name for path in folder.glob("*.ffb")}
        for name in there:
            fb.load(folder / name)
        report = build_bundles(source, folder, force_field=FORCE_FIELD, jobs=1)
        assert report.n_kept >= len(there)
        assert report.n_kept + report.n_built == 12
        assert hidden(folder) == []

    def test_two_runs_do_not_share_a_folder(self, built, smiles):
        import fcntl

        folder = built[0]
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(BundleFileError, match="another run is building bundles there"):
                build_bundles(smiles, folder, force_field=FORCE_FIELD, jobs=1)

    def test_an_unknown_force_field_is_an_error_at_once(self, built, smiles, tmp_path):
        with pytest.raises(UnsupportedError, match=r"could not begin: force field 'nosuch\.offxml' cannot be read"):
            build_bundles(smiles, tmp_path / "out", force_field="nosuch", jobs=2)


WORKER = """
import json, os, sys, time
print(json.dumps({"status": "ready"}), flush=True)
for line in sys.stdin:
    text = json.loads(line)["text"]
    if text == "hang":
        time.sleep(1000)
    if text == "die":
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(9)
    print(json.dumps({"status": "built", "pid": os.getpid(), "text": text}), flush=True)
"""


class TestPool:
    def run(self, tmp_path, texts, *, jobs=1, seconds=30.0, worker=WORKER):
        script = tmp_path / "worker.py"
        script.write_text(worker)
        records = (Record(number, "", "smiles", text) for number, text in enumerate(texts))
        command = [sys.executable, str(script)]
        return {record.number: outcome for record, outcome in run_records(records, command, jobs=jobs, seconds=seconds)}

    def test_one_process_does_many_records(self, tmp_path):
        found = self.run(tmp_path, "abcdef")
        assert [found[number]["text"] for number in range(6)] == list("abcdef")
        assert len({outcome["pid"] for outcome in found.values()}) == 1

    def test_what_hangs_is_stopped(self, tmp_path):
        start = time.monotonic()
        found = self.run(tmp_path, ["a", "hang", "b", "c"], jobs=2, seconds=1.0)
        assert time.monotonic() - start < 30
        assert found[1] == {"status": "failed", "error": "TimeLimit", "reason": "more than 1 s"}
        assert [found[number]["text"] for number in (0, 2, 3)] == ["a", "b", "c"]

    def test_what_dies_is_listed_with_its_last_words(self, tmp_path):
        found = self.run(tmp_path, ["die", "a", "die", "b"])
        assert [found[number]["error"] for number in (0, 2)] == ["ProcessEnded"] * 2
        assert found[0]["reason"] == "the process ended with code 9: out of memory"
        assert [found[number]["text"] for number in (1, 3)] == ["a", "b"]

    def test_a_worker_that_cannot_begin_is_an_error(self, tmp_path):
        with pytest.raises(UnsupportedError, match=r"could not begin: exit code 1: .*ModuleNotFoundError.*nosuch"):
            self.run(tmp_path, "ab", worker="import nosuch")

    def test_no_process_is_left(self, tmp_path):
        records = iter([Record(0, "", "smiles", "a"), Record(1, "", "smiles", "hang")])
        (tmp_path / "worker.py").write_text(WORKER)
        results = run_records(records, [sys.executable, str(tmp_path / "worker.py")], jobs=1, seconds=100)
        pid = next(results)[1]["pid"]
        results.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class TestRecords:
    def test_smiles(self, smiles):
        records = list(read_records(smiles))
        assert [record.number for record in records] == [1, 2, 3, 4, 5, 6]
        assert records[2] == Record(3, "benzoic acid", "smiles", "OC(=O)c1ccccc1")
        assert count_records(smiles) == 6

    def test_sdf_without_its_last_line(self, tmp_path):
        path = tmp_path / "two.SDF"
        path.write_text(WATER + WATER.removesuffix("$$$$\n"))
        first, second = read_records(path)
        assert (first.name, first.text) == ("water", WATER)
        assert (second.number, second.text) == (2, WATER.removesuffix("$$$$\n"))

    def test_parquet(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow", reason="Parquet is pyarrow's")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "molecules.parquet"
        parquet.write_table(pyarrow.table({"id": [7, 8], "smiles": ["CCO", None]}), path)
        assert list(read_records(path)) == [Record(1, "7", "smiles", "CCO"), Record(2, "8", "smiles", "")]
        parquet.write_table(pyarrow.table({"SMILES": ["CCO"]}), path)
        with pytest.raises(UnsupportedError, match="expected a column 'smiles', got the columns SMILES"):
            list(read_records(path))
        path.write_bytes(b"no parquet at all")
        with pytest.raises(UnsupportedError, match="cannot be read as Parquet"):
            list(read_records(path))

    def test_what_cannot_be_read_is_refused(self, tmp_path):
        with pytest.raises(UnsupportedError, match=r"suffix '\.xyz' is none of \.parquet, \.sdf, \.smi"):
            list(read_records(tmp_path / "a.xyz"))
        with pytest.raises(UnsupportedError, match="cannot be read: .*No such file"):
            list(read_records(tmp_path / "a.smi"))


def test_the_command(built, smiles, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(built[0], folder)
    command = [
        sys.executable,
        "-c",
        "from ffbridge.cli import main; main()",
        "build",
        smiles,
        "-o",
        folder,
        "--jobs",
        "1",
        "--json",
    ]
    command += ["--force-field", FORCE_FIELD]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["n_built"], report["n_kept"], report["n_failed"]) == (1, 0, 4, 2)
