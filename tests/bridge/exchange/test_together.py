"""Many small arrays to JAX at once: the same arrays as one by one, and compiled only where that pays."""

import logging

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError
from ffbridge.exchange import share
from ffbridge.memory import aligned_empty
from ffbridge.together import share_all
from ffbridge_backends.together import jax as jax_together
from tests.bridge.bundles import random_bundle


@pytest.fixture
def often(monkeypatch):
    """A layout is compiled when it comes for the second time."""
    monkeypatch.setattr(jax_together, "_WORTHWHILE", 1)
    jax_together.unpacker.cache_clear()
    yield
    jax_together.unpacker.cache_clear()


def arrays(seed):
    """22 arrays of four dtypes, more of one than are taken apart together; some empty, some of one number."""
    rng = np.random.default_rng(seed)
    found = {f"reals/{n}": rng.normal(size=(n, 3)) for n in range(12)}
    found |= {f"whole/{n}": rng.integers(-9, 9, size=n).astype(np.int32) for n in range(8)}
    return found | {"flags": rng.random(5) > 0.5, "single": np.float32([[1.5]])}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert isinstance(found[name], jax.Array), name
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(np.asarray(found[name]), array, err_msg=name)


@jax.enable_x64(True)
def test_what_is_taken_apart_are_the_same_arrays(often, caplog):
    caplog.set_level(logging.WARNING, logger="jax")
    with jax.log_compiles():
        assert_same(share_all(arrays(1), "jax"), arrays(1))
        assert "Compiling" not in caplog.text
        assert_same(share_all(arrays(2), "jax"), arrays(2))
        assert "Compiling jit(split)" in caplog.text
        caplog.clear()
        assert_same(share_all(arrays(3), "jax"), arrays(3))
        assert "Compiling" not in caplog.text


@jax.enable_x64(True)
def test_bundles_cross_whole(often):
    bundle = random_bundle(np.random.default_rng(1))
    for _ in range(3):
        moved = bundle.to("jax")
        assert_same(moved.arrays(), bundle.arrays())
        assert moved.document() == bundle.document()
        assert moved.content_hash == bundle.content_hash


@jax.enable_x64(True)
def test_inside_a_trace_arrays_have_values(often):
    def within(x):
        for _ in range(3):
            assert_same(share_all(arrays(1), "jax"), arrays(1))
        return x

    jax.jit(within)(1.0)


@jax.enable_x64(True)
def test_large_arrays_are_aliased():
    large = aligned_empty((10_000,), np.float64)
    large[:] = 1.0
    found = share_all({"large": large} | arrays(1), "jax")
    assert found["large"].unsafe_buffer_pointer() == large.ctypes.data


def test_float64_is_refused_while_x64_is_off_as_one_by_one(often):
    with pytest.raises(ExchangeError) as alone:
        share(arrays(1)["reals/1"], "jax")
    for _ in range(3):
        with pytest.raises(ExchangeError) as together:
            share_all({"first": arrays(1)["reals/1"], "second": arrays(1)["whole/3"]}, "jax")
        assert str(together.value) == str(alone.value)


def test_what_numpy_alone_has_is_refused_as_one_by_one():
    swapped = np.arange(3, dtype=">i4")
    with pytest.raises(ExchangeError, match="big-endian|byte order"):
        share_all({"first": swapped, "second": swapped}, "jax")


def test_arrays_of_other_frameworks_go_one_by_one():
    source = fb.to(np.arange(3, dtype=np.int32), "torch")
    found = share_all({"first": source, "second": np.arange(2, dtype=np.int32)}, "torch")
    assert found["first"] is source
