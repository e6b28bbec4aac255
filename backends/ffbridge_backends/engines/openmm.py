"""The engine ``openmm``: energies and forces by OpenMM, one System and one Context for each system of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.engine import Arrays, Engine, EngineEvaluator, Evaluation
from ffbridge.errors import UnknownNameError, UnsupportedError
from ffbridge.exchange import share
from ffbridge.exporters.openmm import build_system
from ffbridge.exporters.openmm.parameters import of_terms
from ffbridge.first_order import FirstOrderSource
from ffbridge.function import EngineFunction, FunctionSource
from ffbridge.missing_gradients import MissingGradients
from ffbridge.packing import Packing
from ffbridge.registry import get_backend, get_engine
from ffbridge.separate import separate
from ffbridge.virtual_sites import Placement
from ffbridge_backends.engines.degenerate import set_aside

__all__ = ["OpenMMEngine", "engine"]

Floats = NDArray[np.float64]
Tables = Mapping[str, NDArray[Any]]

_NO_TABLE_GRADIENTS = (
    "the engine 'openmm' has energies and forces, and no derivatives with respect to parameters. Take them from an "
    "array engine: fb.potential(bundle, engine='openmm', table_gradients='numpy'). If they are not wanted, detach the "
    "table"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenMMEngine(Engine):
    """OpenMM, in double precision unless another platform than the default is asked for.

    Energies and forces are computed in the precision of the platform, whatever the bundle's dtype, and rounded to it.
    Virtual sites are placed before OpenMM is told positions, so that their geometries may change. Where an interaction
    has no direction and OpenMM no finite value, as for atoms that coincide, it has the limit that the standard states.

    Attributes:
        platform: name of OpenMM's platform. ``Reference`` computes in double precision; ``CPU`` computes nonbonded
            forces in single precision, and GPU platforms as their property ``Precision`` says.
        properties: the platform's properties, such as ``{"Threads": "1"}``.
        table_gradients: name of the array engine that takes the place of OpenMM for derivatives with respect to tables;
            they are refused if None. It must evaluate the bundle too.
    """

    name = package = "openmm"
    backend = "numpy"
    install = 'pip install "ffbridge[openmm]"'
    options = ("platform", "properties", "table_gradients")
    table_derivatives = False

    platform: str = "Reference"
    properties: Mapping[str, str] = field(default_factory=dict)
    table_gradients: str | None = None

    def abilities(self) -> tuple[str, ...]:
        """Return what it has, and OpenMM's platforms."""
        return ("energies and forces", f"platforms: {', '.join(self._platforms())}")

    def with_options(self, **options: Any) -> OpenMMEngine:
        """Return the engine with other attributes; errors as `Engine.with_options`."""
        super().with_options(**options)
        return replace(self, **options)

    def prepare(self, bundle: Bundle, *, hosted: bool = False) -> EngineEvaluator:
        """Make a Context for each system of a valid bundle."""
        if self.platform not in self._platforms():
            raise UnknownNameError(
                f"OpenMM has no platform {self.platform!r} here; it has: {', '.join(self._platforms())}"
            )
        tables = {name: share(table.values, "numpy").array for name, table in bundle.tables.items()}
        values = bundle.snapshot()
        acting = replace(values, terms=values.energy_terms)
        systems = tuple(_SystemContext(self, each, tables) for each in separate(acting))
        gradients = None
        if self.table_gradients is not None:
            gradients = get_engine(self.table_gradients).prepare(values, hosted=True)
        placement = Placement.of(values, get_backend("numpy"))
        return _OpenMMEvaluator(acting, systems, tables, gradients, placement)

    def context(self, system: Any) -> Any:
        """Return an ``openmm.Context`` of a System."""
        openmm = self.framework
        platform = openmm.Platform.getPlatformByName(self.platform)
        # The step size is never used; a Context wants an integrator.
        return openmm.Context(system, openmm.VerletIntegrator(1e-3), platform, dict(self.properties))

    def _platforms(self) -> list[str]:
        platform = self.framework.Platform
        return [platform.getPlatform(number).getName() for number in range(platform.getNumPlatforms())]


