"""Padding: a plan and its inputs in larger sizes. What fills them is one more system, of which nobody sees anything.

The system has atoms at places of its own and rows of its own in every table, all 0, and every row that is added to a
term or to a list of pairs is an interaction of it. So nothing is multiplied by 0 to leave it out: sums over other
systems have no more summands than before, and derivatives of any order go to atoms and rows that are cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ffbridge.backend import Array
from ffbridge.energy.plan import Structure, TermStructure
from ffbridge.energy.sizes import N_FILLING_ATOMS, Sizes
from ffbridge.forms import form
from ffbridge.packing import Packing

__all__ = ["Padding", "padded_plan"]

Arrays = Mapping[str, Array]
NumpyArrays = dict[str, np.ndarray[Any, Any]]

# No two atoms coincide, no three lie on a line and no four in a plane.
_TURNS = 1.7 * np.arange(N_FILLING_ATOMS)
_PLACES = 0.3 * np.stack([np.cos(_TURNS), np.sin(_TURNS), 0.4 * _TURNS], axis=1)


@dataclass(frozen=True, eq=False)
class Padding:
    """From arrays of a bundle's own sizes to those of padded ones, and back.

    Arrays may be of any framework, and traced: `xp` is their namespace.

    Attributes:
        own: the bundle's sizes.
        padded: those that it is evaluated in, as :func:`ffbridge.energy.sizes.shared_sizes` returns them.
    """

    own: Sizes
    padded: Sizes

    @property
    def n_added_atoms(self) -> int:
        """Atoms that are added."""
        return self.padded.n_atoms - self.own.n_atoms

    def positions(self, xp: Any, x: Array) -> Array:
        """Return positions ``(..., n_atoms, 3)`` with those of the added atoms."""
        return self._with_atoms(xp, x, self._places)

    def table(self, xp: Any, name: str, values: Array) -> Array:
        """Return a table ``(n_params, n_columns)`` with rows of zeros."""
        return _longer(xp, values, 0, self.padded.tables[name])

    def cut_energy(self, energy: Array) -> Array:
        """Return the energies ``(..., n_systems)`` of the bundle's systems."""
        return energy[..., : self.own.n_systems]

    def cut_positions(self, x: Array) -> Array:
        """Return what belongs to the bundle's atoms, ``(..., n_atoms, 3)``."""
        return x[..., : self.own.n_atoms, :]

    def cut_table(self, name: str, values: Array) -> Array:
        """Return what belongs to the rows of the bundle's table, ``(n_params, n_columns)``."""
        return values[: self.own.tables[name], :]

    def packing(self, own: Packing) -> Packing:
        """Return the layout of packed arrays in padded sizes."""
        tables = tuple((name, (self.padded.tables[name], *shape[1:])) for name, shape in own.tables)
        return Packing(self.padded.n_atoms, tables, own.constants)

    def packed(self, xp: Any, own: Packing, array: Array, *, point: bool) -> Array:
        """Return a packed array ``(..., n)`` in padded sizes: the point, or something that is 0 in what is added."""
        start, parts, leading = 0, [], array.shape[:-1]
        for name, shape in own.tables:
            stop = start + shape[0] * shape[1]
            parts.append(_longer(xp, array[..., start:stop], -1, self.padded.tables[name] * shape[1]))
            start = stop
        x = xp.reshape(array[..., start:], (*leading, -1, self.own.n_atoms, 3))
        x = self._with_atoms(xp, x, self._places if point else 0 * self._places)
        return xp.concat([*parts, xp.reshape(x, (*leading, -1))], axis=-1)

    def cut_packed(self, xp: Any, own: Packing, array: Array) -> Array:
        """Return what of a padded packed array ``(..., n)`` belongs to the bundle."""
        start, parts, leading = 0, [], array.shape[:-1]
        for name, shape in own.tables:
            parts.append(array[..., start : start + shape[0] * shape[1]])
            start += self.padded.tables[name] * shape[1]
        x = self.cut_positions(xp.reshape(array[..., start:], (*leading, -1, self.padded.n_atoms, 3)))
        return xp.concat([*parts, xp.reshape(x, (*leading, -1))], axis=-1)

    def energies(self, xp: Any, array: Array) -> Array:
        """Return ``(..., n_conformers, n_energies)``, terms last, with zeros for the added energies."""
        n_terms = array.shape[-1] // self.own.n_systems
        return _longer(xp, array, -1, self.padded.n_systems * n_terms)

    def cut_energies(self, array: Array, n_energies: int) -> Array:
        """Return what belongs to the bundle's energies, ``(..., n_conformers, n_energies)``."""
        return array[..., :n_energies]

    def rows(self, xp: Any, array: Array, n_energies: int) -> Array:
        """Return rows of energies and positions ``(..., n_energies + 3 n_atoms)`` with zeros for what is added."""
        energies = self.energies(xp, array[..., :n_energies])
        x = array[..., n_energies:]
        return xp.concat([energies, _longer(xp, x, -1, 3 * self.padded.n_atoms)], axis=-1)

    def cut_rows(self, xp: Any, array: Array, n_energies: int) -> Array:
        """Return what of padded rows belongs to the bundle."""
        start = array.shape[-1] - 3 * self.padded.n_atoms
        return xp.concat([array[..., :n_energies], array[..., start : start + 3 * self.own.n_atoms]], axis=-1)

    @cached_property
    def _places(self) -> np.ndarray[Any, Any]:
        """Positions of the added atoms; only the last of them interact."""
        places = np.zeros((self.n_added_atoms, 3))
        places[-N_FILLING_ATOMS:] = _PLACES
        return places

    def _with_atoms(self, xp: Any, x: Array, places: np.ndarray[Any, Any]) -> Array:
        added = xp.broadcast_to(xp.asarray(places, dtype=x.dtype), (*x.shape[:-2], self.n_added_atoms, 3))
        return xp.concat([x, added], axis=-2)


