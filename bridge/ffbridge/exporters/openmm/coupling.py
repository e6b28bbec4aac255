"""Forms of several coordinates in OpenMM's syntax, for ``CustomCompoundBondForce``, and the harmonic improper."""

from __future__ import annotations

from math import pi

__all__ = ["COUPLINGS", "HARMONIC_IMPROPER"]

_FIRST, _SECOND, _THIRD = "distance(p1,p2)", "distance(p2,p3)", "distance(p3,p4)"
_ANGLE, _NEXT_ANGLE, _OTHER_ANGLE = "angle(p1,p2,p3)", "angle(p2,p3,p4)", "angle(p3,p2,p4)"
_COSINES = "(k1*cos(phi)+k2*cos(2*phi)+k3*cos(3*phi)); phi=dihedral(p1,p2,p3,p4)"

COUPLINGS = {
    "bond_bond": f"k*({_FIRST}-length1)*({_SECOND}-length2)",
    "bond_bond_13": f"k*({_FIRST}-length1)*({_THIRD}-length2)",
    # A variable may have the name of a function: which one is meant, the parenthesis tells.
    "bond_angle": f"k*({_FIRST}-length)*({_ANGLE}-angle)",
    "angle_angle": f"k*({_ANGLE}-angle1)*({_OTHER_ANGLE}-angle2)",
    "middle_bond_torsion": f"({_SECOND}-length)*{_COSINES}",
    "end_bond_torsion": f"({_FIRST}-length)*{_COSINES}",
    "angle_torsion": f"({_ANGLE}-angle)*{_COSINES}",
    "angle_angle_torsion": f"k*({_ANGLE}-angle1)*({_NEXT_ANGLE}-angle2)*cos(dihedral(p1,p2,p3,p4))",
}
"""The energy of each coupling, by its form; parameters are the columns."""

HARMONIC_IMPROPER = f"0.5*k*turn^2; turn=d-{2 * pi!r}*floor(d/{2 * pi!r}+0.5); d=theta-angle"
"""For ``CustomTorsionForce``. The difference is turned into [-π, π) whatever the angle."""
