"""MLX on the CPU as a backend and an engine of ffbridge, written against ffbridge's public interface alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from ffbridge import AnalyticEngine, Backend, Capabilities
from ffbridge.backend import Array
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout
from ffbridge_mlx.functions import Functions

__all__ = ["MlxBackend", "MlxEngine", "backend", "engine"]

_CPU = (1, 0)

_CAPABILITIES = Capabilities(
    dtypes=frozenset(
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64".split()
    ),
    # MLX would make float32 of it, in silence.
    carried=frozenset({"float64"}),
    strides="non_negative",
    immutable=True,
    copies=True,
)


class MlxBackend(Backend):
    """Arrays of MLX on the CPU. What comes in is copied, what goes out is MLX's own memory."""

    name = "mlx"
    package = "mlx.core"
    install = 'pip install "mlx[cpu]"'

    @property
    def capabilities(self) -> Capabilities:
        """No complex128. MLX writes to memory of its own, which nobody else sees: its arrays are immutable."""
        return _CAPABILITIES

    @cached_property
    def namespace(self) -> Any:
        """mlx.core, with sine, cosine and exponential of float64 in double precision."""
        return Functions(self.framework)

    @cached_property
    def array_types(self) -> tuple[type, ...]:
        """mlx.core.array."""
        return (self.framework.array,)

    def check(self, array: Array) -> None:
        """Evaluates the array; refuses what is being traced, waits in another thread, or lies on another device."""
        try:
            self.framework.eval(array)
        except ValueError:
            self._refuse(array, "it is being traced (compile, vmap), so it has no values yet", "call this outside")
        except RuntimeError as error:
            self._refuse(array, f"it cannot be evaluated here ({error})", "mlx.core.eval(x) in the thread that made it")
        if (found := array.__dlpack_device__()) != _CPU:
            self._refuse(
                array, f"its DLPack device is {found}", "mlx.core.set_default_device(mlx.core.cpu), before it is made"
            )

    def _refuse(self, array: Array, fault: str, remedy: str) -> NoReturn:
        raise ExchangeError(f"an MLX array of shape {array.shape} cannot leave MLX: {fault}. What to do: {remedy}")

    def dtype(self, array: Array) -> str:
        """The dtype's name."""
        return str(array.dtype).rpartition(".")[2]

    def layout(self, array: Array) -> Layout:
        """As NumPy sees the memory; bfloat16, which NumPy lacks, as integers.

        MLX exports a view that has no axes with a byte offset, which PyTorch refuses, and tells no view
        from others.
        """
        shown = array.view(self.framework.uint16) if self.dtype(array) == "bfloat16" else array
        seen = np.from_dlpack(shown)
        deferred = None if seen.shape else "byte offset, as MLX exports what has no axes"
        return Layout(seen.shape, seen.strides, seen.itemsize, seen.ctypes.data, False, deferred)

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A contiguous copy; evaluated, so that any thread may use it."""
        cast = array if dtype is None else array.astype(self._dtype(dtype))
        return self._evaluated(self.framework.asarray(self.framework.contiguous(cast), copy=True))

    def view(self, array: Array, dtype: str) -> Array:
        """The same bits as another dtype."""
        return self._evaluated(array.view(self._dtype(dtype)))

    def beside(self, array: Array) -> Mapping[str, Any]:
        """None: MLX's functions have no option ``device``."""
        return {}

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """By a scatter."""
        sums = self.framework.zeros((n_segments, *values.shape[1:]), dtype=values.dtype)
        return sums.at[segments].add(values) if n_segments and values.size else sums

    def erfc(self, x: Array) -> Array:
        """By Python's ``math.erfc``, element by element: MLX's ``erf`` is of single precision."""
        values = [math.erfc(value) for value in x.reshape(-1).tolist()]
        return self.framework.array(values, dtype=x.dtype).reshape(x.shape)

    def _dtype(self, name: str) -> Any:
        return getattr(self.framework, "bool_" if name == "bool" else name)

    def _evaluated(self, array: Array) -> Array:
        self.framework.eval(array)
        return array


class MlxEngine(AnalyticEngine):
    """The standard's energies in MLX, with analytic derivatives."""

    name = backend = "mlx"
    package = MlxBackend.package
    install = MlxBackend.install


backend = MlxBackend()
engine = MlxEngine()
