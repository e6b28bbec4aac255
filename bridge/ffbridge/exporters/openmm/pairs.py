"""Nonbonded terms that OpenMM's ``NonbondedForce`` does not evaluate, by its custom forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.methods import is_periodic
from ffbridge.exporters.openmm.parameters import Floats, mix, of_atoms, pairs_of
from ffbridge.forms import form
from ffbridge.term import Term

__all__ = ["PairForces"]

_LENNARD_JONES = "4*epsilon*((sigma/r)^12-(sigma/r)^6)"
_MIXED = {"geometric": "sigma=sqrt(sigma1*sigma2); epsilon=sqrt(epsilon1*epsilon2)"}


@dataclass(frozen=True)
class _Expression:
    """Energies of a term, in OpenMM's syntax.

    Attributes:
        pair: of two atoms, as a function of their distance ``r`` and the columns of both.
        exception: of a pair of the exceptions, as a function of ``r`` and `arguments`.
        arguments: parameters of a pair.
    """

    pair: str
    exception: str
    arguments: tuple[str, ...]


def _expression(term: Term) -> _Expression:
    settings = term.settings
    if term.form == "lennard_jones":
        mixed = f"{_LENNARD_JONES}; {_MIXED[settings['mixing_rule']]}"
        return _Expression(mixed, _LENNARD_JONES, ("sigma", "epsilon"))
    strength = f"strength={settings['coulomb_constant']!r}*charge1*charge2"
    energy = exception = "strength/r"
    if settings["method"] == "timemachine":
        cutoff = repr(settings["cutoff"])
        energy = f"strength*erfc({settings['beta']!r}*r)/r*cos(0.5*{np.pi!r}*(r/{cutoff})^8)^3"
        exception = f"step({cutoff}-r)*{energy}"
    return _Expression(f"{energy}; {strength}", exception, ("strength",))


class PairForces:
    """A nonbonded term as a ``CustomNonbondedForce``, and a ``CustomBondForce`` for the exceptions.

    Args:
        bundle: one system, of NumPy arrays.
        name: the term's name.
        parameters: of its interactions, ``(n_terms, n_columns)``.

    Attributes:
        forces: both ``openmm.Force``.

    Raises:
        UnsupportedError: OpenMM has no exact energy for the settings.
    """

    def __init__(self, bundle: Bundle, name: str, parameters: Floats) -> None:
        import openmm

        term = bundle.terms[name]
        _refuse(name, term)
        expression = _expression(term)
        self._name, self._term = name, term
        self._exceptions, self._pairs, self._n_atoms = bundle.exceptions, pairs_of(bundle.exceptions), bundle.n_atoms
        self._all = openmm.CustomNonbondedForce(expression.pair)
        self._some = openmm.CustomBondForce(expression.exception)
        self.forces = (self._all, self._some)
        for column in form(term.form).column_names:
            self._all.addPerParticleParameter(column)
        for argument in expression.arguments:
            self._some.addPerBondParameter(argument)
        self._configure()
        self._atoms, self._exceptional = self._values(parameters)
        for values in self._atoms.tolist():
            self._all.addParticle(values)
        for pair, values in zip(self._pairs.tolist(), self._exceptional.tolist(), strict=True):
            self._all.addExclusion(*pair)
            self._some.addBond(*pair, values)

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set parameters by name of the term, and those that changed in a Context of the System."""
        atoms, exceptional = self._values(parameters[self._name])
        rows = np.flatnonzero((atoms != self._atoms).any(axis=1))
        pairs = np.flatnonzero((exceptional != self._exceptional).any(axis=1))
        for row, values in zip(rows.tolist(), atoms[rows].tolist(), strict=True):
            self._all.setParticleParameters(row, values)
        for row, values in zip(pairs.tolist(), exceptional[pairs].tolist(), strict=True):
            self._some.setBondParameters(row, *self._pairs[row].tolist(), values)
        self._atoms, self._exceptional = atoms, exceptional
        if len(rows):
            self._all.updateParametersInContext(context)
        if len(pairs):
            self._some.updateParametersInContext(context)

    def _configure(self) -> None:
        settings = self._term.settings
        periodic = is_periodic(settings)
        self._some.setUsesPeriodicBoundaryConditions(periodic)
        if settings["method"] == "no_cutoff":
            self._all.setNonbondedMethod(self._all.NoCutoff)
            return
        self._all.setNonbondedMethod(self._all.CutoffPeriodic if periodic else self._all.CutoffNonPeriodic)
        self._all.setCutoffDistance(settings["cutoff"])
        if "switch_distance" in settings:
            self._all.setUseSwitchingFunction(True)
            self._all.setSwitchingDistance(settings["switch_distance"])

    def _values(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Return the parameters of atoms, and those of exceptions."""
        atoms = of_atoms(self._term, parameters, self._n_atoms)
        if self._exceptions is None:
            return atoms, np.zeros((0, 1))
        if self._term.form == "lennard_jones":
            mixed = mix(self._term.settings["mixing_rule"], atoms, self._pairs)
            return atoms, mixed * np.stack([np.ones(len(mixed)), self._exceptions.kept_lj], axis=1)
        products = self._term.settings["coulomb_constant"] * np.prod(atoms[:, 0][self._pairs], axis=1)
        return atoms, (self._exceptions.kept_charge * products)[:, None]


def _refuse(name: str, term: Term) -> None:
    settings = term.settings
    if settings.get("mixing_rule", "geometric") not in _MIXED:
        raise UnsupportedError(
            f"terms/{name}/settings/mixing_rule: to_openmm has no expression for {settings['mixing_rule']!r}; known: "
            f"lorentz_berthelot, {', '.join(_MIXED)}"
        )
    if settings["method"] == "ljpme":
        raise UnsupportedError(
            f"terms/{name}/settings/mixing_rule: OpenMM evaluates ljpme with lorentz_berthelot only, not with "
            f"{settings['mixing_rule']!r}"
        )
    if settings.get("dispersion_correction") and settings["periodic"]:
        raise UnsupportedError(
            f"terms/{name}/settings/dispersion_correction: for this method or the mixing rule "
            f"{settings.get('mixing_rule')!r} OpenMM integrates it numerically, which is not exact. Set it to false if "
            "the energy without it is meant"
        )
