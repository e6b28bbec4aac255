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
    """Return the pairs among some atoms, system after system, in each those of neighbours first.

    Within a system, pairs are sorted by how many members further the second atom is, then by the first atom. So both
    atoms change from pair to pair, and no sum by atom waits for the one before it, which saves XLA on a CPU two thirds
    of the time of those sums.

    Args:
        members: ``(n,) int32``, the atoms that take part, each once.
        system_offsets: ``(n_systems + 1,) int32``.
        exceptions: pairs ``(n_exceptions, 2)`` with first < second, and the kept fractions of charge and LJ.
    """
    members = np.sort(members)
    starts = np.searchsorted(members, system_offsets)
    sizes = np.diff(starts)
    first_pairs = np.concatenate([[0], np.cumsum(sizes * (sizes - 1) // 2)])
    # Diagonal d of a system of n members: the n - d pairs (i, i + d).
    diagonals = np.maximum(sizes - 1, 0)
    system = np.repeat(np.arange(len(sizes)), diagonals)
    apart = 1 + np.arange(len(system)) - np.repeat(np.cumsum(diagonals) - diagonals, diagonals)
    lengths = sizes[system] - apart
    first = np.arange(first_pairs[-1]) - np.repeat(np.cumsum(lengths) - lengths - starts[system], lengths)
    second = first + np.repeat(apart, lengths)
    kept = np.ones((2, len(first)))
    excepted = np.zeros(len(first), dtype=bool)
    if exceptions is not None and len(members):
        pairs, *fractions = exceptions
        place = np.minimum(np.searchsorted(members, pairs), len(members) - 1)
        found = (members[place] == pairs).all(axis=1)
        one, other = place[found].T
        of = np.searchsorted(starts, one, side="right") - 1
        d = other - one
        # Before diagonal d are those from 1 to d - 1, of n - 1, n - 2, ... pairs.
        row = first_pairs[of] + (d - 1) * sizes[of] - d * (d - 1) // 2 + one - starts[of]
        kept[:, row] = np.stack(fractions)[:, found]
        excepted[row] = True
    present = (kept != 0).any(axis=0)
    atoms = members[np.stack([first[present], second[present]], axis=1)].astype(np.int32)
    return PairList(atoms, kept[0, present], kept[1, present], excepted[present])
