"""Methods of ``NonbondedForce``, as settings of the standard."""

from __future__ import annotations

from typing import Any

from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm.found import values_of
from ffbridge.units import COULOMB_CONSTANT

__all__ = ["custom_settings", "nonbonded_settings"]

_METHODS = ("NoCutoff", "CutoffNonPeriodic", "CutoffPeriodic", "Ewald", "PME", "LJPME")

Settings = dict[str, Any]


def nonbonded_settings(force: Any) -> tuple[Settings, Settings]:
    """Return the settings of the Lennard-Jones term and those of the Coulomb term.

    Settings that the force's method does not use are left out.

    Raises:
        UnsupportedError: a method, or a combination, that the standard lacks.
    """
    from openmm.unit import nanometer

    method = _method(force, _METHODS)
    constant = {"coulomb_constant": COULOMB_CONSTANT}
    if method == "NoCutoff":
        return _lennard_jones({"method": "no_cutoff"}), {"method": "no_cutoff"} | constant
    cutoff = {"cutoff": force.getCutoffDistance().value_in_unit(nanometer)}
    if method == "LJPME":
        if force.getUseSwitchingFunction():
            raise UnsupportedError(
                "its method is LJPME and it has a switching function; ljpme of the standard has none. Call "
                "setUseSwitchingFunction(False)"
            )
        tolerance = {"tolerance": force.getEwaldErrorTolerance()}
        lattice = {"method": "ljpme"} | cutoff | tolerance | _mesh(force.getLJPMEParameters)
        return _lennard_jones(lattice), {"method": "pme"} | cutoff | tolerance | _mesh(
            force.getPMEParameters
        ) | constant
    periodic = method != "CutoffNonPeriodic"
    short = {"method": "cutoff", "periodic": periodic} | cutoff | _switching(force)
    short["dispersion_correction"] = periodic and force.getUseDispersionCorrection()
    if method in ("Ewald", "PME"):
        coulomb = {"method": method.lower(), "tolerance": force.getEwaldErrorTolerance()} | cutoff
        # OpenMM ignores explicit numbers for Ewald.
        return _lennard_jones(short), coulomb | (_mesh(force.getPMEParameters) if method == "PME" else {}) | constant
    field = {"method": "reaction_field", "periodic": periodic, "dielectric": force.getReactionFieldDielectric()}
    return _lennard_jones(short), field | cutoff | constant


def custom_settings(force: Any) -> Settings:
    """Return the settings of a ``CustomNonbondedForce``, without those that its form needs.

    Raises:
        UnsupportedError: it has a long range correction.
    """
    from openmm.unit import nanometer

    method = _method(force, _METHODS[:3])
    if method == "NoCutoff":
        return {"method": "no_cutoff"}
    periodic = method == "CutoffPeriodic"
    if periodic and force.getUseLongRangeCorrection():
        raise UnsupportedError(
            "its long range correction is integrated numerically by OpenMM, which is not exact. Call "
            "setUseLongRangeCorrection(False) if the energy without it is meant"
        )
    cutoff = force.getCutoffDistance().value_in_unit(nanometer)
    return {"method": "cutoff", "periodic": periodic, "cutoff": cutoff} | _switching(force)


def _method(force: Any, names: tuple[str, ...]) -> str:
    return next(name for name in names if getattr(force, name) == force.getNonbondedMethod())


def _lennard_jones(settings: Settings) -> Settings:
    return settings | {"mixing_rule": "lorentz_berthelot"}


def _switching(force: Any) -> Settings:
    from openmm.unit import nanometer

    if not force.getUseSwitchingFunction():
        return {}
    return {"switch_distance": force.getSwitchingDistance().value_in_unit(nanometer)}


def _mesh(get: Any) -> Settings:
    """Return the explicit splitting parameter and mesh; nothing where OpenMM chooses them (its 0)."""
    alpha, *grid = get()
    (beta,) = values_of([alpha])
    return {"beta": beta, "grid": grid} if beta else {}
