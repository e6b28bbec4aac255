"""The loop over pairs of few conformers: the partners of an atom side by side, in place of conformers.

It computes what :func:`.nonbonded.nonbonded` does, by the same functions of one lane. Members of a system stand in
tiles of :data:`ACROSS`; the partners of an atom within a tile are contiguous, so that positions, parameters and sums of
derivatives are loaded and stored as vectors. A pair that does not interact has the kept fractions 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ffbridge_backends.engines.native.compiled.lanes import SOURCES, compiled, inlined, plus
from ffbridge_backends.engines.native.compiled.means import mean, slope_of_mean
from ffbridge_backends.engines.native.compiled.nonbonded import factor, reach, value

__all__ = ["ACROSS", "MULTIPLE", "triangle"]

ACROSS = 64
"""Members of a tile."""
MULTIPLE = 4
"""Rows of a tile are filled up to a multiple, so that vectors are full."""

_LINE = ACROSS + MULTIPLE
_TILE = 9 * _LINE
"""Numbers of a tile: lines of three coordinates, and of three variables of each term."""

L1, L2, L3, L4, L5, L6, L7, L8 = (np.uint64(k * _LINE) for k in range(1, 9))


@inlined
def _bring(x: Any, first: Any, second: Any, atoms: Any, own: Any) -> None:
    """Write positions and variables of a system's members to tiles."""
    variables1, owners1, variables2, owners2 = first[0], first[1], second[0], second[1]
    for p in range(len(atoms)):
        to, atom, one, other = p // ACROSS * _TILE + p % ACROSS, 3 * atoms[p], owners1[p], owners2[p]
        for k in range(3):
            own[to + k * _LINE] = x[atom + k]
            own[to + (3 + k) * _LINE] = variables1[one, k]
            own[to + (6 + k) * _LINE] = variables2[other, k]


@inlined
def _take_back(onto: Any, atoms: Any, gradient: Any, first: Any, second: Any, wanted: Any) -> None:
    """Add what the tiles have gathered to dL/dx and to dL/d variables."""
    slopes1, owners1, slopes2, owners2 = first[0], first[1], second[0], second[1]
    for p in range(len(atoms)):
        at, atom, one, other = p // ACROSS * _TILE + p % ACROSS, 3 * atoms[p], owners1[p], owners2[p]
        for k in range(3):
            gradient[atom + k] += onto[at + k * _LINE]
        if wanted > 1:
            for k in range(3):
                slopes1[one, k] += onto[at + (3 + k) * _LINE]
                slopes2[other, k] += onto[at + (6 + k) * _LINE]


@inlined
def _pair(terms: Any, weights: Any, mine: Any, theirs: Any, square: Any, fractions: Any, excepted: Any) -> Any:
    """Return of one pair the energies, dL/dr divided by r, and dL/d parameter of each column of both terms."""
    (form1, method1, means1), (form2, method2, means2) = terms
    # What is left out may be so near that its energy overflows.
    apart = (square > 0) & ((fractions[0] != 0) | (fractions[1] != 0))
    r = math.sqrt(square if apart else 1.0)
    inverse = 1.0 / r
    u1, slope1, a1, b1, c1 = value(form1, r, inverse, _means(means1, mine[0], theirs[0]))
    u2, slope2, a2, b2, c2 = value(form2, r, inverse, _means(means2, mine[1], theirs[1]))
    f1, df1 = factor(method1, r, inverse, reach(method1, excepted))
    f2, df2 = factor(method2, r, inverse, reach(method2, excepted))
    share1, share2 = weights[0] * fractions[0], weights[1] * fractions[1]
    slope = share1 * (slope1 * f1 + u1 * df1) + share2 * (slope2 * f2 + u2 * df2)
    share1, share2 = share1 * f1 if apart else 0.0, share2 * f2 if apart else 0.0
    u1 = fractions[0] * u1 * f1 if apart else (math.inf if fractions[0] != 0 else 0.0)
    u2 = fractions[1] * u2 * f2 if apart else (math.inf if fractions[1] != 0 else 0.0)
    slopes = (share1 * a1, share1 * b1, share1 * c1), (share2 * a2, share2 * b2, share2 * c2)
    return (u1, u2), slope * inverse if apart else 0.0, slopes


