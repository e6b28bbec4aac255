"""Internal coordinates: distance, angle and dihedral, and the pullback of an energy's derivative to the atoms.

Arrays have the shapes ``corners``: one ``(3, n, n_conformers)`` array of positions for each atom of an interaction;
scalars ``(n, n_conformers)``. Where a coordinate has no direction (coincident atoms, a straight angle, a dihedral
about a straight angle, where straight means: but for rounding) its derivative is taken as zero, and automatic
differentiation of the forward pass gives the same: no NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.vectors import are_across, components, cross_components, dot, norm, over, root
from ffbridge.forms import InternalCoordinate

__all__ = ["COORDINATES", "Coordinate", "angle", "dihedral", "distance", "distance_gradient", "measure", "pull_back"]


def _same(q: Any, move: Any) -> Any:
    return move


@dataclass(frozen=True)
class Coordinate:
    """An internal coordinate.

    Attributes:
        forward: ``(xp, corners) -> (q, state)``: the coordinate as forms take it, and what the pullback needs.
        pullback: ``(xp, state, du_dq) -> gradients``: dU/dx of each corner from dU/dq, ``(3, n, n_conformers)`` each.
        tangent: ``(q, move) -> dq``: how q as forms take it moves with the distance or angle that dU/dq is about.
        rate: ``(q, dq) -> move``: the reverse; a tangent that is None does not move.
    """

    forward: Callable[[Any, Sequence[Array]], tuple[Any, Any]]
    pullback: Callable[[Any, Any, Array], list[Array]]
    tangent: Callable[[Any, Array], Any] = _same
    rate: Callable[[Any, Any], Array | None] = _same


def distance(xp: Any, corners: Sequence[Array]) -> tuple[Array, Any]:
    """Return r = |x0 - x1| [nm]."""
    between = corners[0] - corners[1]
    r = norm(xp, between)
    return r, (between, r)


def distance_gradient(xp: Any, state: Any, du_dr: Array) -> Array:
    """Return dU/dx of the first atom; that of the second is its negative."""
    between, r = state
    return over(xp, du_dr, r) * between


def _distance_pullback(xp: Any, state: Any, du_dr: Array) -> list[Array]:
    gradient = distance_gradient(xp, state, du_dr)
    return [gradient, -gradient]


def angle(xp: Any, corners: Sequence[Array]) -> tuple[Array, Any]:
    """Return the angle at the second atom [rad], by atan2(|u × v|, u · v): accurate at 0 and π, where acos is not."""
    u, v = corners[0] - corners[1], corners[2] - corners[1]
    normal, cosine = cross_components(u, v), dot(xp, u, v)
    square = dot(xp, normal, normal)
    bent = are_across(xp, square, cosine)
    sine = xp.where(bent, xp.sqrt(xp.where(bent, square, 1.0)), 0.0)
    undefined = (sine == 0) & (cosine == 0)
    return xp.atan2(sine, xp.where(undefined, 1.0, cosine)), (u, v, bent, sine, cosine)


def _angle_pullback(xp: Any, state: Any, du_dtheta: Array) -> list[Array]:
    """Each end moves the angle when it moves at right angles to its arm, in the plane of the three atoms.

    dθ/du = (u (u · v)/|u|² - v)/|u × v|, and the same for v.
    """
    u, v, bent, sine, cosine = state
    # What is divided by infinity is 0.
    sine, uu, vv = (xp.where(bent, each, float("inf")) for each in (sine, dot(xp, u, u), dot(xp, v, v)))
    slope = du_dtheta / sine
    along = slope * cosine
    first, last = (along / uu) * u - slope * v, (along / vv) * v - slope * u
    return [first, -first - last, last]


def dihedral(xp: Any, corners: Sequence[Array]) -> tuple[tuple[Array, Array], Any]:
    """Return (cos φ, sin φ) of the dihedral about the middle bond, IUPAC sign as in OpenMM; φ = 0 where undefined."""
    b1, b2, b3 = (components(end - start) for start, end in pairwise(corners))
    m, n, square = cross_components(b1, b2), cross_components(b2, b3), dot(xp, b2, b2)
    mm, nn, before, after = dot(xp, m, m), dot(xp, n, n), dot(xp, b1, b2), dot(xp, b3, b2)
    length = root(xp, square)
    x, y = dot(xp, m, n), length * dot(xp, b1, n)
    both = x * x + y * y
    defined = are_across(xp, mm, before) & are_across(xp, nn, after) & (both > 0)
    # What is divided by infinity is 0.
    safe, nn, square, both = (xp.where(defined, each, float("inf")) for each in (mm, nn, square, both))
    scale = 1.0 / xp.sqrt(both)
    q = xp.where(defined, x * scale, 1.0), y * scale
    return q, (m, n, length, safe, mm / nn, before / square, after / square)


def _dihedral_pullback(xp: Any, state: Any, du_dphi: Array) -> list[Array]:
    """After A. Blondel and M. Karplus, J. Comput. Chem. 17, 1132 (1996), Eq. 27."""
    m, n, length, mm, ratio, before, after = state
    # Division comes last: XLA computes a product anew for each use, here for x, y and z of both, a quotient once.
    of_m = du_dphi * length / mm
    slopes = (of_m, m), (of_m * ratio, n)
    first, last = (xp.stack([slope * each for each in vector]) for slope, vector in slopes)
    tilt = before * first + after * last
    return [-first, first + tilt, -tilt - last, last]


def _dihedral_tangent(q: tuple[Array, Array], move: Array) -> tuple[Array, Array]:
    """Return how (cos φ, sin φ) move with φ."""
    return -q[1] * move, q[0] * move


def _dihedral_rate(q: tuple[Array, Array], dq: tuple[Array | None, Array | None]) -> Array | None:
    """Return how φ moves with (cos φ, sin φ), which stay on the unit circle."""
    cosine, sine = dq
    along = None if sine is None else q[0] * sine
    if cosine is None:
        return along
    across = -q[1] * cosine
    return across if along is None else along + across


COORDINATES = {
    "distance": Coordinate(distance, _distance_pullback),
    "angle": Coordinate(angle, _angle_pullback),
    "dihedral": Coordinate(dihedral, _dihedral_pullback, _dihedral_tangent, _dihedral_rate),
}
"""The coordinates by the name that a form of the standard states."""


def measure(
    xp: Any, taken: Sequence[InternalCoordinate], corners: Sequence[Array]
) -> tuple[tuple[Any, ...], list[Any]]:
    """Return each coordinate as forms take it, and what its pullback needs.

    Args:
        xp: the arrays' namespace.
        taken: the coordinates.
        corners: positions of the atoms of a row, ``(3, n, n_conformers)`` each.
    """
    found = [COORDINATES[each.kind].forward(xp, [corners[place] for place in each.atoms]) for each in taken]
    return tuple(q for q, _ in found), [state for _, state in found]


def pull_back(
    xp: Any, taken: Sequence[InternalCoordinate], states: Sequence[Any], du_dq: Sequence[Array], arity: int
) -> list[Array]:
    """Return dU/dx of each atom of a row, ``(3, n, n_conformers)`` each, from dU/dq of each coordinate."""
    gradients: list[Array | None] = [None] * arity
    for each, state, slope in zip(taken, states, du_dq, strict=True):
        parts = COORDINATES[each.kind].pullback(xp, state, slope)
        for place, part in zip(each.atoms, parts, strict=True):
            known = gradients[place]
            gradients[place] = part if known is None else known + part
    return [gradient for gradient in gradients if gradient is not None]
