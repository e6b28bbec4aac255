"""Bonded forces of OpenMM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.forms import form
from ffbridge.producers.openmm.found import Floats, FoundTerm, Ints, read_rows
from ffbridge.producers.openmm.particles import Particles

__all__ = ["BONDED_READERS", "found_terms", "refuse_periodic"]


@dataclass(frozen=True)
class _Kind:
    """How OpenMM states a form.

    Attributes:
        form: the form.
        interaction: what the force calls an interaction, as in ``getNumBonds`` and ``getBondParameters``.
        columns: the columns of the form, in the order in which the force states them.
    """

    form: str
    interaction: str
    columns: tuple[str, ...]

    def read(self, force: Any, particles: Particles) -> list[FoundTerm]:
        """Return the terms of the force.

        Raises:
            UnsupportedError: the force uses periodic boundary conditions.
        """
        refuse_periodic(force)
        declared = form(self.form)
        n_terms = getattr(force, f"getNum{self.interaction}s")()
        atoms, stated = read_rows(n_terms, getattr(force, f"get{self.interaction}Parameters"), declared.arity)
        if not n_terms:
            return []
        values = stated[:, [self.columns.index(column) for column in declared.column_names]]
        return found_terms(self.form, atoms, values, particles)


def refuse_periodic(force: Any) -> None:
    """Raise if the force takes internal coordinates across the box; those of the standard never are."""
    if force.usesPeriodicBoundaryConditions():
        raise UnsupportedError(
            "it uses periodic boundary conditions, and bonded forms of the standard do not. If no molecule is "
            "broken by the box, call setUsesPeriodicBoundaryConditions(False)"
        )


def found_terms(
    form_name: str, atoms: Ints, values: Floats, particles: Particles, settings: dict[str, Any] | None = None
) -> list[FoundTerm]:
    """Return the interactions of one force as terms, told apart by the topology's bonds where there is one."""
    kinds = _kinds(form_name, atoms, particles)
    parts = [(name, of_kind, np.flatnonzero(rows)) for name, of_kind, rows in kinds]
    return [
        FoundTerm(name, of_kind, atoms[rows], values[rows], settings or {})
        for name, of_kind, rows in parts
        if len(rows)
    ]


def _kinds(form_name: str, atoms: Ints, particles: Particles) -> list[tuple[str, str, Any]]:
    """Return (name, form, rows) of the terms that one force becomes."""
    everything = np.ones(len(atoms), dtype=bool)
    if form_name == "harmonic_bond":
        outer = particles.one_three(atoms)
        return [("bonds", form_name, ~outer), ("urey_bradley", "urey_bradley", outer)]
    if form_name == "periodic_torsion" and particles.bonds is not None:
        steps = [particles.bonded(atoms[:, first : first + 2]) for first in range(3)]
        proper = np.all(steps, axis=0)
        return [("proper_torsions", form_name, proper), ("improper_torsions", form_name, ~proper)]
    return [(_NAMES[form_name], form_name, everything)]


_NAMES = {
    "morse": "bonds",
    "lennard_jones_pair": "vdw_pairs",
    "coulomb_pair": "electrostatics_pairs",
    "harmonic_angle": "angles",
    "periodic_torsion": "torsions",
    "ryckaert_bellemans": "ryckaert_bellemans_torsions",
    "quartic_bond": "bonds",
    "quartic_angle": "angles",
    "harmonic_improper": "harmonic_impropers",
    "bond_bond": "bond_bond",
    "bond_bond_13": "bond_bond_13",
    "bond_angle": "bond_angle",
    "angle_angle": "angle_angle",
    "middle_bond_torsion": "middle_bond_torsion",
    "end_bond_torsion": "end_bond_torsion",
    "angle_torsion": "angle_torsion",
    "angle_angle_torsion": "angle_angle_torsion",
}
"""What terms are called that are of one form."""

Reader = Callable[[Any, Particles], list[FoundTerm]]

BONDED_READERS: dict[str, Reader] = {
    "HarmonicBondForce": _Kind("harmonic_bond", "Bond", ("length", "k")).read,
    "HarmonicAngleForce": _Kind("harmonic_angle", "Angle", ("angle", "k")).read,
    "PeriodicTorsionForce": _Kind("periodic_torsion", "Torsion", ("periodicity", "phase", "k")).read,
    "RBTorsionForce": _Kind("ryckaert_bellemans", "Torsion", ("c0", "c1", "c2", "c3", "c4", "c5")).read,
}
"""What reads OpenMM's own bonded forces, by class."""
