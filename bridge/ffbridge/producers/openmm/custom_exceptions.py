"""``CustomBondForce`` of a custom nonbonded force's exceptions: it has fractions of excluded pairs' own energies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.energy.overrides import overriding_rows
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.parameters import mix
from ffbridge.forms import form
from ffbridge.mapping import Identity, Select
from ffbridge.producers.openmm.custom import PROPORTIONAL
from ffbridge.producers.openmm.found import Floats, FoundTerm, Ints, Kept, read_rows
from ffbridge.producers.openmm.pair_expressions import match_exceptions_expression
from ffbridge.term import Overrides, Term

__all__ = ["CustomPairs", "read_custom_exceptions"]


@dataclass(frozen=True, eq=False)
class CustomPairs:
    """What a ``CustomNonbondedForce`` was found to hold.

    Attributes:
        index: which force of the System it is.
        term: its term, of all particles.
        kept: its exclusions.
    """

    index: int
    term: FoundTerm
    kept: Kept


def read_custom_exceptions(force: Any, customs: Sequence[CustomPairs], tolerance: float) -> CustomPairs | None:
    """Return one of `customs` with the fractions that a ``CustomBondForce`` adds to it; None if it is of none of them.

    Args:
        force: the ``CustomBondForce``.
        customs: forces whose pairs these may be.
        tolerance: relative difference of parameters from the mixed ones that is taken for rounding.

    Raises:
        UnsupportedError: it has the formula of one of them for pairs with parameters of their own, and the standard has
            no form for these.
    """
    reason = ""
    for custom in customs:
        stated = _stated(force, custom.term)
        if stated is None:
            continue
        pairs, values = stated
        places = _places(custom, pairs)
        fractions = _fractions(custom.term, pairs, values, tolerance)
        if not (bad := (places < 0) | np.isinf(fractions)).any():
            kept = custom.kept.fractions.copy()
            kept[places] = fractions
            return replace(custom, kept=replace(custom.kept, fractions=kept))
        if not _has_pair_form(custom.term):
            pair = pairs[bad][0].tolist()
            why = "is no exclusion of it" if places[bad][0] < 0 else "has no fraction of the mixed parameters"
            reason = (
                f"it has the energy of pairs of {custom.kept.force}, and the pair {pair} {why}; the standard has pairs "
                "with parameters of their own for lennard_jones and coulomb only, without a cutoff"
            )
    if reason:
        raise UnsupportedError(reason)
    return None


def _has_pair_form(term: FoundTerm) -> bool:
    return f"{term.form}_pair" in PROPORTIONAL and term.settings["method"] != "timemachine"


def _stated(force: Any, term: FoundTerm) -> tuple[Ints, Floats] | None:
    """Return the pairs, sorted, and the form's parameters of each; None if the force has another formula."""
    if force.usesPeriodicBoundaryConditions() != term.settings.get("periodic", False):
        return None
    try:
        match = match_exceptions_expression(force, term.form, term.settings)
    except UnsupportedError:
        # Not of this term: what it is else, others tell.
        return None
    pairs, stated = read_rows(force.getNumBonds(), force.getBondParameters, 2)
    if not len(pairs):
        stated = np.zeros((0, len(match.columns)))
    values = stated * match.factor if term.form == "coulomb" else match.values(stated)
    return np.sort(pairs, axis=1), values


def _places(custom: CustomPairs, pairs: Ints) -> NDArray[np.int64]:
    """Return which exclusion each pair is, -1 for none and for a pair that was there before."""
    place_of = {tuple(pair): place for place, pair in enumerate(custom.kept.pairs.tolist())}
    return np.array([place_of.pop(tuple(pair), -1) for pair in pairs.tolist()], dtype=np.int64)


def _fractions(found: FoundTerm, pairs: Ints, stated: Floats, tolerance: float) -> Floats:
    """Return the fraction of each pair's energy: NaN where that is 0 whatever the fraction, infinite where it is none.

    Args:
        found: the term.
        pairs: ``(n, 2)``.
        stated: their parameters, ``(n, n_columns)``.
        tolerance: as of :func:`read_custom_exceptions`.
    """
    mixed = _mixed(found, pairs)
    columns = form(found.form).column_names
    scaled = np.isin(columns, PROPORTIONAL[found.form] or columns)
    fractions = np.full(len(pairs), np.nan)
    for column in np.flatnonzero(scaled):
        known = np.isnan(fractions) & (mixed[:, column] != 0)
        fractions[known] = stated[known, column] / mixed[known, column]
    expected = mixed * np.where(scaled, np.nan_to_num(fractions)[:, None], 1.0)
    differs = np.abs(stated - expected) > tolerance * np.abs(expected)
    # Without an energy, other parameters do not matter.
    differs[:, ~scaled] &= (stated[:, scaled] != 0).any(axis=1)[:, None]
    return np.where(differs.any(axis=1), np.inf, fractions)


def _mixed(found: FoundTerm, pairs: Ints) -> Floats:
    """Return the parameters that pairs of atoms would have without exceptions, ``(n_pairs, n_columns)``."""
    mapping = Identity() if found.rows is None else Select(found.rows)
    overrides = None if found.overrides is None else Overrides("", found.overrides[0])
    term = Term(found.form, found.indices, "", mapping, found.settings, overrides)
    mixed = mix(term, found.values if found.rows is None else found.values[found.rows], pairs)
    if found.overrides is not None:
        own = overriding_rows(term, pairs)
        mixed[own >= 0] = found.overrides[1][own[own >= 0]]
    return mixed
