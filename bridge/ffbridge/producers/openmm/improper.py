"""Harmonic impropers: ``CustomTorsionForce`` of a square of the difference of two angles.

The standard turns the difference into (-π, π]. Programs write that in several ways, with functions that are not
analytic, so that values at some points prove nothing: the expressions that are known to do it are told by their text.
OpenMM's own CHARMM files do not turn the difference, which makes no difference to an improper about 0.
"""

from __future__ import annotations

import re
from math import inf, pi
from typing import Any

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm.bonded import found_terms, refuse_periodic
from ffbridge.producers.openmm.custom import read_custom_bonded, stated_parameters
from ffbridge.producers.openmm.found import Floats, FoundTerm, Ints, read_rows
from ffbridge.producers.openmm.particles import Particles

__all__ = ["read_custom_torsion"]

_FACTOR = r"(?:(?P<factor>\d+(?:\.\d*)?)\*)?"
_NUMBER = r"\d+\.\d*"
_PI = rf"(?P<pi>pi|{_NUMBER})"
_DEFINED = rf"(?:;pi=(?P<value>{_NUMBER}))?;?"
_PLAIN = rf"{_FACTOR}(?P<k>\w+)\*\(theta-(?P<angle>\w+)\)\^2;?"
_TURNED = {
    # OpenMM's readers of CHARMM's and AMBER's files.
    rf"{_FACTOR}(?P<k>\w+)\*min\((?P<d>\w+),2\*{_PI}-(?P=d)\)\^2;(?P=d)=abs\(theta-(?P<angle>\w+)\){_DEFINED}": 2 * pi,
    # Its reader of GROMACS' files.
    (
        rf"{_FACTOR}(?P<k>\w+)\*\((?P<d>\w+)-(?P<angle>\w+)\)\^2;(?P=d)=step\(-\(theta-(?P=angle)\+{_PI}\)\)\*2\*(?P=pi)"
        rf"\+theta\+step\(theta-(?P=angle)-(?P=pi)\)\*\(-2\*(?P=pi)\){_DEFINED}"
    ): 2 * pi,
    # `to_openmm` of this package; the number is 2π.
    (
        rf"{_FACTOR}(?P<k>\w+)\*turn\^2;turn=d-(?P<twice>{_NUMBER})\*floor\(d/(?P=twice)\+0\.5\);"
        r"d=theta-(?P<angle>\w+)"
    ): inf,
}
"""Expressions without spaces that turn the difference, and up to which magnitude of the reference angle they do."""


def read_custom_torsion(force: Any, particles: Particles) -> list[FoundTerm]:
    """Return the terms of a ``CustomTorsionForce``, a harmonic improper or another form of a dihedral.

    Raises:
        UnsupportedError: its expression is no form of the standard, or not for all of its torsions, or it is periodic.
    """
    text = re.sub(r"\s", "", force.getEnergyFunction())
    patterns = {_PLAIN: 0.0, **_TURNED}
    found = [(match, limit) for pattern, limit in patterns.items() if (match := re.fullmatch(pattern, text))]
    if not found:
        return read_custom_bonded(force, particles)
    refuse_periodic(force)
    match, limit = found[0]
    names = stated_parameters(force, "Torsion", analytic=False)
    if set(names) != {match["k"], match["angle"]}:
        return read_custom_bonded(force, particles)
    atoms, stated = read_rows(force.getNumTorsions(), force.getTorsionParameters, 4)
    if not len(atoms):
        return []
    values = stated[:, [names.index(match["k"]), names.index(match["angle"])]]
    _refuse_unturned(force, atoms, values[:, 1], limit if _has_whole_turns(match) else 0.0)
    values[:, 0] *= 2 * float(match["factor"] or 1)
    return found_terms("harmonic_improper", atoms, values, particles)


def _has_whole_turns(match: re.Match[str]) -> bool:
    """Return whether the expression states π, or 2π, with all its digits."""
    groups = match.groupdict()
    if twice := groups.get("twice"):
        return abs(float(twice) - 2 * pi) < 1e-14
    stated = groups.get("value") if groups.get("pi") == "pi" else groups.get("pi")
    return stated is not None and abs(float(stated) - pi) < 1e-14


def _refuse_unturned(force: Any, atoms: Ints, angles: Floats, limit: float) -> None:
    if (bad := (angles != 0) & ~(np.abs(angles) <= limit)).any():
        raise UnsupportedError(
            f"its expression {force.getEnergyFunction()!r} does not turn the difference into (-pi, pi] exactly, so the "
            f"torsion of atoms {atoms[bad][0].tolist()} about {angles[bad][0]:g} rad is no harmonic improper of the "
            "standard; about 0 it would be. If CHARMM's is meant, write k*min(dtheta, 2*pi-dtheta)^2; "
            f"dtheta = abs(theta-theta0); pi = {pi!r}"
        )
