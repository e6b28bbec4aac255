"""Physical constants and unit conversions, in one place (CODATA 2018).

ffbridge's units are nm, kJ/mol, rad, e, Da and ps. Producers convert once, on the way in, by the factors below.
Source: E. Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021).
"""

from __future__ import annotations

from math import pi

__all__ = [
    "AVOGADRO",
    "COULOMB_CONSTANT",
    "ELEMENTARY_CHARGE",
    "GAS_CONSTANT",
    "KJ_PER_MOL_PER_HARTREE",
    "KJ_PER_MOL_PER_KCAL_PER_MOL",
    "NM_PER_ANGSTROM",
    "NM_PER_BOHR",
    "VACUUM_PERMITTIVITY",
]

AVOGADRO = 6.02214076e23
"""Avogadro constant [1/mol], exact."""

ELEMENTARY_CHARGE = 1.602176634e-19
"""Elementary charge [C], exact."""

GAS_CONSTANT = 1.380649e-23 * AVOGADRO * 1e-3
"""Boltzmann constant times Avogadro's [kJ/(mol K)], exact."""

VACUUM_PERMITTIVITY = 8.8541878128e-12
"""Vacuum electric permittivity [F/m]."""

NM_PER_BOHR = 0.0529177210903
"""Bohr radius [nm]."""

NM_PER_ANGSTROM = 0.1

KJ_PER_MOL_PER_HARTREE = 4.3597447222071e-18 * AVOGADRO * 1e-3
"""Hartree energy [kJ/mol]."""

KJ_PER_MOL_PER_KCAL_PER_MOL = 4.184
"""Thermochemical kilocalorie, exact."""

COULOMB_CONSTANT = ELEMENTARY_CHARGE**2 * AVOGADRO / (4 * pi * VACUUM_PERMITTIVITY) * 1e6
"""1/(4 pi eps0) [kJ nm/(mol e^2)]: J m/mol times 1e-3 (kJ) times 1e9 (nm). OpenMM's ``ONE_4PI_EPS0`` is this value."""
