"""Nonbonded forms and methods, compiled, and the loop over pairs of atoms that all of them share.

The formulas are those of :mod:`ffbridge.energy.nonbonded` and :mod:`ffbridge.energy.methods`. Two terms over the same
atoms, such as Lennard-Jones and Coulomb, are one loop, with one distance. A form is a NamedTuple, which holds the
settings that it has, with a case of `value`; a method likewise, with cases of `reach` and `factor`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ffbridge_backends.engines.native.compiled.lanes import (
    SOURCES,
    add,
    case,
    compiled,
    generic,
    inlined,
    subtract,
    sum_of,
    width,
)
from ffbridge_backends.engines.native.compiled.means import mean, slope_of_mean

__all__ = ["FORMS", "METHODS", "NoCutoff", "Nothing", "factor", "nonbonded", "reach", "value"]


@generic
def value(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    """Return U, dU/dr and dU/dp of three parameters, 0 for those that a form does not have; r > 0."""


@generic
def reach(method: Any, excepted: Any) -> Any:
    """Return where a pair's energy ends, and where it begins to be switched off [nm]."""


@generic
def factor(method: Any, r: Any, inverse: Any, ends: Any) -> Any:
    """Return f and df/dr, by which the form's energy is multiplied; 0 beyond the cutoff."""


class Nothing(NamedTuple):
    """The form of the second term, where there is none."""

    n_columns: int = 0


