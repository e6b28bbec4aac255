"""The host ``jax``: engine functions as a JAX primitive.

One primitive stands for every engine function. Its differentiation rules bind the same primitive with the transformed
engine function, so that grad, jvp, vmap, hessian and jit nest as they do for JAX's own operations. ``custom_vjp`` would
not do: it has no forward mode, which hessian needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ffbridge.backend import Array
from ffbridge.exchange import share
from ffbridge.function import EngineFunction

__all__ = ["differentiable"]


def differentiable(function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
    """Return the engine function as a function of JAX arrays that every transformation of JAX understands."""
    return lambda *inputs: tuple(_call.bind(*inputs, function=function))


_call = Primitive("ffbridge_engine_call")
_call.multiple_results = True


@_call.def_impl
def _run(*inputs: Array, function: EngineFunction) -> list[Array]:
    return [share(output, "jax").array for output in function(*inputs)]


@_call.def_abstract_eval
def _shapes(*inputs: Any, function: EngineFunction) -> list[Any]:
    shapes = function.shapes(*(each.shape for each in inputs))
    return [jax.core.ShapedArray(shape, inputs[0].dtype) for shape in shapes]


def _lower(*inputs: Array, function: EngineFunction) -> Sequence[Array]:
    # Refused here, what the engine lacks is an error of its own kind; inside the callback, it would be one of XLA's.
    function.source.require(function.path)
    return [_from_words(words, inputs[0].dtype) for words in _callback.bind(*inputs, function=function)]


mlir.register_lowering(_call, mlir.lower_fun(_lower, multiple_results=True))


# The callback itself. `jax.pure_callback` would put each input on a device and take it back, 150 µs a crossing.
# XLA may call from a thread of its own, which knows nothing of a local scope jax.enable_x64(True): JAX would there cut
# 64-bit results to 32 bits. So float64 comes back as pairs of 32-bit words.
_callback = Primitive("ffbridge_engine_callback")
_callback.multiple_results = True


@_callback.def_abstract_eval
def _word_shapes(*inputs: Any, function: EngineFunction) -> list[Any]:
    return [_as_words(each) for each in _shapes(*inputs, function=function)]


def _emit(context: Any, *operands: Any, function: EngineFunction) -> Sequence[Any]:
    def call(*inputs: Any) -> tuple[Any, ...]:
        return tuple(_to_words(share(output, "numpy").array) for output in function(*inputs))

    found, *_ = mlir.emit_python_callback(
        context, call, None, list(operands), context.avals_in, context.avals_out, has_side_effect=False
    )
    return found


mlir.register_lowering(_callback, _emit)


def _as_words(aval: Any) -> Any:
    wide = aval.dtype.itemsize == 8
    return jax.core.ShapedArray((*aval.shape, 2), np.dtype("uint32")) if wide else aval


def _to_words(array: Any) -> Any:
    array = np.ascontiguousarray(array)
    return array[..., None].view(np.uint32) if array.dtype.itemsize == 8 else array


def _from_words(array: Array, dtype: Any) -> Array:
    return jax.lax.bitcast_convert_type(array, dtype) if np.dtype(dtype).itemsize == 8 else array


def _jvp(primals: Sequence[Array], tangents: Sequence[Any], *, function: EngineFunction) -> tuple[Any, Any]:
    filled = map(ad.instantiate_zeros, tangents)
    if function.has_slope:
        # One call of the engine; the slope is an output like any other, and has derivatives of its own.
        (rows,) = _call.bind(*primals, function=function.slope)
        (tangent,) = filled
        return [rows[:, :1]], [(rows[:, 1:] * tangent.reshape(len(rows), -1)).sum(axis=1, keepdims=True)]
    return _call.bind(*primals, function=function), _call.bind(*primals, *filled, function=function.jvp)


ad.primitive_jvps[_call] = _jvp


def _transpose(cotangents: Sequence[Any], *inputs: Any, function: EngineFunction) -> list[Any]:
    n_fixed = len(inputs) - function.signature.linear
    filled = map(ad.instantiate_zeros, cotangents)
    found = _call.bind(*inputs[:n_fixed], *filled, function=function.transpose)
    linear = zip(inputs[n_fixed:], found, strict=True)
    return [None] * n_fixed + [each if ad.is_undefined_primal(value) else None for value, each in linear]


ad.primitive_transposes[_call] = _transpose


def _batch(inputs: Sequence[Array], dims: Sequence[Any], *, function: EngineFunction) -> tuple[Any, Any]:
    """Batch every linear input with the first batched one, so that their cotangents are batched too."""
    size = next(each.shape[dim] for each, dim in zip(inputs, dims, strict=True) if dim is not None)
    n_fixed = len(inputs) - function.signature.linear
    moved = [
        each if dim is None and i < n_fixed else batching.bdim_at_front(each, dim, size)
        for i, (each, dim) in enumerate(zip(inputs, dims, strict=True))
    ]
    batched = tuple(dim is not None or i >= n_fixed for i, dim in enumerate(dims))
    outputs = _call.bind(*moved, function=function.vmap(batched))
    return outputs, [0] * len(outputs)


batching.primitive_batchers[_call] = _batch
