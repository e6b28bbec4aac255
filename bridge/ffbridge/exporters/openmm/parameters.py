"""Parameters of interactions, atoms and pairs of atoms, as numbers for OpenMM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.errors import BundleError
from ffbridge.forms import Column, form
from ffbridge.mapping import Identity, Linear
from ffbridge.term import Exceptions, Term

__all__ = ["Floats", "mix", "of_atoms", "of_interactions", "of_terms", "overrides_key", "pairs_of"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-6
"""How far from its minimum the result of a linear mapping may be, relative to the largest (spec, T-7)."""


def of_terms(terms: Mapping[str, Term], tables: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """Return the parameters of every interaction of each term, and of each override under :func:`overrides_key`.

    Args:
        terms: by name, of NumPy arrays.
        tables: values by name of the table.

    Raises:
        BundleError: as :func:`of_interactions`.
    """
    found = {}
    for name, term in terms.items():
        found[name] = of_interactions(name, term, tables[term.table])
        if term.overrides is not None:
            own = replace(term, table=term.overrides.table, mapping=Identity(), overrides=None)
            found[overrides_key(name)] = of_interactions(name, own, tables[own.table])
    return found


def overrides_key(name: str) -> str:
    """Return the name under which the parameters of a term's overrides stand; no term has such a name."""
    return f"{name}/overrides"


def of_interactions(name: str, term: Term, table: NDArray[Any]) -> Floats:
    """Return the parameters of every interaction of a term, p = M θ, ``(n_terms, n_columns)``, in double precision.

    Args:
        name: the term's name.
        term: the term, of NumPy arrays.
        table: the values of its table, ``(n_params, n_columns)``.

    Raises:
        BundleError: a value is less than the form's minimum, or not whole in an integer column.
    """
    parameters = np.array(term.mapping.apply(table.astype(np.float64)), dtype=np.float64)
    for number, column in enumerate(form(term.form).columns_for(term.settings)):
        parameters[:, number] = _checked(name, term, column, parameters[:, number])
    return parameters


def _checked(name: str, term: Term, column: Column, values: Floats) -> Floats:
    where = f"tables/{term.table} (term {name!r})"
    rounding = _ROUNDING * np.max(np.abs(values), initial=0.0) if isinstance(term.mapping, Linear) else 0.0
    if column.minimum is not None:
        if (bad := values < column.minimum - rounding).any():
            raise BundleError(
                f"{where}: {column.name} = {values[bad][0]:g} for interaction {int(bad.argmax())}, and it must be at "
                f"least {column.minimum:g}"
            )
        values = np.maximum(values, column.minimum)
    if column.integer:
        whole = np.round(values)
        if (bad := ~(abs(values - whole) <= _ROUNDING)).any():
            raise BundleError(
                f"{where}: {column.name} = {values[bad][0]:g} for interaction {int(bad.argmax())}, and OpenMM takes "
                "whole numbers only"
            )
        return whole
    return values


def of_atoms(term: Term, parameters: Floats, n_atoms: int) -> Floats:
    """Return the parameters of a nonbonded term for all atoms, ``(n_atoms, n_columns)``; 0 for those not in it."""
    result = np.zeros((n_atoms, parameters.shape[1]))
    result[term.indices[:, 0]] = parameters
    return result


def pairs_of(exceptions: Exceptions | None) -> NDArray[Any]:
    """Return the pairs of the exceptions, ``(n_exceptions, 2)``."""
    return np.zeros((0, 2), dtype=np.int32) if exceptions is None else np.asarray(exceptions.pairs)


def mix(term: Term, atoms: Floats, pairs: NDArray[Any]) -> Floats:
    """Return the parameters of pairs of atoms by the term's mixing rule, ``(n_pairs, n_columns)`` (spec, section 5.4).

    Args:
        term: a nonbonded term.
        atoms: the parameters of each atom, ``(n_atoms, n_columns)``.
        pairs: ``(n_pairs, 2)``.
    """
    mixing = NONBONDED[term.form].mixing_of(term.settings)
    variables = np.stack(mixing.variables(np, *atoms.T), axis=1)
    first, second = variables[pairs[:, 0]], variables[pairs[:, 1]]
    return np.stack(mixing.mix(np, term.settings, tuple(first.T), tuple(second.T)), axis=1)
