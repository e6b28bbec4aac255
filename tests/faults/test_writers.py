"""Several processes on one file: each file that is there is whole, and a writer removes nothing of one that lives."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

import ffbridge as fb
from ffbridge import writing
from ffbridge.writing import remove_abandoned, write_whole
from tests.house.sources import ROOT

from .kills import large

WRITER = """
import sys, ffbridge as fb
from tests.faults.kills import large
version = large(int(sys.argv[2]))
sys.stdin.readline()
for _ in range(int(sys.argv[3])): fb.save(version, sys.argv[1])
"""
READER = """
import json, sys, ffbridge as fb
sys.stdin.readline()
print(json.dumps([fb.load(sys.argv[1]).content_hash for _ in range(int(sys.argv[3]))]))
"""


@pytest.fixture
def together(tmp_path):
    """Run programs at the same time on one file; return what they printed."""
    processes = []

    def run(*programs):
        for code, *arguments in programs:
            command = [sys.executable, "-c", code, str(tmp_path / "one.ffb"), *map(str, arguments)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            processes.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ended = [process.communicate(timeout=300) for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes), ended
        return [output for output, _ in ended]

    yield run
    for process in processes:
        process.kill()


def versions():
    return [large(1).content_hash, large(2).content_hash]


def test_two_writers_and_a_reader(together, tmp_path):
    fb.save(large(1), tmp_path / "one.ffb")
    *_, read = together((WRITER, 1, 40), (WRITER, 2, 40), (READER, 0, 60))
    hashes = json.loads(read)
    assert set(hashes) <= set(versions())
    assert fb.load(tmp_path / "one.ffb").content_hash in versions()
    assert [path.name for path in tmp_path.iterdir()] == ["one.ffb"]


def test_threads_on_one_file(tmp_path):
    path, errors = tmp_path / "one", []

    def work(letter):
        try:
            for _ in range(50):
                write_whole(path, letter * 10_000)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(path.read_bytes())) == 1
    assert path.stat().st_size == 10_000
    assert [each.name for each in tmp_path.iterdir()] == ["one"]


def test_what_a_dead_writer_left_is_removed(tmp_path):
    for number in range(3):
        (tmp_path / f".one.{number}.part").write_bytes(b"half")
    (tmp_path / ".two.0.part").write_bytes(b"of another file")
    write_whole(tmp_path / "one", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".two.0.part", "one"]


def test_what_a_living_writer_has_is_left(tmp_path):
    """It holds a lock; the next writer takes the next number."""
    mine = tmp_path / ".one.0.part"
    with mine.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not remove_abandoned(mine)
        write_whole(tmp_path / "one", b"new")
        assert (tmp_path / "one").read_bytes() == b"new"
        assert mine.exists()
    assert remove_abandoned(mine)
    assert not mine.exists()


def test_a_file_that_was_renamed_meanwhile_is_left(tmp_path, monkeypatch):
    """Opened under its temporary name, and then put in its place by its writer: another's file has that name now."""
    temporary, lock = tmp_path / ".one.0.part", fcntl.flock
    temporary.write_bytes(b"whole")

    def lock_later(descriptor, operation):
        temporary.replace(tmp_path / "one")
        temporary.write_bytes(b"another's")
        lock(descriptor, operation)

    monkeypatch.setattr(writing.fcntl, "flock", lock_later)
    assert not remove_abandoned(temporary)
    assert temporary.read_bytes() == b"another's"
    assert (tmp_path / "one").read_bytes() == b"whole"


def test_a_file_that_is_taken_for_abandoned_is_written_under_another_name(tmp_path, monkeypatch):
    """Between making a file and locking it, another process may remove it."""
    lock, taken = fcntl.flock, []

    def remove_first(descriptor, operation):
        if not taken:
            taken.append(True)
            os.unlink(tmp_path / ".one.0.part")
        lock(descriptor, operation)

    monkeypatch.setattr(writing.fcntl, "flock", remove_first)
    write_whole(tmp_path / "one", b"new")
    assert taken
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def fail(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(writing.fcntl, "flock", fail)
    (tmp_path / ".one.0.part").write_bytes(b"perhaps somebody's")
    write_whole(tmp_path / "one", b"new")
    assert (tmp_path / "one").read_bytes() == b"new"
    assert (tmp_path / ".one.0.part").read_bytes() == b"perhaps somebody's"


def test_bundles_that_a_killed_build_left_unfinished_are_recognized(tmp_path):
    from ffbridge.building.run import _remove_unfinished

    names = (".a-1.ffb.0.part", ".manifest.json.0.part", ".failures.jsonl.1.part", ".b.ffb.0123.part")
    for name in (*names, ".other.part", "a.ffb"):
        (tmp_path / name).write_bytes(b"")
    _remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.part", "a.ffb"]
