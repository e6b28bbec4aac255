"""The engine ``jax``: the standard's energies in JAX, compiled for sizes that many bundles share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.energy.api import EnergyFunction
from ffbridge.energy.chunks import bucket, conformers_at_once
from ffbridge.energy.evaluator import ArrayEvaluator
from ffbridge.energy.padding import Padding, padded_plan
from ffbridge.energy.plan import Structure
from ffbridge.energy.sizes import shared_sizes, sizes
from ffbridge.energy.total import energies
from ffbridge.engine import ArrayEngine, Arrays, EngineEvaluator, Evaluation
from ffbridge.errors import UnknownNameError
from ffbridge.exchange import share
from ffbridge.function import FunctionSource, Kind, Signature, Transformation, Vmap
from ffbridge.packing import Packing
from ffbridge.registry import backend_of, get_backend
from ffbridge.together import share_all
from ffbridge_backends.compiled.jax import CompiledEnergies, compile_energies, compile_packed
from ffbridge_backends.jax import backend as jax_backend

__all__ = ["JaxEngine", "engine"]


def _scope(x64: bool) -> AbstractContextManager[Any]:
    """Return the scope in which a potential runs: outside, float64 arrays would silently be computed in float32."""
    jax_backend.require_threads()
    jax = jax_backend.framework
    if not x64 or jax.config.jax_enable_x64:
        return nullcontext()
    scope: AbstractContextManager[Any] = jax.enable_x64(True)
    return scope


def _dtype(array: Array) -> str:
    return backend_of(array).dtype(array)


def _on_host(array: Array, backend: Backend) -> Array:
    """Return an array in NumPy, if it has values and is on the CPU, else in JAX.

    NumPy cuts, joins and fills arrays of any shape without compiling something for it.
    """
    source = backend_of(array)
    if not source.has_values(array):
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


def _n_conformers(x: Array) -> int | None:
    """Return how many conformers count, as compiled functions take it; None for one, which is never filled up."""
    n_conformers = prod(x.shape[:-2])
    return None if n_conformers == 1 else n_conformers


def _without_fill(result: Array, x: Array, at_once: int) -> Array:
    """Return a result for each conformer of `_filled(x)` as one for each conformer of `x`."""
    batch = x.shape[:-2]
    if bucket(prod(batch), at_once) == prod(batch):
        return result
    return result[: prod(batch)].reshape(*batch, *result.shape[1:])


def _whole(array: Array) -> Array:
    return array


@dataclass(frozen=True, eq=False)
class _JaxSource(FunctionSource):
    """Engine functions of padded sizes for a host that knows nothing of them."""

    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]
    packing: Packing
    n_energies: int
    each_term: bool
    x64: bool
    evaluate: EnergyFunction
    padding: Padding | None

    def run(
        self, path: tuple[Transformation, ...], signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Run the compiled function; conformers are filled up to the next power of two, so that few are compiled."""
        packing = self.padding.packing(self.packing) if self.padding else self.packing
        compiled = compile_packed(self.backend, self.structure, self.evaluate, packing, self.each_term, path)
        with _scope(self.x64):
            taken = [_on_host(array, self.backend) for array in inputs]
            n_conformers = self.packing.n_conformers(taken[0].shape[-1])
            missing = bucket(n_conformers, conformers_at_once(self.arrays)) - n_conformers
            if any(isinstance(by, Vmap) for by in path):
                missing = 0
            point, *others = taken
            if missing:
                point = self._repeat(point, missing)
                others = [
                    self._fill(array, kind, missing) for array, kind in zip(others, signature.inputs[1:], strict=True)
                ]
            padded = [
                self._pad(array, kind, point=not place)
                for place, (array, kind) in enumerate(zip((point, *others), signature.inputs, strict=True))
            ]
            outputs = compiled(self.arrays, self.tables, *padded)
            found = [self._cut(output, kind) for output, kind in zip(outputs, signature.outputs, strict=True)]
            if not missing:
                return tuple(found)
            stop = {"packed": taken[0].shape[-1], "energies": n_conformers, "rows": n_conformers}
            return tuple(output[: stop[kind]] for output, kind in zip(found, signature.outputs, strict=True))

    def _pad(self, array: Array, kind: Kind, *, point: bool) -> Array:
        if self.padding is None:
            return array
        xp = backend_of(array).namespace
        if kind == "packed":
            return self.padding.packed(xp, self.packing, array, point=point)
        if kind == "energies":
            return self.padding.energies(xp, array)
        return self.padding.rows(xp, array, self.n_energies)

    def _cut(self, array: Array, kind: Kind) -> Array:
        if self.padding is None:
            return array
        array = _on_host(array, self.backend)
        xp = backend_of(array).namespace
        if kind == "packed":
            return self.padding.cut_packed(xp, self.packing, array)
        if kind == "energies":
            return self.padding.cut_energies(array, self.n_energies)
        return self.padding.cut_rows(xp, array, self.n_energies)

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
    """Compiled functions.

    Attributes:
        x64: whether it computes in float64.
        evaluate: the energy function.
        padding: from the bundle's sizes to those of `structure`, `arrays` and `tables`, and back; None if those are its
            own.
        make_exact: makes an evaluator of the bundle's own sizes; None if this is one.
        hosted: whether results may be NumPy's, as they go on to another framework.
    """

    x64: bool
    evaluate: EnergyFunction
    padding: Padding | None = None
    make_exact: Callable[[], EngineEvaluator] | None = None
    hosted: bool = False

    @cached_property
    def compiled(self) -> CompiledEnergies:
        shared = compile_energies(self.backend, self.structure, self.evaluate)
        return shared.bound(self.arrays, self.tables, constant=self.padding is None)

    @cached_property
    def at_once(self) -> int:
        return conformers_at_once(self.arrays)

    @cached_property
    def exact(self) -> EngineEvaluator:
        return self.make_exact() if self.make_exact else self

    def n_energies(self, *, each_term: bool) -> int:
        """Return the energies of each conformer, those of the padding left out."""
        n_systems = self.padding.own.n_systems if self.padding else self.structure.n_systems
        return n_systems * (len(self.structure.terms) if each_term else 1)

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        if self._is_compiled_by_caller(x, tables):
            return self.exact.by_term(x, tables)
        with _scope(self.x64):
            terms = self.compiled.by_term(*self._inputs(x, tables))
            return self._results({name: self._energy(energy, x) for name, energy in terms.items()})

    def energy(self, x: Array, tables: Arrays) -> Array:
        if self._is_compiled_by_caller(x, tables):
            return self.exact.energy(x, tables)
        with _scope(self.x64):
            energy = self.compiled.energy(*self._inputs(x, tables))
            return self._results({"": self._energy(energy, x)})[""]

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        if self._is_compiled_by_caller(x, tables):
            return self.exact.value_and_grad(x, tables)
        with _scope(self.x64):
            found = self.compiled.value_and_grad(*self._inputs(x, tables), _n_conformers(x))
            # The names of tables have no slash before them.
            results = self._results(
                {"/energy": self._energy(found.energy, x), "/forces": self._forces(found.forces, x)}
                | {name: self._table(name, table) for name, table in found.tables.items()}
            )
            return Evaluation(results.pop("/energy"), results.pop("/forces"), results)

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        if self._is_compiled_by_caller(x, tables):
            return self.exact.energy_and_forces(x, tables)
        with _scope(self.x64):
            n_conformers = _n_conformers(x)
            energy, forces = self.compiled.energy_and_forces(*self._inputs(x, tables), n_conformers)
            if self.padding is None and n_conformers is None:
                return energy, forces
            results = self._results({"energy": self._energy(energy, x), "forces": self._forces(forces, x)})
            return results["energy"], results["forces"]

    def _is_compiled_by_caller(self, x: Array, tables: Arrays) -> bool:
        """Whether the call is being traced in order to be compiled, so that other sizes would save nothing."""
        if self.padding is None or not any(map(self.backend.is_tracked, (x, *tables.values()))):
            return False
        # Under jit, all that JAX makes is traced; under grad or vmap alone, what depends on the inputs.
        return self.backend.is_tracked(self.backend.namespace.zeros(()))

    def _inputs(self, x: Array, tables: Arrays) -> tuple[Array, Arrays]:
        """Return positions and given tables in the sizes that are compiled."""
        if self.padding is None:
            n_conformers, given = prod(x.shape[:-2]), {name: self._taken(table) for name, table in tables.items()}
            full = n_conformers == 1 or bucket(n_conformers, self.at_once) == n_conformers
            return self._taken(x) if full else _filled(_on_host(x, self.backend), self.at_once), given
        x, given = _on_host(x, self.backend), {name: _on_host(table, self.backend) for name, table in tables.items()}
        x = self.padding.positions(backend_of(x).namespace, x)
        given = {name: self.padding.table(backend_of(table).namespace, name, table) for name, table in given.items()}
        return _filled(x, self.at_once), given

    def _taken(self, array: Array) -> Array:
        """Return an array that a compiled function takes as it is."""
        return array if isinstance(array, self.backend.array_types) else _on_host(array, self.backend)

    def _energy(self, energy: Array, x: Array) -> Array:
        return _without_fill(
            self.padding.cut_energy(self._readable(energy)) if self.padding else energy, x, self.at_once
        )

    def _forces(self, forces: Array, x: Array) -> Array:
        cut = self.padding.cut_positions(self._readable(forces)) if self.padding else forces
        return _without_fill(cut, x, self.at_once)

    def _table(self, name: str, table: Array) -> Array:
        return self.padding.cut_table(name, self._readable(table)) if self.padding else table

    def _readable(self, array: Array) -> Array:
        """Return a result in NumPy, as `_on_host` does, which looks at more than is needed here."""
        return np.asarray(array) if self._on_cpu and not self.backend.is_tracked(array) else array

    @cached_property
    def _on_cpu(self) -> bool:
        return all(self.backend.device(array) == "cpu" for array in self.tables.values())

    def _results(self, parts: dict[str, Array]) -> dict[str, Array]:
        """Return what was cut out as arrays of JAX, unless it goes on to another framework."""
        return parts if self.hosted or self.padding is None else share_all(parts, self.backend)

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        prepared = (self.backend, self.structure, self.arrays, self.tables)
        n_energies = self.n_energies(each_term=each_term)
        return _JaxSource(*prepared, packing, n_energies, each_term, self.x64, self.evaluate, self.padding)


