"""Energies in the shapes that callers use: positions ``(..., n_atoms, 3)``, energies ``(..., n_systems)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from operator import add
from typing import TypeAlias

from ffbridge.backend import Array, Backend
from ffbridge.energy.chunks import conformers_with_blocks
from ffbridge.energy.conformers import conformers_first, conformers_last
from ffbridge.energy.derivatives import derivatives
from ffbridge.energy.placement import place, pull_back_sites
from ffbridge.energy.plan import Structure
from ffbridge.energy.total import energies
from ffbridge.engine import Evaluation
from ffbridge.packing import Packing

__all__ = [
    "EnergyFunction",
    "analytic_value_and_grad",
    "by_term",
    "packed_energies",
    "packed_pullback",
    "total",
    "value_and_grad_by_chunks",
]

Arrays = Mapping[str, Array]
EnergyFunction: TypeAlias = Callable[[Backend, Structure, Arrays, Array, Arrays], dict[str, Array]]
"""What :func:`ffbridge.energy.total.energies` is; an engine whose energies are another program's has its own."""


def by_term(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    *,
    evaluate: EnergyFunction = energies,
) -> dict[str, Array]:
    """Return the energy of every term, ``(..., n_systems)`` [kJ/mol], for inputs as an Evaluator takes them."""
    xp = backend.namespace
    placed = place(backend, structure.virtual_sites, arrays, conformers_last(xp, x), tables)
    inner = evaluate(backend, structure, arrays, placed, tables)
    return {name: conformers_first(xp, energy, x.shape[:-2]) for name, energy in inner.items()}


def total(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    *,
    evaluate: EnergyFunction = energies,
) -> Array:
    """Return the sum of all terms, ``(..., n_systems)`` [kJ/mol]."""
    return _sum(backend, structure, x, by_term(backend, structure, arrays, x, tables, evaluate=evaluate))


def packed_energies(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    tables: Arrays,
    packed: Array,
    *,
    packing: Packing,
    each_term: bool,
    evaluate: EnergyFunction = energies,
) -> Array:
    """Return the energies of packed positions and tables, ``(n_conformers, n_energies)``.

    Args:
        backend: the framework of all arrays.
        structure: the plan's structure.
        arrays: the plan's arrays.
        tables: the bundle's tables, for those that are not packed.
        packed: as `packing` lays it out.
        packing: which tables are packed.
        each_term: energies of each system and term, terms last, instead of their sum for each system.
        evaluate: the energy function.
    """
    xp = backend.namespace
    x, given = packing.unpack(xp, packed)
    tables = {**tables, **given}
    if not each_term:
        return total(backend, structure, arrays, x, tables, evaluate=evaluate)
    terms = by_term(backend, structure, arrays, x, tables, evaluate=evaluate)
    return xp.reshape(xp.stack(list(terms.values()), axis=-1), (x.shape[0], structure.n_systems * len(terms)))


def analytic_value_and_grad(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    *,
    counted: Array | None = None,
    of_tables: bool = True,
) -> Evaluation:
    """Return energy, forces and dU/d tables by analytic formulas, without automatic differentiation.

    Args:
        backend: the framework of all arrays.
        structure: the plan's structure.
        arrays: the plan's arrays.
        x: positions ``(..., n_atoms, 3)`` [nm].
        tables: ``(n_params, n_columns)`` by name.
        counted: what derivatives of each energy are multiplied by, ``(n_conformers, n_systems)``, or
            ``(n_conformers, 1)`` for all systems; 1 if None.
        of_tables: whether to compute dU/d tables, which are 0 otherwise.
    """
    xp, batch = backend.namespace, x.shape[:-2]
    weights = None
    if counted is not None:
        weights = dict.fromkeys((term.name for term in structure.terms), xp.permute_dims(counted, (1, 0)))
    energy, du_dx, du_dtables = _derivatives(
        backend, structure, arrays, conformers_last(xp, x), tables, weights, of_tables=of_tables
    )
    return Evaluation(conformers_first(xp, energy, batch), -conformers_first(xp, du_dx, batch), du_dtables)


def value_and_grad_by_chunks(
    backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays, *, of_tables: bool = True
) -> Evaluation:
    """Return what :func:`analytic_value_and_grad` does, of a few conformers after another if there are many."""
    n_conformers, at_once = prod(x.shape[:-2]), conformers_with_blocks(x.shape[-2])
    prepared = (backend, structure, arrays)
    if n_conformers <= at_once:
        return analytic_value_and_grad(*prepared, x, tables, of_tables=of_tables)
    xp = backend.namespace
    flat = xp.reshape(x, (n_conformers, *x.shape[-2:]))
    found = [
        analytic_value_and_grad(*prepared, flat[start : start + at_once, ...], tables, of_tables=of_tables)
        for start in range(0, n_conformers, at_once)
    ]
    energy, forces = (xp.concat([each[place] for each in found]) for place in range(2))
    return Evaluation(
        xp.reshape(energy, (*x.shape[:-2], -1)),
        xp.reshape(forces, x.shape),
        {name: reduce(add, [each.tables[name] for each in found]) for name in tables},
    )


def packed_pullback(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    tables: Arrays,
    packed: Array,
    cotangents: Array,
    *,
    packing: Packing,
    each_term: bool,
) -> Array:
    """Return dL/d packed from dL/d energies by analytic formulas; arguments as for :func:`packed_energies`."""
    xp = backend.namespace
    x, given = packing.unpack(xp, packed)
    n_each = len(structure.terms) if each_term else 1
    by_system = xp.reshape(cotangents, (x.shape[0], structure.n_systems, n_each))
    weights = {
        term.name: xp.permute_dims(by_system[:, :, number if each_term else 0], (1, 0))
        for number, term in enumerate(structure.terms)
    }
    inner = conformers_last(xp, x)
    _, dl_dx, dl_dtables = _derivatives(backend, structure, arrays, inner, {**tables, **given}, weights)
    return packing.pack(xp, conformers_first(xp, dl_dx, x.shape[:1]), dl_dtables)


def _derivatives(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    cotangents: Arrays | None = None,
    *,
    of_tables: bool = True,
) -> tuple[Array, Array, dict[str, Array]]:
    """Return what :func:`ffbridge.energy.derivatives.derivatives` does, of positions that virtual sites follow."""
    sites = structure.virtual_sites
    placed = place(backend, sites, arrays, x, tables)
    energy, du_dplaced, du_dtables = derivatives(
        backend, structure, arrays, placed, tables, cotangents, of_tables=of_tables
    )
    du_dx, of_sites = pull_back_sites(backend, sites, arrays, x, tables, du_dplaced)
    return energy, du_dx, du_dtables | {name: du_dtables[name] + du for name, du in of_sites.items()}


def _sum(backend: Backend, structure: Structure, x: Array, terms: Mapping[str, Array]) -> Array:
    if not terms:
        # Still a function of x, so that it can be differentiated like any other energy.
        xp = backend.namespace
        return xp.broadcast_to(0.0 * xp.sum(x, axis=(-2, -1))[..., None], (*x.shape[:-2], structure.n_systems))
    return reduce(add, terms.values())
