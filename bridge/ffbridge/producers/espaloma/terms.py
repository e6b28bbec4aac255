"""Bonded terms of an espaloma graph: one table row per interaction, in the standard's units and forms."""

from __future__ import annotations

from math import pi
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

from .directions import Directions, pair_directions
from .source import Source

__all__ = ["Interactions", "angles", "bonds", "improper_scheme", "improper_torsions", "proper_torsions"]

Array = Any
Indices = NDArray[np.int64]


class Interactions(NamedTuple):
    """What a term is made of.

    Attributes:
        form: name of the functional form.
        atoms: ``(n_terms, arity)``, numbered over the batch.
        values: ``(n_terms, n_columns)``, the form's columns in its units; gradients go on through them.
    """

    form: str
    atoms: Indices
    values: Array


def bonds(source: Source, *, tolerance: float) -> Interactions:
    """Return the bonds of the nodes ``n2``."""
    return _harmonic(source, "n2", "harmonic_bond", arity=2, length_unit=NM_PER_BOHR, tolerance=tolerance)


def angles(source: Source, *, tolerance: float) -> Interactions:
    """Return the angles of the nodes ``n3``."""
    return _harmonic(source, "n3", "harmonic_angle", arity=3, length_unit=1.0, tolerance=tolerance)


def proper_torsions(source: Source, *, tolerance: float) -> Interactions:
    """Return the proper torsions of the nodes ``n4``: one interaction for each quartet and periodicity."""
    atoms = source.atoms("n4", 4)
    rows = pair_directions(atoms, path="nodes/n4")
    k, phases, periodicity = _torsion_fields(source, "n4")
    k = _mean(source, "n4", f"k{source.suffix}", k, rows, tolerance)
    if phases is not None:
        phases = _mean(source, "n4", f"phases{source.suffix}", phases, rows, tolerance)
        periodicity = _mean(source, "n4", f"periodicity{source.suffix}", periodicity, rows, 0.0)
    return _torsions(source, atoms[rows.forward], k, phases, periodicity)


def improper_torsions(source: Source, *, tolerance: float) -> Interactions:
    """Return the improper torsions of the nodes ``n4_improper``: one interaction for each ordering and periodicity.

    Each ordering has one half of its node's k, as in espaloma's energy. There are no two directions to compare.
    """
    atoms = source.atoms("n4_improper", 4)
    k, phases, periodicity = _torsion_fields(source, "n4_improper")
    return _torsions(source, atoms, 0.5 * k, phases, periodicity)


def improper_scheme(source: Source, bonds: Indices) -> str:
    """Return which orderings improper torsions are listed in, by where the atom stands that is bonded to the others.

    Args:
        source: the graph, with at least one improper torsion.
        bonds: ``(n_bonds, 2)``.

    Returns:
        ``espaloma`` (center second), ``smirnoff`` (center first) or ``other``.
    """
    atoms = source.atoms("n4_improper", 4)
    n_atoms = int(source.sizes.sum())
    bonded = np.concatenate([bonds, bonds[:, ::-1]]) @ [n_atoms, 1]
    for name, center in (("espaloma", 1), ("smirnoff", 0)):
        others = np.delete(atoms, center, axis=1)
        if np.isin(atoms[:, center, None] * n_atoms + others, bonded).all():
            return name
    return "other"


def _harmonic(
    source: Source, node_type: str, form: str, *, arity: int, length_unit: float, tolerance: float
) -> Interactions:
    atoms = source.atoms(node_type, arity)
    rows = pair_directions(atoms, path=f"nodes/{node_type}")
    k, eq = (
        _mean(source, node_type, name, source.parameters(node_type, name), rows, tolerance)
        for name in (f"k{source.suffix}", f"eq{source.suffix}")
    )
    values = source.backend.namespace.concat([k * (KJ_PER_MOL_PER_HARTREE / length_unit**2), eq * length_unit], axis=1)
    return Interactions(form=form, atoms=atoms[rows.forward], values=values)


def _torsion_fields(source: Source, node_type: str) -> tuple[Array, Array | None, Array | None]:
    """Return k, phases and periodicity, ``(n_nodes, n_columns)`` each; the latter two None where the graph has neither.

    Raises:
        GraphError: one of phases and periodicity is there without the other (espaloma would then ignore it).
    """
    k = source.parameters(node_type, f"k{source.suffix}", columns=None)
    names = [f"{name}{source.suffix}" for name in ("phases", "periodicity")]
    given = [name for name in names if name in source.graph.node_set(node_type).fields]
    if not given:
        return k, None, None
    if len(given) == 1:
        raise GraphError(
            f"nodes/{node_type} has {given[0]} alone of {names[0]} and {names[1]}; espaloma reads both, or neither "
            "(phases 0, periodicities 1, 2, ...). Add the other field, or remove this one"
        )
    phases, periodicity = (source.parameters(node_type, name, columns=int(k.shape[1])) for name in names)
    return k, phases, periodicity


def _torsions(
    source: Source, atoms: Indices, k: Array, phases: Array | None, periodicity: Array | None
) -> Interactions:
    """Return one interaction for each quartet and periodicity, in the standard form with k ≥ 0."""
    xp = source.backend.namespace
    n_columns = int(k.shape[1])
    if periodicity is None:
        periodicity = source.numbers(np.tile(np.arange(1, n_columns + 1), (len(atoms), 1)))
    # The phase is constant with respect to k; k = 0 belongs to either sign and has no derivative in espaloma's energy.
    phase = xp.where(k < 0, xp.full_like(k, pi), xp.zeros_like(k))
    if phases is not None:
        phase = phase + phases
    columns = [xp.abs(k) * KJ_PER_MOL_PER_HARTREE, phase, periodicity]
    values = xp.concat([xp.reshape(column, (-1, 1)) for column in columns], axis=1)
    return Interactions(form="periodic_torsion", atoms=np.repeat(atoms, n_columns, axis=0), values=values)


def _mean(source: Source, node_type: str, name: str, field: Array, rows: Directions, tolerance: float) -> Array:
    """Return the mean of both directions of every interaction, so that each node gets half of the gradient.

    It is exact where both are equal. Two evaluations of one network differ by rounding; anything more is refused,
    because the mean of two energies is then not the energy of the mean.

    Raises:
        UnsupportedError: directions differ by more than the tolerance times the field's largest magnitude.
    """
    xp = source.backend.namespace
    forward = xp.take(field, source.indices(rows.forward), axis=0)
    backward = xp.take(field, source.indices(rows.backward), axis=0)
    if not len(rows.forward):
        return forward
    differs = xp.any(xp.abs(forward - backward) > tolerance * xp.max(xp.abs(field)), axis=1)
    if bool(xp.any(differs)):
        row = int(xp.argmax(xp.astype(differs, xp.int32)))
        raise UnsupportedError(
            f"nodes/{node_type}/{name}: nodes {int(rows.forward[row])} and {int(rows.backward[row])} are the two "
            f"directions of one interaction and have different parameters, {_numbers(forward[row])} and "
            f"{_numbers(backward[row])} (tolerance {tolerance:g} of the field's largest magnitude). No single "
            "interaction has their energy; make the directions equal"
        )
    return (forward + backward) / 2


def _numbers(row: Array) -> str:
    return ", ".join(f"{float(value):.9g}" for value in row.tolist())
