"""Energies of all terms with their analytic derivatives to positions and tables, without automatic differentiation.

The same coordinates and forms as :mod:`.total`. Bonded terms of one form are evaluated as one; nonbonded terms over one
list of pairs share distances, gathers and scatters. Both go through their rows in blocks that fit in cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.bonded import BONDED
from ffbridge.energy.chunks import rows_at_once
from ffbridge.energy.corners import by_corner, corners_of
from ffbridge.energy.geometry import distance, distance_gradient, measure, pull_back
from ffbridge.energy.mixing import Variables
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.overrides import overridden, overridden_pullback
from ffbridge.energy.pair_energy import Distances, PairEnergy
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.total import columns_of, mapped, mapping_of, parameter_columns, sum_by_segment
from ffbridge.forms import form

__all__ = ["derivatives"]

Arrays = Mapping[str, Array]
Sums = dict[str, Array]
Rows = dict[str, Array]


def derivatives(
    backend: Backend,
    structure: Structure,
    arrays: Arrays,
    x: Array,
    tables: Arrays,
    cotangents: Arrays | None = None,
    *,
    of_tables: bool = True,
) -> tuple[Array, Array, dict[str, Array]]:
    """Return the energies, and the derivatives of a weighted sum L of them.

    Arguments are those of :func:`ffbridge.energy.total.energies`; `cotangents` are dL/dU by term,
    ``(n_systems, n_conformers)``, or ``(1, n_conformers)`` for all systems, all 1 if None.

    Returns:
        The sum of all terms, ``(n_systems, n_conformers)`` [kJ/mol], which has no weights; dL/dx,
        ``(3, n_atoms, n_conformers)`` [kJ/mol/nm]; dL/d table, ``(n_params, n_columns)`` by name, 0 without
        `of_tables`.
    """
    xp, inputs = backend.namespace, _Inputs(backend, structure, arrays, x, tables, cotangents, of_tables)
    energies: list[Array] = []
    parts: list[Array] = []
    by_table: list[tuple[str, Array]] = []
    for terms in _alike(structure.terms):
        kind = _Pairs if terms[0].pairs else _Bonded
        energy, part = kind(inputs, terms).total(by_table)
        energies.append(energy)
        parts.append(part)
    du_dtables: dict[str, Array] = {}
    for name, du_dtable in by_table:
        du_dtables[name] = du_dtables[name] + du_dtable if name in du_dtables else du_dtable
    du_dtables |= {name: xp.zeros_like(tables[name]) for name in tables.keys() - du_dtables.keys()}
    if not parts:
        parts.append(xp.zeros_like(x))
        energies.append(xp.broadcast_to(xp.sum(parts[0], axis=(0, 1))[None, :], (structure.n_systems, x.shape[2])))
    return reduce(add, energies), reduce(add, parts), {name: du_dtables[name] for name in tables}


def _alike(terms: Sequence[TermStructure]) -> list[tuple[TermStructure, ...]]:
    """Return terms that are evaluated together: bonded ones of one form, nonbonded ones over one list of pairs."""
    groups: dict[Any, list[TermStructure]] = {}
    for term in terms:
        groups.setdefault(term.pairs or (term.form, term.settings), []).append(term)
    return [tuple(group) for group in groups.values()]


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

    @property
    def block(self) -> int:
        """How many rows are evaluated at once."""
        return rows_at_once(self.x.shape[2])

    def weight(self, terms: Sequence[TermStructure], segments: Array) -> Array | None:
        """Return dL/dU of each interaction, ``(n, n_conformers)`` or ``(1, n_conformers)``; None for 1.

        Args:
            terms: to which the interactions belong.
            segments: of each interaction, the place of its system; systems are counted on from term to term.
        """
        if self.cotangents is None:
            return None
        of_terms = [self.cotangents[term.name] for term in terms]
        if of_terms[0].shape[0] == 1 and all(each is of_terms[0] for each in of_terms):
            return of_terms[0]
        xp, shape = self.backend.namespace, (self.structure.n_systems, self.x.shape[2])
        return self.backend.take(_joined(xp, [xp.broadcast_to(each, shape) for each in of_terms]), segments)

    def pulled_back(self, term: TermStructure, du_dp: Array) -> tuple[str, Array]:
        """Return the table of a term and dL/d table, from dL/dp of each interaction, ``(n, n_columns)``."""
        mapping, n_params = mapping_of(term, self.arrays), self.tables[term.table].shape[0]
        return term.table, mapping.pullback(du_dp, n_params)


def _joined(xp: Any, arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else xp.concat(list(arrays))


def _weighted(weight: Array | None, values: Array) -> Array:
    if weight is None:
        return values
    return weight * values if values.ndim == 2 else weight[:, None, :] * values


class _Bonded:
    """Bonded terms of one form with the same settings."""

    def __init__(self, inputs: _Inputs, terms: tuple[TermStructure, ...]) -> None:
        self.inputs, self.terms = inputs, terms
        self.backend, self.xp = inputs.backend, inputs.backend.namespace
        self.form = form(terms[0].form)
        parameters = [mapped(self.xp, term, inputs.arrays, inputs.tables[term.table]) for term in terms]
        self.sizes = [each.shape[0] for each in parameters]
        self.parameters = _joined(self.xp, parameters)

    def total(self, by_table: list[tuple[str, Array]]) -> tuple[Array, Array]:
        """Return the terms' energy and dL/dx, and add their dL/d table to those that are known."""
        inputs, xp, n_systems = self.inputs, self.xp, self.inputs.structure.n_systems
        systems = [inputs.arrays[f"{term.name}/systems"] for term in self.terms]
        atoms = _joined(xp, [inputs.arrays[f"{term.name}/atoms"] for term in self.terms])
        rows = {
            "atoms": xp.reshape(atoms, (-1, self.form.arity)),
            "systems": _joined(xp, systems),
            "parameters": self.parameters,
        }
        if inputs.cotangents is not None and len(self.terms) > 1:
            rows["weights"] = xp.concat([each + at * n_systems for at, each in enumerate(systems)])
        sums, each = self.backend.in_blocks(self._block, rows, inputs.block)
        start = 0
        for term, size in zip(self.terms, self.sizes, strict=True):
            if inputs.of_tables:
                by_table.append(inputs.pulled_back(term, each["du_dp"][start : start + size, :]))
            start += size
        return sums["energy"], sums["x"]

    def _block(self, rows: Arrays) -> tuple[Sums, Rows]:
        """Return what some of the interactions add to each sum, and dL/dp of each of them."""
        backend, xp, inputs = self.backend, self.xp, self.inputs
        arity, taken, settings = self.form.arity, self.form.coordinates, dict(self.terms[0].settings)
        atoms = by_corner(xp, rows["atoms"], arity)
        q, states = measure(xp, taken, corners_of(backend.take(inputs.x, atoms, axis=1), arity))
        columns = columns_of(xp, self.terms[0], rows["parameters"])
        each, du_dq, du_dp = BONDED[self.form.name].derivatives(xp, *q, *columns, **settings)
        weight = inputs.weight(self.terms, rows.get("weights", rows["systems"]))
        gradients = pull_back(xp, taken, states, [_weighted(weight, du) for du in du_dq], arity)
        sums = {
            "energy": sum_by_segment(backend, rows["systems"], each, inputs.structure.n_systems),
            "x": backend.sum_vectors(xp.concat(gradients, axis=1), atoms, inputs.x.shape[1]),
        }
        if not inputs.of_tables:
            return sums, {}
        summed = [xp.sum(_weighted(weight, du), axis=-1) for du in du_dp]
        return sums, {"du_dp": xp.concat([du[:, None] if du.ndim == 1 else du for du in summed], axis=1)}


