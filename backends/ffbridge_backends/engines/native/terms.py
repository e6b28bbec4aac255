"""Terms made ready for the compiled loops: parameters from tables, and derivatives back to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge.energy.mixing import ARITHMETIC, CHARGES, GEOMETRIC, HARMONIC, Mean
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.total import mapping_of
from ffbridge.forms import InternalCoordinate, form
from ffbridge.mapping import Linear, Select
from ffbridge.mapping import Mapping as ParameterMapping
from ffbridge_backends.engines.native.compiled import bonded, coordinates, means, nonbonded
from ffbridge_backends.engines.native.tiles import Tiles, tiles_of

__all__ = ["MEANS", "BondedTerm", "PairTerm", "Pairs", "Parameters", "Slopes", "prepare_terms"]

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Tables = Mapping[str, Floats]

MEANS: dict[Mean, Callable[[Mapping[str, Any]], Any]] = {
    ARITHMETIC: lambda settings: means.Bilinear(half=0.5),
    GEOMETRIC: lambda settings: means.Bilinear(factor=1.0),
    CHARGES: lambda settings: means.Bilinear(factor=float(settings["coulomb_constant"])),
    HARMONIC: lambda settings: means.Harmonic(),
}
"""What makes the loop's means of settings, by those of the energies."""
_ROOTED = frozenset({GEOMETRIC})
"""The means that take the root of a parameter; others take the parameter."""

_FULL, _SPARE = 4, 1000
"""Places for a pair, and in addition, up to which tiles are faster than a list."""
_NOTHING_LISTED = np.zeros((0, means.COLUMNS))


class Parameters(NamedTuple):
    """What the loops take of one term's table: of its rows, or of those of the term where the mapping adds rows up.

    Attributes:
        columns: the parameters, ``(n_rows, n_columns)``.
        taken: what the loop takes of them: the same, or constants of a bonded form, ``(n_rows, ·)``; of a nonbonded
            form the variables of atoms, ``(n_rows, 3)``.
        n_slopes: numbers of a row that derivatives are taken to: columns of a bonded form, variables of another.
        listed: of a nonbonded form the parameters that take the place of means, ``(n_listed, 3)``.
    """

    columns: Floats
    taken: Floats
    n_slopes: int
    listed: Floats = _NOTHING_LISTED

    def slopes(self) -> Slopes:
        """Return memory for the derivatives."""
        listed = np.zeros(self.listed.shape) if len(self.listed) else _NOTHING_LISTED
        return Slopes(np.zeros((len(self.taken), self.n_slopes)), listed)


class Slopes(NamedTuple):
    """dL/d what the loops take of one term's tables; attributes as for :class:`Parameters`."""

    taken: Floats
    listed: Floats


@dataclass(frozen=True, eq=False)
class BondedTerm:
    """A bonded term.

    Attributes:
        place: its place among all terms.
        table: name of its table.
        mapping: from the table to interactions, in the order of `atoms`.
        rounded: the columns whose values are rounded after the mapping.
        owners: the row of the parameters of each interaction, ``(n_terms,)``.
        coordinate: the loop's coordinates.
        form: the loop's form.
        row: the places in a row of atoms.
        atoms: ``(n_terms * len(row),)``.
        systems: ``(n_terms,)``, not decreasing.
        starts: the first row of each system and after the last.
    """

    place: int
    table: str
    mapping: ParameterMapping
    rounded: tuple[int, ...]
    owners: Indices
    coordinate: Any
    form: Any
    row: tuple[int, ...]
    atoms: Indices
    systems: Indices
    starts: list[int]

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it uses."""
        return (self.table,)

    def parameters(self, tables: Tables) -> Parameters:
        """Return the parameters that interactions own."""
        columns = _rows(self.mapping, tables[self.table], self.rounded)
        make = bonded.CONSTANTS.get(type(self.form))
        return Parameters(columns, columns if make is None else make(columns), columns.shape[1])

    def pull_back(self, parameters: Parameters, slopes: Slopes, tables: Tables) -> list[tuple[str, Floats]]:
        """Return dL/d table for each table, from dL/d what the loop takes."""
        return [(self.table, _pull_back(self.mapping, slopes.taken, len(tables[self.table])))]


@dataclass(frozen=True, eq=False)
class PairTerm:
    """A nonbonded term; attributes as for :class:`BondedTerm`.

    Attributes:
        method: the loop's method.
        means: the loop's mean of each column.
        rooted: of each column of the form, whether its variable is the root of the parameter.
        owners: the row of the parameters of each row of the term, ``(n_rows,)``.
        kept: ``(n_pairs,)``, the fraction of each pair that is kept.
        overrides: the table with parameters of pairs that are not mixed; empty if there is none.
        chosen: the row of each pair in it, -1 if it has none, ``(n_pairs,)``; empty if no pair has one.
    """

    place: int
    table: str
    mapping: ParameterMapping
    form: Any
    method: Any
    means: tuple[Any, ...]
    rooted: tuple[bool, ...]
    owners: Indices
    kept: Floats
    overrides: str
    chosen: Indices

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it uses."""
        return (self.table, self.overrides) if self.overrides else (self.table,)

    def parameters(self, tables: Tables) -> Parameters:
        """Return the parameters that rows own, the variables of atoms, and the parameters that are listed."""
        columns = _rows(self.mapping, tables[self.table], ())
        listed = _in_columns(tables[self.overrides].T) if self.overrides else _NOTHING_LISTED
        return Parameters(columns, means.variables(self.rooted, columns), means.COLUMNS, listed)

    def pull_back(self, parameters: Parameters, slopes: Slopes, tables: Tables) -> list[tuple[str, Floats]]:
        """Return dL/d table for each table, from dL/d what the loop takes."""
        of_rows = means.variables_pullback(self.rooted, parameters.columns, slopes.taken)
        back = [(self.table, _pull_back(self.mapping, of_rows, len(tables[self.table])))]
        return [*back, (self.overrides, slopes.listed[:, : len(self.rooted)])] if self.overrides else back


