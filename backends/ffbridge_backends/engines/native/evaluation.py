"""One evaluation: positions in blocks of conformers, memory for sums, and the loops on threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge_backends.engines.native.compiled.bonded import bonded
from ffbridge_backends.engines.native.compiled.few import few_bonded
from ffbridge_backends.engines.native.compiled.lanes import (
    Lanes,
    One,
    counts_of,
    from_lanes,
    lanes_for,
    to_lanes,
    weights_to_lanes,
)
from ffbridge_backends.engines.native.compiled.nonbonded import NoCutoff, Nothing, nonbonded
from ffbridge_backends.engines.native.compiled.triangle import triangle
from ffbridge_backends.engines.native.terms import BondedTerm, Pairs, PairTerm, Parameters, Slopes, Triangle

__all__ = ["ENERGIES", "EVERYTHING", "FORCES", "Found", "Sums", "evaluate"]

Floats = NDArray[np.float64]

ENERGIES, FORCES, EVERYTHING = range(3)
"""What is wanted: energies; derivatives to positions as well; those to parameters as well."""

_WORK_OF_A_THREAD = 50_000
"""Interactions of one conformer, half a millisecond or more: a thread is worth its start."""
_NEAR = 2**20
"""Bytes of positions and their derivatives that the loops of all terms go over before the next: half a core's cache."""
_BYTES_OF_AN_ATOM = 48
"""A position and its derivative."""


class Found(NamedTuple):
    """What an evaluation has found.

    Attributes:
        energies: by term, ``(n_terms, n_conformers, n_systems)`` [kJ/mol].
        gradient: dL/dx ``(n_conformers, n_atoms, 3)``; 0 if it is not wanted.
        slopes: by the place of a term, dL/d what the loop takes; 0 if it is not wanted.
    """

    energies: Floats
    gradient: Floats
    slopes: dict[int, Slopes]


class Sums(NamedTuple):
    """Memory of an evaluation, in blocks of conformers.

    Attributes:
        lanes: the layout.
        counts: lanes of each block that are computed.
        x: ``(n_blocks, n_atoms * 3 * width)``.
        weights: by term or for all, ``(1 or n_terms, n_blocks, n_systems * width)``.
        energies: ``(n_terms + 1, n_blocks, n_systems * width)``; the last is that of a term that is not there.
        gradient: like x.
        parameters: by the place of a term.
    """

    lanes: Lanes
    counts: NDArray[np.intp]
    x: Floats
    weights: Floats
    energies: Floats
    gradient: Floats
    parameters: Mapping[int, Parameters]

    def weight(self, place: int) -> Floats:
        """Return the weights of a term."""
        weights: Floats = self.weights[place if len(self.weights) > 1 else 0]
        return weights


_NONE = Slopes(np.zeros((0, 0)), np.zeros((0, 0)))
"""What loops take that do not write derivatives to parameters."""


class _Part(NamedTuple):
    """Blocks and systems that one thread goes over; parts of different blocks or systems add to different memory."""

    blocks: tuple[int, int]
    blocks_at_once: int
    systems: tuple[int, int]


