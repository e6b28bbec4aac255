"""Nonbonded terms that OpenMM's ``NonbondedForce`` does not evaluate, by its custom forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.energy.mixing import ARITHMETIC, CHARGES, GEOMETRIC, HARMONIC
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.methods import is_periodic
from ffbridge.exporters.openmm.overrides import TypeTables, overridable
from ffbridge.exporters.openmm.parameters import Floats, mix, of_atoms, overrides_key, pairs_of
from ffbridge.forms import form
from ffbridge.term import Exceptions, Term

__all__ = ["PAIR_FORMS", "PairForces"]


@dataclass(frozen=True)
class _PairForm:
    """The energy of a form's pair, in OpenMM's syntax.

    Attributes:
        parameters: of a pair, in the order of the form's columns.
        energy: a function of the distance ``r``, these parameters and settings.
        proportional: those parameters that the energy is proportional to, all together.
    """

    parameters: tuple[str, ...]
    energy: str
    proportional: tuple[str, ...]


PAIR_FORMS = {
    "lennard_jones": _PairForm(("sigma", "epsilon"), "4*epsilon*((sigma/r)^12-(sigma/r)^6)", ("epsilon",)),
    "coulomb": _PairForm(("strength",), "strength/r", ("strength",)),
    "buckingham": _PairForm(("a", "b", "c"), "a*exp(-b*r)-c/r^6", ("a", "c")),
    "double_exponential": _PairForm(
        ("r_min", "epsilon"),
        # The formula is finite where atoms coincide, and the energy is not (spec, E-4).
        "select(r, select(r_min, epsilon*shape, 0), 1/r);"
        "shape=(beta*exp(alpha*(1-r/r_min))-alpha*exp(beta*(1-r/r_min)))/(alpha-beta);"
        "alpha={repulsion_exponent!r}; beta={attraction_exponent!r}",
        ("epsilon",),
    ),
}
"""The nonbonded forms that OpenMM's custom forces evaluate."""

_MEANS = {
    ARITHMETIC: "0.5*({0}1+{0}2)",
    GEOMETRIC: "sqrt({0}1*{0}2)",
    HARMONIC: "select({0}1+{0}2, 2*{0}1*{0}2/({0}1+{0}2), 0)",
    CHARGES: "{coulomb_constant!r}*charge1*charge2",
}


def _expressions(term: Term) -> tuple[str, str]:
    """Return the energy of a pair by the columns of both atoms, and that of an exception by parameters of the pair."""
    settings = term.settings
    pair, means = PAIR_FORMS[term.form], NONBONDED[term.form].mixing_of(settings).means
    energy = exception = pair.energy.format(**settings)
    if settings["method"] == "timemachine":
        cutoff = repr(settings["cutoff"])
        energy = f"strength*erfc({settings['beta']!r}*r)/r*cos(0.5*{np.pi!r}*(r/{cutoff})^8)^3"
        exception = f"step({cutoff}-r)*{energy}"
    mixed = {name: _MEANS[mean].format(name, **settings) for name, mean in zip(pair.parameters, means, strict=True)}
    if term.overrides is not None:
        mixed = {name: overridable(name, mean) for name, mean in mixed.items()}
    return "; ".join([energy, *(f"{name}={mean}" for name, mean in mixed.items())]), exception


