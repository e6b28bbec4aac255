"""Files: what is saved is loaded, nothing is half-written, and what is no bundle is refused with the file's name."""

from __future__ import annotations

import errno
import os
import resource
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

import ffbridge as fb
from ffbridge import io
from ffbridge.errors import BundleFileError, ExchangeError, FFBridgeError, ValidationError
from ffbridge_spec import vectors

from .samples import BACKENDS, assert_equal, bundle, framework

MINIMAL = (vectors("valid") / "minimal.ffb").read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sample.ffb"


@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_a_bundle_of_any_framework_comes_back_in_any(source, target, path):
    with framework(source), framework(target):
        fb.save(bundle().to(source), path)
        found = fb.load(path, backend=target)
        assert fb.to(found.masses, "numpy").dtype == np.float64
        assert type(found.masses) is type(bundle().to(target).masses)
        assert_equal(found.to("numpy"), bundle())


def test_safetensors_reads_the_file(path):
    fb.save(bundle(), path)
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(bundle().arrays())
        assert file.metadata().keys() == {"ffbridge", "ffbridge_sha256"}
        assert file.metadata()["ffbridge_sha256"] == bundle().content_hash
        np.testing.assert_array_equal(file.get_tensor("terms/bonds/indices"), bundle().term("bonds").indices)


def test_loaded_arrays_are_aligned_and_read_only(path):
    fb.save(bundle(), path)
    for name, array in fb.load(path).arrays().items():
        assert array.ctypes.data % 64 == 0, name
        assert array.flags.c_contiguous
        assert array.dtype.isnative
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_jax_aliases_loaded_arrays(path):
    with framework("jax"):
        fb.save(bundle(), path)
        masses = fb.load(path).masses
        moved = fb.transfer(masses, "jax")
        assert moved.zero_copy, moved.reason


def test_values_are_saved_and_gradients_left_behind(path):
    torch = pytest.importorskip("torch")
    source = bundle().to("torch")
    leaf = torch.tensor(bundle().table("vdw").values, requires_grad=True)
    fb.save(source.replace_table("vdw", leaf * 1), path)
    assert leaf.requires_grad
    assert_equal(fb.load(path), bundle())


def test_arrays_are_saved_by_their_values_not_their_memory(path):
    source = bundle()
    values = source.table("vdw").values
    turned = np.asfortranarray(values)
    assert not turned.flags.c_contiguous
    wide = np.zeros((len(values), 4))
    wide[:, ::2] = values
    for array in (turned, wide[:, ::2]):
        fb.save(source.replace_table("vdw", array), path)
        assert_equal(fb.load(path), source)


def test_an_existing_file_is_replaced_with_ordinary_permissions(path):
    path.write_text("old")
    fb.save(bundle("minimal"), path)
    assert_equal(fb.load(path), bundle("minimal"))
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_a_link_stays_a_link(path):
    link = path.with_name("link.ffb")
    link.symlink_to(path)
    fb.save(bundle("minimal"), link)
    assert link.is_symlink()
    assert_equal(fb.load(path), bundle("minimal"))


