"""Atoms of interactions, corner after corner: their positions by one gather, their derivatives by one sum.

Vectors are ``(3, n, n_conformers)``.
"""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["by_corner", "corners_of"]


def by_corner(xp: Any, atoms: Array, arity: int) -> Array:
    """Return atoms that are listed row after row as first those of all first corners, then of all second ones, ...."""
    return xp.reshape(xp.permute_dims(xp.reshape(atoms, (-1, arity)), (1, 0)), (-1,))


def corners_of(positions: Array, arity: int) -> list[Array]:
    """Return the positions of each corner, from those of atoms as :func:`by_corner` lists them."""
    n = positions.shape[1] // arity
    return [positions[:, corner * n : (corner + 1) * n, :] for corner in range(arity)]