class PairForces:
    """A nonbonded term as a ``CustomNonbondedForce``, and a ``CustomBondForce`` for the exceptions.

    Args:
        bundle: one system, of NumPy arrays.
        name: the term's name.
        parameters: by name, as :func:`.parameters.of_terms` returns them.

    Attributes:
        forces: both ``openmm.Force``.

    Raises:
        UnsupportedError: OpenMM has no exact energy for the settings.
    """

    def __init__(self, bundle: Bundle, name: str, parameters: dict[str, Floats]) -> None:
        import openmm

        term = bundle.terms[name]
        _refuse(name, term)
        energy, exception = _expressions(term)
        self._name, self._term = name, term
        excluded, kept = pairs_of(bundle.exceptions), _kept(term, bundle.exceptions)
        self._pairs, self._kept, self._n_atoms = excluded[kept != 0], kept[kept != 0], bundle.n_atoms
        self._all = openmm.CustomNonbondedForce(energy)
        self._some = openmm.CustomBondForce(exception)
        self.forces = (self._all, self._some)
        for column in form(term.form).column_names:
            self._all.addPerParticleParameter(column)
        for parameter in PAIR_FORMS[term.form].parameters:
            self._some.addPerBondParameter(parameter)
        self._overrides = None
        if term.overrides is not None:
            self._overrides = TypeTables(term, term.overrides, PAIR_FORMS[term.form].parameters, bundle.n_atoms)
            self._overrides.add_to(self._all, parameters[overrides_key(name)])
            self._all.addPerParticleParameter("type")
        self._configure()
        self._parameters = parameters
        self._atoms, self._exceptional = self._values(parameters)
        for values in self._atoms.tolist():
            self._all.addParticle(values)
        for pair in excluded.tolist():
            self._all.addExclusion(*pair)
        for pair, values in zip(self._pairs.tolist(), self._exceptional.tolist(), strict=True):
            self._some.addBond(*pair, values)

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set parameters by name of the term, and those that changed in a Context of the System."""
        atoms, exceptional = self._values(parameters)
        own, key = self._overrides, overrides_key(self._name)
        listed = own is not None and not np.array_equal(parameters[key], self._parameters[key])
        rows = np.flatnonzero((atoms != self._atoms).any(axis=1))
        pairs = np.flatnonzero((exceptional != self._exceptional).any(axis=1))
        for row, values in zip(rows.tolist(), atoms[rows].tolist(), strict=True):
            self._all.setParticleParameters(row, values)
        for row, values in zip(pairs.tolist(), exceptional[pairs].tolist(), strict=True):
            self._some.setBondParameters(row, *self._pairs[row].tolist(), values)
        if own is not None and listed:
            own.set_in(self._all, parameters[key])
        self._atoms, self._exceptional, self._parameters = atoms, exceptional, parameters
        if len(rows) or listed:
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

    def _values(self, parameters: dict[str, Floats]) -> tuple[Floats, Floats]:
        """Return the parameters of atoms, with their types at the end if there are overrides, and of exceptions."""
        atoms = of_atoms(self._term, parameters[self._name], self._n_atoms)
        pair = PAIR_FORMS[self._term.form]
        scaled = np.isin(pair.parameters, pair.proportional)
        mixed = mix(self._term, atoms, self._pairs)
        if self._overrides is not None:
            mixed = self._overrides.replace(mixed, self._pairs, parameters[overrides_key(self._name)])
            atoms = np.concatenate([atoms, self._overrides.types[:, None]], axis=1)
        return atoms, mixed * np.where(scaled, self._kept[:, None], 1.0)


def _kept(term: Term, exceptions: Exceptions | None) -> NDArray[Any]:
    """Return the fractions of the exceptions' energies that are kept, ``(n_exceptions,)``."""
    if exceptions is None:
        return np.zeros(0)
    return np.asarray(getattr(exceptions, str(form(term.form).exceptions)))


def _refuse(name: str, term: Term) -> None:
    settings = term.settings
    if settings["method"] == "ljpme":
        raise UnsupportedError(
            f"terms/{name}/settings/mixing_rule: OpenMM evaluates ljpme with lorentz_berthelot only, not with "
            f"{settings['mixing_rule']!r}"
        )
    if settings.get("dispersion_correction") and settings["periodic"]:
        raise UnsupportedError(
            f"terms/{name}/settings/dispersion_correction: for this method, the mixing rule "
            f"{settings.get('mixing_rule')!r} or overrides OpenMM integrates it numerically, which is not exact. Set "
            "it to false if the energy without it is meant"
        )
