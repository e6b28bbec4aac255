"""Bonded forms: functions of internal coordinates and of parameters, each with its derivatives to both.

A form takes each of its coordinates, ``(n, n_conformers)``, and one ``(n, 1)`` array for each column of its table, and
works for any coordinate values. A new form is one entry of :data:`BONDED` and its declaration in the standard's
``forms-1.json``, which says of which atoms its coordinates are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ffbridge.backend import Array

__all__ = [
    "BONDED",
    "HIGHEST_PERIODICITY",
    "BondedForm",
    "harmonic",
    "morse",
    "periodic_torsion",
    "ryckaert_bellemans",
]


Derivatives: TypeAlias = tuple[tuple[Array, ...], tuple[Array, ...]]


@dataclass(frozen=True)
class BondedForm:
    """The formula of a bonded form.

    Attributes:
        energy: ``(xp, *coordinates, *parameters) -> U`` [kJ/mol]; a dihedral is given as (cos φ, sin φ).
        derivatives: ``(xp, *coordinates, *parameters) -> ((dU/dq, …), (dU/dp, …))``, one dU/dq for each coordinate,
            which is dU/dφ for a dihedral, and one dU/dp for each column.
    """

    energy: Callable[..., Array]
    derivatives: Callable[..., Derivatives]


def harmonic(xp: Any, q: Array, k: Array, rest: Array) -> Array:
    """Return U = k/2 (q - rest)² (OpenMM User Guide, "HarmonicBondForce", "HarmonicAngleForce")."""
    return 0.5 * k * (q - rest) ** 2


def _harmonic_derivatives(xp: Any, q: Array, k: Array, rest: Array) -> Derivatives:
    stretch = q - rest
    return (k * stretch,), (0.5 * stretch**2, -k * stretch)


def morse(xp: Any, q: Array, depth: Array, steepness: Array, length: Array) -> Array:
    """Return U = depth (1 - exp(-steepness (q - length)))² (P. M. Morse, Phys. Rev. 34, 57 (1929)), ≥ 0."""
    return depth * (1.0 - xp.exp(-steepness * (q - length))) ** 2


def _morse_derivatives(xp: Any, q: Array, depth: Array, steepness: Array, length: Array) -> Derivatives:
    stretch = q - length
    decay = xp.exp(-steepness * stretch)
    # dU/d(steepness · stretch).
    slope = 2.0 * depth * (1.0 - decay) * decay
    return (slope * steepness,), ((1.0 - decay) ** 2, slope * stretch, -slope * steepness)


def periodic_torsion(xp: Any, q: tuple[Array, Array], k: Array, phase: Array, periodicity: Array) -> Array:
    """Return U = k (1 + cos(nφ - phase)), n the periodicity (OpenMM User Guide, "PeriodicTorsionForce")."""
    cos_n, sin_n = _multiple_angle(xp, q, periodicity)
    return k * (1.0 + cos_n * xp.cos(phase) + sin_n * xp.sin(phase))


def _periodic_torsion_derivatives(
    xp: Any, q: tuple[Array, Array], k: Array, phase: Array, periodicity: Array
) -> Derivatives:
    cos_n, sin_n = _multiple_angle(xp, q, periodicity)
    cosine = cos_n * xp.cos(phase) + sin_n * xp.sin(phase)
    sine = sin_n * xp.cos(phase) - cos_n * xp.sin(phase)
    return (-periodicity * k * sine,), (1.0 + cosine, k * sine, xp.zeros_like(cosine))


_PERIODICITY_BITS = 4
HIGHEST_PERIODICITY = 2**_PERIODICITY_BITS - 1
"""The highest periodicity that the array engines evaluate; a potential of a bundle with a higher one is refused."""


def _multiple_angle(xp: Any, q: tuple[Array, Array], n: Array) -> tuple[Array, Array]:
    """Return (cos nφ, sin nφ) from (cos φ, sin φ): the n-th power of the complex number, by repeated squaring.

    NaN where n is not a whole number from 0 to :data:`HIGHEST_PERIODICITY`: values that come in through a traced
    table cannot be checked beforehand.
    """
    known = (n == xp.floor(n)) & (n >= 0) & (n <= HIGHEST_PERIODICITY)
    real, imaginary = xp.where(known, xp.ones_like(n), xp.nan) + 0 * q[0], 0 * q[1]
    a, b = q
    for bit in range(_PERIODICITY_BITS):
        if bit:
            a, b = a * a - b * b, 2 * a * b
        set_ = xp.floor(n / 2**bit) % 2 == 1
        real, imaginary = (
            xp.where(set_, real * a - imaginary * b, real),
            xp.where(set_, real * b + imaginary * a, imaginary),
        )
    return real, imaginary


def ryckaert_bellemans(xp: Any, q: tuple[Array, Array], *coefficients: Array) -> Array:
    """Return U = Σ c_n cosⁿψ, ψ = φ - π, n from 0 to 5 (OpenMM User Guide, "RBTorsionForce")."""
    return _polynomial(-q[0], coefficients)


def _ryckaert_bellemans_derivatives(xp: Any, q: tuple[Array, Array], *coefficients: Array) -> Derivatives:
    cosine, sine = q
    powers = [xp.ones_like(cosine)]
    for _ in coefficients[1:]:
        powers.append(-cosine * powers[-1])
    slope = _polynomial(-cosine, [n * c for n, c in enumerate(coefficients)][1:])
    # cos ψ = -cos φ, so its derivative to φ is sin φ.
    return (slope * sine,), tuple(powers)


def _polynomial(x: Array, coefficients: Sequence[Array]) -> Array:
    """Return Σ c_n xⁿ, by Horner's rule."""
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


BONDED = {
    "harmonic_bond": BondedForm(harmonic, _harmonic_derivatives),
    "morse": BondedForm(morse, _morse_derivatives),
    "urey_bradley": BondedForm(harmonic, _harmonic_derivatives),
    "harmonic_angle": BondedForm(harmonic, _harmonic_derivatives),
    "periodic_torsion": BondedForm(periodic_torsion, _periodic_torsion_derivatives),
    "ryckaert_bellemans": BondedForm(ryckaert_bellemans, _ryckaert_bellemans_derivatives),
}
"""The bonded forms by their name in the standard."""
