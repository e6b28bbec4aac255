"""SMIRNOFF parameters fitted to energies and forces, in JAX and in PyTorch: the same answer by the same way.

The data are energies and forces of a force field that is OpenFF 2.3.0 with every bonded parameter changed by chance.
The fit starts from OpenFF 2.3.0 and must find the changes. Interactions share parameters, within and between molecules,
so a parameter's gradient is the sum over all interactions that use it (the mapping ``select``).

Both fits are Adam with the same settings, one by optax through the engine ``jax``, one by torch.optim through the
engine ``torch``. Bonds outweigh torsions by far in forces, so both work in coordinates z in which all directions of
parameter space count alike: v = v₀ (1 + W z), W = (JᵀJ)^(-1/2), with J the derivatives of the residuals by relative
changes of the parameters v at the start v₀. W also says which parameters the data determine at all.

    python examples/smirnoff_fit.py --steps 400
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from conformers import Data, load_batch
from numpy.typing import NDArray

import ffbridge as fb

__all__ = ["Fit", "fit", "main", "show"]

SMILES = ("CC(=O)Nc1ccc(O)cc1", "CCO", "CNC(C)=O")
SELECT = {"bonds": ["k", "length"], "angles": ["k", "angle"], "proper_torsions": ["k"], "improper_torsions": ["k"]}
CHANGES = {"k": 0.1, "length": 0.02, "angle": 0.02}
"""Largest relative change of a parameter, by column."""

LEARNING_RATE, LAST_LEARNING_RATE = 0.01, 1e-7

RESIDUAL = 1e-5
"""The residual, as a fraction of the data's own spread, at which parameters are called determined or not."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """What both fits found.

    Attributes:
        parameters: what was fitted, n of them.
        keys: where each comes from.
        start: OpenFF's values, ``(n,)``.
        answer: the values that made the data, ``(n,)``.
        errors: by how much each may be off, relatively, for residuals of `RESIDUAL`, ``(n,)``.
        found: the values that each framework found, ``(n,)``.
        losses: of each framework at every step, ``(steps + 1,)``.
        seconds: that each framework took.
    """

    parameters: tuple[fb.Parameter, ...]
    keys: tuple[fb.ParameterKey, ...]
    start: Floats
    answer: Floats
    errors: Floats
    found: dict[str, Floats]
    losses: dict[str, Floats]
    seconds: dict[str, float]

    @property
    def identifiable(self) -> NDArray[np.bool_]:
        """The parameters that the data determine within 1 %, ``(n,)``."""
        return self.errors < 0.01

    def deviations(self, framework: str) -> Floats:
        """Return the relative deviation of every parameter from the answer, ``(n,)``."""
        return np.abs(self.found[framework] / self.answer - 1)

    @property
    def curve_difference(self) -> Floats:
        """Relative difference of the two loss curves at every step, ``(steps + 1,)``."""
        one, other = self.losses.values()
        return np.abs(one - other) / np.maximum(one, other)


def fit(*, smiles: tuple[str, ...] = SMILES, n_conformers: int = 16, steps: int = 400, seed: int = 0) -> Fit:
    """Return what the fits in JAX and in PyTorch find from the same data and start."""
    batch = load_batch(smiles, n_conformers=n_conformers, noise=0.02, seed=seed)
    chosen = fb.trainable(batch.bundle, {name: SELECT[name] for name in SELECT if name in batch.bundle.tables})
    rng = np.random.default_rng(seed)
    changes = np.array([CHANGES[parameter.column] for parameter in chosen.parameters])
    answer = chosen.initial * (1 + changes * rng.uniform(-1, 1, size=len(changes)))
    data = Data.of(batch.bundle, batch.positions, chosen.tables(answer))
    found, losses, seconds = {}, {}, {}
    with jax.enable_x64(True):
        directions = whitening(batch.bundle, chosen, data.to("jax"))
        for name, run in (("jax", fit_in_jax), ("torch", fit_in_torch)):
            start = perf_counter()
            found[name], losses[name] = run(batch.bundle, chosen, data.to(name), directions, steps)
            seconds[name] = perf_counter() - start
    return Fit(
        parameters=chosen.parameters,
        keys=tuple(batch.bundle.tables[each.table].keys[each.row] for each in chosen.parameters),
        start=chosen.initial,
        answer=answer,
        errors=RESIDUAL * np.linalg.norm(directions, axis=1),
        found=found,
        losses=losses,
        seconds=seconds,
    )


def energies_and_forces(U: fb.Potential, x: jax.Array, tables: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return energies and forces in JAX, differentiable with respect to the tables."""
    energies, pullback = jax.vjp(lambda x: U(x, tables), x)
    (gradient,) = pullback(jnp.ones_like(energies))
    return energies, -gradient


