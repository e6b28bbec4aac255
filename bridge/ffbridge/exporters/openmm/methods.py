"""Nonbonded methods of the standard, as OpenMM's ``NonbondedForce`` is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log, sqrt
from typing import Any

from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.term import Term

__all__ = ["can_be_one_force", "configure", "is_nonbonded_force", "is_periodic"]

Settings = Mapping[str, Any]

_ALONE = {
    "no_cutoff": "NoCutoff",
    "cutoff": "Cutoff",
    "reaction_field": "Cutoff",
    "ewald": "Ewald",
    "pme": "PME",
    "ljpme": "LJPME",
}
_TOGETHER = {
    ("no_cutoff", "no_cutoff"): "NoCutoff",
    ("cutoff", "reaction_field"): "Cutoff",
    ("cutoff", "ewald"): "Ewald",
    ("cutoff", "pme"): "PME",
    ("ljpme", "pme"): "LJPME",
}
"""OpenMM's method by those of Lennard-Jones and Coulomb."""


def is_nonbonded_force(term: Term) -> bool:
    """Return whether ``NonbondedForce`` evaluates a term: it knows one mixing rule, and always has a reaction field."""
    if term.form == "lennard_jones":
        return bool(term.settings["mixing_rule"] == "lorentz_berthelot" and term.overrides is None)
    return term.form == "coulomb" and term.settings["method"] in ("no_cutoff", "reaction_field", "ewald", "pme")


def is_periodic(settings: Settings) -> bool:
    """Return whether distances of a term are to the nearest image."""
    return bool(settings.get("periodic", settings["method"] in ("ewald", "pme", "ljpme")))


def can_be_one_force(lennard_jones: Settings, coulomb: Settings) -> bool:
    """Return whether one ``NonbondedForce`` can evaluate both terms: its cutoff and its tolerance are for both."""
    method = _TOGETHER.get((lennard_jones["method"], coulomb["method"]))
    shared = ("cutoff", "tolerance") if method == "LJPME" else ("cutoff",)
    equal = all(lennard_jones.get(name) == coulomb.get(name) for name in shared)
    return method is not None and equal and is_periodic(lennard_jones) == is_periodic(coulomb)


def configure(force: Any, *, lennard_jones: Settings | None, coulomb: Settings | None, box: Floats | None) -> None:
    """Set the method and its settings.

    Args:
        force: an ``openmm.NonbondedForce``.
        lennard_jones: settings of the Lennard-Jones term that it evaluates, if it does.
        coulomb: settings of the Coulomb term likewise.
        box: box vectors as rows, ``(3, 3)`` [nm].
    """
    given = [settings for settings in (lennard_jones, coulomb) if settings is not None]
    methods = tuple(settings["method"] for settings in given)
    periodic = is_periodic(given[0])
    method = _TOGETHER[methods] if len(methods) == 2 else _ALONE[methods[0]]
    if method == "Cutoff":
        method = "CutoffPeriodic" if periodic else "CutoffNonPeriodic"
    force.setNonbondedMethod(getattr(force, method))
    # The standard has exceptions at the nearest image too; OpenMM does not unless told.
    force.setExceptionsUsePeriodicBoundaryConditions(periodic)
    if "cutoff" in given[0]:
        force.setCutoffDistance(given[0]["cutoff"])
    force.setUseDispersionCorrection(False)
    if lennard_jones is not None:
        force.setUseDispersionCorrection(periodic and lennard_jones.get("dispersion_correction", False))
        if "switch_distance" in lennard_jones:
            force.setUseSwitchingFunction(True)
            force.setSwitchingDistance(lennard_jones["switch_distance"])
    if coulomb is not None and coulomb["method"] == "reaction_field":
        force.setReactionFieldDielectric(coulomb["dielectric"])
    if box is not None:
        _configure_lattice_sums(force, lennard_jones, coulomb, box)


def _configure_lattice_sums(force: Any, lennard_jones: Settings | None, coulomb: Settings | None, box: Floats) -> None:
    # Points of a mesh per width of the splitting function, which OpenMM halves for Lennard-Jones.
    sums = ((coulomb, 2.0, force.setPMEParameters), (lennard_jones, 1.0, force.setLJPMEParameters))
    for settings, density, set_numbers in sums:
        if settings is not None and "tolerance" in settings:
            force.setEwaldErrorTolerance(settings["tolerance"])
            if "beta" in settings or "grid" in settings:
                set_numbers(*_splitting(settings, density, box))


def _splitting(settings: Settings, density: float, box: Floats) -> tuple[float, int, int, int]:
    """Return the splitting parameter and the mesh; what the settings leave open is chosen as OpenMM does.

    OpenMM User Guide, "Coulomb Interaction With Particle Mesh Ewald" and "Lennard-Jones Interaction With Particle Mesh
    Ewald": β = √(-ln 2δ)/rc, and along a box vector of length d, density · βd/(3 δ^(1/5)) mesh points, δ being the
    tolerance.
    """
    tolerance = settings["tolerance"]
    beta = settings.get("beta", sqrt(-log(2 * tolerance)) / settings["cutoff"])
    grid = settings.get("grid") or [ceil(density * beta * box[axis, axis] / (3 * tolerance**0.2)) for axis in range(3)]
    nx, ny, nz = grid
    return beta, nx, ny, nz
