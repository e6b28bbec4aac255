"""Devices are moved between only when asked; frameworks without host memory are reached through NumPy."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import pytest

from ffbridge import registry
from ffbridge.backend import Backend, Capabilities
from ffbridge.errors import ExchangeError
from ffbridge.exchange import share, to, transfer
from ffbridge.layout import Layout


class Far:
    """An array on a device that nobody else reaches."""

    def __init__(self, values, device="far:0"):
        self.values = values
        self.shape = values.shape
        self.device = device


class FarBackend(Backend):
    """Stands in for a framework that has arrays on its own device only."""

    name = "far"
    package = "numpy"
    install = "pip install far"
    capabilities = Capabilities(dtypes=frozenset({"float32", "float64"}), devices=frozenset({"far"}))
    namespace = None
    array_types = (Far,)

    def check(self, array):
        pass

    def dtype(self, array):
        return str(array.values.dtype)

    def device(self, array):
        return array.device

    def layout(self, array):
        return Layout(array.shape, array.values.strides, array.values.itemsize, 0)

    def copy(self, array, *, dtype=None, device=None):
        return Far(array.values.astype(dtype or array.values.dtype), device or array.device)

    def to_host(self, array):
        return array.values.copy()

    def from_host(self, array, device):
        assert isinstance(array, np.ndarray)
        return Far(array.copy())


@pytest.fixture
def far(monkeypatch):
    """The backend, registered for one test."""
    backends = registry.Registry("backend", Backend, group="ffbridge.backends", install="")
    monkeypatch.setattr(registry, "_BACKENDS", backends)
    monkeypatch.setattr(registry, "_OWNERS", WeakKeyDictionary())
    registry.register_backend(FarBackend())
    return Far(np.arange(3.0))


SOURCES = [info.name for info in registry.backends() if info.available and info.name in ("numpy", "torch", "strict")]


@pytest.mark.parametrize("other", SOURCES)
def test_to_a_device_and_back(far, other):
    here = to(np.arange(3.0), other)
    with pytest.raises(ExchangeError, match=r'far has no arrays on cpu; move it explicitly, with device="far"'):
        to(here, "far")
    with pytest.raises(ExchangeError, match='has no arrays on far:0; move it explicitly, with device="cpu"'):
        to(far, other)
    moved = transfer(here, "far", device="far:0")
    assert isinstance(moved.array, Far)
    assert moved.array.values.tolist() == [0.0, 1.0, 2.0]
    assert (moved.zero_copy, moved.reason) == (False, "moved from cpu to far:0")
    back = transfer(moved.array, other, device="cpu")
    assert (back.zero_copy, back.reason) == (False, "moved from far:0 to cpu")
    np.testing.assert_array_equal(np.asarray(to(back.array, "numpy")), [0.0, 1.0, 2.0])
    assert share(far, other, device="cpu", dtype="float32").reason == "moved from far:0 to cpu"
    assert to(to(far, other, device="cpu", dtype="float32"), "numpy").dtype == np.float32
    for array, target, device in ((here, "far", "far"), (far, other, "cpu")):
        with pytest.raises(ExchangeError, match="moved from .* leave out device="):
            to(array, target, device=device, copy=False)


def test_a_dtype_that_the_device_s_framework_lacks_is_refused(far):
    with pytest.raises(ExchangeError, match="far has no dtype 'int32'; cast it, with dtype= one of float32, float64"):
        to(np.arange(3, dtype=np.int32), "far", device="far")
    assert to(np.arange(3, dtype=np.int32), "far", device="far", dtype="float32").values.tolist() == [0.0, 1.0, 2.0]


def test_a_device_of_another_kind_is_refused(far):
    with pytest.raises(ExchangeError, match="numpy has no device 'cuda:0'; its kinds of devices are: cpu"):
        to(far, "numpy", device="cuda:0")
    assert to(far, "far", device="far") is far


def test_from_one_device_to_another_of_the_same_framework(far):
    moved = transfer(far, "far", device="far:1")
    assert (moved.array.device, moved.reason) == ("far:1", "moved from far:0 to far:1")
    assert moved.array.values.tolist() == far.values.tolist()
    assert to(moved.array, "far", device="far:1") is moved.array
    cast = transfer(moved.array, "far", dtype="float32", device="far:1")
    assert (cast.array.device, cast.reason) == ("far:1", "cast from float64 to float32")
    with pytest.raises(ExchangeError, match="moved from far:0 to far:1; leave out device="):
        to(far, "far", device="far:1", copy=False)


@pytest.mark.parametrize("backend", [name for name in SOURCES if name != "strict"])
def test_the_device_where_it_is_needs_no_move(backend):
    array = to(np.arange(3.0), backend)
    assert transfer(array, "numpy", device="cpu").zero_copy
    assert transfer(array, "numpy", device="cpu", dtype="float64", copy=False).zero_copy
