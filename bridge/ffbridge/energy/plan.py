"""Plans: what a bundle becomes before it is evaluated.

A plan has two parts: a *structure*, hashable, that decides which operations run (an engine may compile once for each
structure), and *arrays* of indices, mappings and pair lists, in the engine's framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.energy.bonded import BONDED, HIGHEST_PERIODICITY
from ffbridge.energy.methods import METHODS, PLAIN_METHOD
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.overrides import override_arrays
from ffbridge.energy.pairs import PairList, pair_list
from ffbridge.energy.virtual_sites import SITES
from ffbridge.errors import UnsupportedError
from ffbridge.forms import Form, form
from ffbridge.term import Exceptions, Term

__all__ = ["Structure", "TermStructure", "plan", "plan_sites"]


@dataclass(frozen=True)
class TermStructure:
    """One term, as far as the operations that evaluate it depend on it.

    Attributes:
        name: the term's name, the prefix of its arrays.
        form: its form.
        table: the table that holds its parameters.
        mapping: kind of the mapping.
        settings: the term's settings, sorted.
        pairs: for a nonbonded form, the prefix of its pair list, which terms over the same atoms share; empty for
            others.
        overrides: the table with parameters of pairs that are not mixed; empty if there is none.
    """

    name: str
    form: str
    table: str
    mapping: str
    settings: tuple[tuple[str, Any], ...]
    pairs: str = ""
    overrides: str = ""


@dataclass(frozen=True)
class Structure:
    """What decides which operations evaluate a bundle: equal structures run the same code on arrays of other sizes.

    Attributes:
        n_systems: number of systems.
        terms: those that have an energy.
        virtual_sites: the terms that place particles.
    """

    n_systems: int
    terms: tuple[TermStructure, ...]
    virtual_sites: tuple[TermStructure, ...] = ()


_SETTINGS: dict[str, tuple[Any, ...]] = {"method": (PLAIN_METHOD, *METHODS), "periodic": (False,)}
"""What the array engines evaluate of those settings of which they do not evaluate everything."""


def plan(
    bundle: Bundle, *, refuse: Callable[[str, Term, Form, Bundle], None] | None = None
) -> tuple[Structure, dict[str, np.ndarray[Any, Any]]]:
    """Return the structure and the index arrays of a bundle of NumPy arrays.

    Arrays: for a bonded term ``NAME/atoms (n_terms * arity,)`` and ``NAME/systems (n_terms,)``; for a pair list
    ``PAIRS/atoms (2 n_pairs,)``, ``PAIRS/rows (2 n_pairs,)`` (rows of the term that belong to these atoms),
    ``PAIRS/systems``, the kept fractions, and which pairs are exceptions; for a term with overrides
    ``NAME/overridden (n_pairs, 1)`` and ``NAME/override (n_pairs,)``, which pairs of the list have a row of the
    overrides' table, and which, 0 for others; for each mapping ``NAME/mapping/…``.

    Args:
        bundle: what to evaluate.
        refuse: ``(name, term, its form, bundle)``, raises UnsupportedError for a term that the engine does not evaluate
            exactly; the array engines' own if None.

    Raises:
        UnsupportedError: a form, method or setting that the engine does not evaluate.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    structures: list[TermStructure] = []
    for name, term in bundle.energy_terms.items():
        declared = form(term.form)
        (refuse or _refuse_unsupported)(name, term, declared, bundle)
        arrays |= {f"{name}/mapping/{part}": array for part, array in term.mapping.arrays().items()}
        pairs = ""
        if declared.kind == "bonded":
            arrays[f"{name}/atoms"] = np.reshape(term.indices, -1)
            arrays[f"{name}/systems"] = _systems(term.indices[:, 0], bundle.system_offsets)
        else:
            pairs = _shared_pairs(term, structures, bundle) or f"{name}/pairs"
            if f"{pairs}/atoms" not in arrays:
                arrays |= _pair_arrays(pairs, term, bundle)
            if term.overrides is not None:
                arrays |= override_arrays(name, term, arrays[f"{pairs}/rows"])
        structures.append(_structure(name, term, pairs))
    sites, of_sites = plan_sites(bundle)
    return Structure(bundle.n_systems, tuple(structures), sites), arrays | of_sites


