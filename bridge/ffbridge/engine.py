"""The interface of an engine: what evaluates the potential energy of a bundle.

Engines are found through the entry-point group ``ffbridge.engines``, or given to ``register_engine``.
:class:`ArrayEngine` is for array
frameworks: it has the energies of the standard already and needs only to be told how its framework compiles and
    differentiates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from ffbridge.backend import Array, Backend
from ffbridge.errors import UnknownNameError, UnsupportedError
from ffbridge.plugin import Plugin

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle
    from ffbridge.energy.plan import Structure
    from ffbridge.function import FunctionSource
    from ffbridge.packing import Packing

__all__ = ["ArrayEngine", "Engine", "EngineEvaluator", "Evaluation", "Evaluator"]

Arrays = Mapping[str, Array]


class Evaluation(NamedTuple):
    """Energies and their first derivatives.

    Attributes:
        energy: ``(..., n_systems)`` [kJ/mol].
        forces: -dU/dx, ``(..., n_atoms, 3)`` [kJ/mol/nm].
        tables: dU/d table by name, ``(n_params, n_columns)`` [kJ/mol per unit of the column], summed over systems and
            conformers; zero in integer columns, which are not differentiable. An engine without these derivatives
            (``openmm``) refuses by name when one is read.
    """

    energy: Array
    forces: Array
    tables: Mapping[str, Array]


class Evaluator(ABC):
    """The energy of one bundle and its derivatives, in one framework.

    Positions are ``(..., n_atoms, 3)`` [nm], tables ``(n_params, n_columns)`` by name: those that replace the bundle's
    own. Both are checked, and in the bundle's dtype: :class:`ffbridge.potential.Potential` sees to it.
    """

    @abstractmethod
    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        """Return the energy of each term, ``(..., n_systems)`` [kJ/mol]."""

    @abstractmethod
    def energy(self, x: Array, tables: Arrays) -> Array:
        """Return the energy, ``(..., n_systems)`` [kJ/mol]."""

    @abstractmethod
    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Return the energy, the forces and the derivatives with respect to the tables.

        Positions and tables may also be arrays of other frameworks, without gradients.
        """

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        """Return the energy and the forces alone; an evaluator for which that is less work overrides this."""
        found = self.value_and_grad(x, tables)
        return found.energy, found.forces


class EngineEvaluator(Evaluator):
    """A bundle made ready by an engine: evaluated in the engine's own framework, or lent to another's."""

    @abstractmethod
    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        """Return the energies for the automatic differentiation of another framework, the host.

        Args:
            packing: which tables are inputs beside the positions.
            each_term: energies ``(n_conformers, n_systems * n_terms)``, terms last, instead of their sum for each
                system.
        """


class Engine(Plugin):
    """Something that evaluates bundles.

    Attributes:
        backend: name of the backend whose arrays it takes and returns.
        options: names of what can be set by :meth:`with_options`, each of them an attribute.
        derivatives: the highest order of derivatives that it has, where 2 stands for any. Beyond, it refuses.
        table_derivatives: whether it has derivatives with respect to tables. If not, it refuses when one is asked for.
    """

    backend: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    derivatives: ClassVar[Literal[1, 2]] = 1
    table_derivatives: ClassVar[bool] = True

    @property
    def by_formulas(self) -> bool:
        """Whether its derivatives are formulas.

        If not, they are its framework's automatic differentiation. If they are, its framework's automatic
        differentiation, if there is one, goes through it as through the engine of another framework.
        """
        return False

    def with_options(self, **options: Any) -> Engine:
        """Return the engine with these options set, such as OpenMM's platform. One with options overrides this.

        Raises:
            UnknownNameError: it has no such option.
        """
        if unknown := sorted(options.keys() - set(self.options)):
            raise UnknownNameError(
                f"the engine {self.name!r} has no option {unknown[0]!r}; it has: {', '.join(self.options) or 'none'}"
            )
        return self

    @abstractmethod
    def prepare(self, bundle: Bundle, *, hosted: bool = False) -> EngineEvaluator:
        """Make a valid bundle ready.

        Args:
            bundle: what to evaluate.
            hosted: the caller works in another framework. The engine's own settings, which the caller does not see, are
                overridden in a local scope where they would change results.

        Raises:
            UnsupportedError: the engine does not evaluate a form or method of the bundle exactly.
            ExchangeError: the bundle's arrays cannot be brought into the engine's framework.
        """


class ArrayEngine(Engine):
    """An engine that evaluates the standard's forms in an array framework."""

    def prepare(self, bundle: Bundle, *, hosted: bool = False) -> EngineEvaluator:
        """Make a valid bundle ready: derive its pair lists and bring its arrays into the framework."""
        from ffbridge.exchange import share
        from ffbridge.registry import get_backend

        structure, arrays = self.plan(bundle.snapshot())
        backend = get_backend(self.backend)
        self._require_functions(bundle, backend)
        shared = {path: share(array, backend).array for path, array in arrays.items()}
        tables = {name: share(table.values, backend).array for name, table in bundle.tables.items()}
        return self.evaluator(backend, structure, shared, tables)

    def plan(self, bundle: Bundle) -> tuple[Structure, dict[str, Array]]:
        """Return the structure and the index arrays of a bundle of NumPy arrays, or refuse what is not evaluated."""
        from ffbridge.energy.plan import plan

        return plan(bundle)

    def _require_functions(self, bundle: Bundle, backend: Backend) -> None:
        """Refuse a method that calls what the backend does not implement, before anything is evaluated."""
        from ffbridge.energy.methods import METHODS

        for name, term in bundle.terms.items():
            method = METHODS.get(term.settings.get("method", ""))
            if method and method.needs_erfc and type(backend).erfc is Backend.erfc:
                raise UnsupportedError(
                    f"terms/{name}: the method {term.settings['method']!r} needs erfc, which backend {backend.name!r} "
                    "does not implement: use another engine, or implement Backend.erfc"
                )

    @abstractmethod
    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> EngineEvaluator:
        """Return what evaluates a structure on its arrays, both as :mod:`ffbridge.energy.plan` describes them."""
