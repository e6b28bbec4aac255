"""The interface of an engine: what evaluates the potential energy of a bundle.

Engines are found through the entry-point group ``ffbridge.engines``, or given to ``register_engine``.
:class:`ArrayEngine` is for array
frameworks: it has the energies of the standard already and needs only to be told how its framework compiles and
    differentiates.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ffbridge.backend import Array, Backend
from ffbridge.plugin import Plugin

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle
    from ffbridge.energy.plan import Structure

__all__ = ["ArrayEngine", "Engine", "Evaluation", "Evaluator"]

Arrays = Mapping[str, Array]
EnergyFunction = Callable[[Arrays, Array, Arrays], dict[str, Array]]


class Evaluation(NamedTuple):
    """Energies and their first derivatives.

    Attributes:
        energy: ``(..., n_systems)`` [kJ/mol].
        forces: -dU/dx, ``(..., n_atoms, 3)`` [kJ/mol/nm].
        tables: dU/d table by name, ``(n_params, n_columns)`` [kJ/mol per unit of the column], summed over systems and
            conformers; zero in integer columns, which are not differentiable.
    """

    energy: Array
    forces: Array
    tables: dict[str, Array]


class Evaluator:
    """A bundle made ready by an engine.

    Positions are ``(..., n_atoms, 3)`` [nm], tables ``(n_params, n_columns)`` by name, both complete, checked and in
    the engine's backend and dtype: :class:`ffbridge.potential.Potential` sees to that.

    Attributes:
        tables: the bundle's own tables, as the engine takes them.
    """

    tables: dict[str, Array]

    @abstractmethod
    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]."""

    @abstractmethod
    def energy(self, x: Array, tables: Arrays) -> Array:
        """Return the energy, ``(..., n_systems)`` [kJ/mol]."""

    @abstractmethod
    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Return the energy, the forces and the derivatives with respect to the tables."""


class Engine(Plugin):
    """Something that evaluates bundles.

    Attributes:
        backend: name of the backend whose arrays it takes and returns.
    """

    backend: ClassVar[str]

    @abstractmethod
    def prepare(self, bundle: Bundle) -> Evaluator:
        """Make a valid bundle ready.

        Raises:
            UnsupportedError: the engine does not evaluate a form or method of the bundle exactly.
            ExchangeError: the bundle's arrays cannot be brought into the engine's framework.
        """


class ArrayEngine(Engine):
    """An engine that evaluates the standard's forms in an array framework."""

    def prepare(self, bundle: Bundle) -> Evaluator:
        """Make a valid bundle ready: derive its pair lists and bring its arrays into the framework."""
        from ffbridge.energy.plan import plan
        from ffbridge.exchange import share
        from ffbridge.registry import get_backend

        structure, arrays = plan(bundle.snapshot())
        backend = get_backend(self.backend)
        shared = {path: share(array, backend).array for path, array in arrays.items()}
        tables = {name: share(table.values, backend).array for name, table in bundle.tables.items()}
        return self.evaluator(backend, structure, shared, tables)

    @abstractmethod
    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> Evaluator:
        """Return what evaluates a structure on its arrays, both as :mod:`ffbridge.energy.plan` describes them."""
