"""Predictions of a model beside the reference, before and after a fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.snapshot import snapshot
from ffbridge.targets.objective import Objective
from ffbridge.targets.target import Target

__all__ = ["Error", "Series", "errors", "measured"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """One quantity of one target, before and after.

    Attributes:
        part: of the targets: ``training`` or ``validation``.
        target: the target.
        quantity: its name.
        unit: of all numbers.
        relaxed: whether at geometries that each model relaxed itself.
        reference: ``(n,)``.
        before: ``(n,)``.
        after: ``(n,)``.
    """

    part: str
    target: Target
    quantity: str
    unit: str
    relaxed: bool
    reference: Floats
    before: Floats
    after: Floats


@dataclass(frozen=True)
class Error:
    """The root mean square error of one quantity of all targets of a kind.

    Attributes:
        part: of the targets: ``training`` or ``validation``.
        kind: of the targets.
        quantity: its name.
        unit: of both errors.
        relaxed: whether at geometries that each model relaxed itself.
        n: how many numbers.
        before: with the model as it was.
        after: with the fitted one.
    """

    part: str
    kind: str
    quantity: str
    unit: str
    relaxed: bool
    n: int
    before: float
    after: float

    @property
    def change(self) -> float:
        """The relative change: -0.4 for an error that is 40 % smaller."""
        return self.after / self.before - 1 if self.before else 0.0


def measured(
    part: str,
    before: tuple[Objective, Mapping[str, Array]],
    after: tuple[Objective, Mapping[str, Array]],
    *,
    relaxed: bool,
) -> list[Series]:
    """Return every quantity of every target, by two objectives of the same targets with their tables."""
    found = []
    for one, other in zip(before[0].parts(before[1]), after[0].parts(after[1]), strict=True):
        predicted, fitted = snapshot(one.predicted), snapshot(other.predicted)
        reference = snapshot(one.reference)
        if one.periodic is not None:
            # Angles stand within half a turn of their reference.
            periodic = snapshot(one.periodic)
            predicted, fitted = (_near(values, reference, periodic) for values in (predicted, fitted))
        for number in dict.fromkeys(one.owner.tolist()):
            own = one.owner == number
            target = before[0].targets[number]
            values = (np.asarray(each[own], dtype=np.float64) for each in (reference, predicted, fitted))
            found.append(Series(part, target, one.quantity, one.unit, relaxed, *values))
    return found


def _near(values: Floats, reference: Floats, periodic: NDArray[np.bool_]) -> Floats:
    turned = reference + np.angle(np.exp(1j * (values - reference)))
    found: Floats = np.where(periodic, turned, values)
    return found


def errors(series: Iterable[Series]) -> list[Error]:
    """Return the errors by part, kind and quantity, each number counted alike."""
    groups: dict[tuple[str, str, str, str, bool], list[Series]] = {}
    for each in series:
        groups.setdefault((each.part, each.target.kind, each.quantity, each.unit, each.relaxed), []).append(each)
    found = []
    for group, members in groups.items():
        reference = np.concatenate([each.reference for each in members])
        before, after = (
            float(np.sqrt(np.mean((np.concatenate([getattr(each, name) for each in members]) - reference) ** 2)))
            for name in ("before", "after")
        )
        found.append(Error(*group, n=len(reference), before=before, after=after))
    return found