@inlined
def _means(means: Any, a: Any, b: Any) -> Any:
    return mean(means[0], a[0], b[0]), mean(means[1], a[1], b[1]), mean(means[2], a[2], b[2])


@inlined
def _system(
    terms: Any, weights: Any, kept1: Any, kept2: Any, excepted: Any, place: Any, own: Any, onto: Any, n: Any
) -> Any:
    """Add the pairs of one system to tiles of sums, and return the energies.

    No array is passed on from here: it would be counted for every pair. What is added to the partners stands in the
    loop over them for this reason.
    """
    (form1, _, means1), (form2, _, means2) = terms
    total1, total2 = 0.0, 0.0
    for tile in range((n + ACROSS - 1) // ACROSS):
        begins = tile * ACROSS
        at, to = own[tile * _TILE : (tile + 1) * _TILE], onto[tile * _TILE : (tile + 1) * _TILE]
        for i in range(min(n - 1, begins + ACROSS - 1)):
            me = i // ACROSS * _TILE + i % ACROSS
            xi, yi, zi = own[me], own[me + _LINE], own[me + 2 * _LINE]
            mine1 = own[me + 3 * _LINE], own[me + 4 * _LINE], own[me + 5 * _LINE]
            mine2 = own[me + 6 * _LINE], own[me + 7 * _LINE], own[me + 8 * _LINE]
            fx, fy, fz, a1, b1, c1, a2, b2, c2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            start = max(0, i + 1 - begins)
            count = (min(ACROSS, n - begins) - start + MULTIPLE - 1) // MULTIPLE * MULTIPLE
            j0, k0 = np.uint64(start), np.uint64(place)
            for c in range(count):
                # Unsigned: no place counts from the end, so that the compiler sees a contiguous line.
                j, k = np.uint64(c) + j0, np.uint64(c) + k0
                dx, dy, dz = xi - at[j], yi - at[j + L1], zi - at[j + L2]
                one, other = (at[j + L3], at[j + L4], at[j + L5]), (at[j + L6], at[j + L7], at[j + L8])
                square, fractions = dx * dx + dy * dy + dz * dz, (kept1[k], kept2[k])
                u, slope, slopes = _pair(terms, weights, (mine1, mine2), (one, other), square, fractions, excepted[k])
                total1, total2 = plus(total1, u[0]), plus(total2, u[1])
                dx, dy, dz = slope * dx, slope * dy, slope * dz
                fx, fy, fz = plus(fx, dx), plus(fy, dy), plus(fz, dz)
                to[j] -= dx
                to[j + L1] -= dy
                to[j + L2] -= dz
                if form1.n_columns > 0:
                    a1 = plus(a1, slopes[0][0] * slope_of_mean(means1[0], mine1[0], one[0]))
                    to[j + L3] += slopes[0][0] * slope_of_mean(means1[0], one[0], mine1[0])
                if form1.n_columns > 1:
                    b1 = plus(b1, slopes[0][1] * slope_of_mean(means1[1], mine1[1], one[1]))
                    to[j + L4] += slopes[0][1] * slope_of_mean(means1[1], one[1], mine1[1])
                if form1.n_columns > 2:
                    c1 = plus(c1, slopes[0][2] * slope_of_mean(means1[2], mine1[2], one[2]))
                    to[j + L5] += slopes[0][2] * slope_of_mean(means1[2], one[2], mine1[2])
                if form2.n_columns > 0:
                    a2 = plus(a2, slopes[1][0] * slope_of_mean(means2[0], mine2[0], other[0]))
                    to[j + L6] += slopes[1][0] * slope_of_mean(means2[0], other[0], mine2[0])
                if form2.n_columns > 1:
                    b2 = plus(b2, slopes[1][1] * slope_of_mean(means2[1], mine2[1], other[1]))
                    to[j + L7] += slopes[1][1] * slope_of_mean(means2[1], other[1], mine2[1])
                if form2.n_columns > 2:
                    c2 = plus(c2, slopes[1][2] * slope_of_mean(means2[2], mine2[2], other[2]))
                    to[j + L8] += slopes[1][2] * slope_of_mean(means2[2], other[2], mine2[2])
            place += count
            _add_line(onto, me, (fx, fy, fz), (a1, b1, c1), (a2, b2, c2))
    return total1, total2


@inlined
def _add_line(onto: Any, me: Any, force: Any, of1: Any, of2: Any) -> None:
    onto[me] += force[0]
    onto[me + _LINE] += force[1]
    onto[me + 2 * _LINE] += force[2]
    onto[me + 3 * _LINE] += of1[0]
    onto[me + 4 * _LINE] += of1[1]
    onto[me + 5 * _LINE] += of1[2]
    onto[me + 6 * _LINE] += of2[0]
    onto[me + 7 * _LINE] += of2[1]
    onto[me + 8 * _LINE] += of2[2]


@compiled
def triangle(
    first: Any,
    second: Any,
    atoms: Any,
    starts: Any,
    places: Any,
    excepted: Any,
    x: Any,
    gradient: Any,
    systems: tuple[int, int],
    blocks: tuple[int, int],
    wanted: int,
    sources: int = SOURCES,
) -> None:
    """Add the energies of the pairs of two terms, and their derivatives.

    Args:
        first: a term: (form, method, means, variables, owners, kept, weights, energy, slopes). `means` is the mean of
            each of three columns; `owners` the row in `variables` ``(n_rows, 3)`` of each member; `kept` the fraction
            that is kept of each pair. Slopes are like variables; weights and energy are ``(n_blocks, n_systems)``.
        second: another term, or one of the form :class:`.nonbonded.Nothing`.
        atoms: ``(n_members,) intp``.
        starts: the first member of each system and after the last, ``(n_systems + 1,) intp``.
        places: the place of each system's first pair in `kept`, ``(n_systems,) intp``.
        excepted: ``(n_places,) bool``.
        x: positions ``(n_blocks, n_atoms * 3)`` [nm]; a block is a conformer.
        gradient: like x, to which dL/dx is added.
        systems: the first system, and the one after the last.
        blocks: likewise.
        wanted: 0 for energies, 1 for derivatives to positions as well, 2 for those to parameters as well.
        sources: not used; see :data:`.lanes.SOURCES`.
    """
    form1, method1, means1, variables1, owners1, kept1, weights1, energy1, slopes1 = first
    form2, method2, means2, variables2, owners2, kept2, weights2, energy2, slopes2 = second
    terms = (form1, method1, means1), (form2, method2, means2)
    tiles = (np.diff(starts[systems[0] : systems[1] + 1]).max() + ACROSS - 1) // ACROSS
    own, onto = np.zeros(tiles * _TILE), np.empty(tiles * _TILE)
    for block in range(blocks[0], blocks[1]):
        for system in range(systems[0], systems[1]):
            begin, end = starts[system], starts[system + 1]
            n = end - begin
            members, of1, of2 = atoms[begin:end], owners1[begin:end], owners2[begin:end]
            weights = weights1[block, system], weights2[block, system]
            _bring(x[block], (variables1, of1), (variables2, of2), members, own)
            onto[:] = 0.0
            total1, total2 = _system(terms, weights, kept1, kept2, excepted, places[system], own, onto, n)
            energy1[block, system] += total1
            energy2[block, system] += total2
            if wanted > 0:
                _take_back(onto, members, gradient[block], (slopes1, of1), (slopes2, of2), wanted)
