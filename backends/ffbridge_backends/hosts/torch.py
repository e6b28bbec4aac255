"""The host ``torch``: engine functions as ``torch.autograd.Function``.

One Function stands for every engine function. Its backward and its jvp are calls of the same Function on the
transformed engine function, so derivatives of any order are differentiable again, under autograd and torch.func.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ffbridge.backend import Array
from ffbridge.exchange import share
from ffbridge.function import EngineFunction

__all__ = ["differentiable"]


def differentiable(function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
    """Return the engine function as a function of tensors that takes part in autograd and torch.func."""

    def call(*inputs: Array) -> tuple[Array, ...]:
        if torch.compiler.is_compiling():
            return outside_of_graphs(*inputs)
        if function.has_slope and inputs[0].requires_grad and torch.is_grad_enabled() and not _transformed():
            return _EnergyWithSlope.apply(function, *inputs)
        return _Call.apply(function, *inputs)

    @torch.compiler.disable(reason="an engine of another framework runs here")
    def outside_of_graphs(*inputs: Array) -> tuple[Array, ...]:
        return call(*inputs)

    return call


def _transformed() -> bool:
    """Return whether torch.func is at work, which wants Functions of another make."""
    return torch._C._are_functorch_transforms_active()


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(function: EngineFunction, *inputs: Array) -> tuple[Array, ...]:
        outputs = function(*(tensor.detach() for tensor in inputs))
        return tuple(share(output, "torch").array for output in outputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
        function, *tensors = inputs
        ctx.function = function
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Array | None, ...]:
        return (None, *_Call.apply(ctx.function.vjp, *ctx.saved_tensors, *cotangents))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Array | None) -> tuple[Array, ...]:
        inputs = ctx.saved_tensors
        filled = (
            torch.zeros_like(tensor) if tangent is None else tangent
            for tensor, tangent in zip(inputs, tangents, strict=True)
        )
        return _Call.apply(ctx.function.jvp, *inputs, *filled)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], function: EngineFunction, *inputs: Array) -> tuple[Any, Any]:
        batched = tuple(dim is not None for dim in dims[1:])
        moved = (
            tensor if dim is None else tensor.movedim(dim, 0) for tensor, dim in zip(inputs, dims[1:], strict=True)
        )
        outputs = _Call.apply(function.vmap(batched), *moved)
        return outputs, (0,) * len(outputs)


class _EnergyWithSlope(torch.autograd.Function):
    """Energies whose first derivative is taken along with them: one crossing, where `_Call` needs two."""

    @staticmethod
    def forward(ctx: Any, function: EngineFunction, packed: Array) -> tuple[Array, ...]:
        rows = share(function.slope(packed.detach())[0], "torch").array
        ctx.function = function
        ctx.save_for_backward(packed, rows)
        ctx.save_for_forward(packed)
        return (rows[:, :1],)

    @staticmethod
    def backward(ctx: Any, cotangents: Array) -> tuple[Array | None, ...]:
        packed, rows = ctx.saved_tensors
        if torch.is_grad_enabled():  # a graph of the derivative is wanted, and `rows` have none
            return (None, *_Call.apply(ctx.function.vjp, packed, cotangents))
        return None, (rows[:, 1:] * cotangents).view(-1)

    @staticmethod
    def jvp(ctx: Any, _: None, tangent: Array) -> tuple[Array, ...]:
        return _Call.apply(ctx.function.jvp, *ctx.saved_tensors, tangent)


# `apply` asks for this signature at every call; found here, it need not be made anew (40 µs of each call).
_Call.forward.__signature__ = inspect.signature(_Call.forward)  # type: ignore[attr-defined]
