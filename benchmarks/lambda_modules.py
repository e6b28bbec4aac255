"""Lambda modules on real molecules: agreement of every engine under every host, and what a crossing costs.

Agreement: acetaminophen, ibuprofen and a ragged batch of the eight drugs of the demo, five conformers each: energies,
forces, dU/dθ, Hessian-vector products and d²U/dx dθ against the torch engine by itself, relative to the largest value;
energies and forces against OpenMM too. Cost: energy + forces of ethanol through the host's automatic differentiation,
beside the engine's own compiled call of the same kind. Figures go to ``benchmarks/results/lambda_modules.json``.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("JAX_ENABLE_X64", "1")

import jax
import numpy as np
import torch

import ffbridge as fb
from ffbridge.demo.molecules import load_drugs
from ffbridge.producers.openff import from_interchange, parametrize, read_molecules

__all__ = ["main"]

OUTPUT = Path(__file__).parent / "results" / "lambda_modules.json"
PAIRS = (("torch", "torch"), ("jax", "torch"), ("jax", "jax"), ("torch", "jax"), ("numpy", "torch"), ("numpy", "jax"))
SECOND_ORDER = ("torch", "jax")
TABLE = "bonds"
METHODS = ("energy_and_forces", "value_and_grad")


def conformers(positions, n=5):
    """Positions with noise, ``(n, n_atoms, 3)``, contiguous."""
    noise = np.random.default_rng(6).normal(scale=0.003, size=(n, *positions.shape))
    return np.ascontiguousarray(positions + noise)


def in_torch(bundle, engine, x, direction):
    """Energies and derivatives through torch's autograd, as NumPy arrays by name."""
    U = fb.potential(bundle, engine=engine, host="torch")
    tables = {name: torch.tensor(table.values, requires_grad=True) for name, table in bundle.tables.items()}
    positions = torch.tensor(x, requires_grad=True)
    energy = U(positions, tables)
    second = engine in SECOND_ORDER
    inputs = [positions, *tables.values()]
    du_dx, *du_dtables = torch.autograd.grad(energy.sum(), inputs, create_graph=second)
    found = {"energy": energy, "forces": -du_dx} | {
        f"dU/d {name}": du for name, du in zip(tables, du_dtables, strict=True)
    }
    if second:
        product, mixed = torch.autograd.grad((du_dx * torch.tensor(direction)).sum(), [positions, tables[TABLE]])
        found |= {"HVP": product, f"d²U/dx d {TABLE}": mixed}
    return {name: value.detach().numpy() for name, value in found.items()}


def in_jax(bundle, engine, x, direction):
    """The same through JAX's grad and jvp, jitted."""
    U = fb.potential(bundle, engine=engine, host="jax")
    tables = {name: jax.numpy.asarray(table.values) for name, table in bundle.tables.items()}
    positions = jax.numpy.asarray(x)

    def loss(positions, tables):
        energy = U(positions, tables)
        return energy.sum(), energy

    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (du_dx, du_dtables), energy = jax.jit(gradient)(positions, tables)
    found = {"energy": energy, "forces": -du_dx} | {f"dU/d {name}": du for name, du in du_dtables.items()}
    if engine in SECOND_ORDER:
        slope = lambda positions, tables: (gradient(positions, tables)[0][0] * direction).sum()  # noqa: E731
        product, mixed = jax.jit(jax.grad(slope, argnums=(0, 1)))(positions, tables)
        found |= {"HVP": product, f"d²U/dx d {TABLE}": mixed[TABLE]}
    return {name: np.asarray(value) for name, value in found.items()}


def difference(found, expected):
    """The largest difference, relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def agreement(name, bundle, x, openmm):
    """Differences of every pair from the torch engine by itself, and of that from OpenMM."""
    direction = np.random.default_rng(7).normal(size=x.shape)
    expected = in_torch(bundle, "torch", x, direction)
    rows = [{"case": name, "engine": "OpenMM Reference", "host": "", **openmm(expected)}]
    for engine, host in PAIRS[1:]:
        found = (in_torch if host == "torch" else in_jax)(bundle, engine, x, direction)
        tables = max(difference(found[key], expected[key]) for key in found if key.startswith("dU/d "))
        rest = {key: difference(value, expected[key]) for key, value in found.items() if not key.startswith("dU/d ")}
        rows.append({"case": name, "engine": engine, "host": host, **rest, "dU/d tables": tables})
    return rows


def against_openmm(drugs, x):
    """A function that compares energies and forces of the drugs, side by side in one batch, with OpenMM's."""

    def compare(found):
        energies, forces, start = [], [], 0
        for drug in drugs:
            stop = start + len(drug.positions)
            each = [drug.reference.evaluate(conformer[start:stop]).values() for conformer in x]
            energies.append([sum(energy for energy, _ in groups) for groups in each])
            forces.append(np.stack([sum(force for _, force in groups) for groups in each]))
            start = stop
        return {
            "energy": difference(found["energy"], np.array(energies).T),
            "forces": difference(found["forces"], np.concatenate(forces, axis=1)),
        }

    return compare


