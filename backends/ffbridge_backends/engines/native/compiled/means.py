"""Means, compiled: how one parameter of a pair follows from variables of its atoms.

A mean is a NamedTuple, with a case of `mean` and of `slope_of_mean`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ffbridge_backends.engines.native.compiled.lanes import case, compiled, generic

__all__ = ["COLUMNS", "Bilinear", "Harmonic", "mean", "slope_of_mean", "variables", "variables_pullback"]

COLUMNS = 3
"""Columns that every nonbonded form has in the loop."""


@compiled
def variables(rooted: tuple[bool, ...], columns: Any) -> Any:
    """Return variables of atoms, ``(n_rows, COLUMNS)``, of their parameters: the root of those that say so.

    Args:
        rooted: for each column, whether its variable is the root, which is 0 where there is none; else it is the
            parameter itself.
        columns: ``(n_rows, n_columns)``; columns that a form does not have are 0 in the result.
    """
    found = np.zeros((len(columns), COLUMNS))
    for column in range(len(rooted)):
        for row in range(len(columns)):
            value = columns[row, column]
            found[row, column] = (math.sqrt(value) if value > 0 else 0.0) if rooted[column] else value
    return found


@compiled
def variables_pullback(rooted: tuple[bool, ...], columns: Any, slopes: Any) -> Any:
    """Return dL/d parameters ``(n_rows, n_columns)``, from dL/d variables; the root at 0 has none."""
    found = np.empty(columns.shape)
    for column in range(len(rooted)):
        for row in range(len(columns)):
            value, slope = columns[row, column], slopes[row, column]
            if rooted[column]:
                slope = 0.5 * slope / math.sqrt(value) if value > 0 else 0.0
            found[row, column] = slope
    return found


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
