"""Derivatives by differences, with how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Difference", "difference"]

Floats = np.ndarray[Any, Any]


class Difference(NamedTuple):
    """A derivative along a direction.

    Attributes:
        value: from central differences at two steps, extrapolated.
        uncertainty: how much the two differ: near a geometry at which derivatives grow without bound it is large.
    """

    value: Floats
    uncertainty: float


def difference(function: Callable[[float], Floats], step: float) -> Difference:
    """Return df/ds at s = 0 of a function that returns any number of values."""
    wide, narrow = ((function(s) - function(-s)) / (2 * s) for s in (step, step / 2))
    return Difference(np.asarray((4 * narrow - wide) / 3), float(np.abs(narrow - wide).max(initial=0.0)))