@dataclass(frozen=True, eq=False)
class JaxEngine(ArrayEngine):
    """JAX, on any of its devices. Works inside jit, grad and vmap.

    Attributes:
        shapes: ``"shared"`` evaluates a bundle in larger sizes, which many bundles have (:mod:`ffbridge.energy.sizes`),
            so that few functions are compiled while many molecules or batches come and go; ``"exact"`` in its own, with
            its indices and those tables that no call replaces as constants, for a potential that is called so often
            that its own compilation pays. What a caller compiles himself (``jax.jit``) has exact sizes anyway.
    """

    shapes: Literal["shared", "exact"] = "shared"

    name = backend = package = "jax"
    install = 'pip install "ffbridge[jax]"'
    options: ClassVar[tuple[str, ...]] = ("shapes",)
    derivatives = 2

    def with_options(self, **options: Any) -> JaxEngine:
        """Return the engine with other attributes.

        Raises:
            UnknownNameError: it has no such option, or the option no such value.
        """
        super().with_options(**options)
        known = ("shared", "exact")
        if options.get("shapes", known[0]) not in known:
            raise UnknownNameError(
                f"the engine {self.name!r} has no shapes={options['shapes']!r}; it has: {', '.join(known)}"
            )
        return replace(self, **options)

    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        return ("energies and derivatives of any order",)

    def prepare(self, bundle: Bundle, *, hosted: bool = False) -> EngineEvaluator:
        """Make a valid bundle ready; under another host with x64 on in a local scope, if the bundle is float64."""
        hosted_x64 = hosted and "float64" in {_dtype(table.values) for table in bundle.tables.values()}
        with _scope(hosted_x64):
            if self.shapes == "exact":
                return super().prepare(bundle)
            return self._prepare_shared(bundle, hosted)

    def _prepare_shared(self, bundle: Bundle, hosted: bool) -> EngineEvaluator:
        values, backend = bundle.snapshot(), get_backend(self.backend)
        own_structure, own_arrays = self.plan(values)
        self._require_functions(bundle, backend)
        own_tables = {name: table.values for name, table in values.tables.items()}
        own = sizes(own_structure, own_arrays, own_tables, bundle.n_atoms)
        padding = Padding(own, shared_sizes(own_structure, own))
        structure, arrays = padded_plan(own_structure, own_arrays, padding)
        tables = {name: padding.table(np, name, table) for name, table in own_tables.items()}
        shared = ({name: share(array, backend).array for name, array in each.items()} for each in (arrays, tables))
        return replace(
            self.evaluator(backend, structure, *shared),
            padding=padding,
            make_exact=lambda: replace(self, shapes="exact").prepare(bundle, hosted=hosted),
            hosted=hosted,
        )

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> _JaxEvaluator:
        """Return an evaluator of compiled functions."""
        x64 = "float64" in {_dtype(table) for table in tables.values()}
        return _JaxEvaluator(backend, structure, arrays, tables, x64, self.energy_function)

    @property
    def energy_function(self) -> EnergyFunction:
        """The energy of every term, as :func:`ffbridge.energy.total.energies`: traced and compiled, once for all."""
        return energies


engine = JaxEngine()