def whitening(bundle: fb.Bundle, chosen: fb.Trainable, data: Data) -> Floats:
    """Return W = (JᵀJ)^(-1/2), ``(n, n)``, J the derivatives of the residuals by relative changes of the parameters.

    A covariance (JᵀJ)⁻¹ = W Wᵀ says how far parameters may move while the loss stays at 1: the norms of W's rows are
    standard errors for residuals as large as the data.
    """
    U = fb.potential(bundle, "jax")
    initial = jnp.asarray(chosen.initial)

    @jax.jit
    @jax.jacfwd
    def derivatives(relative: jax.Array) -> tuple[jax.Array, jax.Array]:
        return data.residuals(*energies_and_forces(U, data.x, chosen.tables(initial * (1 + relative))))

    parts = [np.asarray(part).reshape(-1, len(initial)) for part in derivatives(jnp.zeros_like(initial))]
    _, singular, directions = np.linalg.svd(np.concatenate([part / len(part) ** 0.5 for part in parts]))
    return directions.T @ np.diag(1 / singular) @ directions


def fit_in_jax(bundle: fb.Bundle, chosen: fb.Trainable, data: Data, directions: Floats, steps: int) -> Any:
    """Return the parameters that Adam of optax finds, ``(n,)``, and the loss before every step and at the end."""
    U = fb.potential(bundle, "jax")
    initial, W = jnp.asarray(chosen.initial), jnp.asarray(directions)
    adam = optax.adam(optax.exponential_decay(LEARNING_RATE, steps, LAST_LEARNING_RATE / LEARNING_RATE))

    def loss(z: jax.Array) -> jax.Array:
        return data.loss(*energies_and_forces(U, data.x, chosen.tables(initial * (1 + W @ z))))

    @jax.jit
    def step(z: jax.Array, state: Any) -> tuple[jax.Array, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(z)
        updates, state = adam.update(gradient, state)
        return optax.apply_updates(z, updates), state, value

    z = jnp.zeros_like(initial)
    state = adam.init(z)
    losses = []
    for _ in range(steps):
        z, state, value = step(z, state)
        losses.append(float(value))
    losses.append(float(loss(z)))
    return np.asarray(initial * (1 + W @ z)), np.array(losses)


def fit_in_torch(bundle: fb.Bundle, chosen: fb.Trainable, data: Data, directions: Floats, steps: int) -> Any:
    """Return the parameters that Adam of torch.optim finds, ``(n,)``, and the loss before every step and at the end."""
    U = fb.potential(bundle, "torch")
    initial, W = torch.tensor(chosen.initial), torch.tensor(directions)
    x = data.x.clone().requires_grad_()
    z = torch.zeros_like(initial, requires_grad=True)
    adam = torch.optim.Adam([z], lr=LEARNING_RATE)
    decay = torch.optim.lr_scheduler.ExponentialLR(adam, (LAST_LEARNING_RATE / LEARNING_RATE) ** (1 / steps))

    def loss() -> torch.Tensor:
        energies = U(x, chosen.tables(initial * (1 + W @ z)))
        (gradient,) = torch.autograd.grad(energies.sum(), x, create_graph=True)
        return data.loss(energies, -gradient)

    losses = []
    for _ in range(steps):
        adam.zero_grad()
        value = loss()
        value.backward()
        adam.step()
        decay.step()
        losses.append(value.item())
    losses.append(loss().item())
    return (initial * (1 + W @ z)).detach().numpy(), np.array(losses)


def show(result: Fit) -> None:
    """Print what was found."""
    print(f"{'parameter':38}{'start':>14}{'answer':>14}{'jax':>14}{'torch':>14}  determined")
    columns = (result.start, result.answer, *result.found.values(), result.identifiable)
    for parameter, key, *values, determined in zip(result.parameters, result.keys, *columns, strict=True):
        number = "" if key.index is None else key.index + 1
        name = f"{parameter.table}/{key.id}/{parameter.column}{number}"
        print(f"{name:38}" + "".join(f"{value:14.6g}" for value in values) + f"  {'yes' if determined else 'no'}")
    for name, losses in result.losses.items():
        worst = result.deviations(name)[result.identifiable].max()
        print(
            f"{name}: loss {losses[0]:.3e} -> {losses[-1]:.3e}, {losses[0] / losses[-1]:.1e} times less, in "
            f"{result.seconds[name]:.1f} s; of {result.identifiable.sum()} determined parameters the worst is off by "
            f"{worst:.1e}"
        )
    curve = result.curve_difference
    print(f"relative difference of the two loss curves: at most {curve.max():.1e}, at the end {curve[-1]:.1e}")


def main() -> None:
    """Fit and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=400)
    show(fit(steps=parser.parse_args().steps))


if __name__ == "__main__":
    main()
