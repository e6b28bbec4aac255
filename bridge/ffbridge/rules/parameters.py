"""Checks of tables (columns, units, keys, values) and of the mappings from them to interactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from ffbridge.forms import Column, Form, forms
from ffbridge.rules.fault import Fault, listed, named, shown
from ffbridge.rules.topology import TOLERANCE

__all__ = ["faults"]

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


def faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield the breaks of the rules T (tables) and M (mappings), and forms that the standard does not have."""
    for name, table in document["tables"].items():
        yield from _key_faults(name, table, arrays.get(f"tables/{name}/values"))
    seen: dict[tuple[Any, ...], tuple[Column, ...]] = {}
    for name, term in document["terms"].items():
        form = forms().get(term["form"])
        if form is None:
            known = ", ".join(sorted(forms()))
            yield Fault(f"terms/{name}/form", f"unknown form {shown(term['form'])}; the standard has: {known}", "I-1")
            continue
        # Terms may be many and share a table: it is checked once for each way in which it is used.
        used = [(term["table"], term["mapping"])]
        used += [(term["overrides"], "identity")] if "overrides" in term else []
        ways = [_way(table, mapping, form, term) for table, mapping in used]
        for (table, mapping), way in zip(used, ways, strict=True):
            if way not in seen:
                yield from _table_faults(table, form, term, mapping, document, arrays)
                columns, fits = _fitting(form, term, document["tables"][table])
                seen[way] = columns if fits else ()
        values = arrays.get(f"tables/{term['table']}/values")
        if values is not None:
            yield from _mapping_faults(name, term, seen[ways[0]], values, arrays)


