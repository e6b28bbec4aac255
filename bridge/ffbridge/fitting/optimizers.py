"""Optimizers of torch.optim and optax as one: steps that go on after a restart as if there had been none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.fitting.settings import FitSettings, OptimizerSettings

__all__ = ["Loss", "Memory", "Optimizer", "host_scope", "new_optimizer"]

Floats = NDArray[np.float64]
Loss: TypeAlias = Callable[[Mapping[str, Array], Mapping[str, Array]], Array]
"""The loss of weights, given the geometries of an objective."""


@dataclass(frozen=True, eq=False)
class Memory:
    """What an optimizer remembers, without frameworks' objects.

    Attributes:
        arrays: by name.
        values: plain JSON.
    """

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    values: Any = None


class Optimizer(Protocol):
    """Steps towards a smaller loss."""

    @property
    def weights(self) -> dict[str, Floats]:
        """The weights as they are now, copied."""
        ...

    def value(self, constants: Mapping[str, Array]) -> float:
        """Return the loss at the weights; a step from there does not compute it again."""
        ...

    def step(self, constants: Mapping[str, Array]) -> None:
        """Change the weights."""
        ...

    def memory(self) -> Memory:
        """Return what the next steps depend on, beside the weights."""
        ...

    def restore(self, weights: Mapping[str, Floats], memory: Memory) -> None:
        """Go on from there, bit for bit as the optimizer would have that was there."""
        ...


def new_optimizer(host: str, weights: Mapping[str, Floats], loss: Loss, settings: OptimizerSettings) -> Optimizer:
    """Return an optimizer of a host's framework."""
    if host == "jax":
        from ffbridge.fitting.optax_optimizer import OptaxOptimizer

        return OptaxOptimizer(weights, loss, settings)
    from ffbridge.fitting.torch_optimizer import TorchOptimizer

    return TorchOptimizer(weights, loss, settings)


def host_scope(settings: FitSettings) -> AbstractContextManager[Any]:
    """Return the scope in which a host works: 64-bit numbers in JAX, chance of its own in PyTorch."""
    if settings.run.host == "jax":
        from ffbridge.fitting.optax_optimizer import optax_scope

        return optax_scope()
    from ffbridge.fitting.torch_optimizer import torch_scope

    return torch_scope(settings.run.seed)
