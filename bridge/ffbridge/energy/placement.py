"""Placement of a bundle's virtual sites among its atoms, and the pullback of derivatives from them.

No parent is a site itself, so all sites are placed at once from the positions that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.corners import by_corner, corners_of
from ffbridge.energy.plan import TermStructure
from ffbridge.energy.total import mapping_of, parameter_columns
from ffbridge.energy.virtual_sites import SITES
from ffbridge.forms import form

__all__ = ["place", "pull_back_sites"]

Arrays = Mapping[str, Array]
Sites = tuple[TermStructure, ...]


def place(backend: Backend, sites: Sites, arrays: Arrays, x: Array, tables: Arrays) -> Array:
    """Return positions ``(3, n_atoms, n_conformers)`` [nm] with all virtual sites where their parents place them.

    Args:
        backend: the framework of all arrays.
        sites: the plan's structures of virtual sites.
        arrays: the plan's arrays in the backend's framework.
        x: positions; what they hold for virtual sites is not read.
        tables: ``(n_params, n_columns)`` by name.
    """
    if not sites:
        return x
    xp = backend.namespace
    found = [SITES[term.form].position(xp, *_inputs(backend, term, arrays, x, tables)) for term in sites]
    return backend.take(xp.concat([x, *found], axis=1), arrays["virtual_sites/sources"], axis=1)


def pull_back_sites(
    backend: Backend, sites: Sites, arrays: Arrays, x: Array, tables: Arrays, du_dx: Array
) -> tuple[Array, dict[str, Array]]:
    """Return dU/dx, and dU/d table by name, from dU/dx where virtual sites move by themselves.

    That of a site goes to its parents and its geometry, and is 0 then. Arguments are those of :func:`place`.
    """
    if not sites:
        return du_dx, {}
    xp = backend.namespace
    result = xp.where(arrays["virtual_sites/is_site"][:, 0, :], 0.0, du_dx)
    du_dtables: dict[str, Array] = {}
    for term in sites:
        of_site = backend.take(du_dx, arrays[f"{term.name}/sites"], axis=1)
        of_parents, du_dp = SITES[term.form].pullback(xp, of_site, *_inputs(backend, term, arrays, x, tables))
        parents = _parents(backend, term, arrays)
        result = result + backend.sum_vectors(xp.concat(of_parents, axis=1), parents, x.shape[1])
        of_sites = xp.stack([xp.sum(du, axis=1) for du in du_dp], axis=1)
        of_table = mapping_of(term, arrays).pullback(of_sites, tables[term.table].shape[0])
        du_dtables[term.table] = du_dtables[term.table] + of_table if term.table in du_dtables else of_table
    return result, du_dtables


def _inputs(
    backend: Backend, term: TermStructure, arrays: Arrays, x: Array, tables: Arrays
) -> tuple[dict[str, Any], list[Array], tuple[Array, ...]]:
    """Return the settings, the positions of each parent by one gather, and the columns of the geometry."""
    parents = corners_of(backend.take(x, _parents(backend, term, arrays), axis=1), form(term.form).arity - 1)
    return dict(term.settings), parents, parameter_columns(backend.namespace, term, arrays, tables[term.table])


def _parents(backend: Backend, term: TermStructure, arrays: Arrays) -> Array:
    return by_corner(backend.namespace, arrays[f"{term.name}/parents"], form(term.form).arity - 1)
