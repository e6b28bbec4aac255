"""Packing: positions and tables in one flat array, so that they cross between frameworks at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ffbridge.backend import Array

__all__ = ["Packing"]


@dataclass(frozen=True)
class Packing:
    """The layout of a flat array that holds tables and, after them, positions of any number of conformers.

    Attributes:
        n_atoms: atoms of the bundle.
        tables: name and shape of each table that is packed.
        constants: names of those whose derivatives nobody can ask for: an engine that does not have them may leave 0
            there. Packings that differ in nothing else are equal, so that they share compiled code.
    """

    n_atoms: int
    tables: tuple[tuple[str, tuple[int, ...]], ...] = ()
    constants: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def n_parameters(self) -> int:
        """Numbers that the tables take."""
        return sum(prod(shape) for _, shape in self.tables)

    def n_conformers(self, length: int) -> int:
        """Conformers in a packed array of that length."""
        return (length - self.n_parameters) // (3 * self.n_atoms)

    def pack(self, xp: Any, x: Array, tables: Mapping[str, Array]) -> Array:
        """Return positions ``(..., n_atoms, 3)`` and the tables as one array ``(n,)``; derivatives flow through it."""
        flat = xp.reshape(x, (-1,))
        if not self.tables:
            return flat
        return xp.concat([*(xp.reshape(tables[name], (-1,)) for name, _ in self.tables), flat])

    def unpack(self, xp: Any, packed: Array) -> tuple[Array, dict[str, Array]]:
        """Return positions ``(n_conformers, n_atoms, 3)`` and tables by name: views where the framework has them."""
        tables = {}
        start = 0
        for name, shape in self.tables:
            stop = start + prod(shape)
            tables[name] = xp.reshape(packed[start:stop], shape)
            start = stop
        return xp.reshape(packed[start:], (-1, self.n_atoms, 3)), tables

    def rows(self, xp: Any, energies: Array, gradient: Array) -> Array:
        """Return energies ``(n_conformers, n_energies)`` and, beside them, the positions' part of a packed gradient."""
        by_conformer = xp.reshape(gradient[self.n_parameters :], (energies.shape[0], 3 * self.n_atoms))
        return xp.concat([energies, by_conformer], axis=1)
