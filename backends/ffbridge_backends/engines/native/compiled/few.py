"""The loop over bonded interactions of few conformers: interactions side by side, in place of conformers.

It computes what :func:`.bonded.bonded` does, by the same functions of one lane. Interactions side by side have
different atoms: positions and parameters are brought together in small arrays first, and derivatives go from small
arrays to their places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge_backends.engines.native.compiled.bonded_form import fold, value
from ffbridge_backends.engines.native.compiled.coordinates import add_to_atoms, corners, measure, n_ends, pull_back
from ffbridge_backends.engines.native.compiled.lanes import SOURCES, compiled, inlined, sum_of

__all__ = ["BESIDE", "few_bonded"]

BESIDE = 16
"""Interactions side by side."""
_COLUMNS = 6
"""Numbers that a form has of an interaction, at most."""


@inlined
def _bring(x: Any, atoms: Any, row: Any, at: Any, c: Any, arity: Any) -> None:
    """Write the positions of a row's atoms to lane c."""
    for place in range(len(arity)):
        atom = 3 * atoms[len(arity) * row + place]
        for axis in range(3):
            at[(3 * place + axis) * BESIDE + c] = x[atom + axis]


@inlined
def _columns(own: Any, c: Any) -> Any:
    """Return the parameters in lane c; those that a form does not have cost nothing."""
    w = BESIDE
    return own[c], own[w + c], own[2 * w + c], own[3 * w + c], own[4 * w + c], own[5 * w + c]


@inlined
def _take_back(onto: Any, atoms: Any, row: Any, back: Any, c: Any, arity: Any) -> None:
    """Add dL/dx of lane c to a row's atoms."""
    for place in range(len(arity)):
        atom = 3 * atoms[len(arity) * row + place]
        for axis in range(3):
            onto[atom + axis] += back[(3 * place + axis) * BESIDE + c]


@inlined
def _add_energies(energy: Any, systems: Any, first: Any, count: Any, out: Any, start: Any) -> None:
    if systems[first] == systems[first + count - 1]:
        energy[systems[first]] += sum_of(out, start, count)
    else:
        for c in range(count):
            energy[systems[first + c]] += out[start + c]


@compiled
def few_bonded(
    coordinate: Any,
    form: Any,
    arity: Any,
    atoms: Any,
    systems: Any,
    owners: Any,
    parameters: Any,
    x: Any,
    weights: Any,
    energy: Any,
    gradient: Any,
    slopes: Any,
    rows: tuple[int, int],
    blocks: tuple[int, int],
    wanted: int,
    sources: int = SOURCES,
) -> None:
    """Add the energies of one term's interactions, and their derivatives.

    Arguments are those of :func:`.bonded.bonded` with one lane, but for `arity`: the places in a row of atoms, whose
    number is a constant.
    """
    w, ends, places = BESIDE, n_ends(coordinate), np.arange(len(arity))
    out = np.empty((3 * ends + 1 + form.n_slopes) * w)
    energies, derivatives = 3 * ends * w, (3 * ends + 1) * w
    at, back = np.empty(3 * len(arity) * w), np.empty(3 * len(arity) * w)
    weight, owner = np.empty(w), np.empty(w, np.intp)
    own = np.zeros(_COLUMNS * w)
    for block in range(blocks[0], blocks[1]):
        of_block, onto_block = x[block], gradient[block]
        for first in range(rows[0], rows[1], w):
            count = min(w, rows[1] - first)
            for c in range(w):
                row = first + min(c, count - 1)
                weight[c], owner[c] = weights[block, systems[row]], owners[row]
                for column in range(parameters.shape[1]):
                    own[column * w + c] = parameters[owners[row], column]
                _bring(of_block, atoms, row, at, c, arity)
            corner = corners(coordinate, at, places, 0, 3 * w)
            for c in range(w):
                q, state = measure(coordinate, corner, w, c)
                constants = fold(form, _columns(own, c))
                out[energies + c], slope = value(form, q, constants, out, derivatives + c, w)
                pull_back(coordinate, state, weight[c], slope, out, w, c)
            _add_energies(energy[block], systems, first, count, out, energies)
            if wanted > 0:
                back[:] = 0.0
                add_to_atoms(coordinate, back, places, 0, out, 0, 3 * w)
                for c in range(count):
                    _take_back(onto_block, atoms, first + c, back, c, arity)
            if wanted > 1:
                for column in range(form.n_slopes):
                    for c in range(count):
                        slopes[owner[c], column] += weight[c] * out[derivatives + column * w + c]
