"""What a force of a System was found to hold, before terms and tables are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "FoundTerm", "Ints", "Kept", "name_of", "read_rows", "values_of"]

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

    Getters of single rows are all that OpenMM has beside its XML, which was measured to be no faster (34,709
    exceptions: 0.15 s by the getters, 0.25 s by XML).
    """
    rows = [get(row) for row in range(n_rows)]
    atoms = np.array([row[:arity] for row in rows], dtype=np.int32).reshape(n_rows, arity)
    parameters = [values_of(row[arity:]) for row in rows]
    return atoms, np.array(parameters, dtype=np.float64).reshape(n_rows, len(parameters[0]) if n_rows else 0)


def values_of(parameters: Sequence[Any]) -> list[float]:
    """Return plain numbers, in OpenMM's own units, which are those of the standard (nm, kJ/mol, rad, e, Da).

    OpenMM's getters return quantities in no other unit. So the number in them is taken as it is: a conversion would
    take 4 microseconds for each. A custom force gives its parameters as one tuple of numbers.
    """
    if len(parameters) == 1 and isinstance(parameters[0], tuple):
        return list(parameters[0])
    return [float(getattr(parameter, "_value", parameter)) for parameter in parameters]
