"""The engine ``jax``: the standard's energies in JAX, compiled once for each structure and set of shapes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.energy.api import EnergyFunction, by_term, packed_energies, total
from ffbridge.energy.chunks import bucket, conformers_at_once
from ffbridge.energy.evaluator import ArrayEvaluator
from ffbridge.energy.plan import Structure
from ffbridge.energy.total import energies
from ffbridge.engine import ArrayEngine, Arrays, EngineEvaluator, Evaluation
from ffbridge.exchange import share
from ffbridge.function import FunctionSource, Kind, Signature, Transformation, Vmap, compose
from ffbridge.packing import Packing
from ffbridge.registry import backend_of

__all__ = ["JaxEngine", "engine"]


@dataclass(frozen=True, eq=False)
class _Compiled:
    """The jitted functions of one structure. Index arrays are arguments, so bundles of equal shapes share the code."""

    by_term: Callable[..., dict[str, Array]]
    energy: Callable[..., Array]
    value_and_grad: Callable[..., Evaluation]
    energy_and_forces: Callable[..., tuple[Array, Array]]


@cache
def _compile(backend: Backend, structure: Structure, evaluate: EnergyFunction) -> _Compiled:
    import jax

    def energy_sum(x: Array, tables: Arrays, arrays: Arrays, real: Array) -> tuple[Array, Array]:
        energy = total(backend, structure, arrays, x, tables, evaluate=evaluate)
        return jax.numpy.where(real[..., None], energy, 0).sum(), energy

    def value_and_grad(x: Array, tables: Arrays, arrays: Arrays, n_conformers: Array) -> Evaluation:
        differentiate = jax.value_and_grad(energy_sum, argnums=(0, 1), has_aux=True)
        real = (jax.numpy.arange(prod(x.shape[:-2])) < n_conformers).reshape(x.shape[:-2])

        def evaluate_chunk(inputs: tuple[Array, Array]) -> Evaluation:
            (_, energy), (du_dx, du_dtables) = differentiate(inputs[0], tables, arrays, inputs[1])
            return Evaluation(energy, -du_dx, du_dtables)

        at_once = conformers_at_once(arrays)
        if prod(x.shape[:-2]) <= at_once:
            return evaluate_chunk((x, real))
        chunks = x.reshape(-1, at_once, *x.shape[-2:]), real.reshape(-1, at_once)
        found = jax.lax.map(evaluate_chunk, chunks)
        energy, forces = (each.reshape(*x.shape[:-2], *each.shape[2:]) for each in found[:2])
        return Evaluation(energy, forces, jax.tree.map(lambda each: each.sum(axis=0), found.tables))

    def chunked_energy(x: Array, tables: Arrays, arrays: Arrays) -> Array:
        at_once = conformers_at_once(arrays)

        def evaluate_chunk(x: Array) -> Array:
            return total(backend, structure, arrays, x, tables, evaluate=evaluate)

        if prod(x.shape[:-2]) <= at_once:
            return evaluate_chunk(x)
        # Derivatives are taken chunk by chunk too: nothing of a chunk is kept for them, it is computed again.
        found = jax.lax.map(jax.checkpoint(evaluate_chunk), x.reshape(-1, at_once, *x.shape[-2:]))
        return found.reshape(*x.shape[:-2], -1)

    return _Compiled(
        by_term=jax.jit(lambda x, tables, arrays: by_term(backend, structure, arrays, x, tables, evaluate=evaluate)),
        energy=jax.jit(chunked_energy),
        value_and_grad=jax.jit(value_and_grad),
        # XLA leaves out what nobody reads: the derivatives to the tables.
        energy_and_forces=jax.jit(lambda *inputs: value_and_grad(*inputs)[:2]),
    )


@cache
def _compile_packed(
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


def _scope(x64: bool) -> AbstractContextManager[Any]:
    """Return the scope in which a potential runs: outside, float64 arrays would silently be computed in float32."""
    if not x64:
        return nullcontext()
    import jax

    scope: AbstractContextManager[Any] = jax.enable_x64(True)
    return scope


def _dtype(array: Array) -> str:
    return backend_of(array).dtype(array)


def _take(array: Array, backend: Backend) -> Array:
    """Return an input as a compiled function takes it fastest: in NumPy if it is another framework's and on the CPU."""
    source = backend_of(array)
    if source is backend:
        return array
    return share(array, "numpy" if source.device(array) == "cpu" else backend).array


def _filled(x: Array, at_once: int) -> Array:
    """Return positions with the last conformer repeated, up to a number that is compiled."""
    n_conformers = prod(x.shape[:-2])
    missing = bucket(n_conformers, at_once) - n_conformers
    if not missing:
        return x
    xp = backend_of(x).namespace
    x = xp.reshape(x, (-1, *x.shape[-2:]))
    return xp.concat([x, xp.broadcast_to(x[-1:], (missing, *x.shape[1:]))])