@case(value, Nothing)
def _nothing(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    return 0.0, 0.0, 0.0, 0.0, 0.0


class LennardJones(NamedTuple):
    """U = 4ε ((σ/r)¹² - (σ/r)⁶)."""

    n_columns: int = 2


@case(value, LennardJones)
def _lennard_jones(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    sigma, epsilon, _ = p
    ratio = sigma * inverse
    square = ratio * ratio
    sixth = square * square * square
    slope = -24.0 * epsilon * (2.0 * sixth * sixth - sixth) * inverse
    # σ times dU/dσ is -r times the slope; written with σ⁵ so that σ = 0 gives 0.
    du_dsigma = 24.0 * epsilon * (2.0 * sixth - 1.0) * square * square * ratio * inverse
    shape = 4.0 * sixth * (sixth - 1.0)
    return epsilon * shape, slope, du_dsigma, shape, 0.0


class Coulomb(NamedTuple):
    """U = strength / r, with strength = coulomb_constant · charge1 · charge2."""

    n_columns: int = 1


@case(value, Coulomb)
def _coulomb(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    strength, _, _ = p
    return strength * inverse, -strength * inverse * inverse, inverse, 0.0, 0.0


class Buckingham(NamedTuple):
    """U = a exp(-b r) - c/r⁶."""

    n_columns: int = 3


@case(value, Buckingham)
def _buckingham(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    a, b, c = p
    decay = math.exp(-b * r)
    sixth = inverse * inverse * inverse
    sixth *= sixth
    return a * decay - c * sixth, 6.0 * c * sixth * inverse - a * b * decay, decay, -a * r * decay, -sixth


class DoubleExponential(NamedTuple):
    """U = ε (β exp(α (1 - r/r_min)) - α exp(β (1 - r/r_min)))/(α - β), and 0 where r_min is 0."""

    n_columns: int = 2
    repulsion_exponent: float = 0.0
    attraction_exponent: float = 0.0


@case(value, DoubleExponential)
def _double_exponential(form: Any, r: Any, inverse: Any, p: Any) -> Any:
    r_min, epsilon, _ = p
    alpha, beta = form.repulsion_exponent, form.attraction_exponent
    if not r_min > 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    scaled = r / r_min
    repulsion, attraction = math.exp(alpha * (1.0 - scaled)), math.exp(beta * (1.0 - scaled))
    shape = (beta * repulsion - alpha * attraction) / (alpha - beta)
    slope = epsilon * alpha * beta * (attraction - repulsion) / ((alpha - beta) * r_min)
    return epsilon * shape, slope, -slope * scaled, shape, 0.0


FORMS: dict[str, type[Any]] = {
    "lennard_jones": LennardJones,
    "coulomb": Coulomb,
    "buckingham": Buckingham,
    "double_exponential": DoubleExponential,
}
"""The forms by their name in the standard."""


class NoCutoff(NamedTuple):
    """The factor 1."""

    n_settings: int = 0


@case(reach, NoCutoff)
def _no_reach(method: Any, excepted: Any) -> Any:
    return 0.0, 0.0


@case(factor, NoCutoff)
def _no_factor(method: Any, r: Any, inverse: Any, ends: Any) -> Any:
    return 1.0, 0.0


class Cutoff(NamedTuple):
    """The factor S = 1 - 10x³ + 15x⁴ - 6x⁵ from the switch distance on; 1 for pairs of exceptions."""

    cutoff: float = 0.0
    switch_distance: float = 0.0
    width: float = 1.0


@case(reach, Cutoff)
def _cutoff_reach(method: Any, excepted: Any) -> Any:
    return (math.inf, math.inf) if excepted else (method.cutoff, method.switch_distance)


@case(factor, Cutoff)
def _switch(method: Any, r: Any, inverse: Any, ends: Any) -> Any:
    cutoff, start = ends
    x = (r - start) / method.width if r > start else 0.0
    within = r < cutoff
    square = x * x
    switch = 1.0 - square * x * (10.0 - 15.0 * x + 6.0 * square)
    slope = -30.0 * square * (1.0 - x) * (1.0 - x) / method.width
    return switch if within else 0.0, slope if within else 0.0


class Timemachine(NamedTuple):
    """The factor erfc(βr) cos³(π/2 (r/rc)⁸), for pairs of exceptions too."""

    cutoff: float = 0.0
    beta: float = 0.0


@case(reach, Timemachine)
def _timemachine_reach(method: Any, excepted: Any) -> Any:
    return method.cutoff, method.cutoff


@case(factor, Timemachine)
def _screen(method: Any, r: Any, inverse: Any, ends: Any) -> Any:
    if not r < method.cutoff:
        return 0.0, 0.0
    beta, part = method.beta, r / method.cutoff
    angle = 0.5 * math.pi * part**8
    cosine, screen = math.cos(angle), math.erfc(beta * r)
    cube = cosine * cosine * cosine
    slope = -2.0 * beta / math.sqrt(math.pi) * math.exp(-((beta * r) ** 2)) * cube
    # The angle goes with r⁸, so its derivative is 8/r times itself.
    return screen * cube, slope - screen * 3.0 * cosine * cosine * math.sin(angle) * 8.0 * angle * inverse


METHODS: dict[str, type[Any]] = {"no_cutoff": NoCutoff, "cutoff": Cutoff, "timemachine": Timemachine}
"""The methods by their name in the standard."""


@inlined
def _parameters(place: Any, listed: Any, ends: Any, means: Any, variables: Any) -> Any:
    """Return the parameters of a pair: those at its place in a list, else the means of those of its atoms' rows."""
    if place >= 0:
        return listed[place, 0], listed[place, 1], listed[place, 2]
    i, j = ends
    return (
        mean(means[0], variables[i, 0], variables[j, 0]),
        mean(means[1], variables[i, 1], variables[j, 1]),
        mean(means[2], variables[i, 2], variables[j, 2]),
    )


@inlined
def _sums(n_columns: Any, out: Any, start: Any, w: Any, count: Any) -> Any:
    """Return the sums over lanes of dU/dp of three columns, 0 for those that a form does not have."""
    first = sum_of(out, start, count) if n_columns > 0 else 0.0
    second = sum_of(out, start + w, count) if n_columns > 1 else 0.0
    return first, second, sum_of(out, start + 2 * w, count) if n_columns > 2 else 0.0


@inlined
def _add_sums(slopes: Any, place: Any, sums: Any) -> None:
    slopes[place, 0] += sums[0]
    slopes[place, 1] += sums[1]
    slopes[place, 2] += sums[2]


@inlined
def _pull_back(n_columns: Any, ends: Any, means: Any, variables: Any, slopes: Any, sums: Any) -> None:
    """Add the derivatives to the means to those to the variables of both rows."""
    if n_columns > 0:
        _pull_back_mean(ends, means[0], variables, slopes, 0, sums[0])
    if n_columns > 1:
        _pull_back_mean(ends, means[1], variables, slopes, 1, sums[1])
    if n_columns > 2:
        _pull_back_mean(ends, means[2], variables, slopes, 2, sums[2])


@inlined
def _pull_back_mean(ends: Any, kind: Any, variables: Any, slopes: Any, column: Any, slope: Any) -> None:
    i, j = ends
    a, b = variables[i, column], variables[j, column]
    slopes[i, column] += slope * slope_of_mean(kind, a, b)
    slopes[j, column] += slope * slope_of_mean(kind, b, a)


@compiled
def nonbonded(
    lanes: Any,
    first: Any,
    second: Any,
    atoms: Any,
    rows_of_atoms: Any,
    systems: Any,
    excepted: Any,
    x: Any,
    gradient: Any,
    rows: tuple[int, int],
    blocks: tuple[int, int],
    counts: Any,
    wanted: int,
    sources: int = SOURCES,
) -> None:
    """Add the energies of the pairs of two terms, and their derivatives.

    Args:
        lanes: the layout of conformers.
        first: a term: (form, method, mixing, kept, weights, energy, slopes, slopes of listed). `mixing` is (means,
            owners, variables, chosen, listed): the mean of each of three columns; of each row of the term, the row in
            `variables` ``(n_rows, 3)``; and, where some pairs have listed parameters in place of means, the row of each
            pair in `listed` ``(n, 3)``, -1 if it has none, else nothing. `kept`
            ``(n_pairs,)`` is the fraction that is kept. Slopes are like variables and like `listed`; weights and energy
            as those of a bonded term.
        second: another term, or one of the form :class:`Nothing`.
        atoms: ``(2 n_pairs,) intp``.
        rows_of_atoms: ``(2 n_pairs,) intp``, the rows of both terms that belong to these atoms.
        systems: ``(n_pairs,) intp``.
        excepted: ``(n_pairs,) bool``.
        x: positions ``(n_blocks, n_atoms * 3 * width)`` [nm].
        gradient: like x, to which dL/dx is added.
        rows: the first pair, and the one after the last.
        blocks: likewise.
        counts: ``(n_blocks,) intp``, the lanes that are computed.
        wanted: 0 for energies, 1 for derivatives to positions as well, 2 for those to parameters as well.
        sources: not used; see :data:`SOURCES`.
    """
    w = width(lanes)
    form1, method1, mixing1, kept1, weights1, energy1, slopes1, slopes_of_listed1 = first
    form2, method2, mixing2, kept2, weights2, energy2, slopes2, slopes_of_listed2 = second
    # Taken apart once: arrays in a tuple that is passed on are counted by every pair, at twice the time.
    means1, owners1, variables1, chosen1, listed1 = mixing1
    means2, owners2, variables2, chosen2, listed2 = mixing2
    out = np.empty(11 * w)
    for block in range(blocks[0], blocks[1]):
        of_block, onto_block = x[block], gradient[block]
        for row in range(rows[0], rows[1]):
            i, j = 3 * w * atoms[2 * row], 3 * w * atoms[2 * row + 1]
            at_i, at_j = of_block[i : i + 3 * w], of_block[j : j + 3 * w]
            one, other = rows_of_atoms[2 * row], rows_of_atoms[2 * row + 1]
            ends1, ends2 = (owners1[one], owners1[other]), (owners2[one], owners2[other])
            place1, place2 = chosen1[row] if len(chosen1) else -1, chosen2[row] if len(chosen2) else -1
            p1 = _parameters(place1, listed1, ends1, means1, variables1)
            p2 = _parameters(place2, listed2, ends2, means2, variables2)
            reach1, reach2 = reach(method1, excepted[row]), reach(method2, excepted[row])
            fraction1, fraction2 = kept1[row], kept2[row]
            # The energy where the atoms coincide.
            infinite1, infinite2 = math.inf if fraction1 != 0 else 0.0, math.inf if fraction2 != 0 else 0.0
            system = w * systems[row]
            weight1, weight2 = weights1[block, system : system + w], weights2[block, system : system + w]
            for c in range(counts[block]):
                dx, dy, dz = at_i[c] - at_j[c], at_i[w + c] - at_j[w + c], at_i[2 * w + c] - at_j[2 * w + c]
                square = dx * dx + dy * dy + dz * dz
                apart = square > 0
                r = math.sqrt(square if apart else 1.0)
                inverse = 1.0 / r
                u1, slope1, a1, b1, c1 = value(form1, r, inverse, p1)
                u2, slope2, a2, b2, c2 = value(form2, r, inverse, p2)
                f1, df1 = factor(method1, r, inverse, reach1)
                f2, df2 = factor(method2, r, inverse, reach2)
                share1, share2 = weight1[c] * fraction1, weight2[c] * fraction2
                slope = share1 * (slope1 * f1 + u1 * df1) + share2 * (slope2 * f2 + u2 * df2)
                slope = slope * inverse if apart else 0.0
                share1, share2 = share1 * f1 if apart else 0.0, share2 * f2 if apart else 0.0
                out[c], out[w + c], out[2 * w + c] = slope * dx, slope * dy, slope * dz
                out[3 * w + c] = fraction1 * u1 * f1 if apart else infinite1
                out[4 * w + c] = fraction2 * u2 * f2 if apart else infinite2
                out[5 * w + c], out[6 * w + c], out[7 * w + c] = share1 * a1, share1 * b1, share1 * c1
                out[8 * w + c], out[9 * w + c], out[10 * w + c] = share2 * a2, share2 * b2, share2 * c2
            add(energy1[block, system : system + w], out, 3 * w, w)
            add(energy2[block, system : system + w], out, 4 * w, w)
            if wanted > 0:
                add(onto_block[i : i + 3 * w], out, 0, 3 * w)
                subtract(onto_block[j : j + 3 * w], out, 0, 3 * w)
            if wanted > 1:
                sums1 = _sums(form1.n_columns, out, 5 * w, w, counts[block])
                if place1 < 0:
                    _pull_back(form1.n_columns, ends1, means1, variables1, slopes1, sums1)
                else:
                    _add_sums(slopes_of_listed1, place1, sums1)
                sums2 = _sums(form2.n_columns, out, 8 * w, w, counts[block])
                if place2 < 0:
                    _pull_back(form2.n_columns, ends2, means2, variables2, slopes2, sums2)
                else:
                    _add_sums(slopes_of_listed2, place2, sums2)