def time_calls(*calls, rounds=300):
    """Median seconds of each call, the calls taking turns."""
    times = [[] for _ in calls]
    for turn in range(rounds + 30):
        for call, record in zip(calls, times, strict=True):
            start = perf_counter()
            call()
            if turn >= 30:
                record.append(perf_counter() - start)
    return [median(record) for record in times]


def crossings():
    """Microseconds for energy + forces of ethanol: the engine's own call, the host's call, and the difference."""
    (molecule,) = read_molecules("CCO")
    molecule.generate_conformers(n_conformers=1)
    bundle = from_interchange(parametrize([molecule]))
    x = molecule.conformers[0].m_as("nm")
    here, there = torch.tensor(x), jax.numpy.asarray(x)

    U = fb.potential(bundle, engine="jax")
    native_jax = jax.jit(jax.value_and_grad(lambda x: U(x).sum()))
    hosted_torch = fb.potential(bundle, engine="jax", host="torch")

    def through_torch():
        positions = here.clone().requires_grad_()
        hosted_torch(positions).sum().backward()
        return positions.grad

    own_torch = fb.potential(bundle, engine="torch")

    def native_torch():
        positions = here.clone().requires_grad_()
        own_torch(positions).sum().backward()
        return positions.grad

    hosted_jax = fb.potential(bundle, engine="torch", host="jax")
    through_jax = jax.jit(jax.value_and_grad(lambda x: hosted_jax(x).sum()))
    wait = jax.block_until_ready
    # (host, engine, what is called, the engine's own call, the host's)
    cases = [
        ("torch", "jax", "backward", lambda: wait(native_jax(there)), through_torch),
        *(
            (
                "torch",
                "jax",
                name,
                partial(_wait_for, getattr(U, name), there),
                partial(getattr(hosted_torch, name), here),
            )
            for name in METHODS
        ),
        ("jax", "torch", "jitted grad", native_torch, lambda: wait(through_jax(there))),
        *(
            (
                "jax",
                "torch",
                name,
                partial(getattr(own_torch, name), here),
                partial(_wait_for, getattr(hosted_jax, name), there),
            )
            for name in METHODS
        ),
    ]
    rows = []
    for host, engine, name, own, hosted in cases:
        alone, through = (1e6 * seconds for seconds in time_calls(own, hosted))
        rows.append({"host": host, "engine": engine, "call": name, "engine alone": alone, "hosted": through})
    return rows


def _wait_for(call, x):
    """Call, and wait until JAX is done."""
    return jax.block_until_ready(tuple(call(x)))


def main():
    """Print the figures, write them, and return 1 if an agreement is out of its limit of 1e-9."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    drugs = load_drugs()
    rows = []
    for name, chosen in (("acetaminophen", drugs[:1]), ("ibuprofen", drugs[1:2]), ("eight drugs", drugs)):
        bundle = fb.concatenate([drug.bundle for drug in chosen])
        x = conformers(np.concatenate([drug.positions for drug in chosen]))
        rows += agreement(name, bundle, x, against_openmm(chosen, x))
    for row in rows:
        print(
            "  ".join(
                f"{key}: {value:.1e}" if isinstance(value, float) else f"{value:16s}" for key, value in row.items()
            )
        )
    costs = crossings()
    for row in costs:
        row["overhead"] = row["hosted"] - row["engine alone"]
        print(
            "  ".join(
                f"{key}: {value:.0f} µs" if isinstance(value, float) else f"{value:16s}" for key, value in row.items()
            )
        )
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(
        json.dumps({"agreement": rows, "crossings_us": costs}, indent=1, ensure_ascii=False) + "\n"
    )
    worst = max(value for row in rows for value in row.values() if isinstance(value, float))
    print(f"largest difference {worst:.1e}")
    return int(worst > 1e-9)


if __name__ == "__main__":
    raise SystemExit(main())
