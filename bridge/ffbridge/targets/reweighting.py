"""Averages over ensembles of other parameters, from a trajectory that one set of parameters made.

With weights w ∝ exp(-β (U(x; θ) - U₀)), U₀ the energies with the parameters that made the trajectory,
⟨O⟩ = Σ w O, whose derivative is ⟨∂O/∂θ⟩ - β cov(O, ∂U/∂θ) (R. Zwanzig, J. Chem. Phys. 22, 1420 (1954)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ffbridge.backend import Array
from ffbridge.registry import backend_of
from ffbridge.units import GAS_CONSTANT

__all__ = ["LEAST_SAMPLES", "OBSERVABLES", "Observable", "effective_sample_size", "potential_energy", "reweighting"]

Observable = Callable[[Array, Array, Mapping[str, Array]], Array]
"""An observable that depends on parameters: ``(x, energies, tables) -> values``, of the potential's host.

Positions ``(n_frames, n_atoms, 3)`` [nm] of the target's own atoms, energies ``(n_frames,)`` [kJ/mol] of its system,
and all tables, ``(n_params, n_columns)``; values ``(n_frames,)`` in the target's unit.
"""

LEAST_SAMPLES = 50.0
"""Effective samples below which an average counts as not to be trusted, as in OpenFF Evaluator."""


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
    """Return (Σ w)² / Σ w² (L. Kish, Survey Sampling, 1965): by how many equal frames the average is made.

    Frames that are close in time are alike, so that there are fewer independent ones than this.
    """
    xp = backend_of(weights).namespace
    return xp.sum(weights) ** 2 / xp.sum(weights**2)


def potential_energy(x: Array, energies: Array, tables: Mapping[str, Array]) -> Array:
    """Return the energies: the observable whose dependence on the parameters is the potential's own."""
    return energies


OBSERVABLES: Mapping[str, Observable] = {"potential_energy": potential_energy}
"""The observables by quantity that depend on parameters; all others are the target's stored values."""
