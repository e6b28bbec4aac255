"""Custom nonbonded forces whose parameters come from tables over the types of both particles.

OpenMM's own CHARMM force fields state Lennard-Jones as A(type1, type2)/r¹² - B(type1, type2)/r⁶, because some pairs of
types are not mixed (NBFIX). Each type's sigma and epsilon are those of its pair with itself; pairs that do not follow
from them by a mixing rule are overrides. The other kind of force is what `to_openmm` makes of overrides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.overrides import OWN, own_name
from ffbridge.forms import form
from ffbridge.producers.openmm.custom import N_POINTS, Match, stated_parameters
from ffbridge.producers.openmm.found import Floats, Ints, name_of
from ffbridge.producers.openmm.pair_expressions import match_pair_expression

__all__ = ["TypedTerm", "read_type_tables"]

_SAME = 1e-10
"""Relative difference of A and of B that is taken for rounding."""

_OVERRIDABLE = re.compile(rf"(\w+)=select\({OWN}\(type1,type2\), {OWN}_\1\(type1,type2\), (.*)\)")


@dataclass(frozen=True, eq=False)
class TypedTerm:
    """A nonbonded term whose atoms share parameters by type.

    Attributes:
        form: the form.
        mixing_rule: how pairs of types are mixed that are not listed.
        index: the row of each atom, ``(n_atoms,) int32``.
        values: the parameters of each row.
        pairs: pairs of rows that are not mixed, ``(n_overrides, 2) int32``, first <= second.
        own: their parameters, ``(n_overrides, n_columns)``.
        settings: further settings.
    """

    form: str
    mixing_rule: str
    index: Ints
    values: Floats
    pairs: Ints
    own: Floats
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_type_tables(force: Any, stated: Floats) -> TypedTerm:
    """Return the term of a ``CustomNonbondedForce`` with tabulated functions.

    Args:
        force: the force.
        stated: the parameters of each particle, ``(n_atoms, n_parameters)``.

    Raises:
        UnsupportedError: it is none of the two kinds.
    """
    names = stated_parameters(force, "Particle", analytic=False, tables=True)
    functions = {}
    for number in range(force.getNumTabulatedFunctions()):
        functions[force.getTabulatedFunctionName(number)] = _table(force, force.getTabulatedFunction(number))
    if OWN in functions and names[-1] == "type":
        return _own_kind(force, names, functions, stated)
    if len(names) == 1 and len(functions) == 2:
        return _lennard_jones(force, names[0], functions, stated[:, 0])
    raise _unknown(force)


def _table(force: Any, function: Any) -> Floats:
    """Return the values of a function of two types, ``(n_types, n_types)``."""
    if name_of(function) != "Discrete2DFunction":
        raise _unknown(force)
    n_first, n_second, values = function.getFunctionParameters()
    table = np.array(values, dtype=np.float64).reshape(n_second, n_first)
    if n_first != n_second or not np.array_equal(table, table.T):
        raise UnsupportedError("a table of its types is not symmetric; pairs of the standard have no order")
    return table


def _lennard_jones(force: Any, parameter: str, functions: dict[str, Floats], types: Floats) -> TypedTerm:
    a_name, b_name, power = _coefficients(force, parameter, list(functions))
    used, index = np.unique(np.rint(types).astype(np.int64), return_inverse=True)
    n_types = len(functions[a_name])
    if (bad := used[(used < 0) | (used >= n_types)]).size:
        raise UnsupportedError(f"a particle has the type {bad[0]}, and its tables have {n_types} types")
    a, b = (functions[name][np.ix_(used, used)] for name in (a_name, b_name))
    sigma, epsilon = _sigma_and_epsilon(a**power, b, used)
    values = np.stack([np.diagonal(sigma), np.diagonal(epsilon)], axis=1)
    rules = {rule: _differ(rule, values, a**power, b) for rule in form("lennard_jones").mixing_rules}
    rule = min(rules, key=lambda each: int(rules[each].sum()))
    pairs = np.argwhere(np.triu(rules[rule])).astype(np.int32)
    first, second = pairs.T
    own = np.stack([sigma[first, second], epsilon[first, second]], axis=1)
    return TypedTerm("lennard_jones", rule, index.reshape(-1).astype(np.int32), values, pairs, own)


def _coefficients(force: Any, parameter: str, names: list[str]) -> tuple[str, str, int]:
    """Return which function is A, or its root, which is B, and the power of the first that is A."""
    probe = _Probe(force, parameter, names)
    random = np.random.default_rng(0)
    r, *values = random.uniform(0.5, 2.0, (3, N_POINTS))
    found = np.array([probe(*row) for row in zip(r.tolist(), *(each.tolist() for each in values), strict=True)])
    by_name = dict(zip(names, values, strict=True))
    for a_name, b_name in permutations(names):
        for power in (1, 2):
            expected = by_name[a_name] ** power / r**12 - by_name[b_name] / r**6
            if np.allclose(found, expected, rtol=1e-11, atol=0):
                return a_name, b_name, power
    raise _unknown(force)


def _sigma_and_epsilon(a: Floats, b: Floats, types: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return σ = (A/B)^(1/6) and ε = B²/(4A) of each pair of types; both 0 where A and B are."""
    present = (a > 0) & (b > 0)
    if (bad := ~present & ((a != 0) | (b != 0))).any():
        first, second = np.argwhere(bad)[0]
        raise UnsupportedError(
            f"its types {types[first]} and {types[second]} have A = {a[first, second]:g} and B = {b[first, second]:g}; "
            "in Lennard-Jones both are positive, or both 0"
        )
    a, b = np.where(present, a, 1.0), np.where(present, b, 1.0)
    return np.where(present, (a / b) ** (1 / 6), 0.0), np.where(present, b**2 / (4 * a), 0.0)


