"""``CustomNonbondedForce``, and ``CustomBondForce`` of its exceptions, whose expression is a pair's energy.

Expressions are compared by value, as :mod:`.custom` says. Two forms have settings that are numbers: the exponents of
``double_exponential``, and the width of the method ``timemachine``. The force states them, in its text or as global
parameters, which are taken at their default values. So each number that it states is tried, and what fits is exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ffbridge.energy.methods import METHODS
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.errors import UnsupportedError
from ffbridge.forms import Form, form
from ffbridge.producers.openmm.custom import (
    N_POINTS,
    Match,
    Probe,
    columns_of,
    copy_parameters,
    corners,
    known_forms,
    matched,
    stated_parameters,
)
from ffbridge.producers.openmm.found import Floats, name_of
from ffbridge.registry import get_backend

__all__ = ["match_exceptions_expression", "match_pair_expression"]

_GUARDS = (
    (r"select\(r, select\(r_min, epsilon\*shape, 0\), 1/r\)", "epsilon*shape"),
    (r"select\((?P<p>\w+)1\+(?P=p)2, (2\*(?P=p)1\*(?P=p)2/\((?P=p)1\+(?P=p)2\)), 0\)", r"\g<2>"),
)
"""What `to_openmm` writes where a formula has no value, and the formula: the standard has the same value there."""

_NUMBER = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w)")

_UNITS = {"double_exponential": (1.0, 2 ** (1 / 6), 2.0)}
"""The least energy's distance over the size that a force may state: itself, Lennard-Jones' sigma, or its half."""


def match_pair_expression(force: Any) -> Match:
    """Return the form of a ``CustomNonbondedForce``, with its settings; those of the method only where it is another.

    Raises:
        UnsupportedError: its expression is no form of the standard.
    """
    plain = _without_guards(force)
    names = stated_parameters(plain, "Particle", global_parameters=True)
    cutoff = _cutoff(force)
    return matched(force, names, known_forms(""), _pair_candidates(plain, len(names), cutoff))


def match_exceptions_expression(force: Any, form_name: str, settings: Mapping[str, Any]) -> Match:
    """Return how a ``CustomBondForce`` states pairs of a nonbonded term: by the form's parameters of a pair.

    Args:
        force: the force.
        form_name: the term's form.
        settings: the term's settings.

    Raises:
        UnsupportedError: its expression is another one.
    """
    # Beyond the cutoff, where the step is 0, the standard has no energy by this method.
    step = (rf"^step\({re.escape(repr(settings['cutoff']))}-r\)\*", "") if _is_screened(settings) else None
    if step and not re.match(step[0], force.getEnergyFunction()):
        raise UnsupportedError(f"its expression {force.getEnergyFunction()!r} does not end at the term's cutoff")
    plain = _without_guards(force, *([step] if step else []))
    names = stated_parameters(plain, "Bond", global_parameters=True)
    return matched(force, names, [form_name], _exception_candidates(plain, len(names), form(form_name), settings))


def _is_screened(settings: Mapping[str, Any]) -> bool:
    return bool(settings["method"] == "timemachine")


def _without_guards(force: Any, *more: tuple[str, str]) -> Any:
    """Return a force with the names of the parameters, and a formula that is analytic where the guards are not met."""
    text = force.getEnergyFunction()
    for pattern, formula in (*_GUARDS, *more):
        text = re.sub(pattern, formula, text)
    plain = type(force)(text)
    copy_parameters(force, plain, "Bond" if name_of(force) == "CustomBondForce" else "Particle")
    return plain


def _cutoff(force: Any) -> float:
    """Return the distance where the energy ends as it is; 0 if it never does, or is switched."""
    from openmm.unit import nanometer

    if force.getNonbondedMethod() == force.NoCutoff or force.getUseSwitchingFunction():
        return 0.0
    return float(force.getCutoffDistance().value_in_unit(nanometer))


def _stated_numbers(force: Any) -> list[float]:
    """Return the positive numbers that a force states, each once, the greatest first."""
    numbers = {float(text) for text in _NUMBER.findall(force.getEnergyFunction())}
    numbers |= {force.getGlobalParameterDefaultValue(number) for number in range(force.getNumGlobalParameters())}
    return sorted((number for number in numbers if number > 0), reverse=True)


def _pair_candidates(force: Any, n_parameters: int, cutoff: float) -> Iterator[tuple[Match, Floats, Floats]]:
    random = np.random.default_rng(0)
    first, second = random.uniform(0.5, 2.0, (2, N_POINTS, n_parameters))
    probe = Probe(force, "Particle", n_atoms=2)

    def evaluate(r: Floats) -> Floats:
        rows = zip(corners("distance", r), first.tolist(), second.tolist(), strict=True)
        return np.array([probe(x, [one, two]) for x, one, two in rows])

    r = random.uniform(0.5, 2.0, N_POINTS)
    expected = evaluate(r)
    for declared, columns in columns_of("", n_parameters):
        atoms = first[:, list(columns)], second[:, list(columns)]
        for rule in declared.mixing_rules or ("",):
            for unit, settings in _settings(declared, force):
                match = Match(declared.name, columns, 1.0, rule, unit, settings)
                yield match, _energy(match, r, *atoms), expected
    if cutoff and n_parameters == 1:
        r = random.uniform(0.3, 0.9, N_POINTS) * cutoff
        expected = evaluate(r)
        for beta in _stated_numbers(force):
            match = Match("coulomb", (0,), 1.0, settings={"method": "timemachine", "beta": beta})
            yield match, _energy(match, r, first, second) * _screening(r, beta, cutoff), expected


def _settings(declared: Form, force: Any) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield units, see `Match`, and settings of a form, by the numbers that a force states."""
    if declared.name != "double_exponential":
        yield 1.0, {}
        return
    for repulsion, attraction in combinations(_stated_numbers(force), 2):
        for unit in _UNITS[declared.name]:
            yield unit, {"repulsion_exponent": repulsion, "attraction_exponent": attraction}