class _SystemContext:
    """One system in a Context of its own, which keeps parameters and positions. For one thread at a time.

    Attributes:
        terms: the places of the terms that have interactions in it; a term's force group is its place.
    """

    def __init__(self, engine: OpenMMEngine, bundle: Bundle, tables: Tables) -> None:
        unit = engine.framework.unit
        self._energy_unit, self._force_unit = unit.kilojoule_per_mole, unit.kilojoule_per_mole / unit.nanometer
        self._engine, self._bundle = engine, bundle
        self.terms = [place for place, term in enumerate(bundle.terms.values()) if len(term)]
        built = build_system(bundle, split_nonbonded=True)
        self._forces = built.forces.values()
        self._context = engine.context(built.system)
        self._tables = _copies(tables)
        self._where, self._x = "", np.zeros((bundle.n_atoms, 3))
        self._limits: _Limits | None = None

    def set_tables(self, tables: Tables) -> None:
        """Bring parameters into the Context, where tables differ from those of the last call."""
        if all(np.array_equal(table, self._tables[name]) for name, table in tables.items()):
            return
        parameters = of_terms(self._bundle.terms, tables)
        for held in self._forces:
            held.update(self._context, parameters)
        self._tables = _copies(tables)

    def set_positions(self, x: Floats, where: str = "") -> None:
        """Move all particles to ``(n_atoms, 3)`` [nm]; `where` is for messages."""
        self._context.setPositions(x)
        self._x, self._where, self._limits = x, where, None

    def energy(self, term: int | None = None) -> float:
        """Return the energy of one term by its place, or of all [kJ/mol]."""
        # A dihedral without direction has a finite energy in OpenMM, but not that of the standard; its forces tell.
        return self.energy_and_forces(term)[0]

    def energy_and_forces(self, term: int | None = None) -> tuple[float, Floats]:
        """Return the energy, and the forces ``(n_atoms, 3)`` [kJ/mol/nm], of one term or of all."""
        energy, forces = self.computed(term)
        return (energy, forces) if np.isfinite(energy) and np.isfinite(forces).all() else self._limit(term)

    def computed(self, term: int | None) -> tuple[float, Floats]:
        """Return energy and forces as OpenMM computes them, NaN where it divides by 0."""
        state = self._context.getState(energy=True, forces=True, groups=-1 if term is None else 1 << term)
        energy = float(state.getPotentialEnergy().value_in_unit(self._energy_unit))
        return energy, state.getForces(asNumpy=True).value_in_unit(self._force_unit)

    def _limit(self, term: int | None) -> tuple[float, Floats]:
        """Return energy and forces where OpenMM has none: by the limits that the standard states."""
        if not all(np.isfinite(table).all() for table in self._tables.values()):
            return np.nan, np.full(self._x.shape, np.nan)
        if self._limits is None:
            bundle = self._bundle
            for name, table in self._tables.items():
                bundle = bundle.replace_table(name, table)
            self._limits = _Limits(self._engine, bundle, self._x)
        energy, forces = self._limits.energy_and_forces(term)
        if np.isnan(energy) or not np.isfinite(forces).all():
            names = "all terms" if term is None else list(self._bundle.terms)[term]
            raise UnsupportedError(
                f"{self._where}: OpenMM has no finite energy and forces of {names} there: atoms are too close, or "
                "three atoms of a dihedral too near a line. Move the atoms, or use an array engine"
            )
        return energy, forces


