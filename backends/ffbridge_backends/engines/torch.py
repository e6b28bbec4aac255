"""The engine ``torch``: the standard's energies in PyTorch, differentiated by its autograd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffbridge.backend import Array, Backend
from ffbridge.energy.api import by_term, total
from ffbridge.energy.plan import Structure
from ffbridge.engine import ArrayEngine, Arrays, Evaluation, Evaluator

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["TorchEngine", "engine"]


@dataclass(frozen=True, eq=False)
class _TorchEvaluator(Evaluator):
    torch: ModuleType
    backend: Backend
    structure: Structure
    arrays: dict[str, Array]
    tables: dict[str, Array]

    def by_term(self, x: Array, tables: Arrays) -> dict[str, Array]:
        return by_term(self.backend, self.structure, self.arrays, x, tables)

    def energy(self, x: Array, tables: Arrays) -> Array:
        return total(self.backend, self.structure, self.arrays, x, tables)

    def value_and_grad(self, x: Array, tables: Arrays) -> Evaluation:
        """Leave the caller's graph alone: derivatives are taken on detached inputs and are plain values."""
        with self.torch.enable_grad():
            leaf = x.detach().requires_grad_()
            leaves = {name: table.detach().requires_grad_() for name, table in tables.items()}
            energy = self.energy(leaf, leaves)
            du_dx, *du_dtables = self.torch.autograd.grad(
                energy.sum(), [leaf, *leaves.values()], materialize_grads=True
            )
        return Evaluation(energy.detach(), -du_dx, dict(zip(leaves, du_dtables, strict=True)))


class TorchEngine(ArrayEngine):
    """PyTorch, on the CPU or a CUDA device. Energies carry gradients to positions and tables that require them."""

    name = backend = package = "torch"
    install = 'pip install "ffbridge[torch]"'

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> Evaluator:
        """Return an evaluator that differentiates by autograd."""
        return _TorchEvaluator(self.framework, backend, structure, arrays, tables)


engine = TorchEngine()
