"""Vectors ``(3, n, n_conformers)``, and scalars ``(n, n_conformers)``, without NaN where a vector has no direction."""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["cross", "cross_square", "dot", "norm", "over", "root"]


def dot(xp: Any, a: Array, b: Array) -> Array:
    """Return a · b."""
    return xp.sum(a * b, axis=0)


def cross(xp: Any, a: Array, b: Array) -> Array:
    """Return a × b, exactly 0 if a = ±b, which fused multiplications and additions of a library's own would not be."""
    (ax, ay, az), (bx, by, bz) = ([vector[axis, ...] for axis in range(3)] for vector in (a, b))
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def cross_square(xp: Any, normal: Array, aa: Array, bb: Array) -> Array:
    """Return |a × b|² from a × b, a · a and b · b; 0 where a and b are parallel but for rounding: ≤ (4 ε |a| |b|)²."""
    square = dot(xp, normal, normal)
    return xp.where(square > (4 * xp.finfo(square.dtype).eps) ** 2 * aa * bb, square, 0.0)


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