def evaluate(
    terms: Sequence[BondedTerm | Pairs],
    n_terms: int,
    system_offsets: NDArray[Any],
    x: Floats,
    parameters: Mapping[int, Parameters],
    weights: Floats | None,
    *,
    wanted: int,
    threads: int,
) -> Found:
    """Return energies, and the derivatives of L = Σ weight · energy.

    Args:
        terms: all terms, made ready.
        n_terms: their number; nonbonded ones stand together.
        system_offsets: ``(n_systems + 1,)``.
        x: ``(n_conformers, n_atoms, 3)`` [nm].
        parameters: by the place of a term.
        weights: ``(1 or n_terms, n_conformers, n_systems)``; 1 if None.
        wanted: :data:`ENERGIES`, :data:`FORCES` or :data:`EVERYTHING`.
        threads: how many threads may be used.
    """
    n_conformers, n_atoms, _ = x.shape
    lanes = lanes_for(n_conformers)
    blocks = to_lanes(x.reshape(n_conformers, 3 * n_atoms), lanes)
    if threads > 1:
        work = sum(len(term.systems) for term in terms) * n_conformers
        threads = max(1, min(threads, work // _WORK_OF_A_THREAD))
    n_systems = len(system_offsets) - 1
    parts = _parts(system_offsets, len(blocks), lanes.width, threads)
    sums = Sums(
        lanes,
        counts_of(n_conformers, lanes),
        blocks,
        _ones(n_conformers, n_systems, lanes) if weights is None else _in_lanes(weights, lanes),
        np.zeros((n_terms + 1, len(blocks), n_systems * lanes.width)),
        np.zeros(blocks.shape),
        parameters,
    )
    if threads == 1:
        slopes = _run(terms, sums, parts, wanted)
    else:
        with ThreadPoolExecutor(threads) as pool:
            # What parts add to parameters would clash: each thread has its own sums of them.
            shares = [parts[first::threads] for first in range(threads)]
            slopes = _total(list(pool.map(lambda share: _run(terms, sums, share, wanted), shares)))
    if isinstance(lanes, One):
        energies = sums.energies[:n_terms]
    else:
        energies = np.empty((n_terms, n_conformers, n_systems))
        for place in range(n_terms):
            energies[place] = from_lanes(sums.energies[place], lanes, n_conformers)
    return Found(energies, from_lanes(sums.gradient, lanes, n_conformers).reshape(x.shape), slopes)


@lru_cache(maxsize=8)
def _ones(n_conformers: int, n_systems: int, lanes: Lanes) -> Floats:
    """Return weights that are 1, which no loop writes to."""
    return _in_lanes(np.ones((1, n_conformers, n_systems)), lanes)


def _in_lanes(weights: Floats, lanes: Lanes) -> Floats:
    return np.stack([weights_to_lanes(each, lanes) for each in weights])


def _total(shares: Sequence[dict[int, Slopes]]) -> dict[int, Slopes]:
    first, *others = shares
    for place, total in first.items():
        for other in others:
            total.taken[...] += other[place].taken
            total.listed[...] += other[place].listed
    return first


def _parts(system_offsets: NDArray[Any], n_blocks: int, width: int, threads: int) -> list[_Part]:
    """Return parts for as many threads, of systems whose positions stay near the core if there are several."""
    n_slots = min(threads, n_blocks)
    if not n_slots:
        return []
    of_block = _BYTES_OF_AN_ATOM * int(system_offsets[-1]) * width
    at_once = max(1, _NEAR // of_block)
    n_groups = max(-(-of_block // _NEAR), -(-threads // n_slots))
    if n_groups == 1:
        edges = [0, len(system_offsets) - 1]
    else:
        shares = np.arange(n_groups + 1) * (system_offsets[-1] / n_groups)
        edges = np.unique(np.searchsorted(system_offsets, shares)).tolist()
    cuts = pairwise(n_blocks * slot // n_slots for slot in range(n_slots + 1))
    return [_Part(blocks, at_once, systems) for blocks, systems in product(cuts, list(pairwise(edges)))]


def _run(terms: Sequence[BondedTerm | Pairs], sums: Sums, parts: Sequence[_Part], wanted: int) -> dict[int, Slopes]:
    """Run the loops of all terms over parts, and return dL/d what they take."""
    slopes = {place: each.slopes() if wanted == EVERYTHING else _NONE for place, each in sums.parameters.items()}
    for part in parts:
        for first in range(*part.blocks, part.blocks_at_once):
            blocks = first, min(first + part.blocks_at_once, part.blocks[1])
            for term in terms:
                rows = term.starts[part.systems[0]], term.starts[part.systems[1]]
                if rows[0] == rows[1]:
                    continue
                if isinstance(term, BondedTerm):
                    _run_bonded(term, sums, slopes, rows, blocks, wanted)
                elif isinstance(sums.lanes, One) and term.triangle:
                    _run_triangle(term, term.triangle, sums, slopes, part.systems, blocks, wanted)
                else:
                    _run_pairs(term, sums, slopes, rows, blocks, wanted)
    return slopes


def _run_bonded(
    term: BondedTerm,
    sums: Sums,
    slopes: Mapping[int, Slopes],
    rows: tuple[int, int],
    blocks: tuple[int, int],
    wanted: int,
) -> None:
    place = term.place
    given = (
        term.atoms,
        term.systems,
        term.owners,
        sums.parameters[place].taken,
        sums.x,
        sums.weight(place),
        sums.energies[place],
        sums.gradient,
        slopes[place].taken,
        rows,
        blocks,
        wanted,
    )
    if isinstance(sums.lanes, One):
        few_bonded(term.coordinate, term.form, term.row, *given)
    else:
        bonded(sums.lanes, term.coordinate, term.form, len(term.row), *given[:-1], sums.counts, wanted)


def _run_triangle(
    pairs: Pairs,
    found: Triangle,
    sums: Sums,
    slopes: Mapping[int, Slopes],
    systems: tuple[int, int],
    blocks: tuple[int, int],
    wanted: int,
) -> None:
    tiles, given = found.tiles, []
    for each, owners, kept in zip(pairs.terms, found.owners, found.kept, strict=True):
        place = each.place
        taken, onto = sums.parameters[place].taken, slopes[place].taken
        energies = sums.energies[place]
        given.append((each.form, each.method, each.means, taken, owners, kept, sums.weight(place), energies, onto))
    if len(given) == 1:
        # Nothing is computed with what a form without columns is given.
        given.append((Nothing(), NoCutoff(), *given[0][2:7], sums.energies[-1], given[0][8]))
    triangle(
        *given,
        tiles.atoms,
        tiles.starts,
        tiles.first_places,
        found.excepted,
        sums.x,
        sums.gradient,
        systems,
        blocks,
        wanted,
    )


def _run_pairs(
    term: Pairs,
    sums: Sums,
    slopes: Mapping[int, Slopes],
    rows: tuple[int, int],
    blocks: tuple[int, int],
    wanted: int,
) -> None:
    given = [_pair_term(each, sums, slopes[each.place]) for each in term.terms]
    if len(given) == 1:
        # Nothing is computed with what a form without columns is given.
        _, _, mixing, kept, weight, _, *onto = given[0]
        given.append((Nothing(), NoCutoff(), mixing, kept, weight, sums.energies[-1], *onto))
    nonbonded(
        sums.lanes,
        *given,
        term.atoms,
        term.rows,
        term.systems,
        term.excepted,
        sums.x,
        sums.gradient,
        rows,
        blocks,
        sums.counts,
        wanted,
    )


def _pair_term(term: PairTerm, sums: Sums, slopes: Slopes) -> tuple[Any, ...]:
    parameters = sums.parameters[term.place]
    return (
        term.form,
        term.method,
        (term.means, term.owners, parameters.taken, term.chosen, parameters.listed),
        term.kept,
        sums.weight(term.place),
        sums.energies[term.place],
        slopes.taken,
        slopes.listed,
    )
