"""Interactions that a source lists in both directions: which two rows are the same interaction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import GraphError

__all__ = ["Directions", "pair_directions"]

Indices = NDArray[np.int64]


class Directions(NamedTuple):
    """The two rows of every interaction.

    Attributes:
        forward: ``(n_interactions,)``, the row whose first atom is lower than its last, ascending.
        backward: ``(n_interactions,)``, the row that lists the same atoms in reverse.
    """

    forward: Indices
    backward: Indices


def pair_directions(rows: Indices, *, path: str) -> Directions:
    """Return which rows list the same interaction in one direction and in the other.

    Args:
        rows: ``(n_rows, arity)``, atoms; the order within each direction is free.
        path: where the rows stand in their graph, for messages.

    Raises:
        GraphError: an atom stands twice in a row, or an interaction is not listed exactly once in each direction.
    """
    repeated = (np.diff(np.sort(rows, axis=1), axis=1) == 0).any(axis=1)
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise GraphError(f"{path}/idxs[{row}] is {_atoms(rows[row])}: an atom stands in it twice")
    is_forward = rows[:, 0] < rows[:, -1]
    forward, backward = np.flatnonzero(is_forward), np.flatnonzero(~is_forward)
    forward_order, backward_order = _order(rows[forward]), _order(rows[backward][:, ::-1])
    ahead, back = rows[forward[forward_order]], rows[backward[backward_order]][:, ::-1]
    _check_same(ahead, back, path=path)
    partner = np.empty_like(backward)
    partner[forward_order] = backward[backward_order]
    return Directions(forward=forward, backward=partner)


def _order(rows: Indices) -> Indices:
    order: Indices = np.lexsort(rows.T[::-1])
    return order


def _check_same(ahead: Indices, back: Indices, *, path: str) -> None:
    """Raise unless the sorted interactions of both directions are the same, each once."""
    repeated = (ahead[1:] == ahead[:-1]).all(axis=1)
    if ahead.shape == back.shape and (ahead == back).all() and not repeated.any():
        return
    for example in np.unique(np.concatenate([ahead, back]), axis=0):
        n_ahead, n_back = (int((rows == example).all(axis=1).sum()) for rows in (ahead, back))
        if (n_ahead, n_back) != (1, 1):
            raise GraphError(
                f"{path}/idxs lists the atoms {_atoms(example)} {n_ahead} times in this order and {n_back} times in "
                "reverse; expected each interaction once in each direction, as espaloma's energy counts one half for "
                "either"
            )


def _atoms(row: Indices) -> str:
    return "(" + ", ".join(str(int(atom)) for atom in row) + ")"
