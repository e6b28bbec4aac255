"""Mixing rules: the parameters of a pair from those of its two atoms, each with its derivative.

A rule has a mean for each column of a form. A mean combines *variables* of the two atoms, functions of their
parameters that are computed once for each atom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ffbridge.backend import Array

__all__ = ["ARITHMETIC", "CHARGES", "GEOMETRIC", "HARMONIC", "Mean", "Mixing", "Settings", "Variables", "root"]

Settings = Mapping[str, Any]
Variables = tuple[Array, ...]


@dataclass(frozen=True)
class Mean:
    """How one parameter of a pair follows from those of two atoms.

    Attributes:
        variable: ``(xp, parameter) -> variable`` of an atom.
        variable_pullback: ``(xp, parameter, cotangent) -> cotangent`` of the parameter.
        mix: ``(xp, settings, variable1, variable2) -> parameter`` of the pair.
        mix_pullback: ``(xp, settings, variable1, variable2, cotangent) -> cotangent`` of variable1.
    """

    variable: Callable[[Any, Array], Array]
    variable_pullback: Callable[[Any, Array, Array], Array]
    mix: Callable[[Any, Settings, Array, Array], Array]
    mix_pullback: Callable[[Any, Settings, Array, Array, Array], Array]


@dataclass(frozen=True)
class Mixing:
    """A mixing rule for one form: a mean for each of its columns.

    Arrays are ``(n_atoms, 1)`` for atoms and ``(n_pairs, 1)`` for pairs, one for each column.
    """

    means: tuple[Mean, ...]

    def variables(self, xp: Any, *parameters: Array) -> Variables:
        """Return the variables of each atom."""
        return tuple(mean.variable(xp, value) for mean, value in zip(self.means, parameters, strict=True))

    def variables_pullback(self, xp: Any, parameters: Variables, cotangents: Variables) -> Variables:
        """Return the cotangents of the parameters from those of the variables."""
        each = zip(self.means, parameters, cotangents, strict=True)
        return tuple(mean.variable_pullback(xp, value, cotangent) for mean, value, cotangent in each)

    def mix(self, xp: Any, settings: Settings, first: Variables, second: Variables) -> Variables:
        """Return the parameters of each pair from the variables of its atoms."""
        each = zip(self.means, first, second, strict=True)
        return tuple(mean.mix(xp, settings, one, other) for mean, one, other in each)

    def mix_pullback(
        self, xp: Any, settings: Settings, first: Variables, second: Variables, cotangents: Variables
    ) -> Variables:
        """Return the cotangents of the first atom's variables.

        Those of the second follow by exchanging the two, as every mean is symmetric.
        """
        each = zip(self.means, first, second, cotangents, strict=True)
        return tuple(mean.mix_pullback(xp, settings, one, other, cotangent) for mean, one, other, cotangent in each)


def root(xp: Any, value: Array) -> Array:
    """Return √value, whose derivative at 0 (infinite) is taken as 0 (the standard's E-2)."""
    positive = value > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, value, 1.0)), 0.0)


def _root_pullback(xp: Any, value: Array, cotangent: Array) -> Array:
    positive = value > 0
    return xp.where(positive, 0.5 * cotangent / xp.sqrt(xp.where(positive, value, 1.0)), 0.0)


def _itself(xp: Any, value: Array) -> Array:
    return value


def _itself_pullback(xp: Any, value: Array, cotangent: Array) -> Array:
    return cotangent


def _half_sum(xp: Any, settings: Settings, first: Array, second: Array) -> Array:
    return 0.5 * (first + second)


def _half_sum_pullback(xp: Any, settings: Settings, first: Array, second: Array, cotangent: Array) -> Array:
    return 0.5 * cotangent


def _product(xp: Any, settings: Settings, first: Array, second: Array) -> Array:
    return first * second


def _product_pullback(xp: Any, settings: Settings, first: Array, second: Array, cotangent: Array) -> Array:
    return cotangent * second


def _over_sum(xp: Any, numerator: Array, first: Array, second: Array) -> Array:
    """Return numerator / (first + second), and 0 where the sum is 0."""
    total = first + second
    nonzero = total != 0
    return xp.where(nonzero, numerator / xp.where(nonzero, total, 1.0), 0.0)


def _harmonic(xp: Any, settings: Settings, first: Array, second: Array) -> Array:
    return _over_sum(xp, 2.0 * first * second, first, second)


def _harmonic_pullback(xp: Any, settings: Settings, first: Array, second: Array, cotangent: Array) -> Array:
    return 2.0 * cotangent * _over_sum(xp, second, first, second) ** 2


def _strength(xp: Any, settings: Settings, first: Array, second: Array) -> Array:
    return settings["coulomb_constant"] * first * second


def _strength_pullback(xp: Any, settings: Settings, first: Array, second: Array, cotangent: Array) -> Array:
    return settings["coulomb_constant"] * cotangent * second


ARITHMETIC = Mean(_itself, _itself_pullback, _half_sum, _half_sum_pullback)
"""(p1 + p2)/2."""

GEOMETRIC = Mean(root, _root_pullback, _product, _product_pullback)
"""√(p1 p2)."""

HARMONIC = Mean(_itself, _itself_pullback, _harmonic, _harmonic_pullback)
"""2 p1 p2/(p1 + p2), and 0 where both are 0."""

CHARGES = Mean(_itself, _itself_pullback, _strength, _strength_pullback)
"""The strength of a pair of charges, coulomb_constant · p1 · p2."""
