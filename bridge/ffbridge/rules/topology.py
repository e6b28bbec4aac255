"""Checks of systems and atoms: offsets, elements, masses, box, and every array of atom indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ffbridge.forms import Form, forms
from ffbridge.rules.fault import Fault, listed

__all__ = ["faults", "repeated_rows"]

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]

HEAVIEST = 118
TOLERANCE = 1e-6
"""Rounding that is allowed where the standard asks for sums and inequalities of real numbers."""


def faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield the breaks of the rules G (systems, topology) and I (indices)."""
    unsound = list(_system_faults(arrays))
    yield from unsound
    if unsound:
        arrays = {path: array for path, array in arrays.items() if path != "system_offsets"}
    names = document.get("system_names")
    if (
        names is not None
        and "system_offsets" in arrays
        and len(names) != (n_systems := len(arrays["system_offsets"]) - 1)
    ):
        yield Fault("system_names", f"{len(names)} names for {n_systems} systems", "D-6")
    yield from _atom_faults(arrays)
    if (box := arrays.get("box")) is not None:
        yield from _box_faults(box)
    for path in ("bonds", "exceptions/pairs", "constraints/pairs"):
        if path in arrays:
            yield from _index_faults(path, arrays[path], arrays)
            yield from _repeated_pairs(path, arrays[path])
    if (pairs := arrays.get("exceptions/pairs")) is not None and (bad := pairs[:, 0] > pairs[:, 1]).any():
        yield Fault(f"exceptions/pairs{listed(bad)}", "the first atom of a pair must be less than the second", "G-6")
    if (lengths := arrays.get("constraints/lengths")) is not None and (bad := lengths <= 0).any():
        yield Fault(f"constraints/lengths{listed(bad)}", "a constraint's length must be greater than 0 nm", "G-8")
    for name, term in document["terms"].items():
        indices = arrays.get(f"terms/{name}/indices")
        if indices is not None and term["form"] in forms():
            yield from _term_faults(f"terms/{name}/indices", indices, forms()[term["form"]], arrays)
    yield from _virtual_site_faults(document, arrays)


def _system_faults(arrays: Arrays) -> Iterator[Fault]:
    offsets = arrays.get("system_offsets")
    if offsets is None:
        return
    n_systems = len(offsets) - 1
    if n_systems < 1 or offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any():
        yield Fault("system_offsets", "must begin with 0 and increase: each system has at least one atom", "G-1")
    elif "atomic_numbers" in arrays and offsets[-1] != len(arrays["atomic_numbers"]):
        n_atoms = len(arrays["atomic_numbers"])
        yield Fault("system_offsets", f"ends with {offsets[-1]}, expected n_atoms = {n_atoms}", "G-1")


def _atom_faults(arrays: Arrays) -> Iterator[Fault]:
    numbers, masses = arrays.get("atomic_numbers"), arrays.get("masses")
    if numbers is not None and (bad := (numbers < 0) | (numbers > HEAVIEST)).any():
        yield Fault(
            f"atomic_numbers{listed(bad)}", f"must be 0 (no atom) to {HEAVIEST}, found {numbers[bad][0]}", "G-2"
        )
    if masses is not None and (bad := masses < 0).any():
        yield Fault(f"masses{listed(bad)}", f"a mass must not be negative, found {masses[bad][0]} Da", "G-3")


def _box_faults(box: Array) -> Iterator[Fault]:
    upper = (box[:, 0, 1] != 0) | (box[:, 0, 2] != 0) | (box[:, 1, 2] != 0)
    a, b, c = box[:, 0, 0], box[:, 1, 1], box[:, 2, 2]
    flat = (a <= 0) | (b <= 0) | (c <= 0)
    if (bad := upper | flat).any():
        yield Fault(f"box{listed(bad)}", "must be lower triangular with a positive diagonal (rows are vectors)", "G-5")
    half_a, half_b = 0.5 * a * (1 + TOLERANCE), 0.5 * b * (1 + TOLERANCE)
    skewed = (abs(box[:, 1, 0]) > half_a) | (abs(box[:, 2, 0]) > half_a) | (abs(box[:, 2, 1]) > half_b)
    if (bad := skewed & ~upper & ~flat).any():
        yield Fault(
            f"box{listed(bad)}",
            "must be reduced: |b_x|, |c_x| <= a_x/2 and |c_y| <= b_y/2; add multiples of a and b",
            "G-5",
        )


