"""Bonds, angles, Urey-Bradley terms and torsions as fields of the nodes n2, n3, n4 and n4_improper."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.producers.espaloma.directions import pair_directions
from ffbridge.producers.espaloma.source import Source
from ffbridge.producers.espaloma.terms import UREY_BRADLEY_ANCHORS
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

from .rows import Rows, find, once_each, rank, take, turned

__all__ = ["harmonic", "is_proper", "torsions", "urey_bradley"]

Fields = dict[str, Array | None]
"""What becomes of the fields of a node type; None for one that is removed."""

Indices = NDArray[np.int64]

_N_COLUMNS = 6
"""Columns that espaloma's torsions have, where the graph does not tell."""

_IMPROPERS = (
    ", nor n4 either; if it is an improper torsion, make the graph with the center where it stands here: "
    "fb.espaloma_graph(molecules, impropers='smirnoff') for first, 'espaloma' for second"
)

_WHOLE = 1e-12
"""How far a phase may be off 0 or π and still be one of them."""


def harmonic(source: Source, node_type: str, rows: Rows, *, length_unit: float) -> Fields:
    """Return k and eq of the nodes ``n2`` or ``n3``, both directions alike."""
    atoms = source.atoms(node_type, 2 if node_type == "n2" else 3)
    directions = pair_directions(atoms, path=f"nodes/{node_type}")
    nodes = atoms[directions.forward]
    order = once_each(find(turned(rows.atoms), nodes), rows, nodes, node_type=node_type)
    values = _per_node(source, take(source, rows.values, order), directions, len(atoms))
    return {
        f"k{source.suffix}": values[:, :1] / (KJ_PER_MOL_PER_HARTREE / length_unit**2),
        f"eq{source.suffix}": values[:, 1:] / length_unit,
        # espaloma would read it before k and eq.
        f"coefficients{source.suffix}": None,
    }


def urey_bradley(source: Source, rows: Rows) -> Fields:
    """Return ``coefficients_urey_bradley`` of the nodes ``n3``: what :func:`ffbridge.from_espaloma` makes rows of.

    Raises:
        UnsupportedError: a length is not one of espaloma's two anchors, so that a constant energy would be lost.
        GraphError: a pair is not that of the outer atoms of an angle, or has more rows than there are such angles.
    """
    atoms = source.atoms("n3", 3)
    directions = pair_directions(atoms, path="nodes/n3")
    anchors = np.multiply(UREY_BRADLEY_ANCHORS, NM_PER_BOHR)
    column = np.abs(rows.known[:, 1:] - anchors).argmin(axis=1)
    wrong = np.abs(rows.known[:, 1] - anchors[column]) > 1e-9
    if wrong.any():
        row = int(wrong.argmax())
        raise UnsupportedError(
            f"{rows.name(row)}: a Urey-Bradley term with the length {rows.known[row, 1]:.9g} nm; espaloma has those "
            f"with the lengths {' and '.join(f'{anchor:.9g}' for anchor in anchors)} nm, and any other differs from "
            "their sum by a constant"
        )
    pairs = atoms[directions.forward][:, [0, 2]]
    first = find(turned(rows.atoms), pairs)
    # Two angles may have the same outer atoms, as across a ring of four: the n-th row is of the n-th of them.
    place = rank(find(pairs, pairs))
    wanted = np.stack([first, rank(2 * first + column)], axis=1)
    angle = find(wanted, np.stack([find(pairs, pairs), place], axis=1))
    if (angle < 0).any():
        raise GraphError(
            f"{rows.name(int((angle < 0).argmax()))}: the graph has no node of type n3 for this Urey-Bradley term, or "
            "has one for another term of the same pair already"
        )
    half = rows.values[:, :1] / (2 * KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2)
    values = _scatter(source, half, angle, column, (len(pairs), 2))
    return {f"coefficients_urey_bradley{source.suffix}": _per_node(source, values, directions, len(atoms))}


def is_proper(source: Source, rows: Rows) -> NDArray[np.bool_]:
    """Return which rows are proper torsions, ``(n_rows,)``: those that the nodes ``n4`` have.

    In rings of three an improper quartet may be a path of bonds as well. So where all rows of a term are improper
    torsions of the graph, and not all are proper ones, none of them counts as proper.
    """
    proper = find(turned(rows.atoms), turned(source.atoms("n4", 4))) >= 0
    improper = _improper_nodes(source, rows.atoms)[0] >= 0
    for term in range(len(rows.terms)):
        own = rows.origin[:, 0] == term
        if improper[own].all() and not proper[own].all():
            proper[own] = False
    return proper


