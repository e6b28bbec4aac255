"""Vectors ``(3, n, n_conformers)``, and scalars ``(n, n_conformers)``, without NaN where a vector has no direction."""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["are_across", "cross", "dot", "norm", "over", "root"]


def dot(xp: Any, a: Array, b: Array) -> Array:
    """Return a · b."""
    return xp.sum(a * b, axis=0)


def cross(xp: Any, a: Array, b: Array) -> Array:
    """Return a × b, exactly 0 if a = ±b, which fused multiplications and additions of a library's own would not be."""
    (ax, ay, az), (bx, by, bz) = ([vector[axis, ...] for axis in range(3)] for vector in (a, b))
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


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
