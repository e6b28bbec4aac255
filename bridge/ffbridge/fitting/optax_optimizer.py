"""Optimizers of optax, for JAX."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import MissingDependencyError
from ffbridge.fitting.optimizers import Loss, Memory
from ffbridge.fitting.settings import OptimizerSettings

__all__ = ["OptaxOptimizer", "optax_scope"]

Floats = NDArray[np.float64]

HISTORY = 50
"""Steps that L-BFGS remembers."""


class OptaxOptimizer:
    """An optimizer of optax; a step is compiled once.

    Args:
        weights: where it begins.
        loss: of JAX's arrays.
        settings: which one.

    Raises:
        MissingDependencyError: optax is not installed.
    """

    def __init__(self, weights: Mapping[str, Floats], loss: Loss, settings: OptimizerSettings) -> None:
        import jax
        import jax.numpy as jnp

        try:
            import optax
        except ImportError as error:
            raise MissingDependencyError(
                'a fit with host = "jax" needs optax, which is not installed: pip install "ffbridge[fit]"'
            ) from error
        self._jax = jax
        optimizer = _made(optax, settings)
        self._weights = {name: jnp.asarray(array) for name, array in weights.items()}
        self._state = optimizer.init(self._weights)
        self._known: tuple[Any, Any, Any] | None = None

        def step(weights: Any, state: Any, value: Any, gradient: Any, constants: Any) -> tuple[Any, Any]:
            more = {"value": value, "grad": gradient, "value_fn": lambda weights: loss(weights, constants)}
            given = more if settings.name == "lbfgs" else {}
            updates, state = optimizer.update(gradient, state, weights, **given)
            return optax.apply_updates(weights, updates), state

        self._step = jax.jit(step)
        self._evaluate = jax.jit(jax.value_and_grad(loss))

    @property
    def weights(self) -> dict[str, Floats]:
        """The weights as they are now, copied."""
        return {name: np.array(weight) for name, weight in self._weights.items()}

    def value(self, constants: Mapping[str, Array]) -> float:
        """Return the loss at the weights."""
        return float(self._evaluated(constants)[0])

    def step(self, constants: Mapping[str, Array]) -> None:
        """Change the weights."""
        value, gradient = self._evaluated(constants)
        self._weights, self._state = self._step(self._weights, self._state, value, gradient, dict(constants))
        self._known = None

    def memory(self) -> Memory:
        """Return the optimizer's state."""
        leaves = self._jax.tree.leaves(self._state)
        return Memory({f"state/{number}": np.array(leaf) for number, leaf in enumerate(leaves)})

    def restore(self, weights: Mapping[str, Floats], memory: Memory) -> None:
        """Go on from there."""
        jnp = self._jax.numpy
        self._weights = {name: jnp.asarray(weights[name]) for name in self._weights}
        leaves, structure = self._jax.tree.flatten(self._state)
        leaves = [jnp.asarray(memory.arrays[f"state/{number}"]) for number in range(len(leaves))]
        self._state = self._jax.tree.unflatten(structure, leaves)
        self._known = None

    def _evaluated(self, constants: Mapping[str, Array]) -> tuple[Any, Any]:
        if self._known is None or self._known[0] is not constants:
            self._known = constants, *self._evaluate(self._weights, dict(constants))
        return self._known[1], self._known[2]


def optax_scope() -> AbstractContextManager[Any]:
    """Return a scope in which JAX holds 64-bit numbers."""
    import jax

    return jax.enable_x64(True)  # type: ignore[no-any-return, unused-ignore]


def _made(optax: Any, settings: OptimizerSettings) -> Any:
    rate = settings.learning_rate
    if settings.name == "lbfgs":
        return optax.lbfgs(rate, memory_size=HISTORY)
    return {"adam": optax.adam, "adamw": optax.adamw, "sgd": optax.sgd}[settings.name](rate)