def torsions(source: Source, node_type: str, rows: Rows, *, drop_constants: bool) -> Fields:
    """Return k, and phases and periodicity where k alone cannot say them, of the nodes ``n4`` or ``n4_improper``.

    k alone does where every phase is 0 or π, and every quartet has a periodicity once, if the graph has no phases and
    periodicity yet: column n - 1 is the k of periodicity n, negative for phase π.
    """
    atoms = source.atoms(node_type, 4)
    if node_type == "n4":
        directions = pair_directions(atoms, path="nodes/n4")
        nodes = atoms[directions.forward]
        found, mirrored, factor = find(turned(rows.atoms), nodes), np.zeros(len(rows.atoms), dtype=bool), 1.0
    else:
        directions, nodes, factor = None, atoms, 2.0  # espaloma counts one half of each node
        found, mirrored = _improper_nodes(source, rows.atoms)
    if (found < 0).any():
        raise GraphError(
            f"{rows.name(int((found < 0).argmax()))}: the graph has no node of type {node_type} for these atoms"
            + ("" if node_type == "n4" else _IMPROPERS)
        )
    k, phase = _with_positive_k(source, rows, drop_constants=drop_constants)
    fields = _columns(source, node_type, (k * factor, phase, rows), found, mirrored, len(nodes))
    if directions is None:
        return fields
    return {
        name: None if field is None else _per_node(source, field, directions, len(atoms))
        for name, field in fields.items()
    }


def _with_positive_k(source: Source, rows: Rows, *, drop_constants: bool) -> tuple[Array, NDArray[np.floating[Any]]]:
    """Return k in hartree, ``(n_rows, 1)``, none of them negative, and the phases ``(n_rows,)`` that go with them."""
    negative = rows.known[:, 0] < 0
    if negative.any() and not drop_constants:
        row = int(negative.argmax())
        raise UnsupportedError(
            f"{rows.name(row)}: a torsion with the negative k {rows.known[row, 0]:.9g} kJ/mol. In espaloma the sign of "
            "k moves the phase, which differs by the constant 2k; pass drop_constants=True to do without it"
        )
    k = source.backend.namespace.abs(rows.values[:, :1]) / KJ_PER_MOL_PER_HARTREE
    phase = rows.known[:, 1]
    # Back towards zero, so that π becomes 0.
    return k, np.where(negative, phase - np.where(phase > 0, pi, -pi), phase)


def _columns(
    source: Source,
    node_type: str,
    parts: tuple[Array, NDArray[np.floating[Any]], Rows],
    found: Indices,
    mirrored: NDArray[np.bool_],
    n_nodes: int,
) -> Fields:
    """Return the fields, ``(n_nodes, n_columns)`` each, of torsions whose nodes are known."""
    k, phase, rows = parts
    suffix = source.suffix
    present = source.graph.node_set(node_type).fields
    names = [f"{name}{suffix}" for name in ("phases", "periodicity")]
    n_columns = int(present[f"k{suffix}"].shape[-1]) if f"k{suffix}" in present else _N_COLUMNS
    periodicity = np.rint(rows.known[:, 2]).astype(np.int64)
    is_pi = np.abs(np.abs(phase) - pi) <= _WHOLE
    plain = ((np.abs(phase) <= _WHOLE) | is_pi).all() and (periodicity <= n_columns).all()
    plain = plain and not rank(found * (int(periodicity.max(initial=0)) + 1) + periodicity).any()
    if plain and not any(name in present for name in names):
        sign = source.numbers(np.where(is_pi, -1.0, 1.0)[:, None])
        return {f"k{suffix}": _scatter(source, k * sign, found, periodicity - 1, (n_nodes, n_columns))}
    place = rank(found)
    shape = (n_nodes, max(n_columns, int(place.max(initial=-1)) + 1))
    # espaloma's dihedral has the opposite sign, and a mirrored order of the atoms has it again.
    own = np.where(is_pi, pi, np.where(mirrored, phase, -phase))
    return {
        f"k{suffix}": _scatter(source, k, found, place, shape),
        names[0]: _scatter(source, source.numbers(own[:, None]), found, place, shape),
        names[1]: _scatter(source, source.numbers(periodicity.astype(float)[:, None]), found, place, shape),
    }


def _improper_nodes(source: Source, rows: Indices) -> tuple[Indices, NDArray[np.bool_]]:
    """Return the node of each improper quartet, and whether its dihedral has the opposite sign.

    A dihedral is one of two outer atoms about a middle pair. It stays the same in reverse, and changes its sign where
    the middle pair, or the outer pair, is exchanged. The node with the very order is preferred.
    """
    nodes = source.atoms("n4_improper", 4)
    found, mirrored = np.full(len(rows), -1), np.zeros(len(rows), dtype=bool)
    for order, is_mirror in (((0, 1, 2, 3), False), ((3, 2, 1, 0), False), ((0, 2, 1, 3), True), ((3, 1, 2, 0), True)):
        left = found < 0
        found[left] = find(rows[left][:, order], nodes)
        mirrored[left] = is_mirror
    return found, mirrored


def _scatter(source: Source, values: Array, rows: Indices, columns: Indices, shape: tuple[int, int]) -> Array:
    """Return an array of that shape with values ``(n, 1)`` at (rows, columns), each place at most once, 0 elsewhere."""
    xp = source.backend.namespace
    padded = xp.concat([values, source.numbers(np.zeros((1, 1)))], axis=0)
    where = np.full(shape, len(rows))
    where[rows, columns] = np.arange(len(rows))
    return xp.reshape(take(source, padded, where.reshape(-1)), shape)


def _per_node(source: Source, values: Array, directions: Any, n_nodes: int) -> Array:
    """Return the values of interactions on the nodes of both their directions."""
    interaction = np.empty(n_nodes, dtype=np.int64)
    interaction[directions.forward] = interaction[directions.backward] = np.arange(len(directions.forward))
    return take(source, values, interaction)