def _index_faults(path: str, indices: Array, arrays: Arrays, *, distinct: bool = True) -> Iterator[Fault]:
    """Yield rows with atoms that do not exist, lie in several systems, or, if `distinct`, stand twice."""
    offsets, numbers = arrays.get("system_offsets"), arrays.get("atomic_numbers")
    if numbers is not None and (out := (indices < 0) | (indices >= len(numbers))).any():
        yield Fault(f"{path}{listed(out)}", f"atoms must be in [0, {len(numbers)}), found {indices[out][0]}", "I-3")
    if offsets is not None:
        systems = np.searchsorted(offsets, indices, side="right")
        inside = (indices >= 0) & (indices < offsets[-1])
        if (bad := inside.all(axis=1) & (systems != systems[:, :1]).any(axis=1)).any():
            yield Fault(f"{path}{listed(bad)}", "all atoms of a row must be of the same system", "I-4")
    if distinct and (bad := _has_equal(indices)).any():
        yield Fault(f"{path}{listed(bad)}", "the atoms of a row must all be different", "I-5")


def _has_equal(rows: Array) -> Array:
    """Return which rows ``(n, k)`` hold a number twice, ``(n,)``."""
    ordered = np.sort(rows, axis=1)
    repeats: Array = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    return repeats


def _repeated_pairs(path: str, pairs: Array) -> Iterator[Fault]:
    """Yield pairs that stand more than once, in either order."""
    if (bad := repeated_rows(np.sort(pairs, axis=1))).any():
        rule = {"bonds": "G-4", "exceptions/pairs": "G-7", "constraints/pairs": "G-8"}[path]
        yield Fault(f"{path}{listed(bad)}", "each pair must stand once, in either order", rule)


def repeated_rows(rows: Array) -> Array:
    """Return which rows ``(n, k)`` are equal to an earlier row, ``(n,)``."""
    order = np.lexsort(rows.T[::-1])
    same = (rows[order][1:] == rows[order][:-1]).all(axis=1)
    repeated = np.zeros(len(rows), dtype=bool)
    repeated[order[1:][same]] = True
    return repeated


def _term_faults(path: str, indices: Array, form: Form, arrays: Arrays) -> Iterator[Fault]:
    yield from _index_faults(path, indices, arrays, distinct=not form.repeated_atoms)
    if form.repeated_atoms:
        each = [_has_equal(indices[:, list(coordinate.atoms)]) for coordinate in form.coordinates]
        if (bad := np.any(each, axis=0)).any():
            kinds = " or ".join(sorted({coordinate.kind for coordinate in form.coordinates}))
            yield Fault(f"{path}{listed(bad)}", f"the atoms of each {kinds} of a row must all be different", "I-5")
    if form.kind == "nonbonded" and (bad := repeated_rows(indices)).any():
        yield Fault(f"{path}{listed(bad)}", "an atom must stand once in a nonbonded term", "I-6")


def _virtual_site_faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield sites that are placed twice, by whichever term, and parents that are sites themselves."""
    rows = {
        path: arrays[path]
        for name, term in document["terms"].items()
        if term["form"] in forms()
        and forms()[term["form"]].kind == "virtual_site"
        and (path := f"terms/{name}/indices") in arrays
    }
    sites = np.concatenate([np.zeros(0, dtype=np.int32), *(indices[:, 0] for indices in rows.values())])
    ends = np.cumsum([len(indices) for indices in rows.values()], dtype=np.int64)
    repeated = np.split(repeated_rows(sites[:, None]), ends[:-1])
    for (path, indices), bad in zip(rows.items(), repeated, strict=False):
        if bad.any():
            yield Fault(f"{path}{listed(bad)}", "an atom can be placed as a virtual site once", "G-9")
        # A site that is its own parent is a row with an atom twice.
        others = indices[:, 1:] != indices[:, :1]
        if (bad := np.isin(indices[:, 1:], sites) & others).any():
            yield Fault(f"{path}{listed(bad)}", "a parent must not be a virtual site itself", "G-9")
