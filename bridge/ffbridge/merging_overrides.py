"""Merging of overrides: the pairs of a batch's term that are not mixed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ffbridge.errors import BundleError
from ffbridge.merging import Ints, MergedTable
from ffbridge.snapshot import snapshot
from ffbridge.term import Term

__all__ = ["merge_overrides"]

_APART = "pass share_parameters=False: rows of different bundles then stay apart, and so do their overrides"


def merge_overrides(
    name: str, having: Mapping[int, Term], tables: Mapping[str, MergedTable]
) -> tuple[str, Ints] | None:
    """Return the overrides' table and the pairs of rows of the merged table; None if no bundle has any.

    Args:
        name: the term's name, for errors.
        having: the term in each bundle that has it, by the bundle's number.
        tables: the merged tables.

    Raises:
        BundleError: the bundles' overrides do not fit together: a pair has several rows, a row several pairs, or an
            override of one bundle would act in another that has it not.
    """
    given = {number: term.overrides for number, term in having.items() if term.overrides is not None}
    if not given:
        return None
    path = f"terms/{name}/overrides"
    names = sorted({overrides.table for overrides in given.values()})
    if len(names) > 1:
        raise BundleError(f"{path}: the bundles have the tables {', '.join(names)}; rename them to be the same")
    own, table = tables[next(iter(having.values())).table], tables[names[0]]
    pairs = np.full((len(table.table), 2), -1, dtype=np.int32)
    for number, overrides in given.items():
        rows, places = np.sort(own.rows[number][snapshot(overrides.pairs)], axis=1), table.rows[number]
        if ((pairs[places] != rows) & (pairs[places] >= 0)).any():
            raise BundleError(
                f"{path}: a row of table {names[0]} is for different pairs in different bundles; {_APART}"
            )
        pairs[places] = rows
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise BundleError(
            f"{path}: bundles with the same parameters have a row each for the same pair. Give keys to the rows of "
            f"table {names[0]}, or {_APART}"
        )
    for number in having:
        present = np.zeros(len(own.table), dtype=bool)
        present[own.rows[number]] = True
        n_own = len(table.rows[number]) if number in given else 0
        if (n_acting := int(present[pairs].all(axis=1).sum())) != n_own:
            raise BundleError(
                f"{path}: bundle {number} has {n_own} overrides of its parameters, and {n_acting} of the batch would "
                f"act in it; {_APART}"
            )
    return names[0], pairs
