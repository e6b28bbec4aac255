"""Bonded terms as OpenMM forces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.exporters.openmm.coupling import COUPLINGS, HARMONIC_IMPROPER
from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.forms import form
from ffbridge.term import Term

__all__ = ["BONDED_FORCES", "BondedForce"]


@dataclass(frozen=True)
class _Kind:
    """How OpenMM evaluates a form.

    Attributes:
        force: name of the force's class.
        interaction: what the force calls an interaction: it has methods ``addBond`` and ``setBondParameters``.
        columns: the columns of the form, in the order in which these methods take them.
        expression: the energy in OpenMM's syntax, for a custom force, with settings of the term by name in braces.
    """

    force: str
    interaction: str
    columns: tuple[str, ...]
    expression: str = ""

    @property
    def is_compound(self) -> bool:
        """Whether interactions are of any number of atoms, which the methods take as one list."""
        return self.force == "CustomCompoundBondForce"

    def make(self, settings: Mapping[str, Any], arity: int) -> Any:
        """Return the force without interactions, which are of `arity` atoms."""
        import openmm

        if not self.expression:
            return getattr(openmm, self.force)()
        of_atoms = (arity,) if self.is_compound else ()
        force = getattr(openmm, self.force)(*of_atoms, self.expression.format(**settings))
        for column in self.columns:
            getattr(force, f"addPer{self.interaction}Parameter")(column)
        return force


BONDED_FORCES = {
    "harmonic_bond": _Kind("HarmonicBondForce", "Bond", ("length", "k")),
    "harmonic_angle": _Kind("HarmonicAngleForce", "Angle", ("angle", "k")),
    "periodic_torsion": _Kind("PeriodicTorsionForce", "Torsion", ("periodicity", "phase", "k")),
    "urey_bradley": _Kind("HarmonicBondForce", "Bond", ("length", "k")),
    "ryckaert_bellemans": _Kind("RBTorsionForce", "Torsion", ("c0", "c1", "c2", "c3", "c4", "c5")),
    "morse": _Kind(
        "CustomBondForce", "Bond", ("depth", "steepness", "length"), "depth*(1-exp(-steepness*(r-length)))^2"
    ),
    "lennard_jones_pair": _Kind(
        "CustomBondForce", "Bond", ("sigma", "epsilon"), "4*epsilon*((sigma/r)^12-(sigma/r)^6)"
    ),
    "coulomb_pair": _Kind("CustomBondForce", "Bond", ("charge_product",), "{coulomb_constant!r}*charge_product/r"),
    "quartic_bond": _Kind("CustomBondForce", "Bond", ("k2", "k3", "k4", "length"), "k2*d^2+k3*d^3+k4*d^4; d=r-length"),
    "quartic_angle": _Kind(
        "CustomAngleForce", "Angle", ("k2", "k3", "k4", "angle"), "k2*d^2+k3*d^3+k4*d^4; d=theta-angle"
    ),
    "harmonic_improper": _Kind("CustomTorsionForce", "Torsion", ("k", "angle"), HARMONIC_IMPROPER),
    **{
        name: _Kind("CustomCompoundBondForce", "Bond", form(name).column_names, expression)
        for name, expression in COUPLINGS.items()
    },
}
"""The bonded forms that OpenMM evaluates with the standard's prefactors (OpenMM User Guide, "Standard Forces")."""


class BondedForce:
    """A bonded term as one OpenMM force.

    Attributes:
        forces: the ``openmm.Force``, in a tuple.
    """

    def __init__(self, name: str, term: Term, parameters: Floats) -> None:
        kind = BONDED_FORCES[term.form]
        declared = form(term.form)
        self._name = name
        self._atoms = [[atoms] for atoms in term.indices.tolist()] if kind.is_compound else term.indices.tolist()
        self._order = [declared.column_names.index(column) for column in kind.columns]
        self._convert = [int if declared.columns[number].integer else float for number in self._order]
        self._parameters = parameters
        self._is_custom = bool(kind.expression)
        self._force = kind.make(term.settings, declared.arity)
        self._set = getattr(self._force, f"set{kind.interaction}Parameters")
        self.forces = (self._force,)
        add = getattr(self._force, f"add{kind.interaction}")
        for atoms, values in zip(self._atoms, self._values(parameters), strict=True):
            add(*atoms, *values)

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set parameters by name of the term, and those that changed in a Context of the System."""
        new = parameters[self._name]
        rows = np.flatnonzero((new != self._parameters).any(axis=1))
        for row, values in zip(rows.tolist(), self._values(new[rows]), strict=True):
            self._set(row, *self._atoms[row], *values)
        if len(rows):
            self._force.updateParametersInContext(context)
        self._parameters = new

    def _values(self, parameters: Floats) -> list[list[Any]]:
        """Return the arguments that OpenMM takes after the atoms; a custom force takes one, which is a list."""
        rows = parameters[:, self._order].tolist()
        values = [[convert(value) for convert, value in zip(self._convert, row, strict=True)] for row in rows]
        return [[row] for row in values] if self._is_custom else values
