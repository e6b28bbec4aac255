"""Selections of force-field parameters that a fit may change: a vector of numbers that stands for parts of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, UnknownNameError
from ffbridge.exchange import share
from ffbridge.forms import form
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.table import ParameterKey, Table

__all__ = ["Parameter", "Trainable", "trainable"]

Rows: TypeAlias = "Array | Iterable[ParameterKey] | None"
Columns: TypeAlias = "str | Sequence[str] | Mapping[str, Rows]"


class Parameter(NamedTuple):
    """One number of a table.

    Attributes:
        table: the table's name.
        row: its row.
        column: its column's name.
    """

    table: str
    row: int
    column: str


@dataclass(frozen=True, eq=False)
class Trainable:
    """A vector of selected parameters, and what makes tables of it.

    Attributes:
        initial: ``(n,)``, the values in the bundle, each in its column's unit: an array of the bundle's framework.
        parameters: what each number of the vector is.
    """

    initial: Array
    parameters: tuple[Parameter, ...]
    _tables: Mapping[str, _Part]

    def tables(self, vector: Array) -> dict[str, Array]:
        """Return the tables in which parameters are selected, ``(n_params, n_columns)``, with those of the vector.

        All other numbers are the bundle's. Derivatives flow from the tables to the vector, under any transformation of
        its framework; tables without a selected parameter are left out, as a potential takes them.

        Args:
            vector: ``(n,)``, of any framework; so are the tables.

        Raises:
            BundleError: the vector has another length, or another dtype than the bundle's tables.
        """
        if tuple(vector.shape) != (len(self.parameters),):
            raise BundleError(f"vector: got shape {tuple(vector.shape)}, expected ({len(self.parameters)},)")
        return {name: part.filled(vector, name) for name, part in self._tables.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    """What one table takes from the vector.

    Attributes:
        values: the bundle's own, ``(n_params * n_columns,)``.
        source: for each number of the table, its place in (values, vector) joined, ``(n_params * n_columns,) int32``.
        shape: of the table.
    """

    values: NDArray[np.floating[Any]]
    source: NDArray[np.int32]
    shape: tuple[int, ...]

    def filled(self, vector: Array, name: str) -> Array:
        backend = backend_of(vector)
        if backend.dtype(vector) != self.values.dtype.name:
            raise BundleError(
                f"vector: got {backend.dtype(vector)}, expected {self.values.dtype.name} as in tables/{name}/values"
            )
        # Where an array is being traced it has no device that could be named; what joins it follows it then.
        where = backend.device(vector)
        device = where if where.partition(":")[0] in backend.capabilities.devices else None
        values, source = (share(array, backend, device=device).array for array in (self.values, self.source))
        # Reading from one joined array needs no assignment, which not every framework has or differentiates.
        xp = backend.namespace
        return xp.reshape(xp.take(xp.concat([values, vector]), source, axis=0), self.shape)


def trainable(bundle: Bundle, select: Mapping[str, Columns]) -> Trainable:
    """Return the selected parameters of a bundle as one vector, so that a fit touches only those::

        chosen = fb.trainable(bundle, {"bonds": ["k", "length"], "vdw": {"epsilon": carbons}})
        energy = U(x, chosen.tables(vector))  # vector: chosen.initial, or what an optimizer makes of it

    The vector has the tables in the order given, within a table the columns, within a column the rows.

    Args:
        bundle: with values (its tables are not being traced; a gradient that they carry is left behind).
        select: by table, the columns: names, for all rows; or by column the rows: a mask ``(n_params,)`` of booleans,
            the keys of rows, or None for all.

    Raises:
        UnknownNameError: there is no such table, column or key.
        BundleError: a column holds integers, which are not differentiable; a mask has another shape or dtype; the table
            has no keys; or nothing is selected.
    """
    parts: dict[str, _Part] = {}
    chosen: list[Parameter] = []
    initial: list[NDArray[np.floating[Any]]] = []
    for name, columns in select.items():
        table = bundle.table(name)
        values = snapshot(table.values)
        source = np.arange(values.size, dtype=np.int32).reshape(values.shape)
        for column, rows in _rows_by_column(columns).items():
            number = _column(bundle, name, column)
            found = _rows(table, rows, f"tables/{name}/{column}")
            source[found, number] = values.size + len(chosen) + np.arange(len(found), dtype=np.int32)
            chosen += [Parameter(name, row, column) for row in found.tolist()]
            initial.append(values[found, number])
        parts[name] = _Part(values=values.reshape(-1), source=source.reshape(-1), shape=values.shape)
    if not chosen:
        raise BundleError(f"nothing is selected; the bundle has the tables {', '.join(sorted(bundle.tables))}")
    backend = backend_of(bundle.system_offsets)
    joined = share(np.concatenate(initial), backend, device=backend.device(bundle.system_offsets)).array
    return Trainable(joined, tuple(chosen), parts)


def _rows_by_column(columns: Columns) -> Mapping[str, Rows]:
    if isinstance(columns, Mapping):
        return columns
    return dict.fromkeys([columns] if isinstance(columns, str) else columns)


def _column(bundle: Bundle, name: str, column: str) -> int:
    """Return a column's number.

    Raises:
        UnknownNameError: the table has no such column.
        BundleError: it holds integers.
    """
    known = bundle.table(name).columns
    if column not in known:
        raise UnknownNameError(f"tables/{name} has no column {column!r}; it has: {', '.join(known)}")
    number = known.index(column)
    used_as = [term for term in bundle.terms.values() if name in term.tables]
    if any(form(term.form).columns_for(term.settings)[number].integer for term in used_as):
        raise BundleError(
            f"tables/{name}/{column}: {column} is not differentiable, because it is an integer: a fit cannot change it"
        )
    return number


def _rows(table: Table, rows: Rows, where: str) -> NDArray[np.intp]:
    """Return the numbers of the selected rows, in ascending order."""
    if rows is None:
        return np.arange(len(table))
    if not hasattr(rows, "shape"):
        return _rows_of_keys(table, rows, where)
    mask = snapshot(rows)
    if mask.dtype != np.bool_ or mask.shape != (len(table),):
        raise BundleError(
            f"{where}: the rows are selected by {mask.dtype.name} of shape {mask.shape}, expected a mask: bool of "
            f"shape ({len(table)},), or keys of rows"
        )
    return np.flatnonzero(mask)


def _rows_of_keys(table: Table, keys: Iterable[ParameterKey], where: str) -> NDArray[np.intp]:
    if table.keys is None:
        raise BundleError(f"{where}: the table has no keys; select its rows by a mask, bool of shape ({len(table)},)")
    rows = {key: row for row, key in enumerate(table.keys)}
    wanted = list(keys)
    if unknown := [key for key in wanted if key not in rows]:
        raise UnknownNameError(f"{where}: the table has no key {unknown[0]!r}; its keys begin with {table.keys[0]!r}")
    return np.unique(np.asarray([rows[key] for key in wanted], dtype=np.intp))
