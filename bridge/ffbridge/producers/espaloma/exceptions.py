"""Nonbonded exceptions of an espaloma graph: which pairs interact in full, in part, or not at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import GraphError
from ffbridge.producers.connectivity import pairs_within

from .source import Source

__all__ = ["KEPT_CHARGE_ONE_FOUR", "KEPT_LJ_ONE_FOUR", "exceptions"]

Indices = NDArray[np.int64]

KEPT_CHARGE_ONE_FOUR = 0.8333333333333334
"""The fraction of the Coulomb energy of ``onefour`` pairs that espaloma counts."""

KEPT_LJ_ONE_FOUR = 0.5
"""The fraction of the Lennard-Jones energy of 1-4 pairs in the force fields that espaloma's graphs are completed with
(OpenFF). espaloma's graphs hold no Lennard-Jones parameters, and no term of the bundle uses it."""


def exceptions(source: Source) -> tuple[Indices, NDArray[np.float64], NDArray[np.float64]]:
    """Return every pair of atoms of a molecule that is not listed in ``nonbonded``: (pairs, kept_charge, kept_lj).

    Pairs are listed once, the lower atom first. Those in ``onefour`` keep a fraction, all others nothing. An atom
    paired with itself, which espaloma lists for atoms without bonds, is no pair.

    Raises:
        GraphError: a pair is not listed exactly once in each direction, or is both ``nonbonded`` and ``onefour``.
    """
    molecule_of_atom = np.repeat(np.arange(len(source.sizes)), source.sizes)
    pairs, first = pairs_within(molecule_of_atom)
    listed = {name: _count(source, name, first, len(pairs)) for name in ("nonbonded", "onefour")}
    is_pair = pairs[:, 0] < pairs[:, 1]
    pairs = pairs[is_pair]
    mirror = first[pairs[:, 1]] + pairs[:, 0]
    for name, counts in listed.items():
        _check(name, counts[is_pair], counts[mirror], pairs)
    nonbonded, one_four = (listed[name][is_pair] > 0 for name in ("nonbonded", "onefour"))
    if (nonbonded & one_four).any():
        both = pairs[nonbonded & one_four][0].tolist()
        raise GraphError(f"nodes/nonbonded and nodes/onefour both list the atoms {both}; remove them from one")
    left = ~nonbonded
    return (
        pairs[left],
        np.where(one_four[left], KEPT_CHARGE_ONE_FOUR, 0.0),
        np.where(one_four[left], KEPT_LJ_ONE_FOUR, 0.0),
    )


def _count(source: Source, node_type: str, first: Indices, n_pairs: int) -> Indices:
    """Return how often each ordered pair of :func:`pairs_within` is listed."""
    i, j = source.atoms(node_type, 2).T
    return np.bincount(first[i] + j, minlength=n_pairs)


def _check(node_type: str, ahead: Indices, back: Indices, pairs: Indices) -> None:
    wrong = (ahead != back) | (ahead > 1)
    if wrong.any():
        pair = int(np.flatnonzero(wrong)[0])
        raise GraphError(
            f"nodes/{node_type}/idxs lists the atoms {pairs[pair].tolist()} {int(ahead[pair])} times in this order and "
            f"{int(back[pair])} times in reverse; expected each pair once in each direction, as espaloma's energy "
            "counts one half for either"
        )
