"""Priors: how far parameters may move, each in units of its own scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import TargetError
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.targets.arrays import beside
from ffbridge.trainable import Trainable

__all__ = ["Prior"]


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian prior of each parameter: the loss is Σ ((v - center) / width)².

    Attributes:
        center: ``(n,)``, in each parameter's unit.
        width: ``(n,)``, more than 0: a parameter that has moved by its width adds 1 to the loss.
    """

    center: NDArray[np.float64]
    width: NDArray[np.float64]

    @classmethod
    def of(cls, chosen: Trainable, widths: Mapping[str, Mapping[str, float]]) -> Prior:
        """Return the prior about the initial values of selected parameters.

        Args:
            chosen: what :func:`ffbridge.trainable` returned.
            widths: by table and column, in the column's unit, such as ``{"bonds": {"k": 5e4, "length": 0.005}}``.

        Raises:
            TargetError: a column has no width, or one that is not more than 0.
        """
        found = []
        for each in chosen.parameters:
            width = widths.get(each.table, {}).get(each.column)
            if width is None or not width > 0:
                got = "none" if width is None else repr(width)
                raise TargetError(
                    f"prior: the width of tables/{each.table}/{each.column} is {got}, expected a number more than 0 "
                    "in the column's unit"
                )
            found.append(width)
        return cls(np.asarray(snapshot(chosen.initial), dtype=np.float64), np.array(found, dtype=np.float64))

    def residuals(self, vector: Array) -> Array:
        """Return (v - center) / width, ``(n,)``, of any framework; derivatives flow through it."""
        if tuple(vector.shape) != self.center.shape:
            raise TargetError(f"prior: got a vector of shape {tuple(vector.shape)}, expected {self.center.shape}")
        return (vector - beside(vector, self.center)) / beside(vector, self.width)

    def __call__(self, vector: Array) -> Array:
        """Return the loss, without axes."""
        residuals = self.residuals(vector)
        return backend_of(vector).namespace.sum(residuals**2)
