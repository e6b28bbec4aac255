"""The energy of every term of a bundle: what automatic differentiation runs through.

Positions are ``(3, n_atoms, n_conformers)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.corners import by_corner, corners_of
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.overrides import overridden
from ffbridge.energy.pair_energy import PairEnergy
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.tangents import bonded_energy, measured, pair_energies
from ffbridge.forms import form
from ffbridge.mapping import MAPPINGS, Linear
from ffbridge.mapping import Mapping as ParameterMapping

__all__ = ["by_system", "columns_of", "energies", "mapped", "mapping_of", "parameter_columns", "sum_by_segment"]

Arrays = Mapping[str, Array]


def energies(backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays) -> dict[str, Array]:
    """Return the energy of every term.

    Args:
        backend: the framework of all arrays.
        structure: what :func:`ffbridge.energy.plan.plan` returned.
        arrays: the plan's arrays in the backend's framework.
        x: positions ``(3, n_atoms, n_conformers)`` [nm].
        tables: ``(n_params, n_columns)`` by name.

    Returns:
        By term, ``(n_systems, n_conformers)`` [kJ/mol].
    """
    xp = backend.namespace
    result = {}
    distances: dict[str, Array] = {}
    for term in structure.terms:
        columns = parameter_columns(xp, term, arrays, tables[term.table])
        if term.pairs:
            if term.pairs not in distances:
                distances[term.pairs] = measured(backend, "distance", _corners(backend, term, arrays, x))
            settings = dict(term.settings)
            mixing = NONBONDED[term.form].mixing_of(settings)
            pair_parameters = mixing.mix(xp, settings, *_by_pair(xp, term, arrays, mixing.variables(xp, *columns)))
            if term.overrides:
                pair_parameters = overridden(xp, term.name, arrays, tables[term.overrides], pair_parameters)
            of_pairs = (distances[term.pairs], _kept(term, arrays), _excepted(term, arrays), pair_parameters)
            each = pair_energies(PairEnergy(backend, term.form, settings), *of_pairs)
        else:
            declared = form(term.form)
            corners = _corners(backend, term, arrays, x)
            q = [measured(backend, each.kind, [corners[at] for at in each.atoms]) for each in declared.coordinates]
            each = bonded_energy(backend, term.form, dict(term.settings), q, columns)
        result[term.name] = by_system(backend, structure, term, arrays, each)
    return result


def mapping_of(term: TermStructure, arrays: Arrays) -> ParameterMapping:
    """Return a term's mapping, of the plan's arrays."""
    prefix = f"{term.name}/mapping/"
    parts = {path.removeprefix(prefix): array for path, array in arrays.items() if path.startswith(prefix)}
    return MAPPINGS[term.mapping](**parts)


def parameter_columns(xp: Any, term: TermStructure, arrays: Arrays, table: Array) -> tuple[Array, ...]:
    """Return the parameters of each interaction, p = M θ: one array ``(n_terms, 1)`` for each column of the table."""
    return columns_of(xp, term, mapped(xp, term, arrays, table))


def mapped(xp: Any, term: TermStructure, arrays: Arrays, table: Array) -> Array:
    """Return the parameters of each interaction, p = M θ, ``(n_terms, n_columns)``.

    A weighted sum of equal whole numbers is whole up to rounding, so the integer columns of a linear mapping are
    rounded.
    """
    values = mapping_of(term, arrays).apply(table)
    columns = form(term.form).columns
    if term.mapping != Linear.kind or not any(column.integer for column in columns):
        return values
    split = zip(columns, columns_of(xp, term, values), strict=True)
    return xp.concat([xp.round(each) if column.integer else each for column, each in split], axis=1)


def columns_of(xp: Any, term: TermStructure, parameters: Array) -> tuple[Array, ...]:
    """Return the columns ``(n, 1)`` each, ready to meet ``(n, n_conformers)``; one with a shape is ``(n, *shape)``."""
    columns, start = [], 0
    for column in form(term.form).columns:
        lengths = tuple(dict(term.settings)[name] for name in column.shape) if column.shape else ()
        stop = start + prod(lengths)
        values = parameters[:, start:stop]
        columns.append(xp.reshape(values, (-1, *lengths)) if lengths else values)
        start = stop
    return tuple(columns)


def _corners(backend: Backend, term: TermStructure, arrays: Arrays, x: Array) -> list[Array]:
    """Return the positions of each atom of the interactions, ``(3, n, n_conformers)`` each."""
    atoms, arity = _atoms_of(backend, term, arrays)
    return corners_of(backend.take(x, atoms, axis=1), arity)


def _atoms_of(backend: Backend, term: TermStructure, arrays: Arrays) -> tuple[Array, int]:
    """Return the atoms of the interactions, corner after corner, and how many an interaction has."""
    arity = 2 if term.pairs else form(term.form).arity
    return by_corner(backend.namespace, arrays[f"{term.pairs or term.name}/atoms"], arity), arity


def _by_pair(
    xp: Any, term: TermStructure, arrays: Arrays, variables: Sequence[Array]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the variables of the first and of the second atom of each pair, ``(n_pairs, 1)`` each."""
    gathered = [xp.reshape(xp.take(variable, arrays[f"{term.pairs}/rows"], axis=0), (-1, 2)) for variable in variables]
    return tuple(both[:, :1] for both in gathered), tuple(both[:, 1:] for both in gathered)


def _kept(term: TermStructure, arrays: Arrays) -> Array:
    return arrays[f"{term.pairs}/{form(term.form).exceptions}"]


def _excepted(term: TermStructure, arrays: Arrays) -> Array:
    return arrays[f"{term.pairs}/excepted"]


def by_system(backend: Backend, structure: Structure, term: TermStructure, arrays: Arrays, each: Array) -> Array:
    """Return the sum over the interactions of each system, ``(n_systems, n_conformers)``."""
    return sum_by_segment(backend, arrays[f"{term.pairs or term.name}/systems"], each, structure.n_systems)


def sum_by_segment(backend: Backend, segments: Array, each: Array, n_segments: int) -> Array:
    """Return the sums of interactions ``(n, n_conformers)`` over those of each segment, from the segment of each."""
    if n_segments == 1:
        return backend.namespace.sum(each, axis=0, keepdims=True)
    return backend.segment_sum(each, segments, n_segments)
