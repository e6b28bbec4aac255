"""Differentiable molecular dynamics: a potential is the energy function of jax-md, and gradients go through the steps.

Ethanol with OpenFF 2.3.0 moves in vacuum, at constant energy or with Langevin's thermostat. The observable is the
squared distance between the methyl carbon and the hydroxyl hydrogen, averaged over the trajectory; reverse-mode
automatic differentiation gives its derivative by every parameter of the force field at once. The largest are shown
beside central differences, which take two trajectories each. The units need no conversion: 1 kJ/mol = 1 Da nm²/ps².

    python examples/dynamics.py --steps 200
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from conformers import load_batch
from jax_md import simulate, space

import ffbridge as fb
from ffbridge.units import GAS_CONSTANT

__all__ = ["Result", "main", "run", "show"]

SMILES, ATOMS = "CCO", (0, 8)
TIME_STEP, KT, FRICTION = 0.0005, GAS_CONSTANT * 300, 5.0
"""[ps], [kJ/mol], [1/ps]."""

STEP = 1e-4
"""Of central differences, as a fraction of the parameter."""


@dataclass(frozen=True)
class Result:
    """What one kind of dynamics gave.

    Attributes:
        kind: ``constant energy`` or ``Langevin``.
        average: of the observable [nm²].
        drift: of the total energy, by a straight line [kJ/mol/ps].
        fluctuation: standard deviation of the total energy [kJ/mol].
        effects: for the parameters that matter most: name, dO/d ln p by automatic and by finite differences [nm²].
    """

    kind: str
    average: float
    drift: float
    fluctuation: float
    effects: tuple[tuple[str, float, float], ...]


def trajectory(U: fb.Potential, x: Any, masses: Any, tables: Any, n_steps: int, thermostat: bool) -> tuple[Any, Any]:
    """Return positions ``(n_steps, n_atoms, 3)`` [nm] and total energies ``(n_steps,)`` [kJ/mol]."""

    def energy(x: Any, tables: Any, **unused: Any) -> Any:
        return U(x, tables).sum()

    _, shift = space.free()
    key = jax.random.PRNGKey(0)
    if thermostat:
        init, step = simulate.nvt_langevin(energy, shift, TIME_STEP, KT, gamma=FRICTION)
        state = init(key, x, mass=masses, tables=tables)
    else:
        init, step = simulate.nve(energy, shift, TIME_STEP)
        state = init(key, x, KT, mass=masses, tables=tables)

    def advance(state: Any, _: Any) -> tuple[Any, Any]:
        state = step(state, tables=tables)
        return state, (state.position, (state.momentum**2 / (2 * state.mass)).sum())

    _, (positions, kinetic) = jax.lax.scan(advance, state, None, length=n_steps)
    return positions, U(positions, tables).sum(axis=-1) + kinetic


def run(*, smiles: str = SMILES, n_steps: int = 200, n_shown: int = 6) -> tuple[Result, ...]:
    """Return what dynamics at constant energy and Langevin dynamics give."""
    with jax.enable_x64(True):
        batch = load_batch([smiles], n_conformers=1, noise=0.0)
        U = fb.potential(batch.bundle, "jax")
        x = jax.numpy.asarray(fb.targets.relax(U, batch.positions).positions[0])
        masses = jax.numpy.asarray([atom.mass.m_as("dalton") for atom in batch.molecules[0].atoms])
        return tuple(_run(U, x, masses, n_steps, n_shown, thermostat) for thermostat in (False, True))


def _run(U: fb.Potential, x: Any, masses: Any, n_steps: int, n_shown: int, thermostat: bool) -> Result:
    tables = {name: jax.numpy.asarray(table.values) for name, table in U.bundle.tables.items()}

    @jax.jit
    def observe(tables: Any) -> tuple[Any, Any]:
        positions, energies = trajectory(U, x, masses, tables, n_steps, thermostat)
        first, last = (positions[:, atom] for atom in ATOMS)
        return ((first - last) ** 2).sum(axis=-1).mean(), energies

    (average, energies), gradient = jax.jit(jax.value_and_grad(observe, has_aux=True))(tables)
    effects = {name: np.asarray(gradient[name] * tables[name]) for name in tables}
    places = [(name, *place) for name in effects for place in np.ndindex(effects[name].shape)]
    places.sort(key=lambda place: -abs(effects[place[0]][place[1:]]))
    shown = []
    for name, row, column in places[:n_shown]:
        value = tables[name][row, column]
        moved = [
            observe(tables | {name: tables[name].at[row, column].set(value * (1 + sign * STEP))})[0] for sign in (1, -1)
        ]
        table = U.bundle.tables[name]
        label = f"{name}/{table.keys[row].id if table.keys else row}/{table.columns[column]}"
        shown.append((label, float(effects[name][row, column]), float(moved[0] - moved[1]) / (2 * STEP)))
    times = TIME_STEP * np.arange(n_steps)
    return Result(
        "Langevin" if thermostat else "constant energy",
        float(average),
        float(np.polyfit(times, np.asarray(energies), 1)[0]),
        float(np.std(np.asarray(energies))),
        tuple(shown),
    )


def show(results: tuple[Result, ...]) -> None:
    """Print what was found."""
    for result in results:
        print(f"{result.kind}: average {result.average:.6f} nm²", end="")
        if result.kind == "constant energy":
            print(f"; total energy: drift {result.drift:.2e} kJ/mol/ps, fluctuation {result.fluctuation:.2e} kJ/mol")
        else:
            print()
        print(f"  {'derivative by ln of':32}{'automatic':>16}{'finite':>16}")
        for label, automatic, finite in result.effects:
            print(f"  {label:32}{automatic:16.8f}{finite:16.8f}")


def main() -> None:
    """Run both kinds of dynamics and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    show(run(n_steps=parser.parse_args().steps))


if __name__ == "__main__":
    main()
