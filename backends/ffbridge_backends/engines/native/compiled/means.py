"""Means, compiled: how one parameter of a pair follows from variables of its atoms.

A mean is a NamedTuple, with a case of `mean` and of `slope_of_mean`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ffbridge_backends.engines.native.compiled.lanes import case, generic

__all__ = ["Bilinear", "Harmonic", "mean", "slope_of_mean"]


@generic
def mean(kind: Any, a: Any, b: Any) -> Any:
    """Return the mean of the variables of two atoms."""


@generic
def slope_of_mean(kind: Any, a: Any, b: Any) -> Any:
    """Return the derivative of the mean with respect to a."""


class Bilinear(NamedTuple):
    """half · (a + b) + factor · a b: the arithmetic mean and products, by one loop without branches."""

    half: float = 0.0
    factor: float = 0.0


@case(mean, Bilinear)
def _bilinear(kind: Any, a: Any, b: Any) -> Any:
    return kind.half * (a + b) + kind.factor * (a * b)


@case(slope_of_mean, Bilinear)
def _bilinear_slope(kind: Any, a: Any, b: Any) -> Any:
    return kind.half + kind.factor * b


class Harmonic(NamedTuple):
    """2 a b/(a + b), and 0 where the sum is 0."""

    n_variables: int = 2


@case(mean, Harmonic)
def _harmonic(kind: Any, a: Any, b: Any) -> Any:
    total = a + b
    return 2.0 * a * b / (total if total != 0 else 1.0) if total != 0 else 0.0


@case(slope_of_mean, Harmonic)
def _harmonic_slope(kind: Any, a: Any, b: Any) -> Any:
    total = a + b
    share = b / (total if total != 0 else 1.0) if total != 0 else 0.0
    return 2.0 * share * share
