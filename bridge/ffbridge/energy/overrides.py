"""Overrides: pairs of atoms whose parameters are listed instead of mixed (spec, section 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ffbridge.backend import Array, Backend
from ffbridge.energy.mixing import Variables
from ffbridge.mapping import Select
from ffbridge.term import Term

__all__ = ["overridden", "overridden_pullback", "override_arrays", "overriding_rows"]

Arrays = Mapping[str, Array]
Ints = npt.NDArray[np.int32]


def overriding_rows(term: Term, pairs: Ints) -> Ints:
    """Return the row of the overrides' table that pairs of a term's interactions have, ``(n,) int32``; -1 for none.

    Args:
        term: a nonbonded term of NumPy arrays.
        pairs: ``(n, 2)``, interactions of the term, which are atoms.
    """
    found = np.full(len(pairs), -1, dtype=np.int32)
    if term.overrides is None or not len(term.overrides.pairs):
        return found
    listed = np.asarray(term.overrides.pairs).astype(np.int64)
    row_of = np.asarray(term.mapping.index) if isinstance(term.mapping, Select) else np.arange(len(term))
    # Rows of the table that no override lists are many, and are told apart from the others first.
    candidates = np.flatnonzero(np.isin(row_of, listed)[pairs].all(axis=1))
    rows = np.sort(row_of[pairs[candidates]].astype(np.int64), axis=1)
    n_params = int(max(rows.max(initial=0), listed.max())) + 1
    ranks, wanted = (each[:, 0] * n_params + each[:, 1] for each in (listed, rows))
    order = np.argsort(ranks)
    place = order[np.minimum(np.searchsorted(ranks[order], wanted), len(order) - 1)]
    found[candidates] = np.where(ranks[place] == wanted, place, -1)
    return found


def override_arrays(name: str, term: Term, rows: Ints) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a plan for a term that has overrides.

    Args:
        name: the term's name.
        term: the term.
        rows: the interactions of the term that are the atoms of its pairs, ``(2 n_pairs,)``.
    """
    own = overriding_rows(term, rows.reshape(-1, 2))
    return {f"{name}/overridden": own[:, None] >= 0, f"{name}/override": np.maximum(own, 0)}


def overridden(xp: Any, name: str, arrays: Arrays, table: Array, mixed: Variables) -> Variables:
    """Return the parameters of each pair, ``(n_pairs, 1)`` for each column: the mixed ones, or those of its override.

    Args:
        xp: the arrays' namespace.
        name: the term's name.
        arrays: the plan's arrays.
        table: the overrides' table, ``(n_overrides, n_columns)``.
        mixed: the mixed parameters.
    """
    if not table.shape[0]:
        return mixed
    chosen, own = arrays[f"{name}/overridden"], xp.take(table, arrays[f"{name}/override"], axis=0)
    return tuple(xp.where(chosen, own[:, column : column + 1], values) for column, values in enumerate(mixed))


def overridden_pullback(
    backend: Backend, name: str, arrays: Arrays, table: Array, cotangents: Variables
) -> tuple[Variables, Array]:
    """Return the cotangents of the mixed parameters, and that of the overrides' table; arguments as before."""
    if not table.shape[0]:
        return cotangents, backend.namespace.zeros_like(table)
    xp, chosen, rows = backend.namespace, arrays[f"{name}/overridden"], arrays[f"{name}/override"]
    own = xp.concat([xp.where(chosen, each, 0.0) for each in cotangents], axis=1)
    return tuple(xp.where(chosen, 0.0, each) for each in cotangents), backend.segment_sum(own, rows, table.shape[0])
