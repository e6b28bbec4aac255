"""Internal coordinates in one lane, and the pullback of dU/dq to the atoms.

What they are, and where they have no direction, is that of :mod:`ffbridge.energy.geometry`, operation by operation.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ffbridge_backends.engines.native.compiled.lanes import case

__all__ = ["Angle", "Dihedral", "Distance", "arity", "corners", "measure", "pull_back"]


class Distance(NamedTuple):
    """r = |x0 - x1|."""

    arity: int = 2


class Angle(NamedTuple):
    """The angle at the second atom."""

    arity: int = 3


class Dihedral(NamedTuple):
    """The dihedral about the middle bond, as its cosine and sine."""

    arity: int = 4


def arity(coordinate: Any) -> Any:
    """Return the number of atoms, a constant."""
    raise NotImplementedError


def corners(coordinate: Any, x: Any, atoms: Any, first: Any, size: Any) -> Any:
    """Return the positions of the atoms ``atoms[first:]`` of a block, flat ``(size,)`` each."""
    raise NotImplementedError


def measure(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    """Return the coordinate in lane c of corners of the width w, and what the pullback needs."""
    raise NotImplementedError


def pull_back(coordinate: Any, state: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """Write dU/dx of each atom to lane c of ``out (3 * arity, w)``, flat, from dU/dq."""
    raise NotImplementedError


@case(arity, Distance)
def _two(coordinate: Any) -> Any:
    return 2


@case(arity, Angle)
def _three(coordinate: Any) -> Any:
    return 3


@case(arity, Dihedral)
def _four(coordinate: Any) -> Any:
    return 4


@case(corners, Distance)
def _two_corners(coordinate: Any, x: Any, atoms: Any, first: Any, size: Any) -> Any:
    i, j = size * atoms[first], size * atoms[first + 1]
    return x[i : i + size], x[j : j + size]


@case(corners, Angle)
def _three_corners(coordinate: Any, x: Any, atoms: Any, first: Any, size: Any) -> Any:
    i, j, k = size * atoms[first], size * atoms[first + 1], size * atoms[first + 2]
    return x[i : i + size], x[j : j + size], x[k : k + size]


@case(corners, Dihedral)
def _four_corners(coordinate: Any, x: Any, atoms: Any, first: Any, size: Any) -> Any:
    i, j = size * atoms[first], size * atoms[first + 1]
    k, m = size * atoms[first + 2], size * atoms[first + 3]
    return x[i : i + size], x[j : j + size], x[k : k + size], x[m : m + size]


@case(measure, Distance)
def _distance(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q = at
    x, y, z = p[c] - q[c], p[w + c] - q[w + c], p[2 * w + c] - q[2 * w + c]
    r = math.sqrt(x * x + y * y + z * z)
    return r, (x, y, z, r)


@case(pull_back, Distance)
def _distance_pullback(coordinate: Any, state: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    x, y, z, r = state
    scale = slope / r if r != 0 else 0.0
    x, y, z = scale * x, scale * y, scale * z
    out[c], out[w + c], out[2 * w + c] = x, y, z
    out[3 * w + c], out[4 * w + c], out[5 * w + c] = -x, -y, -z


@case(measure, Angle)
def _angle(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q, s = at
    ux, uy, uz = p[c] - q[c], p[w + c] - q[w + c], p[2 * w + c] - q[2 * w + c]
    vx, vy, vz = s[c] - q[c], s[w + c] - q[w + c], s[2 * w + c] - q[2 * w + c]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    sine, cosine = math.sqrt(nx * nx + ny * ny + nz * nz), ux * vx + uy * vy + uz * vz
    theta = math.atan2(sine, cosine if (sine != 0) | (cosine != 0) else 1.0)
    return theta, (ux, uy, uz, vx, vy, vz, nx, ny, nz, sine)


@case(pull_back, Angle)
def _angle_pullback(coordinate: Any, state: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """Each end moves the angle when it moves at right angles to its arm, in the plane of the three atoms."""
    ux, uy, uz, vx, vy, vz, nx, ny, nz, sine = state
    uu, vv = (ux * ux + uy * uy + uz * uz) * sine, (vx * vx + vy * vy + vz * vz) * sine
    first = slope / uu if uu != 0 else 0.0
    last = slope / vv if vv != 0 else 0.0
    fx, fy, fz = first * (uy * nz - uz * ny), first * (uz * nx - ux * nz), first * (ux * ny - uy * nx)
    lx, ly, lz = last * (ny * vz - nz * vy), last * (nz * vx - nx * vz), last * (nx * vy - ny * vx)
    out[c], out[w + c], out[2 * w + c] = fx, fy, fz
    out[3 * w + c], out[4 * w + c], out[5 * w + c] = -fx - lx, -fy - ly, -fz - lz
    out[6 * w + c], out[7 * w + c], out[8 * w + c] = lx, ly, lz


@case(measure, Dihedral)
def _dihedral(coordinate: Any, at: Any, w: Any, c: Any) -> Any:
    p, q, s, t = at
    ax, ay, az = q[c] - p[c], q[w + c] - p[w + c], q[2 * w + c] - p[2 * w + c]
    bx, by, bz = s[c] - q[c], s[w + c] - q[w + c], s[2 * w + c] - q[2 * w + c]
    dx, dy, dz = t[c] - s[c], t[w + c] - s[w + c], t[2 * w + c] - s[2 * w + c]
    mx, my, mz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    nx, ny, nz = by * dz - bz * dy, bz * dx - bx * dz, bx * dy - by * dx
    length = math.sqrt(bx * bx + by * by + bz * bz)
    x, y = mx * nx + my * ny + mz * nz, length * (ax * nx + ay * ny + az * nz)
    square = x * x + y * y
    defined = square > 0
    scale = 1.0 / math.sqrt(square if defined else 1.0)
    along, across = ax * bx + ay * by + az * bz, dx * bx + dy * by + dz * bz
    state = (mx, my, mz, nx, ny, nz, length, along, across)
    return (x * scale if defined else 1.0, y * scale if defined else 0.0), state


@case(pull_back, Dihedral)
def _dihedral_pullback(coordinate: Any, state: Any, slope: Any, out: Any, w: Any, c: Any) -> Any:
    """After A. Blondel and M. Karplus, J. Comput. Chem. 17, 1132 (1996), Eq. 27."""
    mx, my, mz, nx, ny, nz, length, along, across = state
    mm, nn, square = mx * mx + my * my + mz * mz, nx * nx + ny * ny + nz * nz, length * length
    first = -slope * length / mm if mm != 0 else 0.0
    last = slope * length / nn if nn != 0 else 0.0
    before = along / square if square != 0 else 0.0
    after = across / square if square != 0 else 0.0
    fx, fy, fz = first * mx, first * my, first * mz
    lx, ly, lz = last * nx, last * ny, last * nz
    tx, ty, tz = before * fx - after * lx, before * fy - after * ly, before * fz - after * lz
    out[c], out[w + c], out[2 * w + c] = fx, fy, fz
    out[3 * w + c], out[4 * w + c], out[5 * w + c] = -fx - tx, -fy - ty, -fz - tz
    out[6 * w + c], out[7 * w + c], out[8 * w + c] = tx - lx, ty - ly, tz - lz
    out[9 * w + c], out[10 * w + c], out[11 * w + c] = lx, ly, lz
