"""Virtual sites of OpenMM as those of the standard (OpenMM User Guide, "Virtual Sites")."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm.found import Floats, FoundTerm, name_of

__all__ = ["read_virtual_sites"]

_WEIGHTS = ("origin_weights", "x_weights", "y_weights")
_ROUNDING = 1e-12
"""How far from 1 or 0 the sums of weights may be. The standard takes them to be exact, and OpenMM to 1e-6."""


class _Site(NamedTuple):
    """One virtual site: its form, its parents, its geometry, and the settings of its term by name."""

    form: str
    parents: list[int]
    geometry: list[float]
    frame: tuple[tuple[float, ...], ...] = ()


def read_virtual_sites(system: Any) -> list[FoundTerm]:
    """Return the virtual sites: a term for each form, and of local coordinates for each set of weights.

    Raises:
        UnsupportedError: a site that the standard does not express exactly, by its particle and class.
    """
    by_kind: dict[tuple[str, tuple[tuple[float, ...], ...]], list[tuple[int, _Site]]] = {}
    for atom in range(system.getNumParticles()):
        if system.isVirtualSite(atom):
            site = _read(atom, system.getVirtualSite(atom))
            by_kind.setdefault((site.form, site.frame), []).append((atom, site))
    return [
        FoundTerm(
            name=f"{form}s",
            form=form,
            indices=np.array([[atom, *site.parents] for atom, site in found], dtype=np.int32),
            values=np.array([site.geometry for _, site in found], dtype=np.float64),
            settings={name: list(weights) for name, weights in zip(_WEIGHTS, frame, strict=False)},
        )
        for (form, frame), found in by_kind.items()
    ]


def _read(atom: int, site: Any) -> _Site:
    parents = [site.getParticle(number) for number in range(site.getNumParticles())]
    kind = name_of(site)
    if kind == "TwoParticleAverageSite":
        weights = [site.getWeight(0), site.getWeight(1)]
        _require_sums(atom, kind, [weights])
        return _Site("two_particle_site", parents, [weights[1], 0.0])
    if kind == "ThreeParticleAverageSite":
        weights = [site.getWeight(number) for number in range(3)]
        _require_sums(atom, kind, [weights])
        return _Site("out_of_plane_site", parents, [*weights[1:], 0.0])
    if kind == "OutOfPlaneSite":
        geometry = [site.getWeight12(), site.getWeight13(), site.getWeightCross()]
        return _Site("out_of_plane_site", parents, geometry)
    if kind == "LocalCoordinatesSite":
        return _read_local(atom, site, parents)
    raise UnsupportedError(
        f"particle {atom} is a virtual site of the class {kind}; the standard has averages, sites out of a plane and "
        "local coordinates only"
    )


def _read_local(atom: int, site: Any, parents: list[int]) -> _Site:
    """Return a site by the parents that have a weight, two at least."""
    rows = [list(each) for each in (site.getOriginWeights(), site.getXWeights(), site.getYWeights())]
    _require_sums(atom, "LocalCoordinatesSite", rows)
    weights = np.array(rows)
    used = np.flatnonzero((weights != 0).any(axis=0))
    if len(used) == 1:
        used = np.union1d(used, np.setdiff1d([0, 1], used)[:1])
    parents, weights = [parents[place] for place in used], weights[:, used]
    position = [float(value) for value in _in_nanometers(site.getLocalPosition())]
    if len(parents) == 2:
        return _on_line(atom, parents, weights, position)
    if len(parents) > 4:
        raise UnsupportedError(
            f"particle {atom} is a LocalCoordinatesSite with {len(parents)} parents that have a weight; the standard "
            "has local coordinates of three and of four"
        )
    frame = tuple(tuple(row) for row in weights.tolist())
    return _Site(f"local_coordinates_{len(parents)}_site", parents, position, frame)


def _on_line(atom: int, parents: list[int], weights: Floats, position: list[float]) -> _Site:
    """Return a site whose frame has two parents: both axes are along their line, and the frame has one direction."""
    origin, along, _ = weights
    if any(position[1:]):
        raise UnsupportedError(
            f"particle {atom} is a LocalCoordinatesSite of two parents at the local position {position} nm: they "
            "define the first direction alone, and the site has components along the others"
        )
    return _Site("two_particle_site", parents, [float(origin[1]), float(np.sign(along[1])) * position[0]])


def _require_sums(atom: int, kind: str, rows: list[list[float]]) -> None:
    """Raise unless the first weights sum to 1, and those of axes to 0."""
    for weights, total in zip(rows, (1, 0, 0), strict=False):
        if abs(sum(weights) - total) > _ROUNDING:
            raise UnsupportedError(
                f"particle {atom} is a {kind} with the weights {weights}, which sum to {sum(weights)!r}: OpenMM's site "
                f"does not quite move with its parents. Make them sum to {total} in the System"
            )


def _in_nanometers(position: Any) -> Any:
    from openmm.unit import nanometer

    return position.value_in_unit(nanometer)
