"""Checks of the arrays by themselves: which there are, their dtypes, shapes and finiteness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ffbridge.forms import forms
from ffbridge.rules.fault import Fault, listed

__all__ = ["layout_faults", "sound_arrays"]

INDEX = ("int32",)
REAL = ("float64", "float32")
WEIGHT = (
    "bool",
    *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")),
    *("float16", "bfloat16", "float32", "float64"),
)

Arrays = Mapping[str, np.ndarray[Any, Any]]
Size = int | str
"""A length along an axis: a number, or a name that means one length wherever it stands; ``+ 1`` may follow it."""


class Expected(NamedTuple):
    """What the standard says of one array."""

    dtypes: tuple[str, ...]
    shape: tuple[Size, ...]


_REQUIRED = {
    "system_offsets": Expected(INDEX, ("n_systems + 1",)),
    "atomic_numbers": Expected(INDEX, ("n_atoms",)),
}
_OPTIONAL = {
    "masses": Expected(REAL, ("n_atoms",)),
    "bonds": Expected(INDEX, ("n_bonds", 2)),
    "box": Expected(REAL, ("n_systems", 3, 3)),
}
_GROUPS = {
    "exceptions": {
        "pairs": Expected(INDEX, ("n_exceptions", 2)),
        "kept_charge": Expected(REAL, ("n_exceptions",)),
        "kept_lj": Expected(REAL, ("n_exceptions",)),
    },
    "constraints": {
        "pairs": Expected(INDEX, ("n_constraints", 2)),
        "lengths": Expected(REAL, ("n_constraints",)),
    },
}


def layout_faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield a fault for each array that is missing, has no place, or is of the wrong dtype or shape, or not finite."""
    expected = _expected(document, arrays)
    for path in expected:
        if path not in arrays:
            yield Fault(path, "this array is missing", "A-1")
    for path in sorted(set(arrays) - set(expected)):
        if not _is_weight(path, document):
            yield Fault(path, "the standard and the document have no place for this array: leave it out", "A-1")
        elif arrays[path].dtype.name not in WEIGHT:
            yield Fault(path, f"dtype {arrays[path].dtype.name}, expected one of {', '.join(WEIGHT)}", "A-2")
    yield from _misshapen(expected, arrays)
    for path, array in arrays.items():
        if path in expected and array.dtype.name in REAL and not (finite := np.isfinite(array)).all():
            where = listed(~finite) if array.ndim else ""
            yield Fault(f"{path}{where}", "NaN or infinite values; every value must be finite", "A-4")


def sound_arrays(document: Mapping[str, Any], arrays: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays whose place, dtype and shape are right, so that other checks may compute with them."""
    expected = _expected(document, arrays)
    bad = {fault.path for fault in _misshapen(expected, arrays)}
    return {
        path: array
        for path, array in arrays.items()
        if path not in bad and (path in expected or _is_weight(path, document))
    }


def _expected(document: Mapping[str, Any], arrays: Arrays) -> dict[str, Expected]:
    """Return what is said of every array of this bundle but model weights; an optional one is expected if present."""
    expected = dict(_REQUIRED)
    expected |= {name: about for name, about in _OPTIONAL.items() if name in arrays}
    for group, parts in _GROUPS.items():
        if any(path.startswith(f"{group}/") for path in arrays):
            expected |= {f"{group}/{part}": about for part, about in parts.items()}
    for name, table in document["tables"].items():
        expected[f"tables/{name}/values"] = Expected(REAL, (f"rows of table {name}", len(table["columns"])))
    for name, term in document["terms"].items():
        expected |= _expected_of_term(name, term, arrays)
    return expected


def _expected_of_term(name: str, term: Mapping[str, Any], arrays: Arrays) -> dict[str, Expected]:
    rows, entries = f"interactions of term {name}", f"mapping entries of term {name}"
    form = forms().get(term["form"])
    arity: Size = form.arity if form else f"arity of form {term['form']}"
    found = {f"terms/{name}/indices": Expected(INDEX, (rows, arity))}
    if "overrides" in term:
        found[f"terms/{name}/overrides/pairs"] = Expected(INDEX, (f"rows of table {term['overrides']}", 2))
    mapping = f"terms/{name}/mapping"
    if term["mapping"] == "select":
        found[f"{mapping}/index"] = Expected(INDEX, (rows,))
    if term["mapping"] == "linear":
        table = arrays.get(f"tables/{term['table']}/values")
        weights = REAL if table is None else (table.dtype.name,)
        found[f"{mapping}/offsets"] = Expected(INDEX, (f"{rows} + 1",))
        found[f"{mapping}/columns"] = Expected(INDEX, (entries,))
        found[f"{mapping}/weights"] = Expected(weights, (entries,))
    return found


def _is_weight(path: str, document: Mapping[str, Any]) -> bool:
    parts = path.split("/", 2)
    return len(parts) == 3 and parts[0] == "models" and parts[1] in document.get("models", {}) and parts[2] != ""


def _misshapen(expected: Mapping[str, Expected], arrays: Arrays) -> Iterator[Fault]:
    """Yield wrong dtypes and shapes. The first array that has a named length defines it."""
    sizes: dict[str, tuple[int, str]] = {}
    for path, about in expected.items():
        array = arrays.get(path)
        if array is None:
            continue
        if array.dtype.name not in about.dtypes:
            yield Fault(path, f"dtype {array.dtype.name}, expected {' or '.join(about.dtypes)}", "A-2")
        elif problem := _shape_problem(path, array.shape, about.shape, sizes):
            yield Fault(path, problem, "A-3")


def _shape_problem(
    path: str, shape: tuple[int, ...], wanted: tuple[Size, ...], sizes: dict[str, tuple[int, str]]
) -> str | None:
    text = f"shape {shape}, expected ({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
    if len(shape) != len(wanted):
        return text
    for length, size in zip(shape, wanted, strict=True):
        name, _, extra = str(size).partition(" + ")
        if isinstance(size, int):
            if length != size:
                return text
            continue
        base = length - int(extra or 0)
        if base < 0:
            return text
        known, origin = sizes.setdefault(name, (base, path))
        if base != known:
            return f"{text} with {name} = {known}, as {origin} has it"
    return None
