"""What a bonded form is to the energies: a function of internal coordinates and parameters, with its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ffbridge.backend import Array

__all__ = ["BondedForm", "Derivatives"]

Derivatives: TypeAlias = tuple[Array, tuple[Array, ...], tuple[Array, ...]]
"""(U, (dU/dq, …), (dU/dp, …)): the energy, and its derivatives to each coordinate and each column of parameters."""


@dataclass(frozen=True)
class BondedForm:
    """The formula of a bonded form.

    Coordinates are ``(n, n_conformers)`` each, a dihedral the two of (cos φ, sin φ). Parameters are ``(n, 1)`` each; a
    column that the standard declares with a shape is one array ``(n, *shape)``. Both functions take the settings that
    the form has by name.

    Attributes:
        energy: ``(xp, *coordinates, *parameters) -> U`` [kJ/mol], ``(n, n_conformers)``.
        derivatives: ``(xp, *coordinates, *parameters) -> (U, (dU/dq, …), (dU/dp, …))``, one dU/dq for each coordinate,
            which is dU/dφ for a dihedral, and one dU/dp for each column, ``(n, n_conformers)`` each; of a column with a
            shape ``(n, its numbers in C order, n_conformers)``.
    """

    energy: Callable[..., Array]
    derivatives: Callable[..., Derivatives]
