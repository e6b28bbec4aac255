"""Virtual sites of OpenMM as those of the standard (OpenMM User Guide, "Virtual Sites")."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm.found import Floats, name_of
from ffbridge.term import VirtualSites

__all__ = ["read_virtual_sites"]

_PARENTS = 3


def read_virtual_sites(system: Any) -> VirtualSites | None:
    """Return the virtual sites, or None.

    Averages are local coordinates whose origin is the site. An out-of-plane site is at a distance that grows with the
    area that its parents span, which no local coordinates express, unless its ``weightCross`` is 0.

    Raises:
        UnsupportedError: a kind of site that the standard does not express.
    """
    sites = [atom for atom in range(system.getNumParticles()) if system.isVirtualSite(atom)]
    if not sites:
        return None
    parents, weights, positions = [], [], []
    for atom in sites:
        site = system.getVirtualSite(atom)
        of_site, of_weights, position = _read(atom, site)
        parents.append(of_site)
        weights.append(of_weights)
        positions.append(position)
    by_kind = np.array(weights, dtype=np.float64)
    return VirtualSites(
        sites=np.array(sites, dtype=np.int32),
        parents=np.array(parents, dtype=np.int32),
        origin_weights=by_kind[:, 0].copy(),
        x_weights=by_kind[:, 1].copy(),
        y_weights=by_kind[:, 2].copy(),
        local_position=np.array(positions, dtype=np.float64),
    )


def _read(atom: int, site: Any) -> tuple[list[int], Floats, list[float]]:
    """Return the three parents, the weights ``(3, 3)`` of origin, x and y, and the local position."""
    parents = [site.getParticle(number) for number in range(site.getNumParticles())]
    kind = name_of(site)
    if kind == "LocalCoordinatesSite":
        given = (site.getOriginWeights(), site.getXWeights(), site.getYWeights())
        weights = np.array([list(row) for row in given], dtype=np.float64)
        position = [float(value) for value in _in_nanometers(site.getLocalPosition())]
        if len(parents) > _PARENTS:
            parents, weights = _used(atom, parents, weights)
        return _padded(parents, weights), _widened(weights), position
    if kind not in ("TwoParticleAverageSite", "ThreeParticleAverageSite", "OutOfPlaneSite"):
        raise UnsupportedError(
            f"particle {atom} is a virtual site of the class {kind}; the standard has averages and local "
            "coordinates only"
        )
    if kind == "OutOfPlaneSite":
        if cross := site.getWeightCross():
            raise UnsupportedError(
                f"particle {atom} is an OutOfPlaneSite with weightCross {cross:g}: its distance from the plane grows "
                "with the area of its parents' triangle, and a virtual site of the standard has a fixed one"
            )
        origin = [1 - site.getWeight12() - site.getWeight13(), site.getWeight12(), site.getWeight13()]
    else:
        origin = [site.getWeight(number) for number in range(len(parents))]
    # The axes have no part in an average, and any that sum to 0 do.
    axes = np.array([[-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]])[:, : len(parents)]
    if len(parents) < _PARENTS:
        axes = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    weights = np.concatenate([[origin], axes])
    return _padded(parents, weights), _widened(weights), [0.0, 0.0, 0.0]


def _used(atom: int, parents: list[int], weights: Floats) -> tuple[list[int], Floats]:
    """Return the parents that have a weight."""
    columns = np.flatnonzero((weights != 0).any(axis=0))
    if len(columns) > _PARENTS:
        raise UnsupportedError(
            f"particle {atom} is a virtual site of {len(columns)} parents, and a virtual site of the standard has three"
        )
    return [parents[column] for column in columns], weights[:, columns]


def _padded(parents: list[int], weights: Floats) -> list[int]:
    return parents + [parents[0]] * (_PARENTS - len(parents))


def _widened(weights: Floats) -> Floats:
    return np.pad(weights, ((0, 0), (0, _PARENTS - weights.shape[1])))


def _in_nanometers(position: Any) -> Any:
    from openmm.unit import nanometer

    return position.value_in_unit(nanometer)
