"""The host ``jax``: engine functions as a JAX primitive.

One primitive stands for every engine function. Its differentiation rules bind the same primitive with the transformed
engine function, so that grad, jvp, vmap, hessian and jit nest as they do for JAX's own operations. ``custom_vjp`` would
not do: it has no forward mode, which hessian needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
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


def _callback(*inputs: Array, function: EngineFunction) -> tuple[Array, ...]:
    # NumPy in and out: JAX's own operations deadlock in a callback.
    return tuple(share(output, "numpy").array for output in function(*map(np.asarray, inputs)))


def _lower(*inputs: Array, function: EngineFunction) -> Sequence[Array]:
    shapes = function.shapes(*(each.shape for each in inputs))
    results = tuple(jax.ShapeDtypeStruct(shape, inputs[0].dtype) for shape in shapes)
    return jax.pure_callback(partial(_callback, function=function), results, *inputs)


mlir.register_lowering(_call, mlir.lower_fun(_lower, multiple_results=True))


def _jvp(primals: Sequence[Array], tangents: Sequence[Any], *, function: EngineFunction) -> tuple[Any, Any]:
    filled = map(ad.instantiate_zeros, tangents)
    return _call.bind(*primals, function=function), _call.bind(*primals, *filled, function=function.jvp())


ad.primitive_jvps[_call] = _jvp


def _transpose(cotangents: Sequence[Any], *inputs: Any, function: EngineFunction) -> list[Any]:
    n_fixed = len(inputs) - function.signature.linear
    filled = map(ad.instantiate_zeros, cotangents)
    found = _call.bind(*inputs[:n_fixed], *filled, function=function.transpose())
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
