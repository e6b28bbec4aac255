"""Every engine that is installed, in its own framework: energies, forces, dU/d tables, Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import ffbridge as fb

__all__ = ["COMPILED", "COMPILING", "QUANTITIES", "call", "memory_needed", "names"]

QUANTITIES = {
    "energy": "energy",
    "forces": "energy + forces",
    "tables": "energy + forces + dU/dθ",
    "hvp": "Hessian-vector product",
}
"""What is measured, and what tables call it."""

_FIRST = ("numpy", "torch", "jax", "native", "openmm")
_EXAMPLES = frozenset({"strict"})
"""Engines that are installed for tests."""

_BYTES = {"energy": 100, "forces": 220, "tables": 320, "hvp": 700}
"""Working memory for each interaction and conformer, of the engine that needs most; the part `memory` measures it."""

COMPILED = "torch, compiled"
"""The engine torch with an option: a name of its own, as it is measured beside eager torch, and not everywhere."""

COMPILING = frozenset({"jax", COMPILED})
"""Engines whose first call compiles, for seconds."""

_OPTIONS: dict[str, dict[str, Any]] = {"jax": {"shapes": "exact"}, COMPILED: {"compile": True}}
"""What a user sets for potentials that are called as often as here; `scaling` measures JAX the other way too."""

_FRUGAL = frozenset({"native", "openmm"})
"""Engines that work through conformers in parts."""


def names() -> list[str]:
    """The engines that are installed, array engines first, without :data:`COMPILED`."""
    installed = {info.name for info in fb.engines() if info.available} - _EXAMPLES
    return [name for name in _FIRST if name in installed] + sorted(installed - set(_FIRST))


def memory_needed(who: str, quantity: str, n_interactions: int, n_conformers: int) -> float:
    """A rough estimate of working memory in float64 [bytes], to leave out what the machine has no room for.

    Peers take one molecule after another, and need little.
    """
    return float(_BYTES[quantity] * n_interactions * n_conformers) if who in set(names()) - _FRUGAL else 0.0


def call(bundle: fb.Bundle, engine: str, quantity: str, x: np.ndarray) -> Callable[[], Any]:
    """What is to be timed: a call without arguments that returns when the result is there.

    Raises:
        UnsupportedError: the engine refuses.
    """
    if quantity == "hvp":
        return _products(bundle, engine, x)
    U = fb.potential(bundle, engine=engine.split(",")[0], **_OPTIONS.get(engine, {}))
    positions = fb.to(x, U.host.name)
    method = {"energy": U, "forces": U.energy_and_forces, "tables": U.value_and_grad}[quantity]
    if quantity == "tables":
        # As in training, where tables are other ones in each step: an engine cannot have prepared them.
        tables = {name: fb.to(table.values, U.host.name) for name, table in bundle.tables.items()}
        method = partial(method, tables=tables)
    if U.host.name == "jax":
        import jax

        return lambda: jax.block_until_ready(_plain(method(positions)))
    return lambda: _plain(method(positions))


def _plain(found: Any) -> Any:
    """An Evaluation with its tables read: an engine without them refuses only then."""
    return (*found[:2], dict(found.tables)) if isinstance(found, fb.Evaluation) else found


def _products(bundle: fb.Bundle, engine: str, x: np.ndarray) -> Callable[[], Any]:
    """The Hessian times a direction, by the automatic differentiation of the engine's framework, or of torch."""
    direction = np.random.default_rng(7).normal(size=x.shape)
    if engine == "jax":
        import jax

        U = fb.potential(bundle, engine=engine)
        at, along = jax.numpy.asarray(x), jax.numpy.asarray(direction)
        gradient = jax.grad(lambda positions: U(positions).sum())
        product = jax.jit(lambda at, along: jax.jvp(gradient, (at,), (along,))[1])
        return lambda: jax.block_until_ready(product(at, along))
    import torch

    U = fb.potential(bundle, engine=engine, host="torch")
    here, towards = torch.tensor(x), torch.tensor(direction)

    def in_torch() -> torch.Tensor:
        positions = here.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(U(positions).sum(), positions, create_graph=True)
        return torch.autograd.grad((gradient * towards).sum(), positions)[0]

    return in_torch