def _of_ends(name: str, rows: Arrays) -> list[Array]:
    """Return what belongs to the first atom of each pair, and to the second."""
    return [rows[f"{name}/{end}"] for end in range(2)]


class _Pairs:
    """Nonbonded terms over one list of pairs."""

    def __init__(self, inputs: _Inputs, terms: tuple[TermStructure, ...]) -> None:
        self.inputs, self.terms = inputs, terms
        self.backend, self.xp = inputs.backend, inputs.backend.namespace
        self.settings = [dict(term.settings) for term in terms]
        self.mixings = [
            NONBONDED[term.form].mixing_of(settings) for term, settings in zip(terms, self.settings, strict=True)
        ]
        self.columns = [parameter_columns(self.xp, term, inputs.arrays, inputs.tables[term.table]) for term in terms]
        each = zip(self.mixings, self.columns, strict=True)
        of_terms = [mixing.variables(self.xp, *columns) for mixing, columns in each]
        self.variables = self.xp.stack([variable for variables in of_terms for variable in variables])
        ends = [len(mixing.means) for mixing in self.mixings]
        self.places = [slice(sum(ends[:at]), sum(ends[: at + 1])) for at in range(len(ends))]

    def total(self, by_table: list[tuple[str, Array]]) -> tuple[Array, Array]:
        """Return the terms' energy and dL/dx, and add their dL/d table to those that are known."""
        names = ("systems", "excepted", *{str(form(term.form).exceptions) for term in self.terms})
        prefix, arrays = self.terms[0].pairs, self.inputs.arrays
        rows = {name: arrays[f"{prefix}/{name}"] for name in names}
        for name in ("atoms", "rows"):
            both = self.xp.reshape(arrays[f"{prefix}/{name}"], (-1, 2))
            rows |= {f"{name}/{end}": both[:, end] for end in range(2)}
        for term in self.terms:
            if term.overrides:
                rows |= {f"{term.name}/{name}": arrays[f"{term.name}/{name}"] for name in ("overridden", "override")}
        sums, _ = self.backend.in_blocks(self._block, rows, self.inputs.block)
        if not self.inputs.of_tables:
            return sums["energy"], sums["x"]
        for term, mixing, columns, place in zip(self.terms, self.mixings, self.columns, self.places, strict=True):
            cotangents = tuple(sums[f"variables/{at}"] for at in range(place.start, place.stop))
            of_columns = mixing.variables_pullback(self.xp, columns, cotangents)
            by_table.append(self.inputs.pulled_back(term, self.xp.concat(list(of_columns), axis=1)))
            if term.overrides:
                by_table.append((term.overrides, sums[f"{term.name}/overrides"]))
        return sums["energy"], sums["x"]

    def _block(self, rows: Arrays) -> tuple[Sums, Rows]:
        """Return what some of the pairs add to each sum."""
        backend, xp, inputs = self.backend, self.xp, self.inputs
        atoms = _of_ends("atoms", rows)
        r, state = distance(xp, [backend.take(inputs.x, each, axis=1) for each in atoms])
        first, second = (backend.take(self.variables, each, axis=1) for each in _of_ends("rows", rows))
        distances = Distances.of(xp, r)
        sums: Sums = {}
        energies, slopes = [], []
        for number, term in enumerate(self.terms):
            place = self.places[number]
            at = range(place.start, place.stop)
            ends = tuple(first[each, ...] for each in at), tuple(second[each, ...] for each in at)
            each, du_dr, by_pair = self._one(number, distances, rows, *ends)
            energies.append(each)
            weight = inputs.weight((term,), rows["systems"])
            slopes.append(_weighted(weight, du_dr))
            if inputs.of_tables:
                summed = tuple(xp.sum(_weighted(weight, du), axis=1, keepdims=True) for du in by_pair)
                sums |= self._of_parameters(number, rows, summed, *ends)
        gradient = distance_gradient(xp, state, reduce(add, slopes))
        energy = sum_by_segment(backend, rows["systems"], reduce(add, energies), inputs.structure.n_systems)
        n_atoms = inputs.x.shape[1]
        of_first, of_second = (backend.sum_vectors(gradient, each, n_atoms) for each in atoms)
        return sums | {"energy": energy, "x": of_first - of_second}, {}

    def _one(
        self, number: int, distances: Distances, rows: Arrays, first: Variables, second: Variables
    ) -> tuple[Array, Array, Sequence[Array]]:
        """Return U, dU/dr and dU/d mixed parameters of a term's pairs, ``(n, n_conformers)`` each."""
        term, settings = self.terms[number], self.settings[number]
        mixed = self.mixings[number].mix(self.xp, settings, first, second)
        if term.overrides:
            mixed = overridden(self.xp, term.name, rows, self.inputs.tables[term.overrides], mixed)
        kept = rows[str(form(term.form).exceptions)]
        return PairEnergy(self.backend, term.form, settings).derivatives(distances, kept, rows["excepted"], *mixed)

    def _of_parameters(
        self, number: int, rows: Arrays, by_pair: Variables, first: Variables, second: Variables
    ) -> Sums:
        """Return dL/d variables, ``(n_rows, 1)`` each, and dL/d table of overrides, from dL/d mixed parameters."""
        term, settings, mixing = self.terms[number], self.settings[number], self.mixings[number]
        backend, xp, sums = self.backend, self.xp, {}
        if term.overrides:
            own = (backend, term.name, rows, self.inputs.tables[term.overrides])
            by_pair, sums[f"{term.name}/overrides"] = overridden_pullback(*own, by_pair)
        owners, n_rows = _of_ends("rows", rows), self.columns[number][0].shape[0]
        of_first = mixing.mix_pullback(xp, settings, first, second, by_pair)
        of_second = mixing.mix_pullback(xp, settings, second, first, by_pair)
        for at, (one, other) in enumerate(zip(of_first, of_second, strict=True), start=self.places[number].start):
            by_row = [backend.segment_sum(each, of, n_rows) for each, of in zip((one, other), owners, strict=True)]
            sums[f"variables/{at}"] = by_row[0] + by_row[1]
        return sums
