"""Vectors ``(3, n, n_conformers)``, and scalars ``(n, n_conformers)``, without NaN where a vector has no direction.

A vector on the way to a scalar is best left as its three components: arrays that are joined from components and taken
apart again cost a copy in an array library, and XLA computes what it joins anew for each use.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ffbridge.backend import Array

__all__ = [
    "Components",
    "are_across",
    "components",
    "cross",
    "cross_components",
    "dot",
    "norm",
    "over",
    "root",
    "safe_distances",
]

Components: TypeAlias = tuple[Array, Array, Array]


def components(vector: Array | Components) -> Components:
    """Return x, y and z, ``(n, n_conformers)`` each."""
    return vector if isinstance(vector, tuple) else (vector[0, ...], vector[1, ...], vector[2, ...])


def dot(xp: Any, a: Array | Components, b: Array | Components) -> Array:
    """Return a · b, written out: a sum over the first axis is five times as slow under XLA."""
    (ax, ay, az), (bx, by, bz) = components(a), components(b)
    return ax * bx + ay * by + az * bz


def cross_components(a: Array | Components, b: Array | Components) -> Components:
    """Return a × b, exactly 0 if a = ±b, which fused multiplications and additions of a library's own would not be."""
    (ax, ay, az), (bx, by, bz) = components(a), components(b)
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def cross(xp: Any, a: Array | Components, b: Array | Components) -> Array:
    """Return a × b as one array."""
    return xp.stack(cross_components(a, b))


def are_across(xp: Any, normal_square: Array, along: Array) -> Array:
    """Return where a and b are not parallel but for rounding, |a × b| > 4 ε |a · b|, from |a × b|² and a · b."""
    return normal_square > (4 * xp.finfo(along.dtype).eps * along) ** 2


def norm(xp: Any, vector: Array) -> Array:
    """Return |vector|, whose derivative at zero is zero instead of NaN."""
    return root(xp, dot(xp, vector, vector))


def root(xp: Any, square: Array) -> Array:
    """Return √square, whose derivative at zero is zero instead of infinite."""
    positive = square > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, square, 1.0)), 0.0)


def over(xp: Any, numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator, and 0 where the denominator is 0."""
    nonzero = denominator != 0
    return xp.where(nonzero, numerator / xp.where(nonzero, denominator, 1.0), 0.0)


def safe_distances(xp: Any, r: Array) -> tuple[Array, Array]:
    """Return where atoms are apart, and their distances, with 1 where they are not."""
    apart = r > 0
    return apart, xp.where(apart, r, 1.0)
