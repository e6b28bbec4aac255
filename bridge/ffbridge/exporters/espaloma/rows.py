"""Which nodes of an espaloma graph stand for the interactions of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import GraphError
from ffbridge.exchange import share
from ffbridge.producers.espaloma.source import Source
from ffbridge.snapshot import snapshot

__all__ = ["Rows", "find", "once_each", "rank", "read_rows", "take", "turned"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Interactions of one form, of one term or several.

    Attributes:
        terms: names of the terms.
        origin: ``(n_rows, 2)``: which of the terms a row is of, and its place there.
        atoms: ``(n_rows, arity)``, numbered over the bundle.
        values: ``(n_rows, n_columns)``, the parameters of each interaction in the graph's framework, in the standard's
            units; gradients go on through them.
        known: the same values in NumPy, without gradients: what decisions are made by.
    """

    terms: tuple[str, ...]
    origin: Indices
    atoms: Indices
    values: Array
    known: NDArray[np.floating[Any]]

    def take(self, source: Source, rows: Indices) -> Rows:
        """Return some of the interactions."""
        return Rows(
            terms=self.terms,
            origin=self.origin[rows],
            atoms=self.atoms[rows],
            values=take(source, self.values, rows),
            known=self.known[rows],
        )

    def name(self, row: int) -> str:
        """Return where an interaction stands, and its atoms, for messages."""
        term, place = self.origin[row].tolist()
        return f"terms/{self.terms[term]}/indices[{place}], atoms {self.atoms[row].tolist()}"


def read_rows(bundle: Bundle, terms: Sequence[str], source: Source) -> Rows:
    """Return the interactions of terms of one form, with values in the graph's framework and dtype."""
    own = [bundle.parameters(term) for term in terms]
    values = [share(each, source.backend, device=source.device, dtype=source.dtype).array for each in own]
    atoms = [np.asarray(snapshot(bundle.term(term).indices), dtype=np.int64) for term in terms]
    origins = [np.stack([np.full(len(rows), term), np.arange(len(rows))], axis=1) for term, rows in enumerate(atoms)]
    return Rows(
        terms=tuple(terms),
        origin=np.concatenate(origins),
        atoms=np.concatenate(atoms),
        values=source.backend.namespace.concat(values, axis=0),
        known=np.concatenate([snapshot(each) for each in own]),
    )


def take(source: Source, values: Array, rows: Indices) -> Array:
    """Return rows of an array of the graph's framework."""
    return source.backend.namespace.take(values, source.indices(rows), axis=0)


def turned(atoms: Indices) -> Indices:
    """Return rows of atoms such that the first is lower than the last: an interaction is the same in reverse."""
    return np.where((atoms[:, :1] > atoms[:, -1:]), atoms[:, ::-1], atoms)


def find(rows: Indices, nodes: Indices) -> Indices:
    """Return for each row of atoms the first of the nodes that has these atoms in this order, -1 if there is none."""
    _, ids = np.unique(np.concatenate([nodes, rows]), axis=0, return_inverse=True)
    ids = ids.reshape(-1)
    first = np.full(len(nodes) + len(rows), -1)
    first[ids[: len(nodes)][::-1]] = np.arange(len(nodes))[::-1]
    found: Indices = first[ids[len(nodes) :]]
    return found


def once_each(found: Indices, rows: Rows, nodes: Indices, *, node_type: str) -> Indices:
    """Return the row of each node.

    Args:
        found: the node of each row, -1 for none.
        rows: the interactions.
        nodes: the atoms of each node.
        node_type: for messages.

    Raises:
        GraphError: a row has no node, or a node has no row, or several.
    """
    if (found < 0).any():
        raise GraphError(
            f"{rows.name(int((found < 0).argmax()))}: the graph has no node of type {node_type} for these atoms, and "
            "its energy would be lost; make the graph of the same molecules (fb.espaloma_graph)"
        )
    counts = np.bincount(found, minlength=len(nodes))
    if (counts != 1).any():
        node = int((counts != 1).argmax())
        raise GraphError(
            f"terms/{', '.join(rows.terms)}: {int(counts[node])} interactions of the atoms {nodes[node].tolist()}; "
            f"expected one for each pair of nodes of type {node_type}, which have one k and eq"
        )
    return np.argsort(found, kind="stable")


def rank(groups: Indices) -> Indices:
    """Return how many earlier entries are equal to each entry, ``(n,)``."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(groups) else np.empty(0, int)
    counts = np.diff(np.append(starts, len(groups)))
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, counts)
    return ranks