def plan_sites(bundle: Bundle) -> tuple[tuple[TermStructure, ...], dict[str, np.ndarray[Any, Any]]]:
    """Return the structures and the index arrays of the virtual sites of a bundle of NumPy arrays; empty if none.

    Arrays: for each term ``NAME/sites (n,)``, ``NAME/parents (n * n_parents,)`` and ``NAME/mapping/…``; for all
    ``virtual_sites/sources (n_atoms,)``, the row of each atom in the given positions followed by those of all sites,
    and ``virtual_sites/is_site (n_atoms, 1, 1)``.

    Raises:
        UnsupportedError: a form of virtual sites that is not placed here.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    structures: list[TermStructure] = []
    sources = np.arange(bundle.n_atoms, dtype=np.int32)
    n_rows = bundle.n_atoms
    for name, term in bundle.virtual_sites.items():
        if term.form not in SITES:
            raise UnsupportedError(f"terms/{name}: the array engines do not place sites of the form {term.form!r}")
        sites = np.ascontiguousarray(term.indices[:, 0])
        sources[sites] = np.arange(n_rows, n_rows + len(sites))
        n_rows += len(sites)
        arrays |= {f"{name}/mapping/{part}": array for part, array in term.mapping.arrays().items()}
        arrays |= {f"{name}/sites": sites, f"{name}/parents": np.reshape(term.indices[:, 1:], -1)}
        structures.append(_structure(name, term))
    if structures:
        arrays["virtual_sites/sources"] = sources
        arrays["virtual_sites/is_site"] = (sources >= bundle.n_atoms)[:, None, None]
    return tuple(structures), arrays


def _structure(name: str, term: Term, pairs: str = "") -> TermStructure:
    settings = tuple((key, _hashable(value)) for key, value in sorted(term.settings.items()))
    overrides = "" if term.overrides is None else term.overrides.table
    return TermStructure(name, term.form, term.table, term.mapping.kind, settings, pairs, overrides)


def _refuse_unsupported(name: str, term: Term, declared: Form, bundle: Bundle) -> None:
    """Raise where an array engine could not evaluate the term exactly."""
    known: Mapping[str, object] = BONDED if declared.kind == "bonded" else NONBONDED
    remedy = "use an engine that has it"
    if term.form not in known:
        raise UnsupportedError(f"terms/{name}: the array engines do not evaluate the form {term.form!r}; {remedy}")
    for setting, evaluated in _SETTINGS.items():
        if setting in term.settings and term.settings[setting] not in evaluated:
            raise UnsupportedError(
                f"terms/{name}/settings/{setting}: the array engines evaluate {' and '.join(map(repr, evaluated))}, "
                f"not {term.settings[setting]!r}; {remedy}"
            )
    table = bundle.table(term.table)
    if "periodicity" in table.columns and table.values.size:
        highest = int(np.max(table.column("periodicity")))
        if highest > HIGHEST_PERIODICITY:
            raise UnsupportedError(
                f"tables/{term.table}: periodicity {highest}; the array engines evaluate up to {HIGHEST_PERIODICITY}"
            )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _systems(atoms: Array, system_offsets: Array) -> Array:
    """Return the system of each atom, int32."""
    return (np.searchsorted(system_offsets, atoms, side="right") - 1).astype(np.int32)


def _shared_pairs(term: Term, done: list[TermStructure], bundle: Bundle) -> str:
    """Return the pair list of an earlier term over the same atoms in the same order; empty if there is none."""
    for other in done:
        if other.pairs and np.array_equal(bundle.terms[other.name].indices, term.indices):
            return other.pairs
    return ""


def _pair_arrays(prefix: str, term: Term, bundle: Bundle) -> dict[str, np.ndarray[Any, Any]]:
    members = term.indices[:, 0]
    found: PairList = pair_list(members, bundle.system_offsets, _fractions(bundle.exceptions))
    row_of_atom = np.zeros(bundle.n_atoms, dtype=np.int32)
    row_of_atom[members] = np.arange(len(members), dtype=np.int32)
    dtype = bundle.table(term.table).values.dtype
    return {
        f"{prefix}/atoms": np.reshape(found.atoms, -1),
        f"{prefix}/rows": np.reshape(row_of_atom[found.atoms], -1),
        f"{prefix}/systems": _systems(found.atoms[:, 0], bundle.system_offsets),
        f"{prefix}/kept_charge": found.kept_charge.astype(dtype)[:, None],
        f"{prefix}/kept_lj": found.kept_lj.astype(dtype)[:, None],
        f"{prefix}/excepted": found.excepted[:, None],
    }


def _fractions(exceptions: Exceptions | None) -> tuple[Array, Array, Array] | None:
    return None if exceptions is None else (exceptions.pairs, exceptions.kept_charge, exceptions.kept_lj)
