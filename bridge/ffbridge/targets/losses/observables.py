"""Averages over ensembles, reweighted from stored trajectories.

With weights w ∝ exp(-β (U(x; θ) - U₀)), U₀ the energies with the parameters that made the trajectory,
⟨O⟩ = Σ w O, whose derivative is -β cov(O, ∂U/∂θ) + ⟨∂O/∂θ⟩ (R. Zwanzig, J. Chem. Phys. 22, 1420 (1954)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ffbridge.backend import Array
from ffbridge.potential import Potential
from ffbridge.registry import backend_of
from ffbridge.targets.arrays import constant
from ffbridge.targets.frames import pack
from ffbridge.targets.kinds import ObservableTarget
from ffbridge.targets.losses.part import Part, Scales
from ffbridge.units import GAS_CONSTANT

__all__ = ["ObservableLoss", "effective_sample_size", "reweighting"]


def reweighting(energies: Array, sampled: Array, temperature: float) -> Array:
    """Return the weight of each frame in the ensemble of other parameters, ``(n_frames,)``, summing to 1.

    Args:
        energies: U(x; θ), ``(n_frames,)`` [kJ/mol].
        sampled: with the parameters that made the trajectory, ``(n_frames,)`` [kJ/mol].
        temperature: [K].
    """
    xp = backend_of(energies).namespace
    exponent = (sampled - energies) / (GAS_CONSTANT * temperature)
    weights = xp.exp(exponent - xp.max(exponent))
    return weights / xp.sum(weights)


def effective_sample_size(weights: Array) -> Array:
    """Return (Σ w)² / Σ w² (L. Kish, Survey Sampling, 1965): by how many equal frames the average is made."""
    xp = backend_of(weights).namespace
    return xp.sum(weights) ** 2 / xp.sum(weights**2)


class ObservableLoss:
    """Averages of several targets, by one call of the potential.

    Args:
        U: the potential.
        targets: with trajectories, each with its number and its system's.
        scales: of residuals; a target's own uncertainty goes before them.
    """

    def __init__(self, U: Potential, targets: Sequence[tuple[int, int, ObservableTarget]], *, scales: Scales) -> None:
        self._U = U
        self._targets = [target for _, _, target in targets]
        self._frames = pack(U, [(system, np.asarray(target.positions)) for _, system, target in targets])
        self.moving = {"x": self._frames.x}
        self._places = [constant(U, each.energies(U.bundle.n_systems)) for each in self._frames.placed]
        self._sampled = [constant(U, np.asarray(target.potential_energies)) for target in self._targets]
        self._values = [constant(U, np.asarray(target.values)) for target in self._targets]
        self._reference = constant(U, np.array([target.value for target in self._targets]))
        scale = [target.uncertainty or scales.observable * abs(target.value) or 1.0 for target in self._targets]
        self._scale = constant(U, np.array(scale))
        self._weights = constant(U, np.array([target.weight for target in self._targets]))
        self._owner = np.array([number for number, _, _ in targets])

    def frame_weights(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Array]:
        """Return the weight of every frame with the given tables, ``(n_frames,)`` for each target."""
        xp = self._U.host.namespace
        energies = xp.reshape(self._U(moving["x"], tables), (-1,))
        return [
            reweighting(xp.take(energies, places, axis=0), sampled, target.temperature)
            for places, sampled, target in zip(self._places, self._sampled, self._targets, strict=True)
        ]

    def parts(self, tables: Mapping[str, Array] | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return the reweighted averages with the given tables."""
        xp = self._U.host.namespace
        weights = self.frame_weights(tables, moving)
        averages = [xp.sum(w * values) for w, values in zip(weights, self._values, strict=True)]
        return [
            Part(
                quantity="observable",
                unit="the target's own",
                predicted=xp.stack(averages),
                reference=self._reference,
                scale=self._scale,
                weights=self._weights,
                owner=self._owner,
            )
        ]
