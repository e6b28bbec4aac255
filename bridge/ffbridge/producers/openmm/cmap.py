"""Correction maps: OpenMM's ``CMAPTorsionForce``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.forms import form
from ffbridge.producers.openmm.bonded import refuse_periodic
from ffbridge.producers.openmm.found import FoundTerm, read_rows, values_of
from ffbridge.producers.openmm.particles import Particles

__all__ = ["read_cmap"]

_SMALLEST = 4
"""The least size of a map (spec, section 5.2)."""


def read_cmap(force: Any, particles: Particles) -> list[FoundTerm]:
    """Return a term for each size of the maps that interactions use; each map is one row, which they share.

    Raises:
        UnsupportedError: the force is periodic, or a map is smaller than the standard has them.
    """
    refuse_periodic(force)
    arity = form("cmap").arity
    stated, _ = read_rows(force.getNumTorsions(), force.getTorsionParameters, arity + 1)
    used, place = np.unique(stated[:, 0], return_inverse=True)
    maps = [force.getMapParameters(number) for number in used.tolist()]
    sizes = np.array([size for size, _ in maps], dtype=np.int64)
    if (bad := sizes < _SMALLEST).any():
        raise UnsupportedError(
            f"map {used[bad][0]} has the size {sizes[bad][0]}, and maps of the standard have at least {_SMALLEST} "
            "points along each angle"
        )
    found = []
    for size in np.unique(sizes).tolist():
        of_size = np.flatnonzero(sizes == size)
        # OpenMM has the index of the first dihedral running fastest, the standard that of the second.
        grids = [np.reshape(values_of(maps[number][1]), (size, size)).T.reshape(-1) for number in of_size]
        rows = np.flatnonzero(np.isin(place, of_size))
        found.append(
            FoundTerm(
                name="cmap",
                form="cmap",
                indices=stated[rows, 1:],
                values=np.array(grids),
                settings={"size": size},
                rows=np.searchsorted(of_size, place[rows]).astype(np.int32),
            )
        )
    return found
