"""Exceptions: the fractions that they keep of a pair's own energy, and pairs that have parameters of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm.found import Floats, Ints, Kept
from ffbridge.term import Exceptions

__all__ = ["fractions_of_charge", "fractions_of_lj", "join_kept"]

Flags = NDArray[np.bool_]


def fractions_of_charge(pairs: Ints, stated: Floats, charges: Floats) -> tuple[Floats, Flags]:
    """Return the kept fraction of the Coulomb energy, charge product / (q₁ q₂), and which pairs it does not explain.

    The fraction is NaN where both are 0. A product of atoms without charge is no fraction of theirs: the pair has a
    product of its own, and keeps 0.

    Args:
        pairs: ``(n_exceptions, 2)``.
        stated: charge products ``(n_exceptions,)`` [e²].
        charges: ``(n_atoms,)`` [e].
    """
    product = np.prod(charges[pairs], axis=1)
    own = (product == 0) & (stated != 0)
    return np.where(own, 0.0, _ratio(stated, product)), own


def fractions_of_lj(pairs: Ints, stated: Floats, atoms: Floats, tolerance: float) -> tuple[Floats, Flags]:
    """Return the kept fraction of the Lennard-Jones energy, ε / √(ε₁ε₂), and which pairs it does not explain.

    The fraction is NaN where both are 0. A pair whose sigma is not the mixed one, or whose atoms have no epsilon, has
    parameters of its own, and keeps 0.

    Args:
        pairs: ``(n_exceptions, 2)``.
        stated: sigma [nm] and epsilon [kJ/mol] of each pair, ``(n_exceptions, 2)``.
        atoms: the same of each atom, ``(n_atoms, 2)``.
        tolerance: relative difference of sigma from the mixed one that is taken for rounding.
    """
    first, second = atoms[pairs[:, 0]], atoms[pairs[:, 1]]
    sigma, epsilon = (first[:, 0] + second[:, 0]) / 2, np.sqrt(first[:, 1] * second[:, 1])
    differs = (epsilon == 0) | (abs(stated[:, 0] - sigma) > tolerance * sigma)
    own = (stated[:, 1] != 0) & differs
    return np.where(own, 0.0, _ratio(stated[:, 1], epsilon)), own


def join_kept(kept: Sequence[Kept], n_atoms: int) -> tuple[Exceptions | None, int]:
    """Return the exceptions of all forces, and how many fractions the energies leave open.

    A bundle has one fraction of each kind for a pair. One that every force leaves open (an atom without charge or
    depth) changes no energy, but derivatives to that charge, so it is given the value that most pairs have whose
    other fraction is the same; 0 where both are open.

    Raises:
        UnsupportedError: two forces keep different fractions of a pair.
    """
    if not kept:
        return None, 0
    ranks = np.unique(np.concatenate([_rank(each.pairs, n_atoms) for each in kept]))
    if not len(ranks):
        return None, 0
    pairs = np.stack([ranks // n_atoms, ranks % n_atoms], axis=1).astype(np.int32)
    charge, lj = (_joined(kind, kept, ranks, pairs, n_atoms) for kind in ("kept_charge", "kept_lj"))
    n_open = int(np.isnan(charge).sum() + np.isnan(lj).sum())
    both = np.isnan(charge) & np.isnan(lj)
    charge, lj = np.where(both, 0.0, charge), np.where(both, 0.0, lj)
    charge, lj = _filled(charge, lj), _filled(lj, charge)
    return Exceptions(pairs=pairs, kept_charge=charge, kept_lj=lj), n_open


def _joined(kind: str, kept: Sequence[Kept], ranks: Any, pairs: Ints, n_atoms: int) -> Floats:
    """Return the fractions of one kind for all pairs; NaN where no force tells."""
    joined = np.full(len(ranks), np.nan)
    told_by = ""
    for each in kept:
        if each.kind != kind:
            continue
        fractions = np.ones(len(ranks))
        fractions[np.searchsorted(ranks, _rank(each.pairs, n_atoms))] = each.fractions
        if (bad := abs(fractions - joined) > 1e-12).any():
            row = int(bad.argmax())
            raise UnsupportedError(
                f"{each.force}: it keeps {fractions[row]:g} of the pair {pairs[row].tolist()}, and {told_by} keeps "
                f"{joined[row]:g}; exceptions of a bundle hold for all its terms ({kind})"
            )
        joined = np.where(np.isnan(joined), fractions, joined)
        told_by = each.force
    return joined


def _filled(fractions: Floats, other: Floats) -> Floats:
    filled = fractions.copy()
    known = ~np.isnan(fractions)
    for value in np.unique(other[~known & ~np.isnan(other)]):
        # Fractions of one kind differ by rounding, as do those of the other kind.
        like = known & (abs(other - value) <= 1e-9)
        values, counts = np.unique(np.round(fractions[like], 9), return_counts=True)
        most = values[counts.argmax()] if len(values) else value
        filled[~known & (other == value)] = most
    return filled


def _rank(pairs: Ints, n_atoms: int) -> Any:
    return pairs[:, 0].astype(np.int64) * n_atoms + pairs[:, 1]


def _ratio(stated: Floats, full: Floats) -> Floats:
    present = full != 0
    return np.where(present, stated / np.where(present, full, 1.0), np.nan)
