"""Internal coordinates in one lane, and the pullback of dU/dq to the atoms.

What they are, and where they have no direction, is that of :mod:`ffbridge.energy.geometry`, operation by operation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ffbridge_backends.engines.native.compiled.arctangent import arctangent
from ffbridge_backends.engines.native.compiled.lanes import add, case, generic, inlined

__all__ = [
    "KINDS",
    "Angle",
    "Both",
    "Dihedral",
    "Distance",
    "add_to_atoms",
    "corners",
    "measure",
    "n_ends",
    "pull_back",
]


_ROUNDING = (4 * float(np.finfo(np.float64).eps)) ** 2
"""Vectors a and b are parallel, but for rounding, where |a × b|² is at most this times |a|² |b|²."""


class Distance(NamedTuple):
    """r = |x0 - x1|, of the atoms at these places in a row."""

    places: tuple[int, int]


class Angle(NamedTuple):
    """The angle at the second atom."""

    places: tuple[int, int, int]


class Dihedral(NamedTuple):
    """The dihedral about the middle bond, as its cosine and sine."""

    places: tuple[int, int, int, int]


class Both(NamedTuple):
    """Two coordinates, each of which may be two again."""

    first: Any
    second: Any


@generic
def n_ends(coordinate: Any) -> Any:
    """Return the atoms of all coordinates, each counted as often as it occurs: a constant."""


@generic
def corners(coordinate: Any, x: Any, atoms: Any, row: Any, size: Any) -> Any:
    """Return positions of the atoms, flat ``(size,)`` each, of a block of positions and a row that begins at `row`."""


@generic
def measure(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    """Return the coordinate in lane c of corners of the width w, and what the pullback needs."""


@generic
def pull_back(coordinate: Any, state: Any, weight: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """Write weight · dU/dx of each end to ``out[c]``, ``out[c + w]``, … from dU/dq."""


@generic
def add_to_atoms(coordinate: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> Any:
    """Add what stands from `start` on, ``size`` numbers for each end, to a block of dL/dx."""


@case(n_ends, Distance)
def _two_ends(coordinate: Any) -> Any:
    return 2


@case(n_ends, Angle)
def _three_ends(coordinate: Any) -> Any:
    return 3


@case(n_ends, Dihedral)
def _four_ends(coordinate: Any) -> Any:
    return 4


@case(n_ends, Both)
def _all_ends(coordinate: Any) -> Any:
    return n_ends(coordinate.first) + n_ends(coordinate.second)


@inlined
def _corner(x: Any, atom: Any, size: Any) -> Any:
    return x[size * atom : size * atom + size]


@case(corners, Distance)
def _two_corners(coordinate: Any, x: Any, atoms: Any, row: Any, size: Any) -> Any:
    i, j = coordinate.places
    return _corner(x, atoms[row + i], size), _corner(x, atoms[row + j], size)


@case(corners, Angle)
def _three_corners(coordinate: Any, x: Any, atoms: Any, row: Any, size: Any) -> Any:
    i, j, k = coordinate.places
    return _corner(x, atoms[row + i], size), _corner(x, atoms[row + j], size), _corner(x, atoms[row + k], size)


@case(corners, Dihedral)
def _four_corners(coordinate: Any, x: Any, atoms: Any, row: Any, size: Any) -> Any:
    i, j, k, m = coordinate.places
    first, last = _corner(x, atoms[row + i], size), _corner(x, atoms[row + m], size)
    return first, _corner(x, atoms[row + j], size), _corner(x, atoms[row + k], size), last


@case(corners, Both)
def _both_corners(coordinate: Any, x: Any, atoms: Any, row: Any, size: Any) -> Any:
    return corners(coordinate.first, x, atoms, row, size), corners(coordinate.second, x, atoms, row, size)


@inlined
def _add_each(places: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> None:
    for end in range(len(places)):
        add(_corner(onto, atoms[row + places[end]], size), out, start + size * end, size)


@case(add_to_atoms, Distance)
def _add_two(coordinate: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> Any:
    _add_each(coordinate.places, onto, atoms, row, out, start, size)


@case(add_to_atoms, Angle)
def _add_three(coordinate: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> Any:
    _add_each(coordinate.places, onto, atoms, row, out, start, size)


@case(add_to_atoms, Dihedral)
def _add_four(coordinate: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> Any:
    _add_each(coordinate.places, onto, atoms, row, out, start, size)


@case(add_to_atoms, Both)
def _add_both(coordinate: Any, onto: Any, atoms: Any, row: Any, out: Any, start: Any, size: Any) -> Any:
    add_to_atoms(coordinate.first, onto, atoms, row, out, start, size)
    add_to_atoms(coordinate.second, onto, atoms, row, out, start + size * n_ends(coordinate.first), size)


@case(measure, Both)
def _both(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    q, state = measure(coordinate.first, at[0], w, c)
    other_q, other_state = measure(coordinate.second, at[1], w, c)
    return (q, other_q), (state, other_state)


@case(pull_back, Both)
def _both_pullback(coordinate: Any, state: Any, weight: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    pull_back(coordinate.first, state[0], weight, slope[0], out, w, c)
    pull_back(coordinate.second, state[1], weight, slope[1], out, w, c + 3 * n_ends(coordinate.first) * w)


@case(measure, Distance)
def _distance(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q = at
    x, y, z = p[c] - q[c], p[w + c] - q[w + c], p[2 * w + c] - q[2 * w + c]
    r = math.sqrt(x * x + y * y + z * z)
    return r, (x, y, z, r)


@case(pull_back, Distance)
def _distance_pullback(coordinate: Any, state: Any, weight: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    x, y, z, r = state
    scale = weight * slope / r if r != 0 else 0.0
    x, y, z = scale * x, scale * y, scale * z
    out[c], out[c + w], out[c + 2 * w] = x, y, z
    out[c + 3 * w], out[c + 4 * w], out[c + 5 * w] = -x, -y, -z


@case(measure, Angle)
def _angle(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q, s = at
    ux, uy, uz = p[c] - q[c], p[w + c] - q[w + c], p[2 * w + c] - q[2 * w + c]
    vx, vy, vz = s[c] - q[c], s[w + c] - q[w + c], s[2 * w + c] - q[2 * w + c]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
    square, cosine = nx * nx + ny * ny + nz * nz, ux * vx + uy * vy + uz * vz
    sine = math.sqrt(square) if square > _ROUNDING * uu * vv else 0.0
    return arctangent(sine, cosine), (ux, uy, uz, vx, vy, vz, nx, ny, nz, uu * sine, vv * sine)


@case(pull_back, Angle)
def _angle_pullback(coordinate: Any, state: Any, weight: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """Each end moves the angle when it moves at right angles to its arm, in the plane of the three atoms."""
    ux, uy, uz, vx, vy, vz, nx, ny, nz, uu_sine, vv_sine = state
    slope *= weight
    first = slope / uu_sine if uu_sine != 0 else 0.0
    last = slope / vv_sine if vv_sine != 0 else 0.0
    fx, fy, fz = first * (uy * nz - uz * ny), first * (uz * nx - ux * nz), first * (ux * ny - uy * nx)
    lx, ly, lz = last * (ny * vz - nz * vy), last * (nz * vx - nx * vz), last * (nx * vy - ny * vx)
    out[c], out[c + w], out[c + 2 * w] = fx, fy, fz
    out[c + 3 * w], out[c + 4 * w], out[c + 5 * w] = -fx - lx, -fy - ly, -fz - lz
    out[c + 6 * w], out[c + 7 * w], out[c + 8 * w] = lx, ly, lz


@case(measure, Dihedral)
def _dihedral(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q, s, t = at
    ax, ay, az = q[c] - p[c], q[w + c] - p[w + c], q[2 * w + c] - p[2 * w + c]
    bx, by, bz = s[c] - q[c], s[w + c] - q[w + c], s[2 * w + c] - q[2 * w + c]
    dx, dy, dz = t[c] - s[c], t[w + c] - s[w + c], t[2 * w + c] - s[2 * w + c]
    mx, my, mz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    nx, ny, nz = by * dz - bz * dy, bz * dx - bx * dz, bx * dy - by * dx
    mm, nn = mx * mx + my * my + mz * mz, nx * nx + ny * ny + nz * nz
    aa, bb, dd = ax * ax + ay * ay + az * az, bx * bx + by * by + bz * bz, dx * dx + dy * dy + dz * dz
    length = math.sqrt(bb)
    x, y = mx * nx + my * ny + mz * nz, length * (ax * nx + ay * ny + az * nz)
    square = x * x + y * y
    defined = (mm > _ROUNDING * aa * bb) & (nn > _ROUNDING * bb * dd) & (square > 0)
    scale = 1.0 / math.sqrt(square if defined else 1.0)
    along, across = ax * bx + ay * by + az * bz, dx * bx + dy * by + dz * bz
    first, last = length / mm if defined else 0.0, length / nn if defined else 0.0
    state = (mx, my, mz, nx, ny, nz, first, last, bb, along, across)
    return (x * scale if defined else 1.0, y * scale if defined else 0.0), state


@case(pull_back, Dihedral)
def _dihedral_pullback(coordinate: Any, state: Any, weight: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """After A. Blondel and M. Karplus, J. Comput. Chem. 17, 1132 (1996), Eq. 27."""
    mx, my, mz, nx, ny, nz, first, last, square, along, across = state
    slope *= weight
    first, last = -slope * first, slope * last
    before = along / square if square != 0 else 0.0
    after = across / square if square != 0 else 0.0
    fx, fy, fz = first * mx, first * my, first * mz
    lx, ly, lz = last * nx, last * ny, last * nz
    tx, ty, tz = before * fx - after * lx, before * fy - after * ly, before * fz - after * lz
    out[c], out[c + w], out[c + 2 * w] = fx, fy, fz
    out[c + 3 * w], out[c + 4 * w], out[c + 5 * w] = -fx - tx, -fy - ty, -fz - tz
    out[c + 6 * w], out[c + 7 * w], out[c + 8 * w] = tx - lx, ty - ly, tz - lz
    out[c + 9 * w], out[c + 10 * w], out[c + 11 * w] = lx, ly, lz


KINDS: dict[str, type[Any]] = {"distance": Distance, "angle": Angle, "dihedral": Dihedral}
"""The coordinates by the name that a form of the standard states."""
