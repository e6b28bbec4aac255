"""Interaction energies of dimers: E(dimer) - E(monomer 0) - E(monomer 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.targets.arrays import constant
from ffbridge.targets.frames import pack
from ffbridge.targets.kinds import DimerTarget
from ffbridge.targets.losses.part import Part, Scales, normalized

__all__ = ["InteractionLoss"]


class InteractionLoss:
    """Interaction energies of several dimers, by one call of the potential.

    Args:
        U: the potential, in which the dimer and each monomer are systems of their own.
        targets: each with its number and its three systems': the dimer, monomer 0, monomer 1.
        scales: of residuals.
    """

    def __init__(
        self, U: Potential, targets: Sequence[tuple[int, tuple[int, int, int], DimerTarget]], *, scales: Scales
    ) -> None:
        self._U = U
        conformers = [
            (system, target.positions[:, atoms])
            for _, systems, target in targets
            for system, atoms in zip(systems, _parts_of(target), strict=True)
        ]
        self._frames = pack(U, conformers)
        self.moving = {"x": self._frames.x}
        placed = [each.energies(U.bundle.n_systems) for each in self._frames.placed]
        self._places = [constant(U, np.concatenate(placed[part::3])) for part in range(3)]
        counts = [len(target.energies) for _, _, target in targets]
        self._owner = np.repeat([number for number, _, _ in targets], counts)
        self._reference = constant(U, np.concatenate([target.energies for _, _, target in targets]))
        self._weights = constant(
            U,
            np.concatenate(
                [target.weight * normalized(target.conformer_weights, len(target.energies)) for _, _, target in targets]
            ),
        )
        self._scale = constant(U, np.full(len(self._owner), scales.energy))

    def parts(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return interaction energies with the given tables."""
        xp = self._U.host.namespace
        energies = xp.reshape(self._U(moving["x"], tables), (-1,))
        dimer, first, second = (xp.take(energies, places, axis=0) for places in self._places)
        return [
            Part(
                quantity="interaction energy",
                unit="kJ/mol",
                predicted=dimer - first - second,
                reference=self._reference,
                scale=self._scale,
                weights=self._weights,
                owner=self._owner,
            )
        ]


def _parts_of(target: DimerTarget) -> list[NDArray[np.int64]]:
    """Return the atoms of the dimer and of each monomer."""
    return [np.arange(target.n_atoms), *(np.flatnonzero(target.monomers == monomer) for monomer in (0, 1))]
