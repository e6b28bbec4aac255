"""Between the caller's axes, conformers first, and those of the energies, conformers last and contiguous."""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["conformers_first", "conformers_last"]


def conformers_last(xp: Any, x: Array) -> Array:
    """Return positions ``(..., n_atoms, 3)`` as ``(n_atoms, 3, n_conformers)``, all leading axes taken together."""
    return xp.permute_dims(xp.reshape(x, (-1, *x.shape[-2:])), (1, 2, 0))


def conformers_first(xp: Any, array: Array, batch: tuple[int, ...]) -> Array:
    """Return ``(..., n_conformers)`` as ``(*batch, ...)``: the inverse, for anything that each conformer has."""
    moved = xp.permute_dims(array, (array.ndim - 1, *range(array.ndim - 1)))
    return xp.reshape(moved, (*batch, *array.shape[:-1]))
