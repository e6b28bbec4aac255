"""The engine ``torch``: the standard's energies in PyTorch, differentiated by its autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import packed_energies, value_and_grad_by_chunks
from ffbridge.energy.evaluator import ArrayEvaluator
from ffbridge.energy.plan import Structure
from ffbridge.engine import ArrayEngine, Arrays, EngineEvaluator, Evaluation
from ffbridge.errors import UnknownNameError
from ffbridge.exchange import share
from ffbridge.function import FunctionSource, Signature, Transformation, compose
from ffbridge.packing import Packing
from ffbridge.registry import backend_of

if TYPE_CHECKING:
    from types import ModuleType

    from ffbridge_backends.compiled.torch import CompiledFormulas

__all__ = ["TorchEngine", "engine"]


@dataclass(frozen=True, eq=False)
class _TorchSource(FunctionSource):
    torch: ModuleType
    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]
    packing: Packing
    n_energies: int
    each_term: bool
    formulas: CompiledFormulas | None

    def run(
        self, path: tuple[Transformation, ...], signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Run the transformed energies; nothing of it is left in the caller's autograd graph."""
        taken = [share(array, self.backend).array for array in inputs]
        if self.formulas and not self.each_term and path in ((), ("vjp",), ("slope",)):
            return self._by_formulas(self.formulas, path, *taken)
        if path == ("vjp",):
            return self._pullback(*taken)[1:]
        if path == ("slope",):
            return (self._rows(*self._pullback(*taken)),)
        func = self.torch.func
        transformed = compose(
            self._energies,
            path,
            vjp=lambda f, at, cotangents: func.vjp(f, *at)[1](cotangents),
            jvp=lambda f, at, tangents: func.jvp(f, at, tangents)[1],
            vmap=lambda f, axes: func.vmap(f, in_dims=axes),
            slope=self._slope,
        )
        with self.torch.no_grad():
            return transformed(*taken)

    def _by_formulas(
        self, formulas: CompiledFormulas, path: tuple[Transformation, ...], packed: Array, weights: Array | None = None
    ) -> tuple[Array, ...]:
        """Return energies or their first derivatives by what is compiled."""
        xp = self.backend.namespace
        with self.torch.no_grad():
            x, given = self.packing.unpack(xp, packed)
            of_tables = bool(path) and bool(given)
            energies, forces, gradients = formulas(x, {**self.tables, **given}, weights, of_tables=of_tables)
            if not path:
                return (energies,)
            gradient = self.packing.pack(xp, -forces, gradients)
            return (gradient,) if path == ("vjp",) else (self._rows(energies, gradient),)

    def _pullback(self, packed: Array, cotangents: Array | None = None) -> tuple[Array, Array]:
        """Return energies and their pullback: where no further derivative is asked for, autograd alone is faster."""
        with self.torch.enable_grad():
            leaf = packed.detach().requires_grad_()
            (energies,) = self._energies(leaf)
            weights = self.torch.ones_like(energies) if cotangents is None else cotangents
            (gradient,) = self.torch.autograd.grad(energies, leaf, weights)
        return energies.detach(), gradient

    def _slope(self, function: Callable[..., Any], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        (energies,), pullback = self.torch.func.vjp(function, *inputs)
        (gradient,) = pullback((self.torch.ones_like(energies),))
        return (self._rows(energies, gradient),)

    def _rows(self, energies: Array, gradient: Array) -> Array:
        return self.packing.rows(self.backend.namespace, energies, gradient)

    def _energies(self, packed: Array) -> tuple[Array, ...]:
        prepared = (self.backend, self.structure, self.arrays, self.tables)
        return (packed_energies(*prepared, packed, packing=self.packing, each_term=self.each_term),)


@dataclass(frozen=True, eq=False)
class _TorchEvaluator(ArrayEvaluator):
    torch: ModuleType
    formulas: CompiledFormulas | None

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Leave the caller's graph alone: derivatives are taken on detached inputs and are plain values."""
        return self._analytic(x, tables, of_tables=True)

    def energy_and_forces(self, x: Array, tables: Arrays) -> tuple[Array, Array]:
        """Without the derivatives to tables."""
        found = self._analytic(x, tables, of_tables=False)
        return found.energy, found.forces

    def _analytic(self, x: Array, tables: Arrays, *, of_tables: bool) -> Evaluation:
        """By formulas: fewer operations than autograd runs."""
        given = {**self._own, **{name: self._plain(table) for name, table in tables.items()}}
        x = self._plain(x)
        with self.torch.no_grad():
            if self.formulas:
                return self.formulas(x, given, of_tables=of_tables)
            return value_and_grad_by_chunks(self.backend, self.structure, self.arrays, x, given, of_tables=of_tables)

    @cached_property
    def _own(self) -> dict[str, Array]:
        """The bundle's tables without the gradients that they carry."""
        return {name: table.detach() for name, table in self.tables.items()}

    def _plain(self, array: Array) -> Array:
        return share(backend_of(array).detach(array), self.backend).array.detach()

    def source(self, packing: Packing, *, each_term: bool) -> FunctionSource:
        prepared = (self.torch, self.backend, self.structure, self.arrays, self._own)
        return _TorchSource(*prepared, packing, self.n_energies(each_term=each_term), each_term, self.formulas)


@dataclass(frozen=True, eq=False)
class TorchEngine(ArrayEngine):
    """PyTorch, on the CPU or a CUDA device. Energies carry gradients to positions and tables that require them.

    Attributes:
        compile: whether energies and their first derivatives run as programs that ``torch.compile`` makes of the
            formulas, which takes 10 to 30 s for each number of conformers that is new, and a C++ compiler; calls are
            3 to 12 times as fast then (on a CPU, where they run on one thread). Derivatives of higher order, and
            energies by term, are not compiled.
    """

    compile: bool = False

    name = backend = package = "torch"
    install = 'pip install "ffbridge[torch]"'
    options: ClassVar[tuple[str, ...]] = ("compile",)
    derivatives = 2

    @property
    def by_formulas(self) -> bool:
        """Compiled derivatives are formulas."""
        return self.compile

    def with_options(self, **options: Any) -> TorchEngine:
        """Return the engine with other attributes.

        Raises:
            UnknownNameError: it has no such option, or the option no such value.
        """
        super().with_options(**options)
        if not isinstance(options.get("compile", False), bool):
            raise UnknownNameError(
                f"the engine {self.name!r} has no compile={options['compile']!r}; it has: True, False"
            )
        return replace(self, **options)

    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        return ("energies and derivatives of any order",)

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> EngineEvaluator:
        """Return an evaluator that differentiates by autograd."""
        # What takes rows and sums them is many times slower with indices of 32 bits.
        wide = {path: array.long() if array.dtype == self.framework.int32 else array for path, array in arrays.items()}
        return _TorchEvaluator(
            backend, structure, wide, tables, self.framework, self._compiled_formulas(structure, wide)
        )

    def _compiled_formulas(self, structure: Structure, arrays: dict[str, Array]) -> CompiledFormulas | None:
        if not self.compile:
            return None
        from ffbridge_backends.compiled.torch import CompiledFormulas

        return CompiledFormulas(structure, arrays)


engine = TorchEngine()
