"""A backend and an engine of another distribution are found, and used like ffbridge's own."""

from __future__ import annotations

from importlib import metadata

import array_api_strict as strict
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError
from tests.bridge.bundles import random_bundle

DTYPES = ("bool", "int8", "int64", "uint16", "float32", "float64", "complex128")


def address(array):
    return np.from_dlpack(array).ctypes.data


@pytest.mark.parametrize("kind", ["backends", "engines"])
def test_it_is_found_through_its_entry_point(kind):
    (point,) = metadata.entry_points(group=f"ffbridge.{kind}", name="strict")
    assert point.dist.name == "ffbridge-strict"
    (info,) = [each for each in getattr(fb, kind)() if each.name == "strict"]
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


@pytest.mark.parametrize("other", ["torch", "jax"])
def test_other_backends_read_it(other):
    pytest.importorskip(other)
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
    with pytest.raises(ExchangeError, match="device1.*move it first"):
        fb.to(array, "numpy")
    moved = fb.to(array, "strict", device="cpu")
    assert address(fb.to(moved, "numpy")) == address(moved)


def test_float16_is_refused_by_name():
    with pytest.raises(ExchangeError, match="float16"):
        fb.to(np.zeros(2, np.float16), "strict")


def test_its_engine_evaluates_every_form():
    """array-api-strict raises at whatever the array API standard does not promise."""
    rng = np.random.default_rng(5)
    bundle = random_bundle(rng)
    x = rng.normal(scale=0.3, size=(2, bundle.n_atoms, 3))
    found = fb.potential(bundle, engine="strict").value_and_grad(fb.to(x, "strict"))
    expected = fb.potential(bundle, engine="numpy").value_and_grad(x)
    assert isinstance(found.energy, type(strict.asarray(0)))
    np.testing.assert_allclose(np.from_dlpack(found.energy), expected.energy, rtol=1e-13)
    np.testing.assert_allclose(np.from_dlpack(found.forces), expected.forces, rtol=1e-13, atol=1e-9)
    for name, derivative in expected.tables.items():
        np.testing.assert_allclose(np.from_dlpack(found.tables[name]), derivative, rtol=1e-12, atol=1e-9)
