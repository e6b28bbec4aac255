"""The sparse mapping M from a table's rows to interactions: p = M θ, and its adjoint dL/dθ = Mᵀ dL/dp.

``θ`` is a table ``(n_params, n_columns)``, ``p`` holds the parameters of every interaction ``(n_terms, n_columns)``.
The three kinds differ in what M looks like, and one class stands for each:

=============  ==========================================  ==========================================
kind           M                                           made by
=============  ==========================================  ==========================================
``identity``   the unit matrix                             a machine-learned force field
``select``     one 1 per row                               SMIRNOFF: interactions share parameters
``linear``     a sparse matrix in CSR form                 charge increments, bond-order interpolation
=============  ==========================================  ==========================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ffbridge.backend import Array
from ffbridge.registry import backend_of

__all__ = ["MAPPINGS", "Identity", "Linear", "Mapping", "Select"]


@dataclass(frozen=True, eq=False)
class Mapping(ABC):
    """A sparse matrix M (n_terms, n_params) from table rows to interactions."""

    kind: ClassVar[str]

    @abstractmethod
    def apply(self, table: Array) -> Array:
        """Return ``M @ table``: ``(n_params, n_columns)`` to ``(n_terms, n_columns)``."""

    @abstractmethod
    def pullback(self, cotangent: Array, n_params: int) -> Array:
        """Return ``Mᵀ @ cotangent``: ``(n_terms, n_columns)`` to ``(n_params, n_columns)``."""

    @abstractmethod
    def take(self, rows: Array) -> Mapping:
        """Return the mapping of these interactions only: rows of M, ``rows (n,) int32`` in the mapping's framework."""

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that define M, by field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class Identity(Mapping):
    """Interaction i has row i of the table; the table has as many rows as the term has interactions."""

    kind: ClassVar[str] = "identity"

    def apply(self, table: Array) -> Array:
        """Return the table itself."""
        return table

    def pullback(self, cotangent: Array, n_params: int) -> Array:
        """Return the cotangent itself."""
        return cotangent

    def take(self, rows: Array) -> Select:
        """Return the rows of the unit matrix: each interaction keeps its row of the table."""
        return Select(rows)


@dataclass(frozen=True, eq=False)
class Select(Mapping):
    """Interaction i has row ``index[i]`` of the table.

    Attributes:
        index: ``(n_terms,) int32``, each in ``[0, n_params)``.
    """

    index: Array
    kind: ClassVar[str] = "select"

    def apply(self, table: Array) -> Array:
        """Return the selected row of each interaction."""
        return backend_of(table).namespace.take(table, self.index, axis=0)

    def pullback(self, cotangent: Array, n_params: int) -> Array:
        """Return, for each row, the sum over the interactions that use it."""
        return backend_of(cotangent).segment_sum(cotangent, self.index, n_params)

    def take(self, rows: Array) -> Select:
        """Return the mapping of these interactions."""
        return Select(backend_of(self.index).namespace.take(self.index, rows, axis=0))


@dataclass(frozen=True, eq=False)
class Linear(Mapping):
    """Interaction i has the weighted sum of table rows that row i of a CSR matrix lists.

    Attributes:
        offsets: ``(n_terms + 1,) int32``: entries ``offsets[i]:offsets[i + 1]`` belong to interaction i.
        columns: ``(n_entries,) int32``: the table row of each entry, in ``[0, n_params)``.
        weights: ``(n_entries,)`` of the table's dtype: the weight of each entry, without unit.
    """

    offsets: Array
    columns: Array
    weights: Array
    kind: ClassVar[str] = "linear"

    def apply(self, table: Array) -> Array:
        """Return the weighted sum of each interaction's rows."""
        backend = backend_of(table)
        entries = self.weights[:, None] * backend.namespace.take(table, self.columns, axis=0)
        return backend.segment_sum(entries, self._rows(backend.namespace), self.offsets.shape[0] - 1)

    def pullback(self, cotangent: Array, n_params: int) -> Array:
        """Return, for each row, the weighted sum over the interactions that it enters."""
        backend = backend_of(cotangent)
        entries = self.weights[:, None] * backend.namespace.take(cotangent, self._rows(backend.namespace), axis=0)
        return backend.segment_sum(entries, self.columns, n_params)

    def take(self, rows: Array) -> Linear:
        """Return the mapping of these interactions. The offsets must have values: a trace has none."""
        import numpy as np

        from ffbridge.exchange import share
        from ffbridge.snapshot import snapshot

        offsets, wanted = snapshot(self.offsets), snapshot(rows)
        counts = np.diff(offsets)[wanted]
        ends = np.cumsum(counts)
        # Entry number e of those taken stands at the start of its old row, plus its place within the row.
        entries = np.arange(counts.sum()) + np.repeat(offsets[wanted] - ends + counts, counts)
        backend = backend_of(self.offsets)
        kept = share(entries.astype(np.int32), backend).array
        return Linear(
            offsets=share(np.concatenate([[0], ends]).astype(np.int32), backend).array,
            columns=backend.namespace.take(self.columns, kept, axis=0),
            weights=backend.namespace.take(self.weights, kept, axis=0),
        )

    def _rows(self, xp: Any) -> Array:
        """Return the interaction of each entry, ``(n_entries,)``: how many rows end at or before it."""
        entries = xp.arange(
            self.columns.shape[0], dtype=self.offsets.dtype, **backend_of(self.offsets).beside(self.offsets)
        )
        return xp.searchsorted(self.offsets[1:], entries, side="right")


MAPPINGS: dict[str, type[Mapping]] = {cls.kind: cls for cls in (Identity, Select, Linear)}
"""The classes by the ``kind`` that a bundle's document states."""
