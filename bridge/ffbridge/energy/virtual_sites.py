"""Virtual sites: where particles are that their parents place, and the pullback to the parents and to the geometry.

A site's geometry is a row of parameters, as an interaction's are: one array ``(n, 1)`` for each column. Positions are
one array ``(3, n, n_conformers)`` for each parent. A vector of length 0 has the direction 0, and so is the derivative
of that direction: no NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.vectors import are_across, cross, dot, norm, over, root

__all__ = ["SITES", "SiteForm", "local_coordinates", "out_of_plane", "two_particle"]

Settings = Mapping[str, Any]
Pullback = tuple[list[Array], tuple[Array, ...]]

_WEIGHTS = ("origin_weights", "x_weights", "y_weights")


@dataclass(frozen=True)
class SiteForm:
    """The formula of a form of virtual sites.

    Attributes:
        position: ``(xp, settings, parents, geometry) -> position``, ``(3, n, n_conformers)`` [nm].
        pullback: ``(xp, gradient, settings, parents, geometry) -> (dU/dx of each parent, (dU/dp, …))`` from dU/dx of
            the site; dU/dp is ``(n, n_conformers)``, one for each column.
    """

    position: Callable[..., Array]
    pullback: Callable[..., Pullback]


def two_particle(xp: Any, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]) -> Array:
    """Return x1 + weight u + distance û, u = x2 - x1 (OpenMM's TwoParticleAverageSite, if the distance is 0)."""
    u, (weight, distance) = parents[1] - parents[0], geometry
    return parents[0] + weight * u + distance * over(xp, u, norm(xp, u))


def _two_particle_pullback(
    xp: Any, gradient: Array, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]
) -> Pullback:
    u, (weight, distance) = parents[1] - parents[0], geometry
    length = norm(xp, u)
    unit = over(xp, u, length)
    second = weight * gradient + _direction_pullback(xp, unit, length, distance * gradient)
    return [gradient - second, second], (dot(xp, u, gradient), dot(xp, unit, gradient))


def out_of_plane(xp: Any, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]) -> Array:
    """Return x1 + weight_12 u + weight_13 v + weight_cross u × v, u = x2 - x1, v = x3 - x1 (OutOfPlaneSite)."""
    u, v = parents[1] - parents[0], parents[2] - parents[0]
    weight_12, weight_13, weight_cross = geometry
    return parents[0] + weight_12 * u + weight_13 * v + weight_cross * cross(xp, u, v)


def _out_of_plane_pullback(
    xp: Any, gradient: Array, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]
) -> Pullback:
    """By g · (u × v) = u · (v × g) = v · (g × u)."""
    u, v = parents[1] - parents[0], parents[2] - parents[0]
    weight_12, weight_13, weight_cross = geometry
    second = weight_12 * gradient + weight_cross * cross(xp, v, gradient)
    third = weight_13 * gradient + weight_cross * cross(xp, gradient, u)
    du_dp = dot(xp, u, gradient), dot(xp, v, gradient), dot(xp, cross(xp, u, v), gradient)
    return [gradient - second - third, second, third], du_dp


def local_coordinates(xp: Any, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]) -> Array:
    """Return o + x x̂ + y ŷ + z ẑ in the frame that weights of the parents define (OpenMM's LocalCoordinatesSite)."""
    frame, (x, y, z) = _frame(xp, settings, parents), geometry
    return frame.origin + x * frame.x + y * cross(xp, frame.z, frame.x) + z * frame.z


def _local_coordinates_pullback(
    xp: Any, gradient: Array, settings: Settings, parents: Sequence[Array], geometry: Sequence[Array]
) -> Pullback:
    """Through ŷ = ẑ × x̂, then the lengths, then z' = x' × y', each by a · (b × c) = b · (c × a) = c · (a × b)."""
    frame, (x, y, z) = _frame(xp, settings, parents), geometry
    on_y = y * gradient
    on_x = x * gradient + cross(xp, on_y, frame.z)
    on_z = z * gradient + cross(xp, frame.x, on_y)
    normal = _direction_pullback(xp, frame.z, frame.length_z, on_z)
    first = _direction_pullback(xp, frame.x, frame.length_x, on_x) + cross(xp, frame.second, normal)
    second = cross(xp, normal, frame.first)
    weights = zip(*(settings[name][1:] for name in _WEIGHTS), strict=True)
    others = [origin * gradient + along * first + other * second for origin, along, other in weights]
    du_dp = tuple(dot(xp, axis, gradient) for axis in (frame.x, cross(xp, frame.z, frame.x), frame.z))
    return [gradient - sum(others), *others], du_dp


@dataclass(frozen=True, eq=False)
class _Frame:
    """The origin; x' and y' as `first` and `second`; the directions x̂ and ẑ, and the lengths of x' and of x' × y'."""

    origin: Array
    first: Array
    second: Array
    x: Array
    z: Array
    length_x: Array
    length_z: Array


def _frame(xp: Any, settings: Settings, parents: Sequence[Array]) -> _Frame:
    # By differences from the first parent a frame moves with its parents to the last digit, and parents that coincide
    # have no direction instead of that of rounding errors. The first weights follow from the sums of all.
    differences = [parent - parents[0] for parent in parents[1:]]
    of_origin, first, second = (
        sum(weight * each for weight, each in zip(settings[name][1:], differences, strict=True)) for name in _WEIGHTS
    )
    normal = cross(xp, first, second)
    square, normal_square = dot(xp, first, first), dot(xp, normal, normal)
    across = are_across(xp, normal_square, dot(xp, first, second))
    lengths = root(xp, square), root(xp, xp.where(across, normal_square, 0.0))
    x, z = (over(xp, vector, length) for vector, length in zip((first, normal), lengths, strict=True))
    return _Frame(parents[0] + of_origin, first, second, x, z, *lengths)


def _direction_pullback(xp: Any, unit: Array, length: Array, gradient: Array) -> Array:
    """Return dU/dv from dU/dv̂: v̂ turns when v moves at right angles to itself."""
    across = gradient - dot(xp, unit, gradient) * unit
    return over(xp, across, length)


_LOCAL_COORDINATES = SiteForm(local_coordinates, _local_coordinates_pullback)

SITES = {
    "two_particle_site": SiteForm(two_particle, _two_particle_pullback),
    "out_of_plane_site": SiteForm(out_of_plane, _out_of_plane_pullback),
    "local_coordinates_3_site": _LOCAL_COORDINATES,
    "local_coordinates_4_site": _LOCAL_COORDINATES,
}
"""The forms of virtual sites by their names in the standard."""