def _energy(match: Match, r: Floats, first: Floats, second: Floats) -> Floats:
    """Return the form's energies of pairs, by the parameters of both atoms, ``(n, n_columns)`` in the form's order."""
    settings = {"mixing_rule": match.mixing_rule, "coulomb_constant": 1.0, **match.settings}
    mixing = NONBONDED[match.form].mixing["" if match.form == "coulomb" else match.mixing_rule]
    units = match.values(np.ones((1, len(match.columns))))
    atoms = [mixing.variables(np, *(of_atom * units).T) for of_atom in (first, second)]
    energy: Floats = NONBONDED[match.form].energy(np, settings, r, *mixing.mix(np, settings, *atoms))
    return energy


def _exception_candidates(
    force: Any, n_parameters: int, declared: Form, settings: Mapping[str, Any]
) -> Iterator[tuple[Match, Floats, Floats]]:
    random = np.random.default_rng(0)
    stated = random.uniform(0.5, 2.0, (N_POINTS, n_parameters))
    r = random.uniform(0.3, 0.9, N_POINTS) * settings.get("cutoff", 1.0)
    probe = Probe(force, "Bond", n_atoms=2)
    expected = np.array([probe(x, [row]) for x, row in zip(corners("distance", r), stated.tolist(), strict=True)])
    screening = _screening(r, settings["beta"], settings["cutoff"]) if _is_screened(settings) else 1.0
    for other, columns in columns_of("", n_parameters):
        for unit in _UNITS.get(declared.name, (1.0,)) if other.name == declared.name else ():
            match = Match(declared.name, columns, 1.0, unit=unit)
            values = NONBONDED[declared.name].energy(np, settings, r, *match.values(stated).T)
            yield match, values * screening, expected


def _screening(r: Floats, beta: float, cutoff: float) -> Floats:
    """Return the factor of the method ``timemachine``."""
    factor: Floats = METHODS["timemachine"].factor(get_backend("numpy"), {"beta": beta, "cutoff": cutoff}, r)
    return factor