def _differ(rule: str, values: Floats, a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Return which pairs of types have another A or B than the mixed one, ``(n_types, n_types)``."""
    mixing = NONBONDED["lennard_jones"].mixing[rule]
    variables = mixing.variables(np, *values.T)
    sigma, epsilon = mixing.mix(
        np, {}, tuple(each[:, None] for each in variables), tuple(each[None, :] for each in variables)
    )
    differ = np.zeros(a.shape, dtype=bool)
    for stated, power in ((a, 12), (b, 6)):
        mixed = 4 * epsilon * sigma**power
        differ |= abs(stated - mixed) > _SAME * np.maximum(abs(stated), abs(mixed))
    return differ


def _own_kind(force: Any, names: list[str], functions: dict[str, Floats], stated: Floats) -> TypedTerm:
    """Return what a force holds that `to_openmm` made of overrides."""
    import openmm

    plain = openmm.CustomNonbondedForce(
        "; ".join(_OVERRIDABLE.sub(r"\1=\2", part.strip()) for part in force.getEnergyFunction().split(";"))
    )
    for name in names[:-1]:
        plain.addPerParticleParameter(name)
    found = match_pair_expression(plain)
    rows, index = np.unique(stated[:, [-1, *range(len(names) - 1)]], axis=0, return_inverse=True)
    types = np.rint(rows[:, 0]).astype(np.int64)
    listed = np.argwhere(np.triu(functions[OWN]))
    row_of = {int(kind): row for row, kind in enumerate(types) if kind}
    if len(row_of) < np.count_nonzero(types):
        raise UnsupportedError("particles of one of its types have different parameters, so that the type is none")
    # Types that no particle has are in no pair.
    listed = listed[[all(int(kind) in row_of for kind in pair) for pair in listed]]
    pairs = np.array([sorted(row_of[int(kind)] for kind in pair) for pair in listed], dtype=np.int32).reshape(-1, 2)
    columns = [functions[own_name(column)][tuple(listed.T)] for column in form(found.form).column_names]
    own = np.stack(columns, axis=1) * _factors(found)
    values, row = found.values(rows[:, 1:]), index.reshape(-1).astype(np.int32)
    return TypedTerm(found.form, found.mixing_rule, row, values, pairs, own, found.settings)


def _factors(found: Match) -> Floats:
    """Return what a match multiplies each column by."""
    ones = np.ones((1, len(found.columns)))
    return found.values(ones)


def _unknown(force: Any) -> UnsupportedError:
    return UnsupportedError(
        f"its expression {force.getEnergyFunction()!r} uses tabulated functions, and is not A/r^12 - B/r^6 with tables "
        "of both particles' types, of one parameter, for A or its root and for B"
    )


class _Probe:
    """The expression of a force of types, evaluated by OpenMM for values of its functions."""

    def __init__(self, force: Any, parameter: str, names: list[str]) -> None:
        import openmm

        self._system = openmm.System()
        self._force = openmm.CustomNonbondedForce(force.getEnergyFunction())
        self._force.addPerParticleParameter(parameter)
        for name in names:
            self._force.addTabulatedFunction(name, openmm.Discrete2DFunction(1, 1, [1.0]))
        for _ in range(2):
            self._system.addParticle(0.0)
            self._force.addParticle([0.0])
        self._system.addForce(self._force)
        platform = openmm.Platform.getPlatformByName("Reference")
        self._context = openmm.Context(self._system, openmm.VerletIntegrator(0.001), platform)

    def __call__(self, r: float, *values: float) -> float:
        """Return the energy [kJ/mol] at a distance [nm], for the functions' values in the order of their names."""
        for number, value in enumerate(values):
            self._force.getTabulatedFunction(number).setFunctionParameters(1, 1, [value])
        self._force.updateParametersInContext(self._context)
        self._context.setPositions([[0.0, 0.0, 0.0], [r, 0.0, 0.0]])
        return float(self._context.getState(energy=True).getPotentialEnergy()._value)
