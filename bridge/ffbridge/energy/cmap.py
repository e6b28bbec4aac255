"""Correction maps: an energy on a grid of two dihedrals, with a periodic bicubic spline between the grid's points.

The spline of a map E is S(φ, ψ) = Σ E_ab w_a(φ) w_b(ψ), where w_a is the periodic cubic spline that is 1 at point a of
a grid of one angle and 0 at the others. With B the cubic B-spline of unit spacing and φ in units of the spacing,
w_a(φ) = Σ_m C_am B(φ - m), C the inverse of the circulant matrix of B at whole numbers, (…, 1/6, 4/6, 1/6, …).
So energies are linear in the map. (M. Unser, IEEE Signal Process. Mag. 16, 22 (1999).)
"""

from __future__ import annotations

from functools import cache
from math import pi, sqrt
from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.bonded_form import BondedForm, Derivatives
from ffbridge.registry import backend_of

__all__ = ["CMAP", "cmap"]

Dihedral = tuple[Array, Array]


def cmap(xp: Any, phi: Dihedral, psi: Dihedral, energy: Array, *, size: int) -> Array:
    """Return U = S(φ, ψ), the periodic bicubic spline through the map (OpenMM User Guide, "CMAPTorsionForce").

    Args:
        xp: the arrays' namespace.
        phi: (cos φ, sin φ).
        psi: (cos ψ, sin ψ).
        energy: ``(n, size, size)``, at φ = 2πa/size and ψ = 2πb/size.
        size: points of the grid along each angle.
    """
    return xp.sum(_weights(xp, phi, energy) * xp.matmul(energy, _weights(xp, psi, energy)), axis=1)


def _cmap_derivatives(xp: Any, phi: Dihedral, psi: Dihedral, energy: Array, *, size: int) -> Derivatives:
    w_phi, w_psi = _weights(xp, phi, energy), _weights(xp, psi, energy)
    by_phi = xp.matmul(energy, w_psi)
    du_dphi = xp.sum(_slopes(xp, phi, energy) * by_phi, axis=1)
    du_dpsi = xp.sum(w_phi * xp.matmul(energy, _slopes(xp, psi, energy)), axis=1)
    both = w_phi[:, :, None, :] * w_psi[:, None, :, :]
    return xp.sum(w_phi * by_phi, axis=1), (du_dphi, du_dpsi), (xp.reshape(both, (-1, size**2, both.shape[3])),)


def _weights(xp: Any, q: Dihedral, energy: Array) -> Array:
    """Return w_a(φ), ``(n, size, n_conformers)``."""
    distance, _ = _distances(xp, q, energy)
    near, far = xp.clip(1.0 - distance, min=0.0), xp.clip(2.0 - distance, min=0.0)
    return xp.matmul(_interpolation(xp, energy), far**3 / 6.0 - 2.0 / 3.0 * near**3)


def _slopes(xp: Any, q: Dihedral, energy: Array) -> Array:
    """Return dw_a/dφ, ``(n, size, n_conformers)``."""
    distance, side = _distances(xp, q, energy)
    near, far = xp.clip(1.0 - distance, min=0.0), xp.clip(2.0 - distance, min=0.0)
    steps_per_radian = energy.shape[1] / (2.0 * pi)
    return xp.matmul(_interpolation(xp, energy), steps_per_radian * side * (2.0 * near**2 - 0.5 * far**2))


def _distances(xp: Any, q: Dihedral, energy: Array) -> tuple[Array, Array]:
    """Return how far φ is from each point of the grid, in steps and around the circle, and on which side, ±1.

    The absolute value is a product with the side: of |s|, autodiff has the second derivative of s² wrong at s = 0.
    """
    size = energy.shape[1]
    steps = xp.atan2(q[1], q[0])[:, None, :] * (size / (2.0 * pi))
    points = xp.arange(size, dtype=energy.dtype, **backend_of(energy).beside(energy))
    s = steps - points[:, None]
    s = s - size * xp.round(s / size)
    side = xp.where(s >= 0, xp.ones_like(s), -1.0)
    return s * side, side


def _interpolation(xp: Any, energy: Array) -> Array:
    """Return C, ``(size, size)``."""
    return xp.asarray(_inverse(energy.shape[1]), dtype=energy.dtype, **backend_of(energy).beside(energy))


@cache
def _inverse(size: int) -> list[list[float]]:
    """Return the inverse of the circulant matrix (…, 1/6, 4/6, 1/6, …).

    Without a period it is √3 z^|a - m| with z = √3 - 2, the root of z + 4 + 1/z inside the unit circle; images at all
    multiples of the size add up to √3 (z^d + z^(size - d)) / (1 - z^size), d the distance of a and m.
    """
    z = sqrt(3.0) - 2.0
    row = [sqrt(3.0) * (z**d + z ** (size - d)) / (1.0 - z**size) for d in range(size)]
    return [[row[abs(a - m)] for m in range(size)] for a in range(size)]


CMAP = BondedForm(cmap, _cmap_derivatives)
"""The form ``cmap``."""
