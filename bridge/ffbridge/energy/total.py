"""The energy of every term of a bundle, and its analytic derivatives with respect to positions and tables.

:func:`energies` is what automatic differentiation runs through; :func:`derivatives` is for frameworks that have none.
Both use the same coordinates and forms. Positions are ``(n_atoms, 3, n_conformers)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.bonded import BONDED
from ffbridge.energy.geometry import measure, pull_back
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.overrides import overridden, overridden_pullback
from ffbridge.energy.pair_energy import PairEnergy
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.tangents import bonded_energy, measured, pair_energies
from ffbridge.forms import InternalCoordinate, form
from ffbridge.mapping import MAPPINGS, Linear
from ffbridge.mapping import Mapping as ParameterMapping

__all__ = ["by_system", "derivatives", "energies", "mapping_of", "parameter_columns"]

Arrays = Mapping[str, Array]

_PAIR = (InternalCoordinate("distance", (0, 1)),)


def energies(backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays) -> dict[str, Array]:
    """Return the energy of every term.

    Args:
        backend: the framework of all arrays.
        structure: what :func:`ffbridge.energy.plan.plan` returned.
        arrays: the plan's arrays in the backend's framework.
        x: positions ``(n_atoms, 3, n_conformers)`` [nm].
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
                distances[term.pairs] = measured(backend, "distance", _corners(backend, term, arrays, x, 2))
            settings = dict(term.settings)
            mixing = NONBONDED[term.form].mixing_of(settings)
            pair_parameters = mixing.mix(xp, settings, *_by_pair(xp, term, arrays, mixing.variables(xp, *columns)))
            if term.overrides:
                pair_parameters = overridden(xp, term.name, arrays, tables[term.overrides], pair_parameters)
            of_pairs = (distances[term.pairs], _kept(term, arrays), _excepted(term, arrays), pair_parameters)
            each = pair_energies(PairEnergy(backend, term.form, settings), *of_pairs)
        else:
            declared = form(term.form)
            corners = _corners(backend, term, arrays, x, declared.arity)
            q = [measured(backend, each.kind, [corners[at] for at in each.atoms]) for each in declared.coordinates]
            each = bonded_energy(backend, term.form, dict(term.settings), q, columns)
        result[term.name] = by_system(backend, structure, term, arrays, each)
    return result


def derivatives(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    cotangents: Arrays | None = None,
) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """Return the energies by term, and the derivatives of their weighted sum L, by analytic formulas.

    Arguments and energies are those of :func:`energies`; `cotangents` are dL/dU by term, ``(n_systems, n_conformers)``,
    all 1 if None. dL/dx is ``(n_atoms, 3, n_conformers)`` [kJ/mol/nm], dL/d table ``(n_params, n_columns)`` by name.
    """
    xp = backend.namespace
    result = {}
    du_dx = xp.zeros_like(x)
    du_dtables = {name: xp.zeros_like(table) for name, table in tables.items()}
    for term in structure.terms:
        declared = form(term.form)
        taken, arity = (_PAIR, 2) if term.pairs else (declared.coordinates, declared.arity)
        q, states = measure(xp, taken, _corners(backend, term, arrays, x, arity))
        differentiate = _pair_derivatives if term.pairs else _bonded_derivatives
        weight = 1.0 if cotangents is None else xp.take(cotangents[term.name], _systems(term, arrays), axis=0)
        each, du_dq, by_table = differentiate(backend, term, arrays, q, tables, weight)
        result[term.name] = by_system(backend, structure, term, arrays, each)
        flat = xp.reshape(xp.stack(pull_back(xp, taken, states, du_dq, arity), axis=1), (-1, *x.shape[1:]))
        du_dx = du_dx + backend.segment_sum(flat, _atoms(term, arrays), x.shape[0])
        for name, du_dtable in by_table.items():
            du_dtables[name] = du_dtables[name] + du_dtable
    return result, du_dx, du_dtables


def _bonded_derivatives(
    backend: Backend,
    term: TermStructure,
    arrays: Arrays,
    q: tuple[Any, ...],
    tables: Arrays,
    weight: Array | float,
) -> tuple[Array, list[Array], dict[str, Array]]:
    """Return U ``(n, n_conformers)``, weighted dU/dq likewise, and weighted dU/d table summed over conformers."""
    xp, bonded = backend.namespace, BONDED[term.form]
    columns, settings = parameter_columns(xp, term, arrays, tables[term.table]), dict(term.settings)
    each = bonded.energy(xp, *q, *columns, **settings)
    du_dq, du_dp = bonded.derivatives(xp, *q, *columns, **settings)
    summed = xp.concat([_over_conformers(xp, weight, du) for du in du_dp], axis=1)
    return each, [weight * du for du in du_dq], {term.table: _pulled_back(term, arrays, summed, tables)}


def _over_conformers(xp: Any, weight: Array | float, du: Array) -> Array:
    """Return the weighted sum over conformers: ``(n, 1)``, or ``(n, m)`` for a column that stands for m numbers."""
    if du.ndim == 2:
        return xp.sum(weight * du, axis=1, keepdims=True)
    return xp.sum((weight if isinstance(weight, float) else weight[:, None, :]) * du, axis=2)