@dataclass(frozen=True, eq=False)
class Pairs:
    """One or two nonbonded terms over the same pairs.

    Attributes:
        terms: the terms.
        atoms: ``(2 n_pairs,)``.
        rows: ``(2 n_pairs,)``, the terms' rows of these atoms.
        systems: ``(n_pairs,)``, not decreasing.
        starts: the first pair of each system and after the last.
        excepted: ``(n_pairs,) bool``.
        system_offsets: ``(n_systems + 1,)``.
    """

    terms: tuple[PairTerm, ...]
    atoms: Indices
    rows: Indices
    systems: Indices
    starts: list[int]
    excepted: NDArray[np.bool_]
    system_offsets: Indices

    @cached_property
    def triangle(self) -> Triangle | None:
        """The pairs in tiles; None where some have listed parameters, or most of what they stand in would be empty."""
        if any(term.overrides for term in self.terms):
            return None
        tiles = tiles_of(self.atoms, self.rows, self.system_offsets)
        if tiles.n_places > _FULL * len(self.systems) + _SPARE:
            return None
        owners = tuple(term.owners[tiles.rows] for term in self.terms)
        kept = tuple(tiles.spread(term.kept) for term in self.terms)
        return Triangle(tiles, owners, kept, tiles.spread(self.excepted))


@dataclass(frozen=True, eq=False)
class Triangle:
    """Pairs in tiles.

    Attributes:
        tiles: where they stand.
        owners: of each term, the row of the parameters of each member, ``(n_members,)``.
        kept: of each term, the fraction that is kept at each place, ``(n_places,)``.
        excepted: ``(n_places,) bool``.
    """

    tiles: Tiles
    owners: tuple[Indices, ...]
    kept: tuple[Floats, ...]
    excepted: NDArray[np.bool_]


def prepare_terms(structure: Structure, arrays: Arrays) -> tuple[BondedTerm | Pairs, ...]:
    """Return the terms of a plan, nonbonded ones of the same pairs two by two."""
    ready: list[BondedTerm | Pairs] = []
    waiting: dict[str, list[PairTerm]] = {}
    for place, term in enumerate(structure.terms):
        if term.pairs:
            waiting.setdefault(term.pairs, []).append(_pair_term(place, term, arrays))
        else:
            ready.append(_bonded_term(place, term, structure.n_systems, arrays))
    for pairs, terms in waiting.items():
        ready.extend(
            _pairs(pairs, tuple(terms[first : first + 2]), structure.n_systems, arrays)
            for first in range(0, len(terms), 2)
        )
    return tuple(ready)


