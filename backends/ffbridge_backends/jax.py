"""JAX: immutable arrays on the CPU and on CUDA devices."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ffbridge.backend import Array, Backend, Capabilities, TangentRule
from ffbridge.dtypes import FLOAT8, STANDARD, WIDE
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout, Strides, contiguous_strides
from ffbridge.memory import ALIGNMENT

if TYPE_CHECKING:
    from ffbridge.function import EngineFunction

__all__ = ["JaxBackend", "backend"]


class JaxBackend(Backend):
    """JAX arrays. 64-bit dtypes are held only while x64 is on, globally or in a local scope."""

    name = "jax"
    package = "jax"
    install = 'pip install "ffbridge[jax]"'

    left_behind = False
    """Whether JAX was started by this backend in the process of which this one is a fork."""

    def forked(self) -> None:
        """Refuse from now on, in a forked process, if JAX has started threads: they stayed with the parent."""
        known = vars(self)
        self.left_behind |= not known.keys().isdisjoint(("_with_x64", "_without_x64"))
        for name in ("_with_x64", "_without_x64", "namespace"):
            known.pop(name, None)

    def require_threads(self) -> None:
        """Raise ExchangeError in a process that was forked after JAX had started."""
        if self.left_behind:
            raise ExchangeError(_FORKED)

    @property
    def capabilities(self) -> Capabilities:
        """Compact memory, aligned to 64 bytes; the dtypes depend on jax_enable_x64."""
        return self._with_x64 if self.framework.config.jax_enable_x64 else self._without_x64

    @cached_property
    def _with_x64(self) -> Capabilities:
        return self._capable(STANDARD)

    @cached_property
    def _without_x64(self) -> Capabilities:
        return self._capable(STANDARD - WIDE)

    def _capable(self, standard: frozenset[str]) -> Capabilities:
        self.require_threads()
        extra = {name for name in FLOAT8 | {"bfloat16"} if hasattr(self.framework.numpy, name)}
        narrow = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}
        return Capabilities(
            dtypes=standard | extra,
            refused=MappingProxyType({name: _X64.format(narrow[name]) for name in WIDE - standard}),
            devices=frozenset(device.partition(":")[0] for device in self.devices()),
            strides="compact",
            alignment=ALIGNMENT,
            immutable=True,
            versioned=False,
            view_copies=True,
            automatic_differentiation=True,
        )

    @cached_property
    def namespace(self) -> Any:
        """jax.numpy, which follows the array API standard itself."""
        self.require_threads()
        return importlib.import_module("jax.numpy")

    @cached_property
    def array_types(self) -> tuple[type, ...]:
        """jax.Array, tracers included."""
        return (self.framework.Array,)

    @cached_property
    def _names(self) -> dict[Any, str]:
        return {}

    def devices(self) -> tuple[str, ...]:
        """Every local device, by platform."""
        found = ["cpu"]
        found += [self._device_name(device) for device in self.framework.local_devices()]
        return tuple(dict.fromkeys(found))

    def _device_name(self, device: Any) -> str:
        # The several CPU devices of one process share its memory; they have one name.
        if device.platform == "cpu":
            return "cpu"
        platform = {"gpu": "cuda"}.get(device.platform, device.platform)
        return f"{platform}:{device.local_hardware_id}"

    def check(self, array: Array) -> None:
        """Refuses tracers, keys, deleted arrays, and arrays that are spread over devices."""
        if isinstance(array, self._tracer):
            fault = "it is being traced (jit, grad, vmap), so it has no values yet"
            self._refuse(array, fault, "call this outside, or use a potential with host='jax', which works inside")
        if array.dtype not in self._names and self.framework.dtypes.issubdtype(
            array.dtype, self.framework.dtypes.extended
        ):
            self._refuse(array, f"it holds {array.dtype}, not numbers", "jax.random.key_data(keys)")
        if array.is_deleted():
            self._refuse(array, "its memory was donated or deleted", "use the array that replaced it")
        if len(array.sharding.device_set) != 1:
            remedy = "gather it first, as with jax.device_put(x, jax.devices()[0])"
            self._refuse(array, f"it is spread over {len(array.sharding.device_set)} devices", remedy)

    @cached_property
    def _tracer(self) -> type:
        tracer: type = self.framework.core.Tracer
        return tracer

    def _refuse(self, array: Array, fault: str, remedy: str) -> NoReturn:
        raise ExchangeError(f"a JAX array of shape {array.shape} cannot leave JAX: {fault}. What to do: {remedy}")

    def dtype(self, array: Array) -> str:
        """The dtype's name."""
        dtype = array.dtype
        return self._names.get(dtype) or self._names.setdefault(dtype, str(dtype))

    def device(self, array: Array) -> str:
        """Where it is: ``cpu``, or which CUDA device."""
        if isinstance(array, self._tracer):
            return "unknown while traced"
        (device,) = array.sharding.device_set
        name = self._device_name(device)
        if name != "cpu" and array.sharding.memory_kind not in (None, "device"):
            return f"{array.sharding.memory_kind} of {name}"
        return name

    def layout(self, array: Array) -> Layout:
        """XLA's order of axes, as strides in bytes."""
        size = array.dtype.itemsize
        order = array.format.layout.major_to_minor
        packed = contiguous_strides(tuple(array.shape[axis] for axis in order), size)
        strides = dict(zip(order, packed, strict=True))
        return Layout(array.shape, tuple(strides[axis] for axis in range(array.ndim)), size, self.address(array), False)

    def suits(self, array: Array, strides: Strides) -> bool:
        """XLA's memory is compact, and in C order unless XLA or an import chose another."""
        return strides != "contiguous" or array.format.layout.major_to_minor == tuple(range(array.ndim))

    def address(self, array: Array) -> int:
        """The address of the first element."""
        return int(array.unsafe_buffer_pointer())

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A copy of its own; traces and gradients go through it."""
        moved = array if device is None else self.framework.device_put(array, self._device(device))
        return self.namespace.array(moved, dtype=dtype, copy=True)

    def together(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[Array] | None:
        """By copies; not where arrays would leave host memory for JAX's default device, and not in a trace."""
        from ffbridge_backends.together.jax import unpacker

        if self.framework.default_backend() != "cpu":
            return None
        found = unpacker(tuple([(array.shape, array.dtype) for array in arrays]))(arrays)
        return None if isinstance(found[0], self._tracer) else found

    def _device(self, name: str) -> Any:
        platform, _, index = name.partition(":")
        return self.framework.local_devices(backend=platform)[int(index or 0)]

    def view(self, array: Array, dtype: str) -> Array:
        """The same bits as another dtype, in new memory."""
        return array.view(dtype)

    def is_tracked(self, array: Array) -> bool:
        """Whether it is a tracer."""
        return isinstance(array, self._tracer)

    def has_values(self, array: Array) -> bool:
        """False for tracers."""
        return not isinstance(array, self._tracer)

    def has_nan(self, array: Array) -> bool:
        """By the sum, in the array's own memory if that is the host's: quicker than an exchange."""
        values = np.asarray(array)
        return isnan(values.item() if values.size == 1 else values.sum())

    def differentiable(self, function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
        """By one primitive for every engine function."""
        from ffbridge_backends.hosts.jax import differentiable

        return differentiable(function)

    def gradient(self, function: Callable[..., Array], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """By ``jax.grad``."""
        found: tuple[Array, ...] = self.framework.grad(function, argnums=tuple(range(len(inputs))))(*inputs)
        return found

    def fused(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiled."""
        import jax

        compiled: Callable[..., Any] = jax.jit(function)
        return compiled

    def with_tangents(self, function: Callable[..., Any], rule: TangentRule) -> Callable[..., Any]:
        """By ``jax.custom_jvp``, which every transformation goes through, at any order."""
        import jax
        from jax.custom_derivatives import SymbolicZero

        def unmoved(tangent: Any) -> bool:
            return isinstance(tangent, SymbolicZero)

        def jvp(inputs: Any, tangents: Any) -> tuple[Any, Any]:
            given = jax.tree.map(lambda each: None if unmoved(each) else each, tangents, is_leaf=unmoved)
            return rule(inputs, given)

        wrapped = jax.custom_jvp(function)
        wrapped.defjvp(jvp, symbolic_zeros=True)
        return wrapped

    def take(self, values: Array, rows: Array, *, axis: int = 0) -> Array:
        """Without JAX's checks of the range, of which its derivative would have others."""
        return values.at[(slice(None),) * axis + (rows,)].get(mode="promise_in_bounds")

    def in_blocks(
        self,
        function: Callable[[Mapping[str, Array]], tuple[dict[str, Array], dict[str, Array]]],
        rows: Mapping[str, Array],
        block: int,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """By one loop in the compiled program, however many blocks there are; what is left over is a smaller block."""
        n_rows = next(iter(rows.values())).shape[0]
        if n_rows <= block:
            return function(rows)
        lax, zeros, (n_blocks, left) = self.framework.lax, self.framework.numpy.zeros, divmod(n_rows, block)

        def part(start: Any, length: int) -> tuple[dict[str, Array], dict[str, Array]]:
            return function({name: lax.dynamic_slice_in_dim(each, start, length) for name, each in rows.items()})

        def put(whole: dict[str, Array], values: dict[str, Array], start: Any) -> dict[str, Array]:
            return {name: lax.dynamic_update_slice_in_dim(whole[name], each, start, 0) for name, each in values.items()}

        def step(number: Any, known: tuple[dict[str, Array], dict[str, Array]]) -> Any:
            sums, values = part(number * block, block)
            added = {name: known[0][name] + summand for name, summand in sums.items()}
            return added, put(known[1], values, number * block)

        start = n_blocks * block if left else 0
        sums, values = part(start, left or block)
        whole = {name: zeros((n_rows, *each.shape[1:]), each.dtype) for name, each in values.items()}
        found: tuple[dict[str, Array], dict[str, Array]] = lax.fori_loop(
            0 if left else 1, n_blocks, step, (sums, put(whole, values, start))
        )
        return found

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """By ``jax.ops.segment_sum``."""
        return self.framework.ops.segment_sum(values, segments, n_segments)

    def sum_vectors(self, vectors: Array, segments: Array, n_segments: int) -> Array:
        """Of one conformer at once: fewer steps, which is what XLA spends its time on where molecules are small."""
        if vectors.shape[2] != 1:
            return super().sum_vectors(vectors, segments, n_segments)
        sums = self.namespace.zeros((vectors.shape[0], n_segments, 1), dtype=vectors.dtype)
        return sums.at[:, segments].add(vectors)

    def erfc(self, x: Array) -> Array:
        """By ``jax.lax.erfc``."""
        return self.framework.lax.erfc(x)

    def weights(self, model: object) -> Mapping[str, Array] | None:
        """Of a pytree: its leaves that are arrays, JAX's or NumPy's. Functions and numbers are no weights."""
        tree = self.framework.tree_util
        if tree.all_leaves([model]):
            return None
        kinds = (self.framework.Array, np.ndarray)
        leaves, _ = tree.tree_flatten_with_path(model)
        return {tree.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves if isinstance(leaf, kinds)}

    def about(self, thing: object) -> str | None:
        """Tells what JAX's sparse formats are."""
        sparse = "jax.experimental.sparse"
        if type(thing).__module__.startswith(sparse):
            return f"{sparse}.{type(thing).__qualname__} is sparse and has no dense buffer: x.todense() has"
        return None


_X64 = (
    "jax_enable_x64 is off, and JAX would cut it silently: turn it on (jax.config.update('jax_enable_x64', True), or "
    'the scope jax.enable_x64(True)), or ask for the cast, with dtype="{}"'
)
_FORKED = (
    "JAX was started before this process was forked, and would wait forever here for its threads, which stayed with "
    'the parent. What to do: start workers with the method "spawn" or "forkserver" '
    '(multiprocessing.get_context("spawn"), torch.utils.data.DataLoader(..., multiprocessing_context="spawn")), '
    "or use JAX in the workers alone"
)

backend = JaxBackend()
os.register_at_fork(after_in_child=backend.forked)
