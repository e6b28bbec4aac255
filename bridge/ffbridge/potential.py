"""Potentials: the energy of a bundle as one function U(x, tables) of positions and force-field parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.engine import Engine, Evaluation, Evaluator
from ffbridge.errors import BundleError, ExchangeError, UnknownNameError
from ffbridge.exchange import share
from ffbridge.lambda_module import LambdaModule
from ffbridge.registry import backend_of, get_backend, get_engine
from ffbridge.snapshot import snapshot
from ffbridge.validate import validate

__all__ = ["Potential", "potential"]

Tables = Mapping[str, Array]


class Potential:
    """The potential energy of a bundle, evaluated by one engine, as a function of one host's arrays.

    Positions ``x`` are ``(..., n_atoms, 3)`` [nm]: leading axes are conformers. ``tables`` replaces tables of the
    bundle, by name, ``(n_params, n_columns)`` in the table's units; those not named are the bundle's own. Arrays of
    other frameworks are taken without a copy where memory allows it. Results are arrays of the host and carry its
    gradients with respect to positions and tables, whichever engine evaluates them.

    Attributes:
        bundle: the bundle.
        engine: the engine that evaluates it.
        host: the backend whose arrays it takes and returns.
    """

    def __init__(self, bundle: Bundle, engine: Engine, host: Backend) -> None:
        validate(bundle)
        self.bundle = bundle
        self.engine = engine
        self.host = host
        native = host is get_backend(engine.backend) and not (
            engine.by_formulas and host.capabilities.automatic_differentiation
        )
        self._evaluator: Evaluator = engine.prepare(bundle) if native else LambdaModule(bundle, engine, host)
        self._dtypes = {name: backend_of(table.values).dtype(table.values) for name, table in bundle.tables.items()}
        self._dtype = next(iter(self._dtypes.values()), "float64")
        self._shape = (bundle.n_atoms, 3)
        self._table_shapes = {name: tuple(table.values.shape) for name, table in bundle.tables.items()}

    def __call__(self, x: Array, tables: Tables | None = None) -> Array:
        """Return the energy of each system, ``(..., n_systems)`` [kJ/mol].

        Raises:
            BundleError: positions or a table have a wrong shape, or are not finite.
            ExchangeError: an array cannot cross to the host's framework, or would lose precision.
            UnknownNameError: the bundle has no such table.
            UnsupportedError: a derivative is asked for that the engine does not have.
        """
        x, given = self._positions(x), self._tables(tables)
        return self._checked(self._evaluator.energy(x, given), x, given)

    def by_term(self, x: Array, tables: Tables | None = None) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]; errors as for the call."""
        return self._evaluator.by_term(self._positions(x), self._tables(tables))

    def value_and_grad(self, x: Array, tables: Tables | None = None) -> Evaluation:
        """Return energy ``(..., n_systems)``, forces ``(..., n_atoms, 3)`` and dU/d tables, as plain values.

        dU/d tables is summed over systems and conformers; it is zero in integer columns, which are not differentiable.
        Errors as for the call.
        """
        x, given = self._positions(x), self._tables(tables)
        found = self._evaluator.value_and_grad(x, given)
        self._checked(found.energy, x, given)
        return found

    def energy_and_forces(self, x: Array, tables: Tables | None = None) -> tuple[Array, Array]:
        """Return energy ``(..., n_systems)`` and forces ``(..., n_atoms, 3)`` as plain values, for dynamics.

        Less work than :meth:`value_and_grad`, which has the derivatives to the tables too. Errors as for the call.
        """
        x, given = self._positions(x), self._tables(tables)
        energy, forces = self._evaluator.energy_and_forces(x, given)
        return self._checked(energy, x, given), forces

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again, also in another process: the bundle, its engine and host by name, and options."""
        options = {name: getattr(self.engine, name) for name in self.engine.options}
        return partial(potential, engine=self.engine.name, host=self.host.name, **options), (self.bundle,)

    def __repr__(self) -> str:
        """Return the bundle, the engine and the host."""
        return f"Potential({self.bundle!r}, engine={self.engine.name!r}, host={self.host.name!r})"

    def _positions(self, x: Array) -> Array:
        x = self._take("positions", x, self._dtype)
        if tuple(x.shape[-2:]) != self._shape:
            raise BundleError(
                f"positions: got shape {tuple(x.shape)}, expected (..., {self.bundle.n_atoms}, 3) in nm: the bundle "
                f"has {self.bundle.n_atoms} atoms in {self.bundle.n_systems} systems"
            )
        return x

    def _tables(self, given: Tables | None) -> dict[str, Array]:
        return {name: self._table(name, values) for name, values in given.items()} if given else {}

    def _table(self, name: str, values: Array) -> Array:
        expected = self._table_shapes.get(name)
        if expected is None:
            known = ", ".join(sorted(self.bundle.tables))
            raise UnknownNameError(f"the bundle has no table {name!r}; it has: {known}")
        values = self._take(f"tables/{name}", values, self._dtypes[name])
        if tuple(values.shape) != expected:
            raise BundleError(
                f"tables/{name}: got shape {tuple(values.shape)}, expected {expected}: "
                f"columns are {', '.join(self.bundle.tables[name].columns)}"
            )
        return values

    def _checked(self, energy: Array, x: Array, tables: Tables) -> Array:
        """Return the energy; where it is NaN because an input is, raise. What is traced has no values to look at."""
        if self.host.has_values(energy) and self.host.has_nan(energy):
            for what, array in {"positions": x, **{f"tables/{name}": table for name, table in tables.items()}}.items():
                bad = np.argwhere(~np.isfinite(snapshot(array)))
                if len(bad):
                    raise BundleError(
                        f"{what}: NaN or infinite at index {tuple(bad[0].tolist())}, so the energy is NaN"
                    )
        return energy

    def _take(self, what: str, array: Array, dtype: str) -> Array:
        """Return an input as the host's array of the bundle's dtype; widened where that is exact, never narrowed."""
        source = backend_of(array)
        found = source.dtype(array)
        if found == dtype:
            return array if source is self.host else share(array, self.host).array
        if (found, dtype) != ("float32", "float64"):
            raise ExchangeError(
                f"{what}: got {found}, expected {dtype} as the bundle's tables are. Cast it yourself if that is meant "
                f"(fb.to(x, {self.host.name!r}, dtype={dtype!r})), or the bundle (bundle.to(..., dtype={found!r}))"
            )
        return share(array, self.host, dtype=dtype).array


def potential(bundle: Bundle, engine: str | None = None, *, host: str | None = None, **options: Any) -> Potential:
    """Return the potential energy of a bundle as a function of positions and tables.

    Args:
        bundle: what to evaluate; it is validated.
        engine: name of the engine, such as ``numpy``, ``torch`` or ``jax``; that of the bundle's own arrays if None.
        host: name of the backend whose arrays the potential takes and returns, and whose automatic differentiation goes
            through it; that of the engine's own arrays if None.
        options: of the engine, such as ``platform="CPU"`` of ``openmm``; most have none.

    Raises:
        ValidationError: the bundle does not follow the standard.
        UnknownNameError, MissingDependencyError: there is no such engine, host or option, or its framework is not
            installed.
        UnsupportedError: the engine does not evaluate a form or method of the bundle exactly.
        ExchangeError: the bundle cannot be brought into the engine's framework.
    """
    found = get_engine(backend_of(bundle.system_offsets).name if engine is None else engine).with_options(**options)
    return Potential(bundle, found, get_backend(found.backend if host is None else host))
