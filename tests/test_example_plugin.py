"""A backend of another distribution, installed beside ffbridge, is found and used like ffbridge's own."""

from __future__ import annotations

from importlib import metadata

import array_api_strict as strict
import numpy as np
import pytest

import ffbridge as fb

DTYPES = ("bool", "int8", "int64", "uint16", "float32", "float64", "complex128")


def address(array):
    return np.from_dlpack(array).ctypes.data


def test_it_is_found_through_its_entry_point():
    (point,) = metadata.entry_points(group="ffbridge.backends", name="strict")
    assert point.dist.name == "ffbridge-strict"
    (info,) = [each for each in fb.backends() if each.name == "strict"]
    assert info.available
    assert info.version == strict.__version__


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_back_is_the_same_memory(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    there = fb.transfer(array, "strict")
    back = fb.transfer(there.array, "numpy")
    assert isinstance(there.array, type(strict.asarray(0)))
    assert (there.zero_copy, back.zero_copy) == (True, True)
    assert address(there.array) == back.array.ctypes.data == array.ctypes.data
    assert back.array.dtype == array.dtype
    np.testing.assert_array_equal(back.array, array)


@pytest.mark.parametrize("other", [name for name in ("torch", "jax") if fb.get_backend(name)])
def test_other_backends_read_it(other):
    array = strict.asarray([[1.5, -2.0], [0.0, 3.25]], dtype=strict.float32)
    np.testing.assert_array_equal(np.asarray(fb.to(array, other)), [[1.5, -2.0], [0.0, 3.25]])


def test_read_only_memory_stays_read_only():
    array = np.arange(3.0)
    array.flags.writeable = False
    aliased = fb.to(array, "strict")
    assert address(aliased) == array.ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        aliased[0] = 1.0


def test_a_copy_is_its_own_memory_and_casts():
    array = np.arange(3.0)
    copy = fb.to(array, "strict", copy=True)
    assert address(copy) != array.ctypes.data
    cast = fb.to(copy, "strict", dtype="float32")
    assert cast.dtype == strict.float32
    np.testing.assert_array_equal(np.from_dlpack(cast), array)


def test_an_array_elsewhere_is_refused():
    array = strict.asarray([1.0], device=strict.Device("device1"))
    with pytest.raises(fb.ExchangeError, match="device1.*move it first"):
        fb.to(array, "numpy")
    moved = fb.to(array, "strict", device="cpu")
    assert address(fb.to(moved, "numpy")) == address(moved)


def test_float16_is_refused_by_name():
    with pytest.raises(fb.ExchangeError, match="float16"):
        fb.to(np.zeros(2, np.float16), "strict")
