"""Nonbonded forms: functions of the distance of two atoms and of parameters mixed from those of both atoms.

The order is: table, per-atom parameters (the mapping), per-pair parameters (the mixing), energy; so that derivatives
reach parameters that atoms share. A form mixes *variables* of the two atoms, which are functions of their parameters,
and has the derivative of every step beside the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ffbridge.backend import Array

__all__ = ["NONBONDED", "PairForm", "coulomb", "lennard_jones", "root"]

Settings = Mapping[str, Any]
Variables = tuple[Array, ...]


@dataclass(frozen=True)
class PairForm:
    """The formula of a nonbonded form.

    Arrays are ``(n_atoms, 1)`` for atoms, and ``(n_pairs, 1)`` or ``(n_pairs, n_conformers)`` for pairs.

    Attributes:
        variables: ``(xp, *parameters) -> variables`` of each atom, one array for each.
        variables_pullback: ``(xp, parameters, cotangents) -> cotangents`` of the parameters.
        mix: ``(xp, settings, variables1, variables2) -> pair parameters``.
        mix_pullback: ``(xp, settings, variables1, variables2, cotangents) -> cotangents`` of variables1; those of
            variables2 follow by exchanging the two, as every mixing rule is symmetric.
        energy: ``(xp, r, *pair parameters) -> U`` [kJ/mol], r > 0.
        derivatives: ``(xp, r, *pair parameters) -> (dU/dr, (dU/dp, …))``.
    """

    variables: Callable[..., Variables]
    variables_pullback: Callable[[Any, Variables, Variables], Variables]
    mix: Callable[[Any, Settings, Variables, Variables], Variables]
    mix_pullback: Callable[[Any, Settings, Variables, Variables, Variables], Variables]
    energy: Callable[..., Array]
    derivatives: Callable[..., tuple[Array, Variables]]


def lennard_jones(xp: Any, r: Array, sigma: Array, epsilon: Array) -> Array:
    """Return U = 4ε ((σ/r)¹² - (σ/r)⁶) (OpenMM User Guide, "NonbondedForce")."""
    sixth = (sigma / r) ** 6
    return 4.0 * epsilon * sixth * (sixth - 1.0)


def _lennard_jones_derivatives(xp: Any, r: Array, sigma: Array, epsilon: Array) -> tuple[Array, Variables]:
    sixth = (sigma / r) ** 6
    slope = 24.0 * epsilon * (2.0 * sixth**2 - sixth)
    # σ times dU/dσ is the slope; written with σ⁵ so that σ = 0 gives 0.
    du_dsigma = 24.0 * epsilon * (2.0 * sixth - 1.0) * sigma**5 / r**6
    return -slope / r, (du_dsigma, 4.0 * sixth * (sixth - 1.0))


def root(xp: Any, value: Array) -> Array:
    """Return √value, whose derivative at 0 (infinite) is taken as 0 (the standard's E-2)."""
    positive = value > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, value, 1.0)), 0.0)


def _root_pullback(xp: Any, value: Array, cotangent: Array) -> Array:
    positive = value > 0
    return xp.where(positive, 0.5 * cotangent / xp.sqrt(xp.where(positive, value, 1.0)), 0.0)


def _sigma_and_root_epsilon(xp: Any, sigma: Array, epsilon: Array) -> Variables:
    return sigma, root(xp, epsilon)


def _sigma_and_root_epsilon_pullback(xp: Any, parameters: Variables, cotangents: Variables) -> Variables:
    return cotangents[0], _root_pullback(xp, parameters[1], cotangents[1])


def _lorentz_berthelot(xp: Any, settings: Settings, first: Variables, second: Variables) -> Variables:
    """Return σ = (σ1 + σ2)/2, ε = √(ε1 ε2)."""
    return 0.5 * (first[0] + second[0]), first[1] * second[1]


def _lorentz_berthelot_pullback(
    xp: Any, settings: Settings, first: Variables, second: Variables, cotangents: Variables
) -> Variables:
    return 0.5 * cotangents[0], cotangents[1] * second[1]


def coulomb(xp: Any, r: Array, strength: Array) -> Array:
    """Return U = strength / r, with strength = coulomb_constant · charge1 · charge2 [kJ nm/mol]."""
    return strength / r


def _coulomb_derivatives(xp: Any, r: Array, strength: Array) -> tuple[Array, Variables]:
    inverse = 1.0 / r
    return -strength * inverse**2, (inverse,)


def _charges(xp: Any, charge: Array) -> Variables:
    return (charge,)


def _charges_pullback(xp: Any, parameters: Variables, cotangents: Variables) -> Variables:
    return cotangents


def _product(xp: Any, settings: Settings, first: Variables, second: Variables) -> Variables:
    return (settings["coulomb_constant"] * first[0] * second[0],)


def _product_pullback(
    xp: Any, settings: Settings, first: Variables, second: Variables, cotangents: Variables
) -> Variables:
    return (settings["coulomb_constant"] * cotangents[0] * second[0],)


NONBONDED = {
    "lennard_jones": PairForm(
        variables=_sigma_and_root_epsilon,
        variables_pullback=_sigma_and_root_epsilon_pullback,
        mix=_lorentz_berthelot,
        mix_pullback=_lorentz_berthelot_pullback,
        energy=lennard_jones,
        derivatives=_lennard_jones_derivatives,
    ),
    "coulomb": PairForm(
        variables=_charges,
        variables_pullback=_charges_pullback,
        mix=_product,
        mix_pullback=_product_pullback,
        energy=coulomb,
        derivatives=_coulomb_derivatives,
    ),
}
"""The nonbonded forms by their name in the standard."""
