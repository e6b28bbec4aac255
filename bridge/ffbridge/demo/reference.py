"""Energies and forces of an OpenFF Interchange by OpenMM's Reference platform: the independent program of the demo.

The System is the one that ``Interchange.to_openmm`` makes; no code of ffbridge takes part in it. OpenMM has no
derivatives with respect to parameters; they are found by finite differences, for which parameters of the System are
changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ffbridge.errors import BundleError, UnsupportedError

__all__ = ["GROUPS", "OpenMMReference", "split_nonbonded"]

Floats = NDArray[np.float64]

GROUPS = {
    "bonds": ("bonds",),
    "angles": ("angles",),
    "torsions": ("proper_torsions", "improper_torsions"),
    "vdw": ("vdw",),
    "electrostatics": ("electrostatics",),
}
"""OpenMM's forces, by name, and the terms of a bundle that each corresponds to."""

_BONDED = {
    "bonds": ("Bond", (1, 0)),
    "angles": ("Angle", (1, 0)),
    "proper_torsions": ("Torsion", (2, 1, 0)),
    "improper_torsions": ("Torsion", (2, 1, 0)),
}
"""What OpenMM calls the interactions of a term, and the order in which it takes their parameters."""

_FORCES = {"HarmonicBondForce": "bonds", "HarmonicAngleForce": "angles", "PeriodicTorsionForce": "torsions"}


@dataclass(frozen=True, eq=False)
class OpenMMReference:
    """An OpenMM context in which each kind of force has a force group of its own.

    Attributes:
        context: the ``openmm.Context``, Reference platform.
        group_of: force group of each name in `GROUPS` that occurs; the group is the force's index too.
        bonds: the covalent bonds, from which OpenMM derives the exceptions.
        scales: kept fractions of 1-4 pairs: of charge products, and of Lennard-Jones depths.
        n_propers: how many torsions stand before the impropers in their common force.
    """

    context: Any
    group_of: dict[str, int]
    bonds: list[tuple[int, int]]
    scales: tuple[float, float]
    n_propers: int

    @classmethod
    def from_interchange(cls, interchange: Any) -> OpenMMReference:
        """Return the reference of an Interchange; constrained bonds and angles keep their energy."""
        import openmm

        # Split nonbonded forces would use a rounded Coulomb constant for 1-4 pairs; a combined one uses OpenMM's.
        system = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
        _split_forces(system)
        group_of: dict[str, int] = {}
        for group, force in enumerate(system.getForces()):
            name = _FORCES.get(type(force).__name__, force.getName())
            if name not in GROUPS or name in group_of:
                raise UnsupportedError(f"OpenMM force {group}, {type(force).__name__} {name!r}: not expected here")
            force.setForceGroup(group)
            group_of[name] = group
        platform = openmm.Platform.getPlatformByName("Reference")
        index = interchange.topology.atom_index
        collections = interchange.collections
        return cls(
            # The step size is never used; a Context wants an integrator.
            context=openmm.Context(system, openmm.VerletIntegrator(1e-3), platform),
            group_of=group_of,
            bonds=[(index(bond.atom1), index(bond.atom2)) for bond in interchange.topology.bonds],
            scales=(collections["Electrostatics"].scale_14, collections["vdW"].scale_14),
            n_propers=len(collections["ProperTorsions"].key_map) if "ProperTorsions" in collections else 0,
        )

    def evaluate(self, positions: ArrayLike) -> dict[str, tuple[float, Floats]]:
        """Return energy [kJ/mol] and forces ``(n_atoms, 3)`` [kJ/mol/nm] of each kind of force.

        Args:
            positions: ``(n_atoms, 3)`` [nm].
        """
        from openmm import unit

        self.context.setPositions(np.asarray(positions, dtype=float))
        result: dict[str, tuple[float, Floats]] = {}
        for name, group in self.group_of.items():
            state = self.context.getState(getEnergy=True, getForces=True, groups={group})
            energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            result[name] = energy, np.array(forces)
        return result

    def energy(self, term: str) -> float:
        """Return the energy [kJ/mol] of the kind of force that a bundle's term belongs to, at the present positions."""
        from openmm import unit

        state = self.context.getState(getEnergy=True, groups={self._group(term)})
        energy: float = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        return energy

    def set_parameters(self, term: str, atoms: Sequence[Sequence[int]], parameters: ArrayLike) -> None:
        """Change the parameters of every interaction of a bundle's term.

        Args:
            term: name of the term.
            atoms: its interactions, ``(n_terms, arity)``, in the order of the Interchange.
            parameters: ``(n_terms, n_columns)``, columns and units as the term's form has them.

        Raises:
            BundleError: OpenMM lists other atoms.
        """
        force = self.context.getSystem().getForce(self._group(term))
        first = self.n_propers if term == "improper_torsions" else 0
        for row, (members, p) in enumerate(zip(atoms, np.asarray(parameters).tolist(), strict=True), first):
            _set(force, term, row, list(members), p)
        if term in ("vdw", "electrostatics"):
            self._derive_exceptions(force)
        force.updateParametersInContext(self.context)

    def _group(self, term: str) -> int:
        return next(self.group_of[name] for name, terms in GROUPS.items() if term in terms)

    def _derive_exceptions(self, force: Any) -> None:
        """Let OpenMM derive the exceptions anew from the changed atoms."""
        import openmm

        fresh = openmm.NonbondedForce()
        for atom in range(force.getNumParticles()):
            fresh.addParticle(*force.getParticleParameters(atom))
        fresh.createExceptionsFromBonds(self.bonds, *self.scales)
        for row in range(fresh.getNumExceptions()):
            force.setExceptionParameters(row, *fresh.getExceptionParameters(row))


def _set(force: Any, term: str, row: int, atoms: list[int], p: list[float]) -> None:
    if term not in _BONDED:
        force.setParticleParameters(row, *((0.0, p[0], p[1]) if term == "vdw" else (p[0], 1.0, 0.0)))
        return
    kind, columns = _BONDED[term]
    found = list(getattr(force, f"get{kind}Parameters")(row)[: len(atoms)])
    if found != atoms:
        raise BundleError(f"terms/{term}/indices/{row}: got atoms {atoms}, OpenMM's force has {found}")
    values = [p[column] if column < 2 else int(p[column]) for column in columns]
    getattr(force, f"set{kind}Parameters")(row, *atoms, *values)


def _split_forces(system: Any) -> None:
    """Replace the nonbonded force by its two parts, and drop what has no energy."""
    import openmm

    for index, force in reversed(list(enumerate(system.getForces()))):
        if isinstance(force, openmm.NonbondedForce):
            for part in split_nonbonded(force).values():
                system.addForce(part)
        if isinstance(force, openmm.NonbondedForce | openmm.CMMotionRemover):
            system.removeForce(index)


def split_nonbonded(force: Any) -> dict[str, Any]:
    """Return a NonbondedForce as one with the van der Waals part alone and one with the Coulomb part alone."""
    parts = {"vdw": deepcopy(force), "electrostatics": deepcopy(force)}
    for name, part in parts.items():
        part.setName(name)
        charges, depths = (0.0, 1.0) if name == "vdw" else (1.0, 0.0)
        for atom in range(part.getNumParticles()):
            charge, sigma, epsilon = part.getParticleParameters(atom)
            part.setParticleParameters(atom, charges * charge, sigma, depths * epsilon)
        for exception in range(part.getNumExceptions()):
            first, second, product, sigma, epsilon = part.getExceptionParameters(exception)
            part.setExceptionParameters(exception, first, second, charges * product, sigma, depths * epsilon)
    return parts
