"""The programs that compute energies and gradients, in their own units: bohr, hartree."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["GFN2", "Program"]

Floats = NDArray[np.float64]


class Program(Protocol):
    """Energies and gradients of one molecule by one method.

    Attributes:
        level_of_theory: method and basis.
        stated: the program with its version and settings, for provenance.
    """

    level_of_theory: str
    stated: dict[str, Any]

    def energy_and_gradient(self, positions: Floats) -> tuple[float, Floats]:
        """Return the energy [hartree] and its gradient ``(n_atoms, 3)`` [hartree/bohr] at ``(n_atoms, 3)`` [bohr]."""
        ...


class GFN2:
    """GFN2-xTB (C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019)) by tblite."""

    level_of_theory = "gfn2-xtb"
    ACCURACY = 0.01
    """Of the self-consistent charges, relative to tblite's default: gradients have noise below 1e-7 hartree/bohr."""

    def __init__(self, atomic_numbers: NDArray[np.int32]) -> None:
        self._numbers = atomic_numbers
        self.stated: dict[str, Any] = {"program": "tblite", "version": version("tblite"), "accuracy": self.ACCURACY}

    def energy_and_gradient(self, positions: Floats) -> tuple[float, Floats]:
        """Return the energy [hartree] and its gradient ``(n_atoms, 3)`` [hartree/bohr] at ``(n_atoms, 3)`` [bohr].

        Every call begins anew, not from the charges of the call before: the numbers depend on the positions alone.
        """
        from tblite.interface import Calculator

        calculator = Calculator("GFN2-xTB", self._numbers, positions)
        calculator.set("verbosity", 0)
        calculator.set("accuracy", self.ACCURACY)
        found = calculator.singlepoint()
        return float(found.get("energy")), np.array(found.get("gradient"))
