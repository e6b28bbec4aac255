"""Custom forces whose expression is a form of the standard.

An expression may be written in many ways, so it is compared by value: OpenMM evaluates it, and the form's formula is
evaluated, at the same random coordinates and parameters. Both are analytic functions (expressions with steps, minima
and the like are refused beforehand), and analytic functions that agree at enough random points are the same. They
may differ by a factor, which goes into the parameters that the form is proportional to: ``k*(r-length)^2`` has twice
the ``k`` of ``harmonic_bond``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import numpy as np

from ffbridge.energy.bonded import BONDED
from ffbridge.errors import UnsupportedError
from ffbridge.forms import Form, form
from ffbridge.producers.openmm.bonded import found_terms, refuse_periodic
from ffbridge.producers.openmm.found import Floats, FoundTerm, name_of, read_rows
from ffbridge.producers.openmm.particles import Particles

__all__ = [
    "N_POINTS",
    "PROPORTIONAL",
    "Match",
    "Probe",
    "columns_of",
    "copy_parameters",
    "corners",
    "known_forms",
    "matched",
    "read_custom_bonded",
    "stated_parameters",
]

PROPORTIONAL = {
    "harmonic_bond": ("k",),
    "morse": ("depth",),
    "quartic_bond": ("k2", "k3", "k4"),
    "harmonic_angle": ("k",),
    "quartic_angle": ("k2", "k3", "k4"),
    "periodic_torsion": ("k",),
    "ryckaert_bellemans": ("c0", "c1", "c2", "c3", "c4", "c5"),
    "lennard_jones_pair": ("epsilon",),
    "coulomb_pair": (),
    "bond_bond": ("k",),
    "bond_bond_13": ("k",),
    "bond_angle": ("k",),
    "angle_angle": ("k",),
    "middle_bond_torsion": ("k1", "k2", "k3"),
    "end_bond_torsion": ("k1", "k2", "k3"),
    "angle_torsion": ("k1", "k2", "k3"),
    "angle_angle_torsion": ("k",),
    "lennard_jones": ("epsilon",),
    "coulomb": (),
    "buckingham": ("a", "c"),
    "double_exponential": ("epsilon",),
}
"""The forms that expressions are compared with, and the columns that a form's energy is proportional to, together."""

_SIZES = ("sigma", "r_min")
"""Columns that are the size of an atom, or of a pair."""

_INTERACTION = {
    "CustomBondForce": ("Bond", "distance"),
    "CustomAngleForce": ("Angle", "angle"),
    "CustomTorsionForce": ("Torsion", "dihedral"),
}
_ARITY = {"distance": 2, "angle": 3, "dihedral": 4}
_NOT_ANALYTIC = ("step", "delta", "select", "min", "max", "abs", "floor", "ceil")
N_POINTS = 16
_ROUNDING = 1e-11


@dataclass(frozen=True)
class Match:
    """A form that an expression is.

    Attributes:
        form: the form's name.
        columns: for each column of the form, the place of the parameter that it is.
        factor: the expression's value over the form's.
        mixing_rule: of a nonbonded form that has one; empty otherwise.
        unit: the size of the form over that of the parameter that the force states, where another size is usual.
        settings: further settings of a term of the form, by name.
    """

    form: str
    columns: tuple[int, ...]
    factor: float
    mixing_rule: str = ""
    unit: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def values(self, stated: Floats) -> Floats:
        """Return the parameters in the form's columns, from those of the force, ``(n, n_parameters)``."""
        names = form(self.form).column_names
        scaled = np.isin(names, PROPORTIONAL[self.form])
        sizes = np.isin(names, _SIZES)
        return stated[:, list(self.columns)] * np.where(scaled, self.factor, 1.0) * np.where(sizes, self.unit, 1.0)


