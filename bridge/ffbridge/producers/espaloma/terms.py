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

__all__ = [
    "UREY_BRADLEY_ANCHORS",
    "Interactions",
    "angles",
    "bonds",
    "improper_scheme",
    "improper_torsions",
    "proper_torsions",
    "urey_bradley",
]

Array = Any
Indices = NDArray[np.int64]

_ANCHORS = {"n2": (1.5, 6.0), "n3": (0.0, pi)}
"""Where the two parabolas of a linear mixture have their minima: bonds [bohr] and angles [rad]."""

_MIXTURE_SHIFT = 1e-7
"""What espaloma adds to k before it divides by it (``espaloma.mm.functional.linear_mixture_to_original``)."""

UREY_BRADLEY_ANCHORS = (0.0, 12.0)
"""The same for the distance of the outer atoms of an angle [bohr]."""


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


def urey_bradley(source: Source, *, tolerance: float) -> Interactions:
    """Return the Urey-Bradley terms of the nodes ``n3``: two parabolas for the outer atoms of each angle.

    espaloma's energy of a node is k1/2 (r - 0)² + k2/2 (r - 12 bohr)² of its ``coefficients_urey_bradley``, without the
    factor 1/2 that its other terms have. So the two directions of an angle make k1 r² + k2 (r - 12 bohr)²: rows with
    twice the coefficients. They stay two, for the single parabola with the same forces has its minimum anywhere, and
    none at all where k1 + k2 = 0.
    """
    atoms = source.atoms("n3", 3)
    rows = pair_directions(atoms, path="nodes/n3")
    name = f"coefficients_urey_bradley{source.suffix}"
    k = 2 * _mean(source, "n3", name, source.parameters("n3", name, columns=2), rows, tolerance)
    lengths = source.numbers(np.tile(np.multiply(UREY_BRADLEY_ANCHORS, NM_PER_BOHR), (len(rows.forward), 1)))
    xp = source.backend.namespace
    columns = [k * (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2), lengths]
    values = xp.concat([xp.reshape(column, (-1, 1)) for column in columns], axis=1)
    return Interactions(form="urey_bradley", atoms=np.repeat(atoms[rows.forward][:, [0, 2]], 2, axis=0), values=values)


def proper_torsions(source: Source, *, tolerance: float) -> Interactions:
    """Return the proper torsions of the nodes ``n4``: one interaction for each quartet and periodicity."""
    atoms = source.atoms("n4", 4)
    rows = pair_directions(atoms, path="nodes/n4")
    k, phases, periodicity = _torsion_fields(source, "n4")
    k = _mean(source, "n4", f"k{source.suffix}", k, rows, tolerance)
    if phases is not None:
        phases = _mean(source, "n4", f"phases{source.suffix}", phases, rows, tolerance)
        periodicity = _mean(source, "n4", f"periodicity{source.suffix}", periodicity, rows, 0.0)
    return _torsions(source, "n4", atoms[rows.forward], k, phases, periodicity)


def improper_torsions(source: Source, *, tolerance: float) -> Interactions:
    """Return the improper torsions of the nodes ``n4_improper``: one interaction for each ordering and periodicity.

    Each ordering has one half of its node's k, as in espaloma's energy. There are no two directions to compare.
    """
    atoms = source.atoms("n4_improper", 4)
    k, phases, periodicity = _torsion_fields(source, "n4_improper")
    return _torsions(source, "n4_improper", atoms, 0.5 * k, phases, periodicity)


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
    k, eq = _k_and_eq(source, node_type, rows, tolerance)
    values = source.backend.namespace.concat([k * (KJ_PER_MOL_PER_HARTREE / length_unit**2), eq * length_unit], axis=1)
    return Interactions(form=form, atoms=atoms[rows.forward], values=values)


def _k_and_eq(source: Source, node_type: str, rows: Directions, tolerance: float) -> tuple[Array, Array]:
    """Return k and eq of each interaction, in the graph's units, of a linear mixture if the graph has its coefficients.

    The mixture k1/2 (x - b1)² + k2/2 (x - b2)² is (k1 + k2)/2 (x - eq)² with eq = (k1 b1 + k2 b2)/(k1 + k2), and a
    constant.
    """
    name = f"coefficients{source.suffix}"
    if name not in source.graph.node_set(node_type).fields:
        k, eq = (
            _mean(source, node_type, field, source.parameters(node_type, field), rows, tolerance)
            for field in (f"k{source.suffix}", f"eq{source.suffix}")
        )
        return k, eq
    coefficients = _mean(source, node_type, name, source.parameters(node_type, name, columns=2), rows, tolerance)
    first, second = _ANCHORS[node_type]
    k1, k2 = coefficients[:, :1], coefficients[:, 1:]
    k = k1 + k2
    if bool(source.backend.namespace.any(k + _MIXTURE_SHIFT == 0)):
        raise GraphError(f"nodes/{node_type}/{name} has a row whose sum is -{_MIXTURE_SHIFT:g}, by which eq is divided")
    return k, (k1 * first + k2 * second) / (k + _MIXTURE_SHIFT)


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
    source: Source, node_type: str, atoms: Indices, k: Array, phases: Array | None, periodicity: Array | None
) -> Interactions:
    """Return one interaction for each quartet and periodicity, in the standard form with k ≥ 0."""
    xp = source.backend.namespace
    n_columns = int(k.shape[1])
    rows = np.arange(len(atoms) * n_columns)
    if periodicity is None:
        periodicity = source.numbers(np.tile(np.arange(1, n_columns + 1), (len(atoms), 1)))
    else:
        rows = _used(source, node_type, k, periodicity)
    # The phase is constant with respect to k; k = 0 belongs to either sign and has no derivative in espaloma's energy.
    phase = xp.where(k < 0, xp.full_like(k, pi), xp.zeros_like(k))
    if phases is not None:
        # espaloma's dihedral has the opposite sign: cos(-n φ - phase) = cos(n φ + phase). For π it makes no difference.
        phase = phase + xp.where(phases == pi, phases, -phases)
    columns = [xp.abs(k) * KJ_PER_MOL_PER_HARTREE, phase, periodicity]
    values = xp.concat([xp.reshape(column, (-1, 1)) for column in columns], axis=1)
    if len(rows) < len(atoms) * n_columns:
        values = xp.take(values, source.indices(rows), axis=0)
    return Interactions(form="periodic_torsion", atoms=np.repeat(atoms, n_columns, axis=0)[rows], values=values)


def _used(source: Source, node_type: str, k: Array, periodicity: Array) -> Indices:
    """Return the places, row by row, whose periodicity is not 0: espaloma fills up columns that a quartet does not use.

    Raises:
        GraphError: a k that is not 0 has the periodicity 0, which is a constant and no torsion.
    """
    used = source.on_host(source.backend.detach(periodicity)) != 0
    wrong = (~used & (source.on_host(source.backend.detach(k)) != 0)).any(axis=1)
    if wrong.any():
        raise GraphError(
            f"nodes/{node_type}/periodicity{source.suffix} is 0 where k{source.suffix} is not, as in interaction "
            f"{int(wrong.argmax())}: a constant is no torsion. Set that k to 0, or the periodicity to 1 or more"
        )
    return np.flatnonzero(used)


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
