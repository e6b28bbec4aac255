"""CUDA: devices, streams and CuPy. Each test skips, with the reason, where the machine has no device."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.errors import ExchangeError
from ffbridge.exchange import share, to, transfer
from ffbridge.registry import get_backend

pytestmark = pytest.mark.gpu
N = 4_000_000


@pytest.fixture
def torch():
    """PyTorch, if it was built for CUDA."""
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("torch has no CUDA here")
    return module


@pytest.fixture
def cupy():
    """CuPy, if it finds a device."""
    module = pytest.importorskip("cupy")
    if not get_backend("cupy").devices():
        pytest.skip("CuPy finds no CUDA device")
    return module


def test_torch_moves_only_when_asked(torch):
    tensor = torch.arange(6.0, device="cuda")
    with pytest.raises(ExchangeError, match='numpy has no arrays on cuda:0; move it explicitly, with device="cpu"'):
        to(tensor, "numpy")
    moved = transfer(tensor, "numpy", device="cpu")
    assert moved.array.tolist() == [0, 1, 2, 3, 4, 5]
    assert (moved.zero_copy, moved.reason) == (False, "moved from cuda:0 to cpu")
    back = transfer(moved.array, "torch", device="cuda:0")
    assert back.array.device == tensor.device
    assert back.reason == "moved from cpu to cuda:0"


def test_pinned_memory_crosses_as_a_copy(torch):
    moved = transfer(torch.arange(3.0).pin_memory(), "numpy")
    assert moved.array.tolist() == [0.0, 1.0, 2.0]
    assert "page lock" in moved.reason


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "float32", "float64", "complex64"])
def test_torch_and_cupy_share_memory(torch, cupy, dtype):
    tensor = torch.arange(6, device="cuda").to(getattr(torch, dtype)).reshape(2, 3).T
    moved = transfer(tensor, "cupy")
    assert moved.zero_copy
    assert moved.array.data.ptr == tensor.data_ptr()
    assert moved.array.shape == (3, 2)
    assert to(moved.array, "torch").data_ptr() == tensor.data_ptr()
    np.testing.assert_array_equal(to(moved.array, "numpy", device="cpu"), tensor.cpu().numpy())


def test_cupy_reaches_the_host_through_numpy(cupy):
    array = cupy.arange(3.0)
    with pytest.raises(ExchangeError, match='numpy has no arrays on cuda:0; move it explicitly, with device="cpu"'):
        to(array, "numpy")
    assert to(array, "numpy", device="cpu").tolist() == [0.0, 1.0, 2.0]
    assert to(np.ones(3), "cupy", device="cuda:0").get().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("consumer", ["torch", "cupy"])
def test_the_consumer_waits_for_the_producers_stream(torch, cupy, consumer):
    """The producer fills the array late on its own stream; the consumer reads it at once on another."""
    late, reading = torch.cuda.Stream(), torch.cuda.Stream()
    external = cupy.cuda.ExternalStream
    for _ in range(20):
        if consumer == "cupy":
            with torch.cuda.stream(late):
                tensor = torch.zeros(N, device="cuda")
                torch.cuda._sleep(20_000_000)
                tensor += 1.0
                with external(reading.cuda_stream):
                    total = float(to(tensor, "cupy").sum())
        else:
            delay = cupy.RawKernel(
                'extern "C" __global__ void wait() { long long t = clock64(); while (clock64() - t < 20000000) {} }',
                "wait",
            )
            with external(late.cuda_stream):
                array = cupy.zeros(N, "f4")
                delay((1,), (1,), ())
                array += 1.0
                with torch.cuda.stream(reading):
                    total = float(to(array, "torch").sum())
        assert total == N


def test_a_device_that_is_not_current(torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one CUDA device")
    pytest.importorskip("cupy")
    tensor = torch.ones(3, device="cuda:1")
    assert torch.cuda.current_device() == 0
    assert share(tensor, "cupy").array.device.id == 1
