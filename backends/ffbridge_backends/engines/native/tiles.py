"""Pairs of atoms as triangles in tiles, as :func:`.compiled.triangle.triangle` goes over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge_backends.engines.native.compiled.triangle import ACROSS, MULTIPLE

__all__ = ["Tiles", "tiles_of"]

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Tiles:
    """The members of pairs, and where pairs stand in lists that have those without interaction as well.

    Attributes:
        atoms: ``(n_members,)``, increasing.
        rows: ``(n_members,)``, the terms' rows of these atoms.
        starts: the first member of each system and after the last, ``(n_systems + 1,)``.
        first_places: the place of each system's first pair, ``(n_systems,)``.
        places: the place of each pair, ``(n_pairs,)``.
        n_places: how many there are.
    """

    atoms: Indices
    rows: Indices
    starts: Indices
    first_places: Indices
    places: Indices
    n_places: int

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of pairs ``(n_pairs,)`` at their places, and 0 at others."""
        result = np.zeros(self.n_places, values.dtype)
        result[self.places] = values
        return result


def tiles_of(pairs: Indices, rows: Indices, system_offsets: NDArray[Any]) -> Tiles:
    """Return the members of pairs and the places of pairs.

    Pairs of a system stand by the tile of the second member, then by the first member, then by the second. The pairs of
    a tile and a first member are filled up to a multiple.

    Args:
        pairs: ``(2 n_pairs,)``, atoms of pairs, first < second.
        rows: ``(2 n_pairs,)``, the terms' rows of these atoms.
        system_offsets: ``(n_systems + 1,)``.
    """
    atoms, chosen, member = np.unique(pairs, return_index=True, return_inverse=True)
    starts = np.searchsorted(atoms, system_offsets)
    sizes = np.diff(starts)
    n_tiles = -(-sizes // ACROSS)
    first_tiles = _offsets(n_tiles)
    # Of each tile: its system's size, and its first member.
    size = np.repeat(sizes, n_tiles)
    begin = (np.arange(first_tiles[-1]) - np.repeat(first_tiles[:-1], n_tiles)) * ACROSS
    n_rows = np.minimum(size - 1, begin + ACROSS - 1)
    first_rows = _offsets(n_rows)
    # Of each first member in each tile: its first partner there, counted in the tile, and how many there are.
    i = np.arange(first_rows[-1]) - np.repeat(first_rows[:-1], n_rows)
    partner = np.maximum(0, i + 1 - np.repeat(begin, n_rows))
    counts = np.minimum(ACROSS, np.repeat(size - begin, n_rows)) - partner
    first_places = _offsets(-(-counts // MULTIPLE) * MULTIPLE)
    one, other = (member - starts[np.searchsorted(starts, member, side="right") - 1]).reshape(-1, 2).T
    system = np.searchsorted(starts, member[::2], side="right") - 1
    row = first_rows[first_tiles[system] + other // ACROSS] + one
    return Tiles(
        atoms=atoms.astype(np.intp),
        rows=rows[chosen],
        starts=starts.astype(np.intp),
        first_places=first_places[first_rows[first_tiles[:-1]]],
        places=first_places[row] + other % ACROSS - partner[row],
        n_places=int(first_places[-1]),
    )


def _offsets(counts: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
