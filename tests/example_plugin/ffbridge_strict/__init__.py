"""A third-party backend and engine of ffbridge, complete: array-api-strict, which ffbridge itself has never heard of.

ffbridge finds them through the entry points in this folder's pyproject.toml, as soon as the package is installed. The
engine also shows that ffbridge's energies keep to the array API standard: this framework has nothing beyond it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.analytic_engine import AnalyticEngine
from ffbridge.backend import Array, Backend, Capabilities
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout
from ffbridge.memory import aligned_copy

__all__ = ["StrictBackend", "StrictEngine", "backend", "engine"]

DEVICES = {"cpu": "CPU_DEVICE", "device1": "device1", "device2": "device2"}
CAPABILITIES = Capabilities(
    dtypes=frozenset(
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()
    ),
    keeps_read_only=True,
)


class StrictBackend(Backend):
    """array-api-strict: the array API standard and nothing beyond it, in the memory of NumPy arrays."""

    name = "strict"
    package = "array_api_strict"
    install = "pip install array-api-strict"

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def namespace(self) -> Any:
        return self.framework

    @property
    def array_types(self) -> tuple[type, ...]:
        return (type(self.framework.asarray(0)),)

    def check(self, array: Array) -> None:
        if self.device(array) != "cpu":
            raise ExchangeError(
                f"a strict array on {self.device(array)!r}, a device that stands for no real one, cannot be exchanged: "
                'move it first, with array.to_device(array_api_strict.Device("CPU_DEVICE"))'
            )

    def dtype(self, array: Array) -> str:
        return str(array.dtype).rpartition(".")[2]

    def device(self, array: Array) -> str:
        return next(name for name, device in DEVICES.items() if self.framework.Device(device) == array.device)

    def layout(self, array: Array) -> Layout:
        view = np.from_dlpack(array)
        return Layout(view.shape, view.strides, view.itemsize, view.ctypes.data, view.flags.writeable)

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        copy = self.framework.from_dlpack(aligned_copy(np.from_dlpack(array), dtype=dtype))
        return copy if device is None else copy.to_device(self.framework.Device(DEVICES[device]))

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        sums = np.zeros((n_segments, *values.shape[1:]))
        np.add.at(sums, np.from_dlpack(segments), np.from_dlpack(values))
        return self.framework.asarray(sums, dtype=values.dtype, device=values.device)


class StrictEngine(AnalyticEngine):
    """The standard's energies over array-api-strict, with the analytic derivatives."""

    name = backend = "strict"
    package = "array_api_strict"
    install = StrictBackend.install


backend = StrictBackend()
engine = StrictEngine()
