"""Disks that are full and folders that cannot be written: an error that says so, the old file as it was, no litter."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.building import build_bundles
from ffbridge.building import run as building
from ffbridge.errors import BundleFileError, TargetError
from tests.bridge.samples import assert_equal, bundle

ETHANE = b"the old file"


@contextlib.contextmanager
def largest_file(size):
    """The system lets no file of this process grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def protected():
    """A folder with a file, which this process may read and not write."""
    folder = Path(tempfile.mkdtemp())
    (folder / "old.ffb").write_bytes(ETHANE)
    user = os.geteuid()
    folder.chmod(0o555)
    if user == 0:  # whom permissions do not stop
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def targets():
    return [fb.targets.ObservableTarget(name="d", quantity="density", value=1.0, unit="kg/m^3", temperature=300.0)]


WRITERS = {
    "fb.save": (lambda path: fb.save(bundle(), path), BundleFileError),
    "fb.targets.save": (lambda path: fb.targets.save(targets(), path), TargetError),
}
without_arrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
by_writer = pytest.mark.parametrize("writer", ["fb.save", pytest.param("fb.targets.save", marks=without_arrow)])


@by_writer
def test_a_disk_that_is_full(writer, tmp_path):
    write, error = WRITERS[writer]
    (tmp_path / "old.ffb").write_bytes(ETHANE)
    with largest_file(1000), pytest.raises(error, match="old.ffb: cannot be written: File too large"):
        write(tmp_path / "old.ffb")
    assert (tmp_path / "old.ffb").read_bytes() == ETHANE
    assert [path.name for path in tmp_path.iterdir()] == ["old.ffb"]


@by_writer
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_errors_of_the_system(writer, call, number, tmp_path, monkeypatch):
    write, error = WRITERS[writer]
    (tmp_path / "old.ffb").write_bytes(ETHANE)
    real = getattr(os, call)

    def fail(*arguments, **options):
        if call != "open" or arguments[1] & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(error, match=f"cannot be written: {os.strerror(number)}"):
            write(tmp_path / "old.ffb")
    assert (tmp_path / "old.ffb").read_bytes() == ETHANE
    assert [path.name for path in tmp_path.iterdir()] == ["old.ffb"]


@by_writer
@pytest.mark.parametrize("name", ["old.ffb", "new.ffb"])
def test_a_folder_that_cannot_be_written(writer, name, protected):
    write, error = WRITERS[writer]
    with pytest.raises(error, match=f"{name}: cannot be written: Permission denied"):
        write(protected / name)
    assert (protected / "old.ffb").read_bytes() == ETHANE
    assert [path.name for path in protected.iterdir()] == ["old.ffb"]


def test_a_build_in_a_folder_that_cannot_be_written(protected, tmp_path_factory):
    source = protected / "old.ffb"
    with pytest.raises(BundleFileError, match="the folder cannot be written: Permission denied"):
        build_bundles(source, protected, force_field="none")
    with pytest.raises(BundleFileError, match="the folder cannot be made: Permission denied"):
        build_bundles(source, protected / "new", force_field="none")


def test_lists_of_a_build_that_find_no_space(tmp_path, monkeypatch):
    """The manifest and the list of failures of the run before stay."""
    (tmp_path / "molecules.smi").write_text("C methane\n")
    for name in ("manifest.json", "failures.jsonl"):
        (tmp_path / name).write_text("old\n")
    failed = {"status": "failed", "error": "x", "reason": "y" * 5000}
    monkeypatch.setattr(building, "run_records", lambda records, *_, **__: ((each, dict(failed)) for each in records))
    with largest_file(1000), pytest.raises(BundleFileError, match=r"failures.jsonl: cannot be written: File too large"):
        build_bundles(tmp_path / "molecules.smi", tmp_path, force_field="none")
    for name in ("manifest.json", "failures.jsonl"):
        assert (tmp_path / name).read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith(".part")) == []


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(BundleFileError, match="cannot be written: File name too long"):
        fb.save(bundle(), tmp_path / ("x" * 252 + ".ffb"))
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_system(tmp_path):
    """A disk of 64 KB, where one can be made."""
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {tmp_path} 2>/dev/null"):
        pytest.skip("file systems cannot be mounted here")
    try:
        path = tmp_path / "old.ffb"
        fb.save(bundle(), path)
        large = bundle().with_model("large", fb.Model("1", "numpy", weights={"w": np.zeros(10_000)}))
        with pytest.raises(BundleFileError, match="cannot be written: No space left on device"):
            fb.save(large, path)
        assert_equal(fb.load(path), bundle())
        assert [each.name for each in tmp_path.iterdir()] == ["old.ffb"]
    finally:
        os.system(f"umount {tmp_path}")
