"""What a force of a System was found to hold, before terms and tables are made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "FoundTerm", "Ints", "Kept", "name_of", "plain_getter", "read_rows", "values_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class FoundTerm:
    """Interactions of one form.

    Attributes:
        name: what a term of this kind is called.
        form: the form.
        indices: ``(n_terms, arity) int32``.
        values: ``(n_terms, n_columns)``, in the order and the units of the form's columns; fewer rows with `rows`.
        settings: as in a term.
        rows: the row of `values` that each interaction has, ``(n_terms,) int32``, where the source shares them; None if
            each has its own.
        overrides: pairs of rows that are not mixed, ``(n, 2) int32``, and their parameters, if there are such.
    """

    name: str
    form: str
    indices: Ints
    values: Floats
    settings: dict[str, Any] = field(default_factory=dict)
    rows: Ints | None = None
    overrides: tuple[Ints, Floats] | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """The fractions of one kind that one force keeps; of a pair that is not listed it keeps 1.

    Attributes:
        force: how messages call the force.
        kind: ``kept_charge`` or ``kept_lj``.
        pairs: ``(n_exceptions, 2) int32``, first < second.
        fractions: ``(n_exceptions,)``; NaN where the energy is 0 whatever the fraction.
    """

    force: str
    kind: str
    pairs: Ints
    fractions: Floats


def name_of(force: Any) -> str:
    """Return the name of a force's class."""
    return type(force).__name__


def read_rows(n_rows: int, get: Callable[[int], Sequence[Any]], arity: int) -> tuple[Ints, Floats]:
    """Return the atoms ``(n_rows, arity)`` and the parameters ``(n_rows, n)`` that a getter gives, row by row.

    Getters of single rows are all that OpenMM has beside its XML, which is no faster.
    """
    found = list(map(plain_getter(get), range(n_rows)))
    if found and all(type(value) in (int, float) for value in found[0]):
        # Atoms are exact as real numbers, too.
        rows = np.array(found, dtype=np.float64)
        return rows[:, :arity].astype(np.int32), rows[:, arity:]
    atoms = np.array([row[:arity] for row in found], dtype=np.int32).reshape(n_rows, arity)
    parameters = [values_of(row[arity:]) for row in found]
    return atoms, np.array(parameters, dtype=np.float64).reshape(n_rows, len(parameters[0]) if n_rows else 0)


def plain_getter(get: Callable[[int], Any]) -> Callable[[int], Any]:
    """Return a getter of numbers in place of OpenMM's, which puts a unit around each; the same one if there is none.

    OpenMM's Python classes call functions of its compiled module, named by class and method, and make quantities of
    what these return. A quantity takes 2 microseconds, the number 0.3.
    """
    owner, name = getattr(get, "__self__", None), getattr(get, "__name__", "")
    compiled = getattr(sys.modules.get("openmm._openmm"), f"{type(owner).__name__}_{name}", None)
    return get if compiled is None else partial(compiled, owner)


def values_of(parameters: Sequence[Any]) -> list[float]:
    """Return plain numbers, in OpenMM's own units, which are those of the standard (nm, kJ/mol, rad, e, Da).

    OpenMM's getters return quantities in no other unit. So the number in them is taken as it is: a conversion would
    take 4 microseconds for each. A custom force gives its parameters as one tuple of numbers.
    """
    if len(parameters) == 1 and isinstance(parameters[0], tuple):
        return list(parameters[0])
    return [float(getattr(parameter, "_value", parameter)) for parameter in parameters]