def read_custom_bonded(force: Any, particles: Particles) -> list[FoundTerm]:
    """Return the terms of a ``CustomBondForce``, ``CustomAngleForce`` or ``CustomTorsionForce``.

    Raises:
        UnsupportedError: its expression is no form of the standard, or it is periodic.
    """
    refuse_periodic(force)
    interaction, coordinate = _INTERACTION[name_of(force)]
    names = stated_parameters(force, interaction)
    known = known_forms(coordinate)
    found = matched(force, names, known, _bonded_candidates(force, interaction, coordinate, len(names)))
    n_terms = getattr(force, f"getNum{interaction}s")()
    atoms, stated = read_rows(n_terms, getattr(force, f"get{interaction}Parameters"), _ARITY[coordinate])
    if not n_terms:
        return []
    if found.form == "coulomb_pair":
        constant = {"coulomb_constant": abs(found.factor)}
        return found_terms(found.form, atoms, found.values(stated) * np.sign(found.factor), particles, constant)
    return found_terms(found.form, atoms, found.values(stated), particles)


def stated_parameters(
    force: Any, interaction: str, *, analytic: bool = True, tables: bool = False, global_parameters: bool = False
) -> list[str]:
    """Return the names of the parameters that each interaction has.

    Args:
        force: a custom force.
        interaction: what it calls an interaction.
        analytic: whether the expression must be an analytic function.
        tables: whether it may use tabulated functions.
        global_parameters: whether it may have global parameters.

    Raises:
        UnsupportedError: the energy depends on something else, or is not analytic.
    """
    expression = force.getEnergyFunction()
    if not global_parameters and (count := force.getNumGlobalParameters()):
        names = ", ".join(force.getGlobalParameterName(number) for number in range(count))
        raise UnsupportedError(
            f"it has global parameters ({names}), which the standard does not. Write their values into the expression"
        )
    if not tables and getattr(force, "getNumTabulatedFunctions", int)():
        raise UnsupportedError(
            f"its expression {expression!r} uses tabulated functions, and no form of the standard does"
        )
    if analytic and (found := re.findall(rf"\b({'|'.join(_NOT_ANALYTIC)})\s*\(", expression)):
        raise UnsupportedError(f"its expression {expression!r} has {found[0]}(), and no form of the standard does")
    return _names(force, interaction)


def _names(force: Any, interaction: str) -> list[str]:
    count = getattr(force, f"getNumPer{interaction}Parameters")()
    return [getattr(force, f"getPer{interaction}ParameterName")(number) for number in range(count)]


def copy_parameters(force: Any, other: Any, interaction: str) -> None:
    """Give another force the names of a force's parameters, and its global parameters."""
    for name in _names(force, interaction):
        getattr(other, f"addPer{interaction}Parameter")(name)
    for number in range(force.getNumGlobalParameters()):
        other.addGlobalParameter(force.getGlobalParameterName(number), force.getGlobalParameterDefaultValue(number))


def known_forms(coordinate: str) -> list[str]:
    """Return the bonded forms of this coordinate alone, by its kind; the nonbonded forms if it is empty."""
    kinds = (coordinate,) if coordinate else ()
    return [name for name in PROPORTIONAL if tuple(each.kind for each in form(name).coordinates) == kinds]


def matched(
    force: Any, names: list[str], known: list[str], candidates: Iterator[tuple[Match, Floats, Floats]]
) -> Match:
    """Return the first candidate, given with its values and those of the expression, that differs by a factor.

    Raises:
        UnsupportedError: there is none.
    """
    for candidate, values, expected in candidates:
        with np.errstate(all="ignore"):
            factors = expected / values
        if np.isfinite(factors).all() and factors[0] and np.ptp(factors) <= _ROUNDING * abs(factors[0]):
            # Whole factors, and their reciprocals, are meant where rounding is all that differs.
            factor = float(np.median(factors))
            near = round(factor) if abs(factor) >= 1 else 1 / round(1 / factor)
            return replace(candidate, factor=near if abs(near - factor) <= 1e-13 * abs(near) else factor)
    raise UnsupportedError(
        f"its expression {force.getEnergyFunction()!r} of the parameters {', '.join(names) or 'none'} is none of the "
        f"standard's forms of this kind, each with a parameter for every column: {', '.join(known)}"
    )