def _longer(xp: Any, array: Array, axis: int, length: int) -> Array:
    """Return an array with zeros at the end of one axis."""
    shape = list(array.shape)
    shape[axis] = length - array.shape[axis]
    return xp.concat([array, xp.zeros(tuple(shape), dtype=array.dtype)], axis=axis)


def padded_plan(structure: Structure, arrays: NumpyArrays, padding: Padding) -> tuple[Structure, NumpyArrays]:
    """Return a plan of NumPy arrays in padded sizes."""
    own, sizes, result = padding.own, padding.padded, dict(arrays)
    for term in (*structure.terms, *structure.virtual_sites):
        result |= _mapping(term, arrays, sizes)
        if not term.pairs and f"{term.name}/atoms" in arrays:
            n_rows = sizes.rows[term.name]
            result[f"{term.name}/atoms"] = _atoms(arrays[f"{term.name}/atoms"], form(term.form).arity, n_rows, sizes)
            result[f"{term.name}/systems"] = _filled(arrays[f"{term.name}/systems"], n_rows, sizes.n_systems - 1)
        if term.pairs:
            result |= _pairs(term, arrays, own, sizes)
    result |= _sites(structure, arrays, sizes)
    return replace(structure, n_systems=sizes.n_systems), result


def _mapping(term: TermStructure, arrays: Arrays, sizes: Sizes) -> NumpyArrays:
    """Return a mapping whose added interactions have the last row of the padded table, or none at all."""
    prefix, n_rows, last_row = f"{term.name}/mapping", sizes.rows[term.name], sizes.tables[term.table] - 1
    if f"{prefix}/index" in arrays:
        return {f"{prefix}/index": _filled(arrays[f"{prefix}/index"], n_rows, last_row)}
    if f"{prefix}/offsets" not in arrays:
        return {}
    offsets, n_entries = arrays[f"{prefix}/offsets"], sizes.entries[term.name]
    ends = _filled(offsets, n_rows + 1, int(offsets[-1]))
    ends[-1] = n_entries
    return {
        f"{prefix}/offsets": ends,
        f"{prefix}/columns": _filled(arrays[f"{prefix}/columns"], n_entries, last_row),
        f"{prefix}/weights": _filled(arrays[f"{prefix}/weights"], n_entries, 0),
    }


def _pairs(term: TermStructure, arrays: Arrays, own: Sizes, sizes: Sizes) -> NumpyArrays:
    n_pairs = sizes.pairs[term.pairs]
    # The first row that is added, which is the same for terms that share a list.
    fills = {"rows": (2 * n_pairs, own.rows[term.name]), "systems": (n_pairs, sizes.n_systems - 1)}
    fills |= dict.fromkeys(("kept_charge", "kept_lj", "excepted"), (n_pairs, 0))
    result = {f"{term.pairs}/{name}": _filled(arrays[f"{term.pairs}/{name}"], *fill) for name, fill in fills.items()}
    result[f"{term.pairs}/atoms"] = _atoms(arrays[f"{term.pairs}/atoms"], 2, n_pairs, sizes)
    if term.overrides:
        paths = (f"{term.name}/overridden", f"{term.name}/override")
        result |= {path: _filled(arrays[path], n_pairs, 0) for path in paths}
    return result


def _sites(structure: Structure, arrays: Arrays, sizes: Sizes) -> NumpyArrays:
    """Return the arrays of virtual sites: sites of the added rows are nobody's source."""
    if not structure.virtual_sites:
        return {}
    result: NumpyArrays = {}
    sources = np.arange(sizes.n_atoms, dtype=np.int32)
    start = sizes.n_atoms
    for term in structure.virtual_sites:
        sites, n_rows = arrays[f"{term.name}/sites"], sizes.rows[term.name]
        sources[sites] = np.arange(start, start + len(sites))
        start += n_rows
        result[f"{term.name}/sites"] = _filled(sites, n_rows, sizes.n_atoms - 1)
        parents = arrays[f"{term.name}/parents"]
        result[f"{term.name}/parents"] = _atoms(parents, form(term.form).arity - 1, n_rows, sizes)
    result["virtual_sites/sources"] = sources
    result["virtual_sites/is_site"] = (sources >= sizes.n_atoms)[:, None, None]
    return result


def _atoms(atoms: Array, arity: int, n_rows: int, sizes: Sizes) -> np.ndarray[Any, Any]:
    """Return the atoms of rows one after another, those of added rows from the first of the last atoms on."""
    first = sizes.n_atoms - N_FILLING_ATOMS
    added = np.tile(np.arange(first, first + arity, dtype=np.int32), n_rows - len(atoms) // arity)
    return np.concatenate([atoms, added])


def _filled(array: Array, length: int, value: int) -> np.ndarray[Any, Any]:
    """Return an array with one value at the end of its first axis."""
    shape = (length - len(array), *array.shape[1:])
    return np.concatenate([array, np.full(shape, value, dtype=array.dtype)])