class _Limits:
    """One system at a geometry at which some interactions have no direction: OpenMM computes the others."""

    def __init__(self, engine: OpenMMEngine, bundle: Bundle, x: Floats) -> None:
        self._names = list(bundle.terms)
        self._parts = set_aside(bundle, x)
        tables = {name: table.values for name, table in bundle.tables.items()}
        self._regular = _SystemContext(engine, self._parts.regular, tables)
        self._regular.set_positions(x)
        self._x = x

    def energy_and_forces(self, term: int | None) -> tuple[float, Floats]:
        names = self._names if term is None else [self._names[term]]
        energy, forces = self._regular.computed(term)
        for name in names:
            if name in self._parts.aside:
                # A form's value where its coordinate has no direction is that of the standard's formula.
                found = get_engine("numpy").prepare(self._parts.aside[name]).value_and_grad(self._x, {})
                energy, forces = energy + float(found.energy[0]), forces + found.forces
        return (np.inf if self._parts.infinite.intersection(names) else energy), forces


def _copies(tables: Tables) -> dict[str, NDArray[Any]]:
    return {name: table.copy() for name, table in tables.items()}


class _OpenMMEvaluator(EngineEvaluator):
    def __init__(
        self,
        bundle: Bundle,
        systems: tuple[_SystemContext, ...],
        tables: Tables,
        gradients: EngineEvaluator | None,
        placement: Placement,
    ) -> None:
        self._bundle = bundle
        self._systems = systems
        self._tables = tables
        self._gradients = gradients
        self._placement = placement
        # A Context is not for several threads, and parameters must not change between their setting and their use.
        self._lock = Lock()

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        energies = self._energies_of_terms(_flat(x), tables)
        shaped = np.reshape(energies, (*x.shape[:-2], *energies.shape[1:])).astype(x.dtype)
        return {name: shaped[..., place] for place, name in enumerate(self._bundle.terms)}

    def energy(self, x: Array, tables: Arrays) -> Array:
        energies = self._energies(_flat(x), tables)
        return np.reshape(energies, (*x.shape[:-2], len(self._systems))).astype(x.dtype)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        x = share(x, "numpy").array
        given = {name: share(table, "numpy").array for name, table in tables.items()}
        flat = _flat(x)
        energies, forces = np.full((len(flat), len(self._systems)), np.nan), np.full(flat.shape, np.nan)
        with self._lock:
            for conformer, number, atoms in self._visit(flat, given):
                found = self._systems[number].energy_and_forces()
                energies[conformer, number], forces[conformer, atoms] = found
        forces = self._placement.pull_back(flat, self._geometries(given), forces)
        return Evaluation(
            np.reshape(energies, (*x.shape[:-2], len(self._systems))).astype(x.dtype),
            np.reshape(forces, x.shape).astype(x.dtype),
            self._table_gradients(x, given),
        )

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        n_systems, n_terms = len(self._systems), len(self._bundle.terms) if each_term else 1

        def energies(packed: Array) -> Array:
            x, tables = packing.unpack(np, packed)
            found = self._energies_of_terms(_flat(x), tables) if each_term else self._energies(_flat(x), tables)
            return np.reshape(found, (len(x), n_systems * n_terms)).astype(packed.dtype)

        def pullback(packed: Array, weights: Array) -> Array:
            x, tables = packing.unpack(np, packed)
            by_term = np.reshape(weights, (len(x), n_systems, n_terms)).astype(np.float64)
            dl_dx = self._position_pullback(_flat(x), tables, by_term).astype(packed.dtype)
            return packing.pack(np, dl_dx, self._table_pullback(packing, each_term, packed, weights))

        return FirstOrderSource(
            engine="openmm",
            backend=get_backend("numpy"),
            packing=packing,
            n_energies=n_systems * n_terms,
            energies=energies,
            pullback=pullback,
        )

    def _visit(self, x: Floats, tables: Arrays) -> Iterator[tuple[int, int, slice]]:
        """Bring each finite conformer of each system into its Context; yield conformer, system and its atoms.

        The caller holds the lock.
        """
        given = {**self._tables, **tables}
        x = self._placement(x, self._geometries(given))
        starts = self._bundle.system_offsets.tolist()
        for number, system in enumerate(self._systems):
            system.set_tables(given)
            atoms = slice(starts[number], starts[number + 1])
            for conformer, positions in enumerate(x[:, atoms]):
                # OpenMM's lattice sums make an index of a position.
                if np.isfinite(positions).all():
                    system.set_positions(positions, f"system {number}, conformer {conformer}")
                    yield conformer, number, atoms

    def _energies(self, x: Floats, tables: Arrays) -> Floats:
        """Return ``(n_conformers, n_systems)``."""
        energies = np.full((len(x), len(self._systems)), np.nan)
        with self._lock:
            for conformer, number, _ in self._visit(x, tables):
                energies[conformer, number] = self._systems[number].energy()
        return energies

    def _energies_of_terms(self, x: Floats, tables: Arrays) -> Floats:
        """Return ``(n_conformers, n_systems, n_terms)``."""
        energies = np.full((len(x), len(self._systems), len(self._bundle.terms)), np.nan)
        with self._lock:
            for conformer, number, _ in self._visit(x, tables):
                system = self._systems[number]
                energies[conformer, number] = 0
                for term in system.terms:
                    energies[conformer, number, term] = system.energy(term)
        return energies

    def _position_pullback(self, x: Floats, tables: Arrays, weights: Floats) -> Floats:
        """Return dL/dx ``(n_conformers, n_atoms, 3)``.

        Args:
            x: ``(n_conformers, n_atoms, 3)`` [nm].
            tables: as for energies.
            weights: dL/dU, ``(n_conformers, n_systems, n_terms)``, or 1 in place of n_terms for their sum.
        """
        dl_dx = np.full(x.shape, np.nan)
        with self._lock:
            for conformer, number, atoms in self._visit(x, tables):
                system, given = self._systems[number], weights[conformer, number]
                of_term = {None: given[0]} if len(given) == 1 else {term: given[term] for term in system.terms}
                dl_dx[conformer, atoms] = 0
                for term, weight in of_term.items():
                    if weight:
                        dl_dx[conformer, atoms] -= weight * system.energy_and_forces(term)[1]
        pulled: Floats = self._placement.pull_back(x, self._geometries(tables), dl_dx)
        return pulled

    def _geometries(self, tables: Arrays) -> dict[str, Floats]:
        """Return the tables of virtual sites in double precision, as positions are here."""
        return {name: {**self._tables, **tables}[name].astype(np.float64) for name in self._placement.tables}

    def _table_gradients(self, x: Array, tables: Arrays) -> Mapping[str, Array]:
        if self._gradients is None:
            return MissingGradients(_NO_TABLE_GRADIENTS, self._tables)
        found = self._gradients.value_and_grad(x, tables).tables
        return {name: share(gradient, "numpy").array for name, gradient in found.items()}

    def _table_pullback(self, packing: Packing, each_term: bool, packed: Array, weights: Array) -> dict[str, Array]:
        """Return dL/d table of the packed tables; 0 for those that nobody can ask for."""
        wanted = [name for name, _ in packing.tables if name not in packing.constants]
        if not wanted:
            return {name: np.zeros(shape, packed.dtype) for name, shape in packing.tables}
        if self._gradients is None:
            raise UnsupportedError(f"dU/d tables[{wanted[0]!r}]: {_NO_TABLE_GRADIENTS}")
        function = EngineFunction(self._gradients.source(packing, each_term=each_term)).vjp
        return packing.unpack(np, share(function(packed, weights)[0], "numpy").array)[1]


def _flat(x: Array) -> Floats:
    """Return positions ``(n_conformers, n_atoms, 3)`` in double precision."""
    flat: Floats = np.ascontiguousarray(np.reshape(x, (-1, *x.shape[-2:])), dtype=np.float64)
    return flat


engine = OpenMMEngine()
