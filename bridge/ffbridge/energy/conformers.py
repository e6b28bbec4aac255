"""Between the caller's axes, conformers first, and those of the energies: x, y and z apart, conformers last."""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["conformers_first", "conformers_last"]


def conformers_last(xp: Any, x: Array) -> Array:
    """Return positions ``(..., n_atoms, 3)`` as ``(3, n_atoms, n_conformers)``, contiguous, leading axes as one."""
    flat = xp.reshape(x, (-1, *x.shape[-2:]))
    return xp.stack([xp.permute_dims(flat[:, :, axis], (1, 0)) for axis in range(3)])


def conformers_first(xp: Any, array: Array, batch: tuple[int, ...]) -> Array:
    """Return ``(..., n_conformers)`` with all axes reversed, as ``(*batch, ...)``: the inverse, also for scalars.

    Positions ``(3, n_atoms, n_conformers)`` are ``(*batch, n_atoms, 3)``; energies ``(n_systems, n_conformers)`` are
    ``(*batch, n_systems)``.
    """
    moved = xp.permute_dims(array, tuple(reversed(range(array.ndim))))
    return xp.reshape(moved, (*batch, *moved.shape[1:]))