def _bonded_term(place: int, term: TermStructure, n_systems: int, arrays: Arrays) -> BondedTerm:
    declared, kind = form(term.form), bonded.FORMS[term.form]
    mapping, atoms, systems = mapping_of(term, arrays), arrays[f"{term.name}/atoms"], arrays[f"{term.name}/systems"]
    if (systems[1:] < systems[:-1]).any():
        order = np.argsort(systems, kind="stable").astype(np.int32)
        mapping, systems = mapping.take(order), systems[order]
        atoms = atoms.reshape(-1, declared.arity)[order].ravel()
    whole = [place for place, column in enumerate(declared.columns) if column.integer]
    return BondedTerm(
        place=place,
        table=term.table,
        mapping=mapping,
        rounded=tuple(whole) if isinstance(mapping, Linear) else (),
        owners=_owners(mapping, len(systems)),
        coordinate=_coordinate(declared.coordinates),
        form=kind(**{name: value for name, value in term.settings if name in declared.settings}),
        row=tuple(range(declared.arity)),
        atoms=atoms.astype(np.intp),
        systems=systems.astype(np.intp),
        starts=np.searchsorted(systems, np.arange(n_systems + 1)).tolist(),
    )


def _coordinate(taken: Sequence[InternalCoordinate]) -> Any:
    """Return the loop's coordinate; several are a pair of the first and of the others."""
    first = coordinates.KINDS[taken[0].kind](taken[0].atoms)
    return first if len(taken) == 1 else coordinates.Both(first, _coordinate(taken[1:]))


def _pair_term(place: int, term: TermStructure, arrays: Arrays) -> PairTerm:
    settings, declared, kind = dict(term.settings), form(term.form), nonbonded.FORMS[term.form]
    mixing = NONBONDED[term.form].mixing_of(settings)
    kinds = [MEANS[mean](settings) for mean in mixing.means]
    mapping = mapping_of(term, arrays)
    return PairTerm(
        place=place,
        table=term.table,
        mapping=mapping,
        form=kind(**{name: float(value) for name, value in settings.items() if name in kind._fields}),
        method=_method(settings),
        means=(*kinds, *[means.Bilinear()] * (means.COLUMNS - len(kinds))),
        rooted=tuple(mean in _ROOTED for mean in mixing.means),
        owners=_owners(mapping, int(arrays[f"{term.pairs}/rows"].max(initial=-1)) + 1),
        kept=arrays[f"{term.pairs}/{declared.exceptions}"].ravel().astype(np.float64),
        overrides=term.overrides,
        chosen=_chosen(term, arrays),
    )


def _chosen(term: TermStructure, arrays: Arrays) -> Indices:
    if not term.overrides:
        return np.zeros(0, np.intp)
    rows, overridden = arrays[f"{term.name}/override"], arrays[f"{term.name}/overridden"].ravel()
    return np.where(overridden, rows, -1).astype(np.intp)


def _method(settings: Mapping[str, Any]) -> Any:
    kind = nonbonded.METHODS[settings["method"]]
    if kind is not nonbonded.Cutoff:
        return kind(**{name: float(value) for name, value in settings.items() if name in kind._fields})
    cutoff = float(settings["cutoff"])
    start = float(settings.get("switch_distance", cutoff))
    return kind(cutoff, start, cutoff - start or 1.0)


def _pairs(pairs: str, terms: tuple[PairTerm, ...], n_systems: int, arrays: Arrays) -> Pairs:
    systems = arrays[f"{pairs}/systems"].astype(np.intp)
    return Pairs(
        terms=terms,
        atoms=arrays[f"{pairs}/atoms"].astype(np.intp),
        rows=arrays[f"{pairs}/rows"].astype(np.intp),
        systems=systems,
        starts=np.searchsorted(systems, np.arange(n_systems + 1)).tolist(),
        excepted=arrays[f"{pairs}/excepted"].ravel(),
        system_offsets=arrays["system_offsets"].astype(np.intp),
    )


def _owners(mapping: ParameterMapping, n_rows: int) -> Indices:
    """Return the row of what :func:`_rows` returns that belongs to each row of a term."""
    return mapping.index.astype(np.intp) if isinstance(mapping, Select) else np.arange(n_rows)


def _rows(mapping: ParameterMapping, table: Floats, rounded: tuple[int, ...]) -> Floats:
    """Return the rows of a table, or their sums; sums of equal whole numbers are whole again."""
    if not isinstance(mapping, Linear):
        return np.ascontiguousarray(table)
    found: Floats = np.ascontiguousarray(mapping.apply(table))
    if rounded:
        columns = list(rounded)
        found[:, columns] = np.round(found[:, columns])
    return found


def _pull_back(mapping: ParameterMapping, slopes: Floats, n_params: int) -> Floats:
    """Return dL/d table from dL/d what :func:`_rows` returns."""
    return mapping.pullback(slopes, n_params) if isinstance(mapping, Linear) else slopes


def _in_columns(columns: Floats) -> Floats:
    """Return columns beside one another, with zeros for those that a form does not have."""
    result = np.zeros((columns.shape[1], means.COLUMNS))
    for place, values in enumerate(columns):
        result[:, place] = values
    return result
