"""Which pairs of atoms interact: all pairs within a system but those that the exceptions leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PairList", "pair_list"]

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PairList:
    """Interacting pairs.

    Attributes:
        atoms: ``(n_pairs, 2) int32``, first < second.
        kept_charge: ``(n_pairs,)``, fraction of the Coulomb energy that is kept.
        kept_lj: ``(n_pairs,)``, fraction of the van der Waals energy that is kept.
        excepted: ``(n_pairs,) bool``, whether the pair is one of the exceptions.
    """

    atoms: Ints
    kept_charge: npt.NDArray[np.floating]
    kept_lj: npt.NDArray[np.floating]
    excepted: npt.NDArray[np.bool_]


def pair_list(
    members: Ints,
    system_offsets: Ints,
    exceptions: tuple[Ints, npt.NDArray[np.floating], npt.NDArray[np.floating]] | None,
) -> PairList:
    """Return the pairs among some atoms, sorted by first and second atom.

    Args:
        members: ``(n,) int32``, the atoms that take part, each once.
        system_offsets: ``(n_systems + 1,) int32``.
        exceptions: pairs ``(n_exceptions, 2)`` with first < second, and the kept fractions of charge and LJ.
    """
    first, second = _all_pairs(np.sort(members), system_offsets)
    kept = np.ones((2, len(first)))
    excepted = np.zeros(len(first), dtype=bool)
    if exceptions is not None and len(exceptions[0]):
        pairs, *fractions = exceptions
        # A pair is one number, and `first, second` are sorted by it: every exception is found by bisection.
        n_atoms = int(system_offsets[-1])
        ranks = first.astype(np.int64) * n_atoms + second
        wanted = pairs[:, 0].astype(np.int64) * n_atoms + pairs[:, 1]
        place = np.minimum(np.searchsorted(ranks, wanted), max(len(ranks) - 1, 0))
        found = ranks[place] == wanted if len(ranks) else np.zeros(len(wanted), dtype=bool)
        kept[:, place[found]] = np.stack(fractions)[:, found]
        excepted[place[found]] = True
    present = (kept != 0).any(axis=0)
    atoms = np.stack([first[present], second[present]], axis=1)
    return PairList(atoms, kept[0, present], kept[1, present], excepted[present])


def _all_pairs(members: Ints, system_offsets: Ints) -> tuple[Ints, Ints]:
    """Return all pairs within each system among sorted members, ``(n_pairs,)`` each, without a loop over atoms."""
    # The partners of a member are the members after it, up to the end of its system.
    ends = np.searchsorted(members, system_offsets[1:])
    system = np.searchsorted(system_offsets, members, side="right") - 1
    position = np.arange(len(members))
    partners = ends[system] - position - 1
    start = np.repeat(np.cumsum(partners) - partners, partners)
    first = np.repeat(position, partners)
    second = first + 1 + np.arange(len(first)) - start
    return members[first].astype(np.int32), members[second].astype(np.int32)
