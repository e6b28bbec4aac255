"""The programs that compute energies and gradients, in their own units: bohr, hartree."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["GFN2", "HartreeFock", "Program"]

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


class HartreeFock:
    """Restricted Hartree-Fock in the basis 6-31G*, with density fitting, by PySCF."""

    level_of_theory = "hf/6-31g*"
    BASIS, FITTING = "6-31g*", "def2-universal-jkfit"
    CONVERGENCE = 1e-10
    """Of the energy from one iteration to the next [hartree]."""

    def __init__(self, atomic_numbers: NDArray[np.int32]) -> None:
        self._numbers = atomic_numbers
        self.stated: dict[str, Any] = {
            "program": "PySCF",
            "version": version("pyscf"),
            "density_fitting": self.FITTING,
            "convergence": self.CONVERGENCE,
        }

    def energy_and_gradient(self, positions: Floats) -> tuple[float, Floats]:
        """Return the energy [hartree] and its gradient ``(n_atoms, 3)`` [hartree/bohr] at ``(n_atoms, 3)`` [bohr]."""
        solved = self._solved(positions)
        return float(solved.e_tot), np.array(solved.nuc_grad_method().kernel())

    def hessian(self, positions: Floats) -> Floats:
        """Return the analytic ``(n_atoms, 3, n_atoms, 3)`` [hartree/bohr²]."""
        found = np.array(self._solved(positions).Hessian().kernel()).transpose(0, 2, 1, 3)
        return (found + found.transpose(2, 3, 0, 1)) / 2

    def _solved(self, positions: Floats) -> Any:
        from pyscf import gto, scf

        atoms = [(int(number), xyz) for number, xyz in zip(self._numbers, positions, strict=True)]
        molecule = gto.M(atom=atoms, unit="bohr", basis=self.BASIS, verbose=0)
        method = scf.RHF(molecule).density_fit(auxbasis=self.FITTING)
        method.conv_tol = self.CONVERGENCE
        method.kernel()
        if not method.converged:
            raise RuntimeError(f"PySCF: {self.level_of_theory} does not converge")
        return method
