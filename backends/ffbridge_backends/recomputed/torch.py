"""Functions of tensors of which autograd keeps the inputs alone, and evaluates them again for derivatives.

``torch.utils.checkpoint`` cannot: a function that takes derivatives itself, as forces do, asks for what it saved while
it runs, and a graph of second order keeps what was computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ffbridge.backend import Array

__all__ = ["recomputed"]


def recomputed(function: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
    """Return the function; within torch.func, forward mode and torch.compile it is the function itself."""

    def call(*inputs: Array) -> tuple[Array, ...]:
        if (
            torch.compiler.is_compiling()
            or torch.autograd.forward_ad._current_level >= 0
            or any(torch._C._functorch.is_functorch_wrapped_tensor(array) for array in inputs)
        ):
            return function(*inputs)
        return _Recomputed.apply(function, *inputs)

    return call


class _Recomputed(torch.autograd.Function):
    """Outputs without a graph, whose derivatives are those of the function called once more."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., tuple[Array, ...]], *inputs: Array) -> tuple[Array, ...]:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return tuple(function(*(array.detach() for array in inputs)))

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Array | None, ...]:
        # True where derivatives of the result are wanted: then its graph goes on to the inputs.
        again = torch.is_grad_enabled()
        inputs = tuple(
            array if again or not array.requires_grad else array.detach().requires_grad_()
            for array in ctx.saved_tensors
        )
        moving = [array for array in inputs if array.requires_grad]
        with torch.enable_grad():
            outputs = ctx.function(*inputs)
            found = iter(torch.autograd.grad(outputs, moving, cotangents, create_graph=again, materialize_grads=True))
        return (None, *(next(found) if array.requires_grad else None for array in inputs))
