"""Geometries at which an interaction has no direction, for engines of programs that have no limit there.

The standard says what the limits are (spec/bundle.md, E-3 and E-4); such an engine evaluates everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.forms import form
from ffbridge.term import Exceptions, Term

__all__ = ["Parts", "set_aside"]

Floats = NDArray[np.float64]
Pairs = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Parts:
    """A system at one geometry, in two parts.

    Attributes:
        regular: the bundle without the interactions that have no direction. It has every term.
        aside: the bonded interactions that have none, as one bundle for each term that has such.
        infinite: the nonbonded terms in which atoms that interact coincide: their energy is +inf, with derivative 0.
    """

    regular: Bundle
    aside: dict[str, Bundle]
    infinite: frozenset[str]


def set_aside(bundle: Bundle, x: Floats) -> Parts:
    """Return the parts of a bundle of one system, of NumPy arrays, at the positions ``(n_atoms, 3)`` [nm]."""
    terms, aside = dict(bundle.terms), {}
    for name, term in bundle.terms.items():
        if form(term.form).kind == "bonded" and (bad := _has_no_direction(term, x)).any():
            terms[name] = _rows(term, ~bad)
            aside[name] = replace(bundle, terms={name: _rows(term, bad)}, exceptions=None)
    pairs = _coincident_pairs(x)
    regular = replace(bundle, terms=terms, exceptions=_without(bundle.exceptions, pairs))
    return Parts(regular, aside, frozenset(name for name in bundle.terms if _interacts(bundle, name, pairs)))


def _has_no_direction(term: Term, x: Floats) -> NDArray[np.bool_]:
    """Return which interactions of a bonded term have a coordinate without direction."""
    vanishes = np.zeros(len(term), dtype=bool)
    for coordinate in form(term.form).coordinates:
        corners = np.moveaxis(x[term.indices[:, list(coordinate.atoms)]], 1, 0)
        arms = np.diff(corners, axis=0)
        crossed = arms if len(arms) == 1 else np.cross(arms[:-1], arms[1:])
        vanishes |= (crossed == 0).all(axis=2).any(axis=0)
    return vanishes


def _rows(term: Term, wanted: NDArray[np.bool_]) -> Term:
    rows = np.flatnonzero(wanted).astype(np.int32)
    return replace(term, indices=term.indices[rows], mapping=term.mapping.take(rows))


def _coincident_pairs(x: Floats) -> Pairs:
    _, place = np.unique(x, axis=0, return_inverse=True)
    shared = [np.flatnonzero(place == each).tolist() for each in np.flatnonzero(np.bincount(place) > 1)]
    return [pair for atoms in shared for pair in combinations(atoms, 2)]


def _without(exceptions: Exceptions | None, pairs: Pairs) -> Exceptions | None:
    """Return the exceptions with these pairs left out of every nonbonded term."""
    if not pairs:
        return exceptions
    dtype: Any = np.float64
    old = Exceptions(np.zeros((0, 2), np.int32), np.zeros(0), np.zeros(0)) if exceptions is None else exceptions
    others = [row for row, pair in enumerate(old.pairs.tolist()) if tuple(pair) not in pairs]
    nothing = np.zeros(len(pairs), dtype)
    return Exceptions(
        pairs=np.concatenate([old.pairs[others], np.array(pairs, dtype=np.int32)]),
        kept_charge=np.concatenate([old.kept_charge[others], nothing]),
        kept_lj=np.concatenate([old.kept_lj[others], nothing]),
    )


def _interacts(bundle: Bundle, name: str, pairs: Pairs) -> bool:
    """Return whether a term is nonbonded and has one of these pairs, not left out."""
    term = bundle.terms[name]
    fraction = form(term.form).exceptions
    if fraction is None:
        return False
    kept: dict[tuple[int, ...], float] = {}
    if bundle.exceptions is not None:
        fractions = getattr(bundle.exceptions, fraction).tolist()
        kept = dict(zip(map(tuple, bundle.exceptions.pairs.tolist()), fractions, strict=True))
    members = set(term.indices[:, 0].tolist())
    return any(members.issuperset(pair) and kept.get(pair, 1.0) != 0 for pair in pairs)
