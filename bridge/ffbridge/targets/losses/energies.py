"""Relative energies and forces of conformers and torsion drives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.targets.arrays import constant
from ffbridge.targets.derivatives import energies_and_forces
from ffbridge.targets.frames import pack
from ffbridge.targets.kinds import ConformerTarget, TorsionDrive
from ffbridge.targets.losses.part import Part, Scales, normalized

__all__ = ["EnergyLoss", "Offset", "without_offset"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Offset = Literal["mean", "minimum"]
"""What is taken off the energies of each target: their weighted mean, or that of the reference's lowest conformer."""


def without_offset(backend: Any, energies: Array, offset_weights: Array, owner: Array, n_owners: int) -> Array:
    """Return energies less the weighted mean of those of one owner, ``(n,)``.

    Args:
        backend: the framework of all arrays.
        energies: ``(n,)`` [kJ/mol].
        offset_weights: ``(n,)``; those of one owner sum to 1.
        owner: ``(n,) int32`` in ``[0, n_owners)``.
        n_owners: how many there are.
    """
    means = backend.segment_sum(offset_weights * energies, owner, n_owners)
    return energies - backend.namespace.take(means, owner, axis=0)


class EnergyLoss:
    """Energies, and forces where they are given, of several targets, by one call of the potential.

    Args:
        U: the potential.
        targets: each with its number and its system's.
        scales: of residuals.
        offset: what is taken off the energies of each target.
        positions: of each target, other than its own: torsion drives at relaxed geometries.
    """

    def __init__(
        self,
        U: Potential,
        targets: Sequence[tuple[int, int, ConformerTarget | TorsionDrive]],
        *,
        scales: Scales,
        offset: Offset,
        positions: Mapping[int, Floats] | None = None,
    ) -> None:
        moved = positions or {}
        self._U = U
        self._frames = pack(U, [(system, moved.get(number, target.positions)) for number, system, target in targets])
        self.moving = {"x": self._frames.x}
        self._scales = scales
        self._energies(targets, offset)
        with_forces = [
            (number, target, placed)
            for (number, _, target), placed in zip(targets, self._frames.placed, strict=True)
            if isinstance(target, ConformerTarget) and target.forces is not None
        ]
        self._forces(with_forces)

    def _energies(self, targets: Sequence[tuple[int, int, Any]], offset: Offset) -> None:
        U, placed = self._U, self._frames.placed
        counts = [len(target.energies) for _, _, target in targets]
        weights = [normalized(target.conformer_weights, len(target.energies)) for _, _, target in targets]
        taken_off = weights if offset == "mean" else [_at_minimum(target.energies) for _, _, target in targets]
        relative = [
            target.energies - (taken * target.energies).sum()
            for (_, _, target), taken in zip(targets, taken_off, strict=True)
        ]
        self._owner = np.repeat([number for number, _, _ in targets], counts)
        self._segments = constant(U, np.repeat(np.arange(len(targets)), counts))
        places = np.concatenate([each.energies(U.bundle.n_systems) for each in placed])
        self._places = constant(U, places)
        self._weights = constant(
            U, np.concatenate([target.weight * each for (_, _, target), each in zip(targets, weights, strict=True)])
        )
        self._offset_weights = constant(U, np.concatenate(taken_off))
        self._reference = constant(U, np.concatenate(relative))
        self._energy_scale = constant(U, np.full(len(self._owner), self._scales.energy))
        self._n_targets = len(targets)

    def _forces(self, targets: Sequence[tuple[int, ConformerTarget, Any]]) -> None:
        self._has_forces = bool(targets)
        if not targets:
            return
        U = self._U
        forces = [np.asarray(target.forces).reshape(-1) for _, target, _ in targets]
        places = np.concatenate([placed.atoms_flat(U.bundle.n_atoms) for _, _, placed in targets])
        self._force_places = constant(U, places)
        self._force_reference = constant(U, np.concatenate(forces))
        weights = [
            target.weight
            * np.repeat(
                normalized(target.conformer_weights, len(target.energies)) / (3 * target.n_atoms), 3 * target.n_atoms
            )
            for _, target, _ in targets
        ]
        self._force_weights = constant(U, np.concatenate(weights))
        self._force_owner = np.repeat([number for number, _, _ in targets], [len(each) for each in forces])
        self._force_scale = constant(U, np.full(len(self._force_owner), self._scales.force))

    def parts(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return relative energies, and forces, with the given tables."""
        U, host = self._U, self._U.host
        xp = host.namespace
        if self._has_forces:
            energies, forces = energies_and_forces(U, moving["x"], tables)
        else:
            energies = U(moving["x"], tables)
        taken = xp.take(xp.reshape(energies, (-1,)), self._places, axis=0)
        relative = without_offset(host, taken, self._offset_weights, self._segments, self._n_targets)
        found = [
            Part(
                quantity="relative energy",
                unit="kJ/mol",
                predicted=relative,
                reference=self._reference,
                scale=self._energy_scale,
                weights=self._weights,
                owner=self._owner,
            )
        ]
        if self._has_forces:
            of_atoms = xp.take(xp.reshape(forces, (-1, 3)), self._force_places, axis=0)
            found.append(
                Part(
                    quantity="force",
                    unit="kJ/mol/nm",
                    predicted=xp.reshape(of_atoms, (-1,)),
                    reference=self._force_reference,
                    scale=self._force_scale,
                    weights=self._force_weights,
                    owner=self._force_owner,
                )
            )
        return found


def _at_minimum(energies: Floats) -> Floats:
    found = np.zeros(len(energies))
    found[np.argmin(energies)] = 1
    return found
