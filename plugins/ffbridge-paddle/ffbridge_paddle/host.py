"""Paddle as a host: engine functions as ``paddle.autograd.PyLayer``. Imported when a potential first has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

from ffbridge.backend import Array
from ffbridge.exchange import share
from ffbridge.function import EngineFunction

__all__ = ["differentiable"]


def differentiable(function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
    """Return the engine function as a function of tensors that takes part in Paddle's autograd, to any order."""

    def call(*inputs: Array) -> tuple[Array, ...]:
        outputs = _Call.apply(function, *inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    return call


class _Call(paddle.autograd.PyLayer):  # type: ignore[misc]
    """One for every engine function: its backward is a call of the same on the function's vector-Jacobian product."""

    @staticmethod
    def forward(ctx: Any, function: EngineFunction, *inputs: Array) -> tuple[Array, ...]:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        outputs = function(*(tensor.detach() for tensor in inputs))
        return tuple(share(output, "paddle").array for output in outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Array) -> tuple[Array | None, ...]:
        inputs = ctx.saved_tensor()
        found = differentiable(ctx.function.vjp)(*inputs, *cotangents)
        # Paddle wants None where no derivative is asked for.
        return tuple(None if at.stop_gradient else each for at, each in zip(inputs, found, strict=True))
