"""Nonbonded forms: functions of the distance of two atoms and of parameters mixed from those of both atoms.

The order is: table, per-atom parameters (the mapping), per-pair parameters (the mixing), energy; so that derivatives
reach parameters that atoms share. A new form is one entry of :data:`NONBONDED`, its mixing rules included, and its
declaration in the standard's ``forms-1.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ffbridge.backend import Array
from ffbridge.energy.mixing import ARITHMETIC, CHARGES, GEOMETRIC, HARMONIC, Mixing, Settings, Variables

__all__ = ["NONBONDED", "PairDerivatives", "PairForm", "buckingham", "coulomb", "double_exponential", "lennard_jones"]

PairDerivatives: TypeAlias = tuple[Array, Array, Variables]
"""(U, dU/dr, (dU/dp, …)): the energy, and its derivatives to the distance and each parameter of a pair."""


@dataclass(frozen=True)
class PairForm:
    """The formula of a nonbonded form.

    Arrays are ``(n_pairs, 1)`` or ``(n_pairs, n_conformers)``.

    Attributes:
        mixing: by mixing rule; a form without rules has its only mixing under the empty name.
        energy: ``(xp, settings, r, *pair parameters) -> U`` [kJ/mol], r > 0.
        derivatives: ``(xp, settings, r, *pair parameters) -> (U, dU/dr, (dU/dp, …))``.
    """

    mixing: Mapping[str, Mixing]
    energy: Callable[..., Array]
    derivatives: Callable[..., PairDerivatives]

    def mixing_of(self, settings: Settings) -> Mixing:
        """Return the mixing that a term's settings ask for."""
        return self.mixing[settings.get("mixing_rule", "")]


def lennard_jones(xp: Any, settings: Settings, r: Array, sigma: Array, epsilon: Array) -> Array:
    """Return U = 4ε ((σ/r)¹² - (σ/r)⁶) (OpenMM User Guide, "NonbondedForce")."""
    sixth = _sixth_power(sigma / r)
    return 4.0 * epsilon * sixth * (sixth - 1.0)


def _lennard_jones_derivatives(xp: Any, settings: Settings, r: Array, sigma: Array, epsilon: Array) -> PairDerivatives:
    inverse = 1.0 / r
    ratio = sigma * inverse
    square = ratio * ratio
    fourth = square * square
    sixth = fourth * square
    # dU/dσ, -r/σ times dU/dr, is written with σ⁵, so that σ = 0 gives 0.
    shape, steep = sixth * (4.0 * sixth - 4.0), (epsilon * inverse) * (48.0 * sixth - 24.0)
    return epsilon * shape, -(steep * sixth), (steep * (fourth * ratio), shape)


def _sixth_power(ratio: Array) -> Array:
    square = ratio * ratio
    return square * square * square


def buckingham(xp: Any, settings: Settings, r: Array, a: Array, b: Array, c: Array) -> Array:
    """Return U = a exp(-b r) - c/r⁶ (R. A. Buckingham, Proc. R. Soc. Lond. A 168, 264 (1938)).

    At short distances the attraction wins: with c > 0, U has a maximum and goes to -∞ as r goes to 0.
    """
    return a * xp.exp(-b * r) - c / r**6


def _buckingham_derivatives(xp: Any, settings: Settings, r: Array, a: Array, b: Array, c: Array) -> PairDerivatives:
    decay, inverse = xp.exp(-b * r), 1.0 / r**6
    repulsion = a * decay
    return repulsion - c * inverse, -b * repulsion + 6.0 * c * inverse / r, (decay, -r * repulsion, -inverse)


def double_exponential(xp: Any, settings: Settings, r: Array, r_min: Array, epsilon: Array) -> Array:
    """Return U = ε (β exp(α (1 - r/r_min)) - α exp(β (1 - r/r_min)))/(α - β), and 0 where r_min is 0.

    α is the repulsion exponent and β the attraction exponent; the minimum is -ε at r_min (X. Wu and B. R. Brooks, AIP
    Adv. 9, 065304 (2019), doi:10.1063/1.5107505).
    """
    alpha, beta = _exponents(settings)
    scaled, present, _ = _scaled(xp, r, r_min)
    shape = (beta * xp.exp(alpha * (1.0 - scaled)) - alpha * xp.exp(beta * (1.0 - scaled))) / (alpha - beta)
    return xp.where(present, epsilon * shape, 0.0)


def _double_exponential_derivatives(
    xp: Any, settings: Settings, r: Array, r_min: Array, epsilon: Array
) -> PairDerivatives:
    alpha, beta = _exponents(settings)
    scaled, present, safe = _scaled(xp, r, r_min)
    repulsion, attraction = xp.exp(alpha * (1.0 - scaled)), xp.exp(beta * (1.0 - scaled))
    # dU/d(r/r_min) over r_min: the derivative to r; that to r_min has -r/r_min as a factor.
    slope = xp.where(present, epsilon * alpha * beta * (attraction - repulsion) / ((alpha - beta) * safe), 0.0)
    du_depsilon = xp.where(present, (beta * repulsion - alpha * attraction) / (alpha - beta), 0.0)
    return epsilon * du_depsilon, slope, (-slope * scaled, du_depsilon)


def _exponents(settings: Settings) -> tuple[float, float]:
    return settings["repulsion_exponent"], settings["attraction_exponent"]


def _scaled(xp: Any, r: Array, r_min: Array) -> tuple[Array, Array, Array]:
    """Return r/r_min, whether r_min is positive, and r_min; with 1 for an r_min that is not."""
    present = r_min > 0
    safe = xp.where(present, r_min, 1.0)
    return r / safe, present, safe


def coulomb(xp: Any, settings: Settings, r: Array, strength: Array) -> Array:
    """Return U = strength / r, with strength = coulomb_constant · charge1 · charge2 [kJ nm/mol]."""
    return strength / r


def _coulomb_derivatives(xp: Any, settings: Settings, r: Array, strength: Array) -> PairDerivatives:
    inverse = 1.0 / r
    u = strength * inverse
    return u, -u * inverse, (inverse,)


_SIZE_AND_DEPTH = {
    "lorentz_berthelot": Mixing((ARITHMETIC, GEOMETRIC)),
    "geometric": Mixing((GEOMETRIC, GEOMETRIC)),
}
"""Rules for a length and an energy."""

NONBONDED = {
    "lennard_jones": PairForm(_SIZE_AND_DEPTH, lennard_jones, _lennard_jones_derivatives),
    "coulomb": PairForm({"": Mixing((CHARGES,))}, coulomb, _coulomb_derivatives),
    "buckingham": PairForm(
        {"buckingham": Mixing((GEOMETRIC, HARMONIC, GEOMETRIC))}, buckingham, _buckingham_derivatives
    ),
    "double_exponential": PairForm(_SIZE_AND_DEPTH, double_exponential, _double_exponential_derivatives),
}
"""The nonbonded forms by their name in the standard."""
