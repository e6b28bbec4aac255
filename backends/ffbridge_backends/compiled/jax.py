"""What the engine ``jax`` compiles: once for each structure and set of sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from math import prod
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import EnergyFunction, analytic_value_and_grad, by_term, packed_energies, total
from ffbridge.energy.chunks import chunk_of, conformers_at_once
from ffbridge.energy.plan import Structure
from ffbridge.energy.total import energies
from ffbridge.engine import Arrays, Evaluation
from ffbridge.function import Transformation, compose
from ffbridge.packing import Packing

__all__ = ["CompiledEnergies", "compile_energies", "compile_packed"]


@dataclass(frozen=True, eq=False)
class CompiledEnergies:
    """The jitted functions of one structure: of positions, tables and, if they are not bound, the plan's arrays."""

    by_term: Callable[..., dict[str, Array]]
    energy: Callable[..., Array]
    value_and_grad: Callable[..., Evaluation]
    energy_and_forces: Callable[..., tuple[Array, Array]]

    def bound(self, arrays: Arrays, tables: Arrays, *, constant: bool) -> CompiledEnergies:
        """Return the functions of one bundle: of positions and those tables that replace its own.

        Args:
            arrays: the plan's arrays.
            tables: the bundle's own.
            constant: compiles them into the program, which takes up to half of the time then, and is this bundle's
                alone; else they are its arguments, and bundles of equal shapes share the code.
        """
        import jax

        def bind(function: Callable[..., Any]) -> Callable[..., Any]:
            def of_bundle(x: Array, given: Arrays, *others: Any) -> Any:
                return function(x, {**tables, **given}, arrays, *others)

            return jax.jit(of_bundle) if constant else of_bundle

        return CompiledEnergies(*(bind(getattr(self, each.name)) for each in fields(self)))


@cache
def compile_energies(backend: Backend, structure: Structure, evaluate: EnergyFunction) -> CompiledEnergies:
    """Return the jitted functions of a structure, made once."""
    import jax

    def energy_sum(x: Array, tables: Arrays, arrays: Arrays, real: Array) -> tuple[Array, Array]:
        energy = total(backend, structure, arrays, x, tables, evaluate=evaluate)
        return jax.numpy.where(real[..., None], energy, 0).sum(), energy

    def value_and_grad(x: Array, tables: Arrays, arrays: Arrays, n_conformers: Array | None) -> Evaluation:
        """Evaluate those conformers that count: the first so many, or all if None."""
        differentiate = jax.value_and_grad(energy_sum, argnums=(0, 1), has_aux=True)
        stop = prod(x.shape[:-2]) if n_conformers is None else n_conformers
        real = (jax.numpy.arange(prod(x.shape[:-2])) < stop).reshape(x.shape[:-2])

        def evaluate_chunk(inputs: tuple[Array, Array]) -> Evaluation:
            if evaluate is energies:
                counted = None if n_conformers is None else inputs[1].reshape(-1, 1).astype(x.dtype)
                return analytic_value_and_grad(backend, structure, arrays, inputs[0], tables, counted=counted)
            (_, energy), (du_dx, du_dtables) = differentiate(inputs[0], tables, arrays, inputs[1])
            return Evaluation(energy, -du_dx, du_dtables)

        at_once = chunk_of(prod(x.shape[:-2]), conformers_at_once(arrays))
        if prod(x.shape[:-2]) <= at_once:
            return evaluate_chunk((x, real))
        chunks = x.reshape(-1, at_once, *x.shape[-2:]), real.reshape(-1, at_once)
        found = jax.lax.map(evaluate_chunk, chunks)
        energy, forces = (each.reshape(*x.shape[:-2], *each.shape[2:]) for each in found[:2])
        return Evaluation(energy, forces, jax.tree.map(lambda each: each.sum(axis=0), found.tables))

    def chunked_energy(x: Array, tables: Arrays, arrays: Arrays) -> Array:
        at_once = chunk_of(prod(x.shape[:-2]), conformers_at_once(arrays))

        def evaluate_chunk(x: Array) -> Array:
            return total(backend, structure, arrays, x, tables, evaluate=evaluate)

        if prod(x.shape[:-2]) <= at_once:
            return evaluate_chunk(x)
        # Derivatives are taken chunk by chunk too: nothing of a chunk is kept for them, it is computed again.
        found = jax.lax.map(jax.checkpoint(evaluate_chunk), x.reshape(-1, at_once, *x.shape[-2:]))
        return found.reshape(*x.shape[:-2], -1)

    return CompiledEnergies(
        by_term=jax.jit(lambda x, tables, arrays: by_term(backend, structure, arrays, x, tables, evaluate=evaluate)),
        energy=jax.jit(chunked_energy),
        value_and_grad=jax.jit(value_and_grad),
        # XLA leaves out what nobody reads: the derivatives to the tables.
        energy_and_forces=jax.jit(lambda *inputs: value_and_grad(*inputs)[:2]),
    )


@cache
def compile_packed(
    backend: Backend,
    structure: Structure,
    evaluate: EnergyFunction,
    packing: Packing,
    each_term: bool,
    path: tuple[Transformation, ...],
) -> Callable[..., tuple[Array, ...]]:
    """Return the jitted ``(arrays, tables, *inputs) -> outputs`` of packed energies transformed by a path."""
    import jax

    def run(arrays: Arrays, tables: Arrays, *inputs: Array) -> tuple[Array, ...]:
        def packed_function(packed: Array) -> tuple[Array, ...]:
            found = packed_energies(
                backend, structure, arrays, tables, packed, packing=packing, each_term=each_term, evaluate=evaluate
            )
            return (found,)

        transformed = compose(
            packed_function,
            path,
            vjp=lambda f, at, cotangents: jax.vjp(f, *at)[1](cotangents),
            jvp=lambda f, at, tangents: jax.jvp(f, at, tangents)[1],
            vmap=lambda f, axes: jax.vmap(f, in_axes=axes),
            slope=lambda f, at: (_slope(packing, f, at),),
        )
        return transformed(*inputs)

    return jax.jit(run)


def _slope(packing: Packing, function: Callable[..., Any], inputs: tuple[Array, ...]) -> Array:
    import jax

    (energies,), pullback = jax.vjp(function, *inputs)
    (gradient,) = pullback((jax.numpy.ones_like(energies),))
    return packing.rows(jax.numpy, energies, gradient)