def _without_fill(result: Array, x: Array, at_once: int) -> Array:
    """Return a result for each conformer of `_filled(x)` as one for each conformer of `x`."""
    batch = x.shape[:-2]
    if bucket(prod(batch), at_once) == prod(batch):
        return result
    return result[: prod(batch)].reshape(*batch, *result.shape[1:])


@dataclass(frozen=True, eq=False)
class _JaxSource(FunctionSource):
    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]
    packing: Packing
    n_energies: int
    each_term: bool
    x64: bool
    evaluate: EnergyFunction

    def run(
        self, path: tuple[Transformation, ...], signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Run the compiled function; conformers are filled up to the next power of two, so that few are compiled."""
        compiled = _compile_packed(self.backend, self.structure, self.evaluate, self.packing, self.each_term, path)
        with _scope(self.x64):
            taken = [_take(array, self.backend) for array in inputs]
            length = taken[0].shape[-1]
            n_conformers = self.packing.n_conformers(length)
            missing = bucket(n_conformers, conformers_at_once(self.arrays)) - n_conformers
            if not missing or any(isinstance(by, Vmap) for by in path):
                return compiled(self.arrays, self.tables, *taken)
            point, *others = taken
            filled = [
                self._fill(array, kind, missing) for array, kind in zip(others, signature.inputs[1:], strict=True)
            ]
            outputs = compiled(self.arrays, self.tables, self._repeat(point, missing), *filled)
            stop = {"packed": length, "energies": n_conformers, "rows": n_conformers}
            return tuple(output[: stop[kind]] for output, kind in zip(outputs, signature.outputs, strict=True))

    def _repeat(self, point: Array, missing: int) -> Array:
        """Return the packed point with its last conformer repeated: energies of real geometries, none infinite."""
        xp = backend_of(point).namespace
        return xp.concat([point, xp.tile(point[-3 * self.packing.n_atoms :], (missing,))])

    def _fill(self, array: Array, kind: Kind, missing: int) -> Array:
        """Return tangents or cotangents with those of more conformers, zero."""
        xp = backend_of(array).namespace
        shape = (missing * 3 * self.packing.n_atoms,) if kind == "packed" else (missing, *array.shape[1:])
        return xp.concat([array, xp.zeros(shape, dtype=array.dtype)])


@dataclass(frozen=True, eq=False)
class _JaxEvaluator(ArrayEvaluator):
    x64: bool
    evaluate: EnergyFunction

    @property
    def compiled(self) -> _Compiled:
        return _compile(self.backend, self.structure, self.evaluate)

    @cached_property
    def at_once(self) -> int:
        return conformers_at_once(self.arrays)

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        with _scope(self.x64):
            terms = self.compiled.by_term(_filled(x, self.at_once), {**self.tables, **tables}, self.arrays)
            return {name: _without_fill(energy, x, self.at_once) for name, energy in terms.items()}

    def energy(self, x: Array, tables: Arrays) -> Array:
        with _scope(self.x64):
            energy = self.compiled.energy(_filled(x, self.at_once), {**self.tables, **tables}, self.arrays)
            return _without_fill(energy, x, self.at_once)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        with _scope(self.x64):
            found = self.compiled.value_and_grad(*self._inputs(x, tables))
            energy, forces = (_without_fill(each, x, self.at_once) for each in found[:2])
            return Evaluation(energy, forces, found.tables)

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        with _scope(self.x64):
            energy, forces = self.compiled.energy_and_forces(*self._inputs(x, tables))
            return _without_fill(energy, x, self.at_once), _without_fill(forces, x, self.at_once)

    def _inputs(self, x: Array, tables: Arrays) -> tuple[Array, dict[str, Array], Arrays, int]:
        given = {name: _take(table, self.backend) for name, table in tables.items()}
        filled = _filled(_take(x, self.backend), self.at_once)
        return filled, {**self.tables, **given}, self.arrays, prod(x.shape[:-2])

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        prepared = (self.backend, self.structure, self.arrays, self.tables)
        return _JaxSource(*prepared, packing, self.n_energies(each_term=each_term), each_term, self.x64, self.evaluate)


class JaxEngine(ArrayEngine):
    """JAX, on any of its devices. Works inside jit, grad and vmap."""

    name = backend = package = "jax"
    install = 'pip install "ffbridge[jax]"'
    derivatives = 2

    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        return ("energies and derivatives of any order",)

    def prepare(self, bundle: Bundle, *, hosted: bool = False) -> EngineEvaluator:
        """Make a valid bundle ready; under another host with x64 on in a local scope, if the bundle is float64."""
        with _scope(hosted and "float64" in {_dtype(table.values) for table in bundle.tables.values()}):
            return super().prepare(bundle)

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> EngineEvaluator:
        """Return an evaluator of compiled functions."""
        x64 = "float64" in {_dtype(table) for table in tables.values()}
        return _JaxEvaluator(backend, structure, arrays, tables, x64, self.energies)

    def energies(
        self, backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays
    ) -> dict[str, Array]:
        """Return the energy of every term, as :func:`ffbridge.energy.total.energies` does; traced and compiled."""
        return energies(backend, structure, arrays, x, tables)


engine = JaxEngine()