def columns_of(coordinate: str, n_parameters: int) -> Iterator[tuple[Form, tuple[int, ...]]]:
    """Yield forms with each way in which the parameters can be their columns."""
    for name in known_forms(coordinate):
        declared = form(name)
        if len(declared.columns) == n_parameters:
            for columns in permutations(range(n_parameters)):
                yield declared, columns


def _bonded_candidates(
    force: Any, interaction: str, coordinate: str, n_parameters: int
) -> Iterator[tuple[Match, Floats, Floats]]:
    random = np.random.default_rng(0)
    # Parameters are small whole numbers, as a periodicity is.
    parameters = random.integers(1, 5, (N_POINTS, n_parameters)).astype(float)
    q = random.uniform(0.3, 2.9, N_POINTS)
    x = corners(coordinate, q)
    probe = Probe(force, interaction, n_atoms=x.shape[1])
    expected = np.array([probe(each, [row]) for each, row in zip(x, parameters.tolist(), strict=True)])
    coordinates: Any = (np.cos(q), np.sin(q)) if coordinate == "dihedral" else q
    for declared, columns in columns_of(coordinate, n_parameters):
        settings = dict.fromkeys(declared.settings, 1.0)
        values = BONDED[declared.name].energy(np, coordinates, *parameters[:, list(columns)].T, **settings)
        yield Match(declared.name, columns, 1.0), values, expected


def corners(coordinate: str, q: Floats) -> Floats:
    """Return positions ``(n, arity, 3)`` of atoms whose internal coordinate is q."""
    zero, one = np.zeros_like(q), np.ones_like(q)
    around = np.stack([np.cos(q), np.sin(q), zero], axis=1)
    origin, x, z = (np.stack(axes, axis=1) for axes in ((zero,) * 3, (one, zero, zero), (zero, zero, one)))
    chains = {
        "distance": (origin, q[:, None] * x),
        "angle": (x, origin, around),
        "dihedral": (x, origin, z, z + around),
    }
    return np.stack(chains[coordinate], axis=1)


class Probe:
    """A custom force's expression, evaluated by OpenMM for one interaction.

    Args:
        force: the force, which is not changed.
        interaction: what it calls an interaction; ``Particle`` for a force of pairs.
        n_atoms: atoms of an interaction.
    """

    def __init__(self, force: Any, interaction: str, *, n_atoms: int) -> None:
        import openmm

        self._system = openmm.System()
        compound = name_of(force) == "CustomCompoundBondForce"
        of_atoms = (n_atoms,) if compound else ()
        self._force = type(force)(*of_atoms, force.getEnergyFunction())
        copy_parameters(force, self._force, interaction)
        names = _names(force, interaction)
        add = getattr(self._force, f"add{interaction}")
        self._set = getattr(self._force, f"set{interaction}Parameters")
        together: Sequence[Any] = [list(range(n_atoms))] if compound else range(n_atoms)
        self._atoms = [()] * n_atoms if interaction == "Particle" else [together]
        for atoms in self._atoms:
            add(*atoms, [1.0] * len(names))
        for _ in range(n_atoms):
            self._system.addParticle(0.0)
        self._system.addForce(self._force)
        platform = openmm.Platform.getPlatformByName("Reference")
        self._context = openmm.Context(self._system, openmm.VerletIntegrator(0.001), platform)

    def __call__(self, x: Floats, parameters: list[list[float]]) -> float:
        """Return the energy [kJ/mol] at positions ``(n_atoms, 3)`` [nm], for the parameters of each row."""
        for row, (atoms, values) in enumerate(zip(self._atoms, parameters, strict=True)):
            self._set(row, *atoms, values)
        self._force.updateParametersInContext(self._context)
        self._context.setPositions(x)
        energy = self._context.getState(energy=True).getPotentialEnergy()
        return float(energy._value)
