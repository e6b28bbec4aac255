"""The grids of torsion drives: which angles there have to be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from math import prod
from typing import Any

from ffbridge.errors import TargetError

__all__ = ["GridPoint", "grid_point", "missing_points", "require_grid"]

LARGEST_GRID = 1_000_000
"""Points: three dihedrals at every 4°, and more than that."""

GridPoint = tuple[int, ...]
"""Angles of the driven dihedrals [degrees], as torsiondrive numbers them: whole, in (-180, 180]."""


def grid_point(key: Any, field: str) -> GridPoint:
    """Return a grid point from its key: a number, or a sequence of them; TargetError if it is something else."""
    values = list(key) if isinstance(key, Sequence) and not isinstance(key, str) else [key]
    if not values or not all(isinstance(each, int | float) and each == int(each) for each in values):
        raise TargetError(f"{field}: {key!r} is no grid point, expected whole degrees of each dihedral")
    return tuple(int(each) for each in values)


def missing_points(
    found: Collection[GridPoint], spacing: Sequence[int], ranges: Sequence[Sequence[int]] | None
) -> list[GridPoint]:
    """Return the grid points that are not there.

    Args:
        found: those that are.
        spacing: of each dihedral [degrees].
        ranges: first and last angle of each dihedral [degrees]; a full turn if None.

    Raises:
        TargetError: the grid is larger than any that somebody computed.
    """
    axes = []
    for number, step in enumerate(spacing):
        first, last = ranges[number] if ranges else (step - 180, 180)
        axes.append(range(int(first), int(last) + 1, int(step)))
    count = prod(max(0, (each.stop - each.start + each.step - 1) // each.step) for each in axes)
    if count > LARGEST_GRID:
        raise TargetError(f"grid_spacing: a grid of {count:.3g} points, expected {LARGEST_GRID} at most")
    # A range may go on beyond 180: the same angles as from -180.
    every = {tuple((angle + 179) % 360 - 179 for angle in point) for point in product(*axes)}
    return sorted(every - {tuple((angle + 179) % 360 - 179 for angle in point) for point in found})


def require_grid(
    found: Collection[GridPoint], spacing: Any, ranges: Any, *, partial: bool, field: str
) -> list[GridPoint]:
    """Return the grid points that are missing, if that is allowed.

    Raises:
        TargetError: points are missing and `partial` is False, or the spacing is none.
    """
    steps = [spacing] if isinstance(spacing, int) else spacing
    dimensions = len(next(iter(found))) if found else 0
    if not steps or len(steps) != dimensions or not all(isinstance(each, int) and each > 0 for each in steps):
        raise TargetError(f"grid_spacing: got {spacing!r}, expected whole degrees for each of {dimensions} dihedrals")
    missing = missing_points(found, steps, ranges)
    if missing and not partial:
        listed = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise TargetError(
            f"{field}: {len(missing)} of {len(missing) + len(found)} grid points are missing: {listed} [degrees]. "
            "Pass partial=True to keep what there is"
        )
    return missing
