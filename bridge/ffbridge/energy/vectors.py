"""Vectors ``(n, 3, n_conformers)``, and scalars ``(n, n_conformers)``, without NaN where a vector has no direction."""

from __future__ import annotations

from typing import Any

from ffbridge.backend import Array

__all__ = ["cross", "dot", "norm", "over"]


def dot(xp: Any, a: Array, b: Array) -> Array:
    """Return a · b."""
    return xp.sum(a * b, axis=1)


def cross(xp: Any, a: Array, b: Array) -> Array:
    """Return a × b."""
    return xp.linalg.cross(a, b, axis=-2)


def norm(xp: Any, vector: Array) -> Array:
    """Return |vector|, whose derivative at zero is zero instead of NaN."""
    square = dot(xp, vector, vector)
    positive = square > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, square, 1.0)), 0.0)


def over(xp: Any, numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator, and 0 where the denominator is 0."""
    nonzero = denominator != 0
    return xp.where(nonzero, numerator / xp.where(nonzero, denominator, 1.0), 0.0)
