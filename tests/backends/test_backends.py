"""What every installed backend promises to the exchange, plug-ins included."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ffbridge.backend import HOST, Backend, Capabilities
from ffbridge.dtypes import STANDARD
from ffbridge.errors import ExchangeError, MissingDependencyError, UnsupportedError
from ffbridge.exchange import to
from ffbridge.layout import obstacle
from ffbridge.registry import backends, get_backend

NAMES = sorted(info.name for info in backends() if info.available and "cpu" in info.devices)


@pytest.fixture(params=NAMES)
def backend(request):
    return get_backend(request.param)


@pytest.fixture
def array(backend):
    return to(np.arange(6, dtype=np.float32).reshape(2, 3), backend)


def test_it_says_who_it_is(backend):
    assert isinstance(backend, Backend)
    assert get_backend(backend.name) is backend
    assert backend.is_loaded()
    assert backend.framework.__version__ == backend.version()
    assert backend.install.startswith("pip install")
    assert backend.abilities()


def test_its_capabilities_are_consistent(backend):
    can = backend.capabilities
    assert isinstance(can, Capabilities)
    assert can.carried <= can.dtypes
    assert not can.dtypes & set(can.refused)
    assert {"bool", "int32", "float32", "complex64"} <= can.dtypes
    assert {device.partition(":")[0] for device in backend.devices()} >= can.devices
    assert can.alignment >= 1


def test_its_namespace_makes_its_arrays(backend):
    xp = backend.namespace
    made = xp.ones((2, 3), dtype=xp.float32)
    assert isinstance(made, backend.array_types)
    assert callable(xp.from_dlpack)


def test_it_describes_its_arrays(backend, array):
    backend.check(array)
    lies = backend.layout(array)
    assert (lies.shape, lies.itemsize, lies.deferred) == ((2, 3), 4, None)
    assert lies.strides == (12, 4)
    assert lies.address == backend.address(array)
    assert backend.dtype(array) == "float32"
    assert backend.device(array) == "cpu"
    assert lies.writable is not backend.capabilities.immutable


@pytest.mark.parametrize("strides", ["any", "non_negative", "compact", "contiguous"])
def test_suits_is_never_wrong(backend, array, strides):
    """Yes must mean that the layout says so too."""
    xp = backend.namespace
    shapes = [array, xp.permute_dims(array, (1, 0)), array[:, 1:], array[::2, :], xp.broadcast_to(array, (4, 2, 3))]
    for each in shapes:
        if backend.suits(each, strides):
            assert obstacle(backend.layout(each), strides=strides, alignment=1) is None


@pytest.mark.parametrize("dtype", sorted(STANDARD))
def test_dtypes_have_the_names_of_the_array_api(backend, dtype):
    if dtype not in backend.capabilities.dtypes:
        pytest.skip(f"{backend.name} does not hold {dtype} now")
    made = backend.copy(backend.namespace.ones(3), dtype=dtype)
    assert backend.dtype(made) == dtype
    assert np.asarray(made).dtype == dtype


def test_a_copy_is_contiguous_and_of_its_own(backend, array):
    for source in (array, backend.namespace.permute_dims(array, (1, 0)), array[:, 1:]):
        copy = backend.copy(source)
        assert backend.address(copy) != backend.address(source)
        assert obstacle(backend.layout(copy), strides="contiguous", alignment=4) is None
        np.testing.assert_array_equal(np.asarray(copy), np.asarray(source))


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("numpy", "torch")])
def test_a_copy_can_be_aliased_by_all(name):
    """Aligned to 64 bytes, which is the most that anyone asks for."""
    backend = get_backend(name)
    for n in range(1, 40):
        source = to(np.arange(n + 1, dtype=np.float32)[1:], name)
        assert backend.address(backend.copy(source)) % 64 == 0


def test_bits_can_be_viewed(backend):
    carried = backend.capabilities.carried
    for dtype in sorted(carried):
        ones = backend.copy(backend.namespace.ones(3), dtype=dtype)
        bits = backend.view(ones, "uint16" if dtype == "bfloat16" else "uint8")
        assert backend.dtype(backend.view(bits, dtype)) == dtype
        np.testing.assert_array_equal(np.asarray(backend.view(bits, dtype)), np.asarray(ones))


def test_what_a_backend_need_not_do_is_refused_by_name(backend, array):
    for call in (lambda: Backend.to_host(backend, array), lambda: Backend.from_host(backend, array, "cpu")):
        with pytest.raises(UnsupportedError, match=repr(backend.name)):
            call()
    with pytest.raises(UnsupportedError, match="reinterpret an array as int32"):
        Backend.view(backend, array, "int32")


def test_host_memory_is_numpys():
    assert get_backend(HOST).capabilities.devices == {"cpu"}


def test_torch_exports_a_conjugate_without_its_bit():
    torch = pytest.importorskip("torch")
    backend = get_backend("torch")
    z = torch.tensor([1 + 2j, 3 - 4j]).conj()
    assert backend.layout(z).deferred == "conjugate bit"
    assert not backend.suits(z, "any")
    copy = backend.copy(z)
    assert not copy.is_conj()
    assert copy.tolist() == [1 - 2j, 3 + 4j]
    assert backend.layout(torch.tensor([1 + 2j]).conj().imag).deferred == "negative bit"


def test_jax_follows_the_setting_of_x64():
    jax = pytest.importorskip("jax")
    backend = get_backend("jax")
    assert "float64" not in backend.capabilities.dtypes
    assert "jax_enable_x64" in backend.capabilities.refused["float64"]
    with jax.enable_x64(True):
        assert "float64" in backend.capabilities.dtypes
        assert not backend.capabilities.refused


def test_cupy_without_cupy_or_without_a_device():
    if importlib.util.find_spec("cupy") is None:
        with pytest.raises(MissingDependencyError, match=r'pip install "ffbridge\[cupy\]"'):
            to(np.ones(3), "cupy")
        return
    if get_backend("cupy").devices():
        pytest.skip("there is a CUDA device: tests/bridge/exchange/test_gpu.py uses it")
    with pytest.raises(ExchangeError, match="no CUDA device on this machine"):
        to(np.ones(3), "cupy", device="cuda:0")
