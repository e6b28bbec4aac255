"""Minima, Hessians there, and conformers around them: what forces are compared on."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from data.qc.optimization import minimum
from data.qc.programs import Program
from ffbridge.units import GAS_CONSTANT, KJ_PER_MOL_PER_HARTREE

__all__ = ["FLOOR", "TEMPERATURE", "hessian", "minima", "thermal_conformers"]

Floats = NDArray[np.float64]

STEP = 0.005
"""Of the finite differences of gradients [bohr]."""

TEMPERATURE = 500.0
"""Of the harmonic sampling [K]."""

FLOOR = 0.01
"""Least curvature in the sampling [hartree/bohr²]: along softer directions, straight lines soon leave the valley."""

SADDLE, AWAY, MOST_SADDLES = -1e-4, 0.5, 5
"""Less curvature than this is a saddle point's [hartree/bohr²]; how far it is left [bohr]; how many may follow."""

SAME_ENERGY = 1e-5
"""Minima closer than this are one, or mirror images [hartree]."""

WINDOW = 20.0
"""Minima higher than this above the lowest are left out [kJ/mol]."""


def minima(program: Program, atomic_numbers: NDArray[np.int32], starts: Floats) -> Floats:
    """Return the different minima ``(n_minima, n_atoms, 3)`` [bohr] found from `starts`, the lowest first."""
    found = [_settled(program, atomic_numbers, minimum(program, atomic_numbers, start)) for start in starts]
    energies = [program.energy_and_gradient(each)[0] for each in found]
    order = np.argsort(energies, kind="stable")
    kept = [int(order[0])]
    for number in order[1:]:
        above = (energies[number] - energies[order[0]]) * KJ_PER_MOL_PER_HARTREE
        if above < WINDOW and energies[number] - energies[kept[-1]] > SAME_ENERGY:
            kept.append(int(number))
    return np.stack([found[number] for number in kept])


def _settled(program: Program, atomic_numbers: NDArray[np.int32], position: Floats) -> Floats:
    """Return a minimum: a planar start can lead to a saddle point, which is left along its softest mode."""
    for _ in range(MOST_SADDLES):
        curvatures, modes = np.linalg.eigh(hessian(program, position).reshape(position.size, -1))
        if curvatures[0] > SADDLE:
            return position
        position = minimum(program, atomic_numbers, position + AWAY * modes[:, 0].reshape(position.shape))
    raise RuntimeError(f"{program.level_of_theory}: no minimum within {MOST_SADDLES} saddle points")


def hessian(program: Program, positions: Floats) -> Floats:
    """Return ``(n_atoms, 3, n_atoms, 3)`` [hartree/bohr²]: central differences of gradients, made symmetric."""
    n = positions.size
    rows = np.empty((n, n))
    for component in range(n):
        shift = np.zeros(n)
        shift[component] = STEP
        forward, backward = (
            program.energy_and_gradient(positions + sign * shift.reshape(positions.shape))[1] for sign in (1, -1)
        )
        rows[component] = (forward - backward).ravel() / (2 * STEP)
    return ((rows + rows.T) / 2).reshape(*positions.shape, *positions.shape)


def thermal_conformers(name: str, position: Floats, curvature: Floats, count: int) -> Floats:
    """Return ``(count, n_atoms, 3)`` [bohr] of the harmonic ensemble at `TEMPERATURE` around a minimum.

    With the Hessian H, x = x₀ + (kT)^(1/2) H^(-1/2) ξ, ξ normal, has the density exp(-(x - x₀)ᵀ H (x - x₀) / 2kT). The
    symmetric square root has no choice of sign or order of modes, so that the same seed gives the same conformers on
    every machine. Rigid motions are left out; curvatures below `FLOOR` count as `FLOOR`.
    """
    n = position.size
    inside = np.eye(n) - _rigid(position) @ _rigid(position).T
    values, modes = np.linalg.eigh(inside @ curvature.reshape(n, n) @ inside)
    spread = np.zeros(n)
    internal = np.argsort(np.linalg.norm(_rigid(position).T @ modes, axis=0))[: n - _rigid(position).shape[1]]
    spread[internal] = 1 / np.sqrt(np.maximum(values[internal], FLOOR))
    kt = GAS_CONSTANT * TEMPERATURE / KJ_PER_MOL_PER_HARTREE
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=(count, n))
    return position + np.sqrt(kt) * (noise @ (modes * spread) @ modes.T).reshape(count, *position.shape)


def _rigid(position: Floats) -> Floats:
    """Return an orthonormal basis of translations and rotations, ``(3 n_atoms, 6)``."""
    centered = position - position.mean(axis=0)
    axes = np.eye(3)
    moves = [np.tile(axis, len(position)) for axis in axes] + [np.cross(axis, centered).ravel() for axis in axes]
    return np.linalg.qr(np.stack(moves, axis=1))[0]
