"""Sizes that bundles share, so that an engine that compiles for each set of sizes compiles a few times for all of them.

Sizes are rounded up, all of them by one rule from the number of atoms A, so that the few that occur together are few as
well. A is the next of `steps` numbers for each doubling, and the others are

- A w 2^(j/s) rows of a bonded term, w = 1.125 for two atoms, 2.25 for three and 1.25 for more, which is what molecules
  have and a little more; s = steps/2, or steps/4 for more than three atoms of one system, as its torsions differ most;
- A²/(2 n_systems) 2^(j/steps) pairs, what systems of equal size have;
- A rows of nonbonded terms, A 2^j of tables and of other lists;

with the smallest whole j >= 0 that suffices. A system by itself has two steps for each doubling and at least 64 atoms:
MiniDrugBank's 352 molecules have 10 sets of sizes. Batches vary less and cost more, and have four, from 64 systems on
eight: some 50 sets for 500 random batches of 8 of these molecules, 18 for batches of 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

from ffbridge.energy.plan import Structure
from ffbridge.forms import form
from ffbridge.mapping import Identity, Linear

__all__ = ["N_FILLING_ATOMS", "Sizes", "shared_sizes", "sizes"]

N_FILLING_ATOMS = 8
"""Atoms that are added at least: as many as the form with most atoms has."""

_FEWEST_ATOMS = 64
_FEWEST_TABLE_ROWS = 256
_ROWS_PER_ATOM = {2: 1.125, 3: 2.25}
_ROWS_PER_ATOM_OF_MORE = 1.25


@dataclass(frozen=True)
class Sizes:
    """Lengths of everything in a plan.

    Attributes:
        n_systems: systems.
        n_atoms: atoms.
        rows: interactions of each term, and virtual sites of each form, by the term's name.
        pairs: pairs of each list, by its prefix.
        entries: entries of each linear mapping, by the term's name.
        tables: rows of each table.
    """

    n_systems: int
    n_atoms: int
    rows: Mapping[str, int]
    pairs: Mapping[str, int]
    entries: Mapping[str, int]
    tables: Mapping[str, int]


def sizes(structure: Structure, arrays: Mapping[str, Any], tables: Mapping[str, Any], n_atoms: int) -> Sizes:
    """Return the sizes of a plan and of its bundle's tables."""
    terms = (*structure.terms, *structure.virtual_sites)
    return Sizes(
        n_systems=structure.n_systems,
        n_atoms=n_atoms,
        rows={term.name: _n_rows(term, arrays, tables) for term in terms},
        pairs={term.pairs: len(arrays[f"{term.pairs}/systems"]) for term in terms if term.pairs},
        entries={
            term.name: len(arrays[f"{term.name}/mapping/columns"]) for term in terms if term.mapping == Linear.kind
        },
        tables={name: len(table) for name, table in tables.items()},
    )


def shared_sizes(structure: Structure, own: Sizes) -> Sizes:
    """Return larger sizes, which other bundles have too; each exceeds the bundle's own, atoms by `N_FILLING_ATOMS`."""
    n_systems = own.n_systems
    steps = 2 if n_systems == 1 else 4 if n_systems < 64 else 8
    n_atoms = max(_rounded(own.n_atoms + N_FILLING_ATOMS, 1.0, steps), _FEWEST_ATOMS)
    terms = {term.name: term for term in (*structure.terms, *structure.virtual_sites)}

    def rows(name: str, needed: int) -> int:
        arity = form(terms[name].form).arity
        if terms[name].pairs:
            return n_atoms
        return _rounded(
            needed + 1,
            n_atoms * _ROWS_PER_ATOM.get(arity, _ROWS_PER_ATOM_OF_MORE),
            steps / 4 if n_systems == 1 and arity not in _ROWS_PER_ATOM else steps / 2,
        )

    all_rows = {name: rows(name, needed) for name, needed in own.rows.items()}
    tables = {
        name: _rounded(n + 1, n_atoms if n >= _FEWEST_TABLE_ROWS else min(n_atoms, _FEWEST_TABLE_ROWS), 1)
        for name, n in own.tables.items()
    }
    # A unit matrix stays one: such a table has the rows of the terms that it belongs to, which may be several.
    identity = [term for term in terms.values() if term.mapping == Identity.kind]
    for term in identity:
        tables[term.table] = max(all_rows[other.name] for other in identity if other.table == term.table)
    all_rows |= {term.name: tables[term.table] for term in identity}
    return Sizes(
        n_systems=_rounded(n_systems + 1, 1.0, 1),
        n_atoms=n_atoms,
        rows=all_rows,
        pairs={name: _rounded(n + 1, n_atoms**2 / (2 * n_systems), steps) for name, n in own.pairs.items()},
        entries={name: _rounded(n + 1, all_rows[name], steps / 2) for name, n in own.entries.items()},
        tables=tables,
    )


def _n_rows(term: Any, arrays: Mapping[str, Any], tables: Mapping[str, Any]) -> int:
    """Return the interactions of a term: a nonbonded term's are atoms, which only the mapping counts."""
    if term.mapping == Identity.kind:
        return len(tables[term.table])
    if term.mapping == Linear.kind:
        return len(arrays[f"{term.name}/mapping/offsets"]) - 1
    return len(arrays[f"{term.name}/mapping/index"])


def _rounded(needed: int, least: float, steps: float) -> int:
    """Return `least` 2^(j/steps), rounded up, for the smallest whole j >= 0 that makes it at least `needed`."""
    j = max(ceil(steps * log2(needed / least) - 1e-9), 0)
    return max(ceil(least * 2 ** (j / steps) - 1e-9), needed)