def _way(table: str, mapping: str, form: Form, term: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what the checks of a table depend on: its form, the sizes of that, and whether rows are increments."""
    settings = term.get("settings", {})
    sizes = tuple(settings.get(setting) for column in form.columns for setting in column.shape)
    return table, form.name, mapping == "linear", sizes


def _fitting(form: Form, term: Mapping[str, Any], table: Mapping[str, Any]) -> tuple[tuple[Column, ...], bool]:
    """Return the columns that a term's tables must have, and whether one has them."""
    columns, _ = _columns(form, term.get("settings", {}), len(table["columns"]))
    return columns, table["columns"] == [column.name for column in columns]


def _table_faults(
    name: str, form: Form, term: Mapping[str, Any], mapping: str, document: Mapping[str, Any], arrays: Arrays
) -> Iterator[Fault]:
    """Yield the faults of a table that a term uses."""
    table, values = document["tables"][name], arrays.get(f"tables/{name}/values")
    columns, problem = _columns(form, term.get("settings", {}), len(table["columns"]))
    if problem:
        yield Fault(f"tables/{name}/columns", problem, "T-1")
    else:
        yield from _column_faults(name, table, form.name, columns)
    if _fitting(form, term, table)[1] and values is not None:
        yield from _value_faults(name, columns, values, mapping)


def _columns(form: Form, settings: Mapping[str, Any], n_columns: int) -> tuple[tuple[Column, ...], str]:
    """Return the columns that a term's table must have, or none and why; neither if a setting is missing.

    Those with a shape are counted before they are named: a document may state any size.
    """
    needed = {setting for column in form.columns for setting in column.shape}
    if not needed:
        return form.columns, ""
    if not needed <= set(settings):
        return (), ""
    wanted = sum(map(prod, form.lengths(settings)))
    if wanted == n_columns:
        return form.columns_for(settings), ""
    sizes = ", ".join(f"{name} {settings[name]}" for name in sorted(needed))
    return (), f"{n_columns} columns; the form {form.name} with {sizes} has {wanted}"


def _key_faults(name: str, table: Mapping[str, Any], values: Array | None) -> Iterator[Fault]:
    if "keys" not in table:
        return
    path, keys = f"tables/{name}/keys", table["keys"]
    if values is not None and len(keys) != len(values):
        yield Fault(path, f"{len(keys)} keys for {len(values)} rows of values", "T-3")
    first: dict[tuple[Any, ...], int] = {}
    places = [first.setdefault(_identity(key), row) for row, key in enumerate(keys)]
    repeated = np.asarray(places, dtype=np.int64) != np.arange(len(keys))
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        yield Fault(
            f"{path}{listed(repeated)}",
            f"keys must all be different; {shown(keys[row], 300)} stands at {places[row]} too",
            "T-4",
        )


def _identity(key: Mapping[str, Any]) -> tuple[Any, ...]:
    return key["handler"], key["pattern"], key.get("id"), key.get("index")


def _column_faults(name: str, table: Mapping[str, Any], form: str, columns: tuple[Column, ...]) -> Iterator[Fault]:
    parts = (
        ("columns", [column.name for column in columns], "T-1", ""),
        ("units", [column.unit for column in columns], "T-2", "; convert the values to these"),
    )
    for part, wanted, rule, remedy in parts:
        if columns and table[part] != wanted:
            message = f"{named(table[part])}; the form {form} has: {named(wanted)}, in this order{remedy}"
            yield Fault(f"tables/{name}/{part}", message, rule)


def _value_faults(name: str, columns: tuple[Column, ...], values: Array, mapping: str) -> Iterator[Fault]:
    """Yield rows outside a column's set of values. Under `linear` rows may be increments: results are checked."""
    for column, value in zip(columns, values.T, strict=True):
        where = f"tables/{name}/values"
        if column.integer and (bad := np.isfinite(value) & (value != np.rint(value))).any():
            yield Fault(f"{where}{listed(bad)}", f"{column.name} must be a whole number, found {value[bad][0]}", "T-6")
        minimum = column.minimum
        if minimum is not None and (mapping != "linear" or column.integer) and (bad := value < minimum).any():
            message = f"{column.name} must be at least {_quantity(minimum, column)}, found {value[bad][0]}"
            yield Fault(f"{where}{listed(bad)}", message, "T-7")


def _quantity(value: float, column: Column) -> str:
    return f"{value:g}" if column.unit == "1" else f"{value:g} {column.unit}"


def _mapping_faults(
    name: str, term: Mapping[str, Any], columns: tuple[Column, ...], values: Array, arrays: Arrays
) -> Iterator[Fault]:
    path, n_params = f"terms/{name}/mapping", len(values)
    indices = arrays.get(f"terms/{name}/indices")
    if term["mapping"] == "identity" and indices is not None and len(indices) != n_params:
        message = f"identity needs a table row for each interaction: {n_params} rows, {len(indices)} interactions"
        yield Fault(path, message, "M-2")
    index = arrays.get(f"{path}/index")
    if index is not None and (bad := (index < 0) | (index >= n_params)).any():
        message = f"rows of table {term['table']} must be in [0, {n_params}), found {index[bad][0]}"
        yield Fault(f"{path}/index{listed(bad)}", message, "M-3")
    if all(f"{path}/{part}" in arrays for part in ("offsets", "columns", "weights")):
        yield from _linear_faults(path, columns, values, arrays)


def _linear_faults(path: str, columns: tuple[Column, ...], values: Array, arrays: Arrays) -> Iterator[Fault]:
    offsets, entries, weights = (arrays[f"{path}/{part}"] for part in ("offsets", "columns", "weights"))
    starts = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(entries)
    if not starts or (offsets[1:] < offsets[:-1]).any():
        yield Fault(
            f"{path}/offsets", f"must begin with 0, not decrease, and end with n_entries = {len(entries)}", "M-4"
        )
        return
    if (bad := (entries < 0) | (entries >= len(values))).any():
        message = f"rows of the table must be in [0, {len(values)}), found {entries[bad][0]}"
        yield Fault(f"{path}/columns{listed(bad)}", message, "M-5")
        return
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    n_rows = len(offsets) - 1
    # `columns` is empty where those of the table are not those of the form.
    for column, value in zip(columns, values.T, strict=False):
        if column.integer:
            yield from _integer_faults(path, column.name, rows, n_rows, weights, value[entries])
        elif column.minimum is not None:
            parts = weights * value[entries]
            result = np.bincount(rows, weights=parts, minlength=n_rows)
            rounding = TOLERANCE * np.bincount(rows, weights=abs(parts), minlength=n_rows)
            if (bad := result < column.minimum - rounding).any():
                least = _quantity(column.minimum, column)
                message = f"gives {column.name} = {result[bad][0]:g}, and it must be at least {least}"
                yield Fault(f"{path}{listed(bad)}", message, "T-7")


def _integer_faults(path: str, name: str, rows: Array, n_rows: int, weights: Array, entries: Array) -> Iterator[Fault]:
    """Yield interactions that mix different values of an integer column, or scale one."""
    total = np.bincount(rows, weights=weights, minlength=n_rows)
    if (bad := ~(abs(total - 1) <= TOLERANCE)).any():
        yield Fault(
            f"{path}/weights{listed(bad)}", f"must sum to 1 for each interaction, as {name} is an integer", "M-6"
        )
    counts = weights != 0
    highest, lowest = np.full(n_rows, -np.inf), np.full(n_rows, np.inf)
    np.maximum.at(highest, rows[counts], entries[counts])
    np.minimum.at(lowest, rows[counts], entries[counts])
    if (bad := highest > lowest).any():
        message = f"rows that make one interaction must have the same {name}, as it is an integer"
        yield Fault(f"{path}/columns{listed(bad)}", message, "M-6")