def _pair_derivatives(
    backend: Backend,
    term: TermStructure,
    arrays: Arrays,
    q: tuple[Any, ...],
    tables: Arrays,
    weight: Array | float,
) -> tuple[Array, list[Array], dict[str, Array]]:
    """Return U ``(n_pairs, n_conformers)``, weighted dU/dr likewise, and weighted dU/d table summed over conformers."""
    xp, (r,) = backend.namespace, q
    settings, columns = dict(term.settings), parameter_columns(xp, term, arrays, tables[term.table])
    mixing = NONBONDED[term.form].mixing_of(settings)
    first, second = _by_pair(xp, term, arrays, mixing.variables(xp, *columns))
    mixed = mixing.mix(xp, settings, first, second)
    if term.overrides:
        mixed = overridden(xp, term.name, arrays, tables[term.overrides], mixed)
    evaluate, of_pairs = PairEnergy(backend, term.form, settings), (r, _kept(term, arrays), _excepted(term, arrays))
    each = evaluate.energy(*of_pairs, *mixed)
    du_dr, du_dmixed = evaluate.derivatives(*of_pairs, *mixed)
    by_pair = tuple(xp.sum(weight * du, axis=1, keepdims=True) for du in du_dmixed)
    by_table = {}
    if term.overrides:
        own = (backend, term.name, arrays, tables[term.overrides])
        by_pair, by_table[term.overrides] = overridden_pullback(*own, by_pair)
    ends = (
        mixing.mix_pullback(xp, settings, first, second, by_pair),
        mixing.mix_pullback(xp, settings, second, first, by_pair),
    )
    rows, n_rows = arrays[f"{term.pairs}/rows"], columns[0].shape[0]
    du_dvariables = tuple(
        backend.segment_sum(xp.reshape(xp.stack(both, axis=1), (-1, 1)), rows, n_rows)
        for both in zip(*ends, strict=True)
    )
    du_dp = xp.concat(mixing.variables_pullback(xp, columns, du_dvariables), axis=1)
    # Both may be one table.
    own_table = _pulled_back(term, arrays, du_dp, tables)
    by_table[term.table] = own_table + by_table[term.table] if term.table in by_table else own_table
    return each, [weight * du_dr], by_table


def _pulled_back(term: TermStructure, arrays: Arrays, du_dp: Array, tables: Arrays) -> Array:
    """Return dU/d table ``(n_params, n_columns)`` from dU/dp ``(n_terms, n_columns)``."""
    return mapping_of(term, arrays).pullback(du_dp, tables[term.table].shape[0])


def mapping_of(term: TermStructure, arrays: Arrays) -> ParameterMapping:
    """Return a term's mapping, of the plan's arrays."""
    prefix = f"{term.name}/mapping/"
    parts = {path.removeprefix(prefix): array for path, array in arrays.items() if path.startswith(prefix)}
    return MAPPINGS[term.mapping](**parts)


def parameter_columns(xp: Any, term: TermStructure, arrays: Arrays, table: Array) -> tuple[Array, ...]:
    """Return the parameters of each interaction, p = M θ: one array ``(n_terms, 1)`` for each column of the table."""
    return _columns(xp, term, mapping_of(term, arrays).apply(table))


def _columns(xp: Any, term: TermStructure, parameters: Array) -> tuple[Array, ...]:
    """Return the columns ``(n, 1)`` each, ready to meet ``(n, n_conformers)``; one with a shape is ``(n, *shape)``.

    A weighted sum of equal whole numbers is whole up to rounding, so the integer columns of a linear mapping are
    rounded.
    """
    columns, start = [], 0
    for column in form(term.form).columns:
        lengths = tuple(dict(term.settings)[name] for name in column.shape) if column.shape else ()
        stop = start + prod(lengths)
        values = parameters[:, start:stop]
        if lengths:
            values = xp.reshape(values, (-1, *lengths))
        columns.append(xp.round(values) if column.integer and term.mapping == Linear.kind else values)
        start = stop
    return tuple(columns)


def _atoms(term: TermStructure, arrays: Arrays) -> Array:
    return arrays[f"{term.pairs or term.name}/atoms"]


def _corners(backend: Backend, term: TermStructure, arrays: Arrays, x: Array, arity: int) -> list[Array]:
    """Return the positions of each atom of the interactions, ``(n, 3, n_conformers)`` each."""
    atoms = backend.namespace.reshape(_atoms(term, arrays), (-1, arity))
    return [backend.take(x, atoms[:, corner]) for corner in range(arity)]


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


def _systems(term: TermStructure, arrays: Arrays) -> Array:
    return arrays[f"{term.pairs or term.name}/systems"]


def by_system(backend: Backend, structure: Structure, term: TermStructure, arrays: Arrays, each: Array) -> Array:
    """Return the sum over the interactions of each system, ``(n_systems, n_conformers)``."""
    if structure.n_systems == 1:
        return backend.namespace.sum(each, axis=0, keepdims=True)
    return backend.segment_sum(each, _systems(term, arrays), structure.n_systems)