def fail_with(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_litter(function, path, monkeypatch):
    path.write_bytes(MINIMAL)
    monkeypatch.setattr(os, function, fail_with(errno.ENOSPC))
    with pytest.raises(BundleFileError, match=f"{path}: cannot be written: No space left on device.*bytes of space"):
        fb.save(bundle(), path)
    assert path.read_bytes() == MINIMAL
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_write_that_the_system_cuts_off_leaves_nothing(path):
    """The kernel stops the write after 1000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BundleFileError, match="File too large"):
            fb.save(bundle(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(path.parent.iterdir()) == []


def test_an_interrupt_leaves_nothing(path, monkeypatch):
    def interrupt(number):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fb.save(bundle(), path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/sample.ffb", "file/sample.ffb"])
def test_a_folder_that_cannot_be_written_is_named(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleFileError, match=f"cannot be written.*{(tmp_path / place).parent}"):
        fb.save(bundle(), tmp_path / place)


def test_an_invalid_bundle_is_not_written(path):
    broken = replace(bundle(), masses=np.full(8, np.nan))
    with pytest.raises(ValidationError, match=rf"{path} is not written.*\n  masses\[0, 1, 2, … 8 in all\]: NaN"):
        fb.save(broken, path)
    assert list(path.parent.iterdir()) == []


def test_a_document_that_the_format_cannot_hold_is_refused(path, monkeypatch):
    monkeypatch.setattr(io, "LONGEST_HEADER", 500)
    with pytest.raises(BundleFileError, match=r"document takes \d+ bytes.*leave out the tables' keys"):
        fb.save(bundle(), path)


def test_the_length_of_the_header_is_that_of_safetensors(path):
    """The library refuses what is longer than `LONGEST_HEADER`, so that the limit above is its own."""
    length = io.LONGEST_HEADER + 1
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little"))
        file.truncate(8 + length)
    with pytest.raises(BundleFileError, match="header too large"):
        fb.load(path)


def test_traced_values_cannot_be_saved(path):
    with framework("jax"):
        import jax

        source = bundle().to("jax")
        with pytest.raises(ExchangeError, match="traced"):
            jax.jit(lambda values: fb.save(source.replace_table("vdw", values), path))(source.table("vdw").values)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("length", range(0, len(MINIMAL), 16))
def test_a_file_cut_off_anywhere_is_refused(length, path):
    path.write_bytes(MINIMAL[:length])
    with pytest.raises(BundleFileError, match=f"{path}: not a whole safetensors file"):
        fb.load(path)


def test_a_changed_byte_is_never_read_as_something_else(path):
    """Each byte of a file changed in turn: refused, or read as the same bundle (a space of padding)."""
    refused, expected = 0, bundle("minimal")
    for position in range(len(MINIMAL)):
        path.write_bytes(MINIMAL[:position] + bytes([MINIMAL[position] ^ 4]) + MINIMAL[position + 1 :])
        try:
            assert_equal(fb.load(path), expected)
        except FFBridgeError:
            refused += 1
    assert refused >= len(MINIMAL) - 7


def test_other_files_are_refused(path):
    with pytest.raises(BundleFileError, match=f"{path}: cannot be read: No such file.*Check the path"):
        fb.load(path)
    with pytest.raises(BundleFileError, match=f"{path.parent}: cannot be read"):
        fb.load(path.parent)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", "x" * 1000)
    with pytest.raises(BundleFileError, match="not a whole safetensors file"):
        fb.load(path)


def test_a_changed_file_is_read_without_verification_if_it_is_valid(path):
    path.write_bytes(MINIMAL.replace(np.float64(0.0741).tobytes(), np.float64(0.08).tobytes()))
    with pytest.raises(BundleFileError, match="was changed after it was written.*verify=False"):
        fb.load(path)
    assert fb.load(path, verify=False).table("bonds").values.tolist() == [[1000, 0.08]]


def test_an_unknown_backend_is_named(path):
    path.write_bytes(MINIMAL)
    with pytest.raises(FFBridgeError, match="no backend is named 'tensorflow'"):
        fb.load(path, backend="tensorflow")


def test_a_dtype_that_numpy_does_not_have_is_refused(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    weights = {"models/net/w": torch.zeros(4, dtype=torch.float8_e4m3fn)}
    save_file(weights, path, metadata={"ffbridge": "{}"})
    with pytest.raises(BundleFileError, match=rf"{path}: models/net/w: dtype F8_E4M3.*A-2"):
        fb.load(path)


def test_deeply_nested_documents_are_refused(path):
    from safetensors.numpy import save_file

    save_file({}, path, metadata={"ffbridge": "[" * 100_000})
    with pytest.raises(BundleFileError, match="F-3"):
        fb.load(path)
