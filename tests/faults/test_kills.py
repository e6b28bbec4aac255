"""Processes killed at random moments: files are the old ones or the new ones, whole, and nothing stays beside them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.sources import ROOT

from . import kills

SHORT, LONG = 25, 200


def kill(work, folder, moments, seed=1):
    """Kill in another process: this one may have threads, which a fork does not copy."""
    command = [sys.executable, "-m", "tests.faults", work, str(folder), str(moments), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return kills.Found(**json.loads(done.stdout))


def require_whole(found, moments):
    assert found.lost == []
    assert found.litter == []
    assert found.moments == moments
    # Moments are drawn from the time that the work took before: on a machine that is quicker now, some come too late.
    assert found.killed > moments / 4


@pytest.mark.parametrize("work", ["saving", "concatenating"])
def test_files_are_whole_after_a_kill(work, tmp_path):
    found = kill(work, tmp_path, SHORT)
    require_whole(found, SHORT)
    assert found.writing > 0, "no process was killed while it wrote"
    assert sum(found.seen.values()) == SHORT


@pytest.mark.slow
@pytest.mark.parametrize("work", ["saving", "concatenating"])
def test_files_are_whole_after_two_hundred_kills(work, tmp_path):
    found = kill(work, tmp_path, LONG, seed=2)
    require_whole(found, LONG)
    assert found.writing > LONG / 20
    assert found.seen.keys() == {"0", "1"}, "old and new"


def test_builds_are_whole_after_a_kill(tmp_path):
    """With `ffbridge build`'s own processes, files and lists; only the chemistry is left out."""
    require_whole(kill("building", tmp_path, 2), 2)


@pytest.mark.slow
def test_builds_are_whole_after_two_hundred_kills(tmp_path):
    require_whole(kill("building", tmp_path, LONG, seed=2), LONG)


@pytest.mark.slow
def test_fits_are_whole_after_two_hundred_kills(tmp_path):
    """And end, when they go on, with the numbers of one that nobody killed; a few kills are in `test_resume`."""
    for name in ("torch", "matplotlib", "pyarrow", "rdkit"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    found = kill("fitting", tmp_path, LONG, seed=2)
    assert found.lost == []
    assert found.litter == []
    assert found.moments == LONG
    assert LONG / 4 < found.killed < LONG
    assert found.seen["same"] == LONG - found.killed + 1


def test_a_writer_that_writes_in_place_is_seen(tmp_path, monkeypatch):
    """The same kills find what a plain write loses."""
    code = (
        "import sys, pathlib; from ffbridge import io; from tests.faults.__main__ import main\n"
        "def plain(path, content):\n"
        "    with open(path, 'wb', buffering=0) as file:\n"
        "        for start in range(0, len(content), 4096): file.write(content[start:start + 4096])\n"
        "io.write_whole = plain; main()"
    )
    command = [sys.executable, "-c", code, "saving", str(tmp_path), "25", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert kills.Found(**json.loads(done.stdout)).lost != []
