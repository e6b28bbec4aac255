"""How vectors are written: arrays as flat lists, JSON with each list of numbers on one line."""

from __future__ import annotations

import json
import re

import numpy as np


def array(values, dtype):
    """An array as vectors have it; values that JSON lacks are the strings nan, inf and -inf."""
    stored = np.asarray(values, dtype=dtype)
    data = [value if np.isfinite(value) else str(value) for value in stored.reshape(-1).tolist()]
    return {"dtype": stored.dtype.name, "shape": list(stored.shape), "data": data}


def ints(values):
    return array(values, "int32")


def reals(values):
    return array(values, "float64")


def as_text(vector) -> str:
    text = json.dumps(vector, indent=1, ensure_ascii=False)
    return re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", _on_one_line, text) + "\n"


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + re.sub(r",\n\s+", ", ", found[1]) + "]"


def topology(*sizes):
    return {"system_offsets": ints(np.cumsum([0, *sizes])), "atomic_numbers": ints([6] * sum(sizes))}


def energy_vector(title, rules, source, content, *, energies, forces, tables, tolerance=1e-12):
    parts, arrays, positions = content
    return {
        "title": title,
        "rules": rules,
        "source": source,
        "tolerance": tolerance,
        "document": parts,
        "arrays": arrays,
        "positions": reals(positions),
        "energies": {name: reals(values) for name, values in energies.items()},
        "forces": reals(forces),
        "tables": {name: reals(values) for name, values in tables.items()},
    }
