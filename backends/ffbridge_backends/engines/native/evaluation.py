"""One evaluation: positions in blocks of conformers, memory for sums, and the loops on threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge_backends.engines.native.compiled.bonded import bonded
from ffbridge_backends.engines.native.compiled.lanes import Lanes, from_lanes, lanes_for, to_lanes
from ffbridge_backends.engines.native.compiled.nonbonded import NoCutoff, Nothing, nonbonded
from ffbridge_backends.engines.native.terms import BondedTerm, Pairs, PairTerm, Parameters, Slopes

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


@dataclass(frozen=True, eq=False)
class Found:
    """What an evaluation has found.

    Attributes:
        energies: by term, ``(n_terms, n_conformers, n_systems)`` [kJ/mol].
        gradient: dL/dx ``(n_conformers, n_atoms, 3)``; 0 if it is not wanted.
        slopes: by the place of a term, dL/d what the loop takes; 0 if it is not wanted.
    """

    energies: Floats
    gradient: Floats
    slopes: dict[int, Slopes]


@dataclass(frozen=True, eq=False)
class Sums:
    """Memory of an evaluation, in blocks of conformers; what loops add to has a part for each slot of blocks.

    Attributes:
        lanes: the layout.
        counts: conformers of each block.
        x: ``(n_blocks, n_atoms * 3 * width)``.
        weights: by term or for all, ``(1 or n_terms, n_blocks, n_systems * width)``.
        energies: ``(n_terms + 1, n_blocks, n_systems * width)``; the last is that of a term that is not there.
        gradient: like x.
        parameters: by the place of a term.
        slopes: by the place of a term, dL/d what the loop takes, ``(n_slots, n_rows, n_columns)``; and of listed
            parameters, which systems share, ``(n_parts, n_listed, 3)``.
    """

    lanes: Lanes
    counts: NDArray[np.intp]
    x: Floats
    weights: Floats
    energies: Floats
    gradient: Floats
    parameters: Mapping[int, Parameters]
    slopes: dict[int, Slopes]

    def weight(self, place: int) -> Floats:
        """Return the weights of a term."""
        weights: Floats = self.weights[place if len(self.weights) > 1 else 0]
        return weights


@dataclass(frozen=True)
class _Part:
    """Blocks and systems that one thread goes over; parts of different slots or systems add to different memory."""

    number: int
    slot: int
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
    blocks, counts = to_lanes(x.reshape(n_conformers, 3 * n_atoms), lanes)
    work = sum(len(term.systems) for term in terms) * n_conformers
    threads = max(1, min(threads, work // _WORK_OF_A_THREAD))
    n_slots = min(threads, len(blocks))
    width = (len(system_offsets) - 1) * lanes.width
    parts = _parts(system_offsets, len(blocks), lanes.width, n_slots, threads)
    sums = Sums(
        lanes,
        counts,
        blocks,
        _ones_or(weights, (len(blocks), width), lanes),
        np.zeros((n_terms + 1, len(blocks), width)),
        np.zeros_like(blocks),
        parameters,
        {
            place: Slopes(
                np.zeros((n_slots, len(each.taken), each.n_slopes)), np.zeros((len(parts), *each.listed.shape))
            )
            for place, each in parameters.items()
        },
    )
    if threads == 1:
        for part in parts:
            _run(terms, sums, part, wanted)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: _run(terms, sums, part, wanted), parts))
    return Found(
        np.stack([from_lanes(each, lanes, n_conformers) for each in sums.energies])[:n_terms],
        from_lanes(sums.gradient, lanes, n_conformers).reshape(x.shape),
        {place: Slopes(_sum(each.taken), _sum(each.listed)) for place, each in sums.slopes.items()},
    )


def _ones_or(weights: Floats | None, shape: tuple[int, int], lanes: Lanes) -> Floats:
    return np.ones((1, *shape)) if weights is None else np.stack([to_lanes(each, lanes)[0] for each in weights])


def _sum(parts: Floats) -> Floats:
    total: Floats = parts[0] if len(parts) == 1 else parts.sum(axis=0)
    return total


def _parts(system_offsets: NDArray[Any], n_blocks: int, width: int, n_slots: int, threads: int) -> list[_Part]:
    """Return parts for as many threads, of systems whose positions stay near the core if there are several."""
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
    taken = product(enumerate(cuts), list(pairwise(edges)))
    return [_Part(number, slot, blocks, at_once, systems) for number, ((slot, blocks), systems) in enumerate(taken)]


def _run(terms: Sequence[BondedTerm | Pairs], sums: Sums, part: _Part, wanted: int) -> None:
    """Run the loops of all terms over a part."""
    for first in range(*part.blocks, part.blocks_at_once):
        blocks = first, min(first + part.blocks_at_once, part.blocks[1])
        for term in terms:
            rows = int(term.starts[part.systems[0]]), int(term.starts[part.systems[1]])
            if rows[0] == rows[1]:
                continue
            if isinstance(term, Pairs):
                _run_pairs(term, sums, part, rows, blocks, wanted)
            else:
                _run_bonded(term, sums, part, rows, blocks, wanted)


def _run_bonded(
    term: BondedTerm, sums: Sums, part: _Part, rows: tuple[int, int], blocks: tuple[int, int], wanted: int
) -> None:
    place = term.place
    bonded(
        sums.lanes,
        term.coordinate,
        term.form,
        term.arity,
        term.atoms,
        term.systems,
        sums.parameters[place].taken,
        sums.x,
        sums.weight(place),
        sums.energies[place],
        sums.gradient,
        sums.slopes[place].taken[part.slot],
        rows,
        blocks,
        sums.counts,
        wanted,
    )


def _run_pairs(
    term: Pairs, sums: Sums, part: _Part, rows: tuple[int, int], blocks: tuple[int, int], wanted: int
) -> None:
    given = [_pair_term(each, sums, part) for each in term.terms]
    if len(given) == 1:
        # Nothing is computed with what a form without columns is given.
        _, _, mixing, kept, weight, _, *slopes = given[0]
        given.append((Nothing(), NoCutoff(), mixing, kept, weight, sums.energies[-1], *slopes))
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


def _pair_term(term: PairTerm, sums: Sums, part: _Part) -> tuple[Any, ...]:
    parameters, slopes = sums.parameters[term.place], sums.slopes[term.place]
    return (
        term.form,
        term.method,
        (term.means, term.factors, parameters.taken, term.chosen, parameters.listed),
        term.kept,
        sums.weight(term.place),
        sums.energies[term.place],
        slopes.taken[part.slot],
        slopes.listed[part.number],
    )
