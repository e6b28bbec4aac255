"""How many conformers are evaluated at once, and how many a compiled function is made for.

What is computed of an interaction lives in arrays of interactions × conformers. Chunks keep them near a core's cache,
and memory bounded however many conformers there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ffbridge.backend import Array

__all__ = ["bucket", "chunk_of", "conformers_at_once", "conformers_with_blocks", "rows_at_once"]

_BYTES = 2**22
"""Measured under XLA: 100 conformers of eight drugs take 15.0 ms by 16, 13.8 by 25 and 13.1 by 50 at once."""
_FEWEST, _MOST = 8, 64
_BLOCK = 2**15
_FEWEST_ROWS = 256


def conformers_at_once(arrays: Mapping[str, Array], *, fewest: int = _FEWEST) -> int:
    """Return how many conformers to evaluate together, a power of two.

    So many that three coordinates for each interaction of the largest term take about 4 MiB.

    Args:
        arrays: the arrays of a :func:`ffbridge.energy.plan.plan`.
        fewest: how many at least; with few, loops over conformers are too short for vector instructions.
    """
    interactions = max((int(array.shape[0]) for path, array in arrays.items() if path.endswith("/systems")), default=1)
    fitting = _BYTES // (3 * 8 * max(interactions, 1))
    return min(max(1 << (max(fitting, 1).bit_length() - 1), fewest), _MOST)


def rows_at_once(n_conformers: int) -> int:
    """Return how many interactions to evaluate together: an array of theirs takes 256 KiB."""
    return max(_BLOCK // max(n_conformers, 1), _FEWEST_ROWS)


def conformers_with_blocks(n_atoms: int) -> int:
    """Return how many conformers to evaluate together where each block of interactions is summed by atom at once.

    So many that a block has as many interactions as there are atoms: of more conformers, the sums of blocks, which have
    the size of the positions, would cost more than the blocks.
    """
    return max(_BLOCK // max(n_atoms, 1), _FEWEST)


def bucket(n_conformers: int, at_once: int) -> int:
    """Return the number of conformers that a function is compiled for: at least as many, and one of few numbers.

    0 for none, powers of two up to `at_once`, then chunks of equal size, a multiple of four, up to eight of them, then
    four numbers for each doubling. So less than four conformers of a chunk, or a quarter, are computed in vain; and 41
    functions are compiled at most for all numbers from 1 to 1,000, with 64 at once.
    """
    if n_conformers <= at_once:
        return 1 << (n_conformers - 1).bit_length() if n_conformers else 0
    chunks = -(-n_conformers // at_once)
    if chunks <= 8:
        return chunks * -(-n_conformers // (4 * chunks)) * 4
    step = 1 << max((chunks - 1).bit_length() - 3, 0)
    return -(-chunks // step) * step * at_once


def chunk_of(bucket: int, at_once: int) -> int:
    """Return how many conformers of a bucket to evaluate together: the buckets are whole numbers of chunks."""
    return bucket // max(-(-bucket // at_once), 1)
