"""CuPy: arrays on CUDA devices. Host memory is reached through NumPy."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import Any

from ffbridge.backend import Array, Backend, Capabilities
from ffbridge.dtypes import STANDARD
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout

__all__ = ["CupyBackend", "backend"]


class CupyBackend(Backend):
    """CuPy arrays. On import CuPy tells the producer its current stream; on export the consumer's waits for it."""

    name = "cupy"
    package = "cupy"
    install = 'pip install "ffbridge[cupy]"'

    @cached_property
    def capabilities(self) -> Capabilities:
        """NumPy's dtypes, strides of zero or more, CUDA only."""
        return Capabilities(dtypes=STANDARD, devices=frozenset({"cuda"}), strides="non_negative")

    @cached_property
    def namespace(self) -> Any:
        """array_api_compat.cupy."""
        return importlib.import_module("array_api_compat.cupy")

    @cached_property
    def array_types(self) -> tuple[type, ...]:
        """cupy.ndarray."""
        return (self.framework.ndarray,)

    def devices(self) -> tuple[str, ...]:
        """Every CUDA device; none where the driver or the devices are missing."""
        runtime = self.framework.cuda.runtime
        try:
            return tuple(f"cuda:{index}" for index in range(runtime.getDeviceCount()))
        except runtime.CUDARuntimeError:
            return ()

    def check(self, array: Array) -> None:
        """Refuses dtypes that other frameworks do not have."""
        if self.dtype(array) not in STANDARD:
            raise ExchangeError(
                f"a CuPy array of shape {array.shape} cannot be exchanged: no other framework has dtype {array.dtype}. "
                "What to do: array.astype(cupy.float64)"
            )

    def dtype(self, array: Array) -> str:
        """The dtype's name."""
        return str(array.dtype)

    def device(self, array: Array) -> str:
        """Which CUDA device it is on."""
        return f"cuda:{array.device.id}"

    def layout(self, array: Array) -> Layout:
        """As CuPy tells it. Its arrays can always be written."""
        return Layout(array.shape, array.strides, array.itemsize, array.data.ptr)

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A contiguous copy, on the array's own device if no other is asked for."""
        with array.device if device is None else self._device(device):
            return self.framework.array(array, dtype=dtype, copy=True, order="C")

    def to_host(self, array: Array) -> Any:
        """Waits for the array's stream, and copies."""
        return self.framework.asnumpy(array)

    def from_host(self, array: Any, device: str) -> Array:
        """Copies to the device."""
        with self._device(device):
            return self.framework.asarray(array)

    def _device(self, name: str) -> Any:
        known = self.devices()
        wanted = name if ":" in name else f"{name}:0"
        if wanted not in known:
            raise ExchangeError(
                f"CuPy has no device {wanted!r}: it finds {', '.join(known) or 'no CUDA device on this machine'}"
            )
        return self.framework.cuda.Device(int(wanted.partition(":")[2]))

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """By ``cupy.add.at``: atomic additions."""
        sums = self.framework.zeros((n_segments, *values.shape[1:]), dtype=values.dtype)
        self.framework.add.at(sums, segments, values)
        return sums

    def erfc(self, x: Array) -> Array:
        """By ``cupyx.scipy.special.erfc``, which comes with CuPy."""
        return importlib.import_module("cupyx.scipy.special").erfc(x)

    def about(self, thing: object) -> str | None:
        """Tells what CuPy's sparse matrices are."""
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        return f"{kind} is sparse and has no dense buffer: x.toarray() has" if "cupyx.scipy.sparse" in kind else None


backend = CupyBackend()
