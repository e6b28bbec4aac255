"""Factors from the units that data are shipped in to those of the standard."""

from __future__ import annotations

from ffbridge.errors import TargetError
from ffbridge.units import (
    AVOGADRO,
    ELEMENTARY_CHARGE,
    KJ_PER_MOL_PER_HARTREE,
    KJ_PER_MOL_PER_KCAL_PER_MOL,
    NM_PER_ANGSTROM,
    NM_PER_BOHR,
)

__all__ = ["ENERGIES", "LENGTHS", "energy_factor", "force_factor", "length_factor"]

LENGTHS = {"nm": 1.0, "nanometer": 1.0, "angstrom": NM_PER_ANGSTROM, "bohr": NM_PER_BOHR}
"""Lengths in nm, by name."""

ENERGIES = {
    "kJ/mol": 1.0,
    "kcal/mol": KJ_PER_MOL_PER_KCAL_PER_MOL,
    "hartree": KJ_PER_MOL_PER_HARTREE,
    "eV": ELEMENTARY_CHARGE * AVOGADRO * 1e-3,
}
"""Energies in kJ/mol, by name."""


def length_factor(unit: object, field: str) -> float:
    """Return nm per unit; TargetError, beginning with the field's name, if the unit is missing or unknown."""
    return _factor(unit, field, LENGTHS)


def energy_factor(unit: object, field: str) -> float:
    """Return kJ/mol per unit; TargetError, beginning with the field's name, if the unit is missing or unknown."""
    return _factor(unit, field, ENERGIES)


def force_factor(unit: object, field: str) -> float:
    """Return kJ/mol/nm per unit, such as ``hartree/bohr``; TargetError if the unit is missing or unknown."""
    energy, _, length = unit.rpartition("/") if isinstance(unit, str) else ("", "", "")
    if energy not in ENERGIES or length not in LENGTHS:
        known = f"one of {', '.join(ENERGIES)} by one of {', '.join(LENGTHS)}, such as hartree/bohr"
        raise TargetError(f"{field}: {_got(unit)}, expected {known}")
    return ENERGIES[energy] / LENGTHS[length]


def _factor(unit: object, field: str, known: dict[str, float]) -> float:
    if not isinstance(unit, str) or unit not in known:
        raise TargetError(f"{field}: {_got(unit)}, expected one of {', '.join(known)}")
    return known[unit]


def _got(unit: object) -> str:
    return "the unit is missing" if unit in (None, "") else f"the unit is {unit!r}"
