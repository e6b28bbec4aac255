"""Merging of tables: rows with equal keys become one, so that force-field parameters stay shared across molecules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ffbridge.errors import BundleError, ExchangeError
from ffbridge.exchange import share
from ffbridge.memory import aligned_empty
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.table import ParameterKey, Table

__all__ = ["Ints", "MergedTable", "join_reals", "merge_tables"]

Array = Any
Ints = npt.NDArray[np.int32]

_SEPARATE = "pass share_parameters=False: rows of different bundles then stay apart"


@dataclass(frozen=True, eq=False)
class MergedTable:
    """A table made of several.

    Attributes:
        table: the new table.
        rows: for each bundle that has the table, by its number, the new row of each old one, ``(n_params,) int32``.
    """

    table: Table
    rows: Mapping[int, Ints]


def merge_tables(name: str, tables: Mapping[int, Table], *, share_parameters: bool) -> MergedTable:
    """Return one table with the rows of all, those with equal keys once.

    A merged row is that of the first bundle that has it, and gradients flow to that one.

    Args:
        name: the tables' name, for errors.
        tables: the tables by the number of their bundle.
        share_parameters: merge rows by key. Otherwise all rows stay, and the keys are kept only if no key stands twice.

    Raises:
        BundleError: columns, units, models or dtypes differ, only some have keys, or a key has several values.
    """
    for part in ("columns", "units", "model"):
        _require_equal(f"tables/{name}/{part}", {number: getattr(table, part) for number, table in tables.items()})
    values = join_reals(f"tables/{name}/values", {number: table.values for number, table in tables.items()})
    lengths = [len(table) for table in tables.values()]
    owners = np.repeat(list(tables), lengths)
    keys = _joined_keys(name, tables, share_parameters)
    first = next(iter(tables.values()))
    new = np.arange(sum(lengths), dtype=np.int32)
    if keys is not None:
        places: dict[ParameterKey, int] = {}
        new = np.asarray([places.setdefault(key, len(places)) for key in keys], dtype=np.int32)
        if len(places) < len(keys) and share_parameters:
            keep = np.unique(new, return_index=True)[1].astype(np.int32)
            _require_equal_values(name, first.columns, keys, snapshot(values), keep[new], owners)
            values, keys = _take(values, keep), tuple(places)
        elif len(places) < len(keys):
            new, keys = np.arange(len(keys), dtype=np.int32), None
    rows = dict(zip(tables, np.split(new, np.cumsum(lengths)[:-1]), strict=True))
    return MergedTable(replace(first, values=values, keys=keys), rows)


def join_reals(path: str, arrays: Mapping[int, Array]) -> Array:
    """Return the arrays one after another, in their own framework; gradients flow through.

    Raises:
        BundleError: their dtypes or trailing shapes differ.
    """
    first = next(iter(arrays.values()))
    backend = backend_of(first)
    _require_equal(path, {number: backend.dtype(array) for number, array in arrays.items()}, cast=True)
    _require_equal(path, {number: ("…", *map(int, array.shape[1:])) for number, array in arrays.items()})
    plain = _plain(arrays.values())
    if plain is None:
        return backend.namespace.concat(list(arrays.values()), axis=0)
    # NumPy joins many small arrays at once; XLA would compile a program for each number of them.
    joined = aligned_empty((sum(map(len, plain)), *plain[0].shape[1:]), plain[0].dtype)
    np.concatenate(plain, out=joined)
    return share(joined, backend, device=backend.device(first)).array


def _plain(arrays: Iterable[Array]) -> list[np.ndarray[Any, Any]] | None:
    """Return the arrays in NumPy; None if one is on a device, is being traced or carries a gradient."""
    try:
        return [share(array, "numpy").array for array in arrays]
    except ExchangeError:
        return None


def _take(values: Array, rows: Ints) -> Array:
    backend = backend_of(values)
    index = share(rows, backend, device=backend.device(values)).array
    return backend.namespace.take(values, index, axis=0)


def _joined_keys(name: str, tables: Mapping[int, Table], share_parameters: bool) -> tuple[ParameterKey, ...] | None:
    without = [number for number, table in tables.items() if table.keys is None]
    if not without:
        return tuple(key for table in tables.values() for key in table.keys or ())
    if share_parameters and len(without) < len(tables):
        raise BundleError(
            f"tables/{name}/keys: bundle {without[0]} has no keys and others have, so it is unknown which rows are the "
            f"same parameter. Give keys to all or none, or {_SEPARATE}, and without keys"
        )
    return None


def _require_equal(path: str, found: Mapping[int, Any], *, cast: bool = False) -> None:
    (first, wanted), *others = found.items()
    for number, value in others:
        if value != wanted:
            remedy = 'convert one of them, as with bundle.to("numpy", dtype="float32")' if cast else "make them equal"
            raise BundleError(f"{path}: bundle {first} has {wanted!r}, bundle {number} has {value!r}; {remedy}")


def _require_equal_values(
    name: str,
    columns: Sequence[str],
    keys: Sequence[ParameterKey],
    values: np.ndarray[Any, Any],
    first: Ints,
    owners: np.ndarray[Any, Any],
) -> None:
    """Raise if a row differs from the first row that has the same key; `owners` are the bundles of the rows."""
    bad = np.flatnonzero((values != values[first]).any(axis=1))
    if not len(bad):
        return

    def told(row: int) -> str:
        parameters = ", ".join(f"{column}={float(value)!r}" for column, value in zip(columns, values[row], strict=True))
        return f"{parameters} in bundle {owners[row]}"

    row = int(bad[0])
    raise BundleError(
        f"tables/{name}: the key {keys[row]} has different values: {told(int(first[row]))} and {told(row)}; "
        f"{len(bad)} rows in all differ. If both are meant, {_SEPARATE}, and the table loses its keys"
    )
