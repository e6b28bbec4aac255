"""Energies of all terms with their analytic derivatives to positions and tables, without automatic differentiation.

The same coordinates and forms as :mod:`.total`. Bonded terms share one gather of positions and one scatter of
derivatives; nonbonded terms over one list of pairs share distances, gathers and scatters, and go through the list in
blocks that fit in cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import add

from ffbridge.backend import Array, Backend
from ffbridge.energy.bonded import BONDED
from ffbridge.energy.corners import by_corner, corners_of, sum_by_atom
from ffbridge.energy.geometry import COORDINATES, measure, pull_back
from ffbridge.energy.mixing import Variables
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.overrides import overridden, overridden_pullback
from ffbridge.energy.pair_energy import PairEnergy
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.total import atoms_of, by_system, mapping_of, parameter_columns, sum_by_system, systems_of
from ffbridge.forms import form

__all__ = ["derivatives"]

Arrays = Mapping[str, Array]
Sums = dict[str, Array]

_BLOCK = 2**15
"""Pairs × conformers of a block: an array of them takes 256 KiB."""
_FEWEST_PAIRS = 256


def derivatives(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    cotangents: Arrays | None = None,
    *,
    of_tables: bool = True,
) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """Return the energies by term, and the derivatives of their weighted sum L.

    Arguments and energies are those of :func:`ffbridge.energy.total.energies`; `cotangents` are dL/dU by term,
    ``(n_systems, n_conformers)``, or ``(1, n_conformers)`` for all systems, all 1 if None. dL/dx is
    ``(3, n_atoms, n_conformers)`` [kJ/mol/nm], dL/d table ``(n_params, n_columns)`` by name, 0 without `of_tables`.
    """
    inputs = _Inputs(backend, structure, arrays, x, tables, cotangents, of_tables)
    found: dict[str, Array] = {}
    parts: list[Array] = []
    by_table: list[tuple[str, Array]] = []
    bonded = [term for term in structure.terms if not term.pairs]
    if bonded:
        parts.append(_bonded_terms(inputs, bonded, found, by_table))
    by_list = sorted((term for term in structure.terms if term.pairs), key=lambda term: term.pairs)
    for _, terms in groupby(by_list, key=lambda term: term.pairs):
        parts.append(_Pairs(inputs, tuple(terms)).total(found, by_table))
    du_dtables = {name: backend.namespace.zeros_like(table) for name, table in tables.items()}
    for name, du_dtable in by_table:
        du_dtables[name] = du_dtables[name] + du_dtable
    du_dx = reduce(add, parts) if parts else backend.namespace.zeros_like(x)
    return {term.name: found[term.name] for term in structure.terms}, du_dx, du_dtables


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The arguments of :func:`derivatives`."""

    backend: Backend
    structure: Structure
    arrays: Arrays
    x: Array
    tables: Arrays
    cotangents: Arrays | None
    of_tables: bool

    def weight(self, term: TermStructure, systems: Array) -> Array | None:
        """Return dL/dU of each interaction, ``(n, n_conformers)``, from the system of each; None for 1."""
        if self.cotangents is None:
            return None
        cotangents = self.cotangents[term.name]
        return cotangents if cotangents.shape[0] == 1 else self.backend.take(cotangents, systems)

    def columns(self, term: TermStructure) -> tuple[Array, ...]:
        return parameter_columns(self.backend.namespace, term, self.arrays, self.tables[term.table])

    def pulled_back(self, term: TermStructure, du_dp: Sequence[Array]) -> tuple[str, Array]:
        """Return the table of a term and dL/d table, from dL/dp of each interaction, ``(n, ...)`` for each column."""
        joined = self.backend.namespace.concat(list(du_dp), axis=1)
        mapping, n_params = mapping_of(term, self.arrays), self.tables[term.table].shape[0]
        return term.table, mapping.pullback(joined, n_params)


def _weighted(weight: Array | None, values: Array) -> Array:
    if weight is None:
        return values
    return weight * values if values.ndim == 2 else weight[:, None, :] * values


def _bonded_terms(
    inputs: _Inputs, terms: Sequence[TermStructure], found: dict[str, Array], by_table: list[tuple[str, Array]]
) -> Array:
    """Add the energies and dL/d table of bonded terms to what is found, and return dL/dx."""
    backend, arrays = inputs.backend, inputs.arrays
    xp, n_atoms = backend.namespace, inputs.x.shape[1]
    each_atoms = [atoms_of(backend, term, arrays) for term in terms]
    atoms = xp.concat([atoms for atoms, _ in each_atoms])
    gathered, gradients, start = backend.take(inputs.x, atoms, axis=1), [], 0
    for term, (own, arity) in zip(terms, each_atoms, strict=True):
        stop = start + own.shape[0]
        corners, start = corners_of(gathered[:, start:stop, :], arity), stop
        bonded, taken, settings = BONDED[term.form], form(term.form).coordinates, dict(term.settings)
        q, states = measure(xp, taken, corners)
        columns = inputs.columns(term)
        each, du_dq, du_dp = bonded.derivatives(xp, *q, *columns, **settings)
        found[term.name] = by_system(backend, inputs.structure, term, arrays, each)
        weight = inputs.weight(term, systems_of(term, arrays))
        gradients += pull_back(xp, taken, states, [_weighted(weight, du) for du in du_dq], arity)
        if inputs.of_tables:
            summed = [xp.sum(_weighted(weight, du), axis=-1) for du in du_dp]
            by_table.append(inputs.pulled_back(term, [du[:, None] if du.ndim == 1 else du for du in summed]))
    return sum_by_atom(backend, xp.concat(gradients, axis=1), atoms, n_atoms)


