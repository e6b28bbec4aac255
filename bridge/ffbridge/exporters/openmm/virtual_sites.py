"""Virtual sites of a bundle as those of OpenMM (OpenMM User Guide, "Virtual Sites")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.parameters import of_interactions

__all__ = ["add_virtual_sites"]


def add_virtual_sites(system: Any, bundle: Bundle) -> None:
    """Make particles of a System virtual sites, each of the simplest class of OpenMM that places it there.

    Args:
        system: the System; its particles have their masses.
        bundle: one system, valid, of NumPy arrays.

    Raises:
        UnsupportedError: a virtual site has a mass, or a form that OpenMM has no class for.
    """
    for name, term in bundle.virtual_sites.items():
        if term.form not in _CLASSES:
            raise UnsupportedError(f"terms/{name}: OpenMM has no virtual sites of the form {term.form!r}")
        parameters = of_interactions(name, term, bundle.tables[term.table].values)
        for (site, *parents), geometry in zip(term.indices.tolist(), parameters.tolist(), strict=True):
            if mass := system.getParticleMass(site)._value:
                raise UnsupportedError(
                    f"masses: the virtual site {site} has the mass {mass:g} Da, and a virtual site has none in "
                    "OpenMM: set it to 0"
                )
            system.setVirtualSite(site, _CLASSES[term.form](parents, geometry, term.settings))


def _two_particle(parents: list[int], geometry: list[float], settings: Mapping[str, Any]) -> Any:
    import openmm

    weight, distance = geometry
    weights = 1 - weight, weight
    if not distance:
        return openmm.TwoParticleAverageSite(*parents, *weights)
    along = [-1, 1]
    return openmm.LocalCoordinatesSite(parents, weights, along, along, [distance, 0, 0])


def _out_of_plane(parents: list[int], geometry: list[float], settings: Mapping[str, Any]) -> Any:
    import openmm

    weight_12, weight_13, weight_cross = geometry
    if not weight_cross:
        return openmm.ThreeParticleAverageSite(*parents, 1 - weight_12 - weight_13, weight_12, weight_13)
    return openmm.OutOfPlaneSite(*parents, *geometry)


def _local_coordinates(parents: list[int], geometry: list[float], settings: Mapping[str, Any]) -> Any:
    import openmm

    weights = (settings[name] for name in ("origin_weights", "x_weights", "y_weights"))
    return openmm.LocalCoordinatesSite(parents, *weights, geometry)


_CLASSES = {
    "two_particle_site": _two_particle,
    "out_of_plane_site": _out_of_plane,
    "local_coordinates_3_site": _local_coordinates,
    "local_coordinates_4_site": _local_coordinates,
}