class _Pairs:
    """Nonbonded terms over one list of pairs."""

    def __init__(self, inputs: _Inputs, terms: tuple[TermStructure, ...]) -> None:
        self.inputs, self.terms = inputs, terms
        self.backend, self.xp = inputs.backend, inputs.backend.namespace
        self.settings = [dict(term.settings) for term in terms]
        self.mixings = [
            NONBONDED[term.form].mixing_of(settings) for term, settings in zip(terms, self.settings, strict=True)
        ]
        self.columns = [inputs.columns(term) for term in terms]
        each = zip(self.mixings, self.columns, strict=True)
        of_terms = [mixing.variables(self.xp, *columns) for mixing, columns in each]
        self.variables = self.xp.stack([variable for variables in of_terms for variable in variables])
        ends = [len(mixing.means) for mixing in self.mixings]
        self.places = [slice(sum(ends[:at]), sum(ends[: at + 1])) for at in range(len(ends))]

    def total(self, found: dict[str, Array], by_table: list[tuple[str, Array]]) -> Array:
        """Add the terms' energies and dL/d table to what is found, and return dL/dx."""
        names = ("atoms", "rows", "systems", "excepted", *{str(form(term.form).exceptions) for term in self.terms})
        prefix, arrays = self.terms[0].pairs, self.inputs.arrays
        rows = {name: arrays[f"{prefix}/{name}"] for name in names}
        rows |= {name: self.xp.reshape(rows[name], (-1, 2)) for name in ("atoms", "rows")}
        for term in self.terms:
            if term.overrides:
                rows |= {f"{term.name}/{name}": arrays[f"{term.name}/{name}"] for name in ("overridden", "override")}
        block = max(_BLOCK // max(self.inputs.x.shape[2], 1), _FEWEST_PAIRS)
        sums = self.backend.sum_blocks(self._block, rows, block)
        for term, mixing, columns, place in zip(self.terms, self.mixings, self.columns, self.places, strict=True):
            found[term.name] = sums[f"{term.name}/energy"]
            if not self.inputs.of_tables:
                continue
            cotangents = tuple(sums[f"variables/{at}"] for at in range(place.start, place.stop))
            by_table.append(self.inputs.pulled_back(term, mixing.variables_pullback(self.xp, columns, cotangents)))
            if term.overrides:
                by_table.append((term.overrides, sums[f"{term.name}/overrides"]))
        return sums["x"]

    def _block(self, rows: Arrays) -> Sums:
        """Return what some of the pairs add to each sum."""
        backend, xp, inputs = self.backend, self.xp, self.inputs
        both, rows_of_both = by_corner(xp, rows["atoms"], 2), by_corner(xp, rows["rows"], 2)
        distance = COORDINATES["distance"]
        r, state = distance.forward(xp, corners_of(backend.take(inputs.x, both, axis=1), 2))
        first, second = corners_of(backend.take(self.variables, rows_of_both, axis=1), 2)
        sums: Sums = {}
        slopes = []
        n = r.shape[0]
        for number, term in enumerate(self.terms):
            place = self.places[number]
            at = range(place.start, place.stop)
            ends = tuple(first[each, ...] for each in at), tuple(second[each, ...] for each in at)
            each, du_dr, by_pair = self._one(number, r, rows, *ends)
            sums[f"{term.name}/energy"] = sum_by_system(backend, inputs.structure, rows["systems"], each)
            weight = inputs.weight(term, rows["systems"])
            slopes.append(_weighted(weight, du_dr))
            if inputs.of_tables:
                summed = tuple(xp.sum(_weighted(weight, du), axis=1, keepdims=True) for du in by_pair)
                sums |= self._of_parameters(number, rows, summed, *ends, rows_of_both)
        gradient, _ = distance.pullback(xp, state, reduce(add, slopes))
        n_atoms = inputs.x.shape[1]
        of_first, of_second = (sum_by_atom(backend, gradient, ends, n_atoms) for ends in (both[:n], both[n:]))
        return sums | {"x": of_first - of_second}

    def _one(
        self, number: int, r: Array, rows: Arrays, first: Variables, second: Variables
    ) -> tuple[Array, Array, Sequence[Array]]:
        """Return U, dU/dr and dU/d mixed parameters of a term's pairs, ``(n, n_conformers)`` each."""
        term, settings = self.terms[number], self.settings[number]
        mixed = self.mixings[number].mix(self.xp, settings, first, second)
        if term.overrides:
            mixed = overridden(self.xp, term.name, rows, self.inputs.tables[term.overrides], mixed)
        kept = rows[str(form(term.form).exceptions)]
        return PairEnergy(self.backend, term.form, settings).derivatives(r, kept, rows["excepted"], *mixed)

    def _of_parameters(
        self, number: int, rows: Arrays, by_pair: Variables, first: Variables, second: Variables, rows_of_both: Array
    ) -> Sums:
        """Return dL/d variables, ``(n_rows, 1)`` each, and dL/d table of overrides, from dL/d mixed parameters."""
        term, settings, mixing = self.terms[number], self.settings[number], self.mixings[number]
        backend, xp, sums = self.backend, self.xp, {}
        if term.overrides:
            own = (backend, term.name, rows, self.inputs.tables[term.overrides])
            by_pair, sums[f"{term.name}/overrides"] = overridden_pullback(*own, by_pair)
        of_first = mixing.mix_pullback(xp, settings, first, second, by_pair)
        of_second = mixing.mix_pullback(xp, settings, second, first, by_pair)
        for at, (one, other) in enumerate(zip(of_first, of_second, strict=True), start=self.places[number].start):
            joined = xp.concat([one, other])
            sums[f"variables/{at}"] = backend.segment_sum(joined, rows_of_both, self.columns[number][0].shape[0])
        return sums
