"""From a bundle to an ``openmm.System``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.exporters.openmm.forces import TermForces, make_forces
from ffbridge.exporters.openmm.virtual_sites import add_virtual_sites
from ffbridge.validate import validate

__all__ = ["BuiltSystem", "build_system", "to_openmm"]


@dataclass(frozen=True, eq=False)
class BuiltSystem:
    """An OpenMM System, and which of its forces hold which terms.

    Attributes:
        system: the ``openmm.System``.
        forces: by names of the terms that they hold.
    """

    system: Any
    forces: dict[tuple[str, ...], TermForces]


def to_openmm(bundle: Bundle, *, constraints: bool = False, split_nonbonded: bool = False) -> Any:
    """Return the ``openmm.System`` of a bundle of one system, whose energies and forces are those of the standard.

    Each term is one OpenMM force, with the term's name and a force group of its own (its place in the bundle). A
    Lennard-Jones and a Coulomb term become one ``NonbondedForce`` where their methods can be one, as they must be for
    OpenMM's own tools; it has the force group of the earlier one. Without periodic boundaries its exceptions have the
    parameters of pairs that are left out otherwise (``lennard_jones_pair``, ``coulomb_pair``). Terms whose form, method
    or mixing rule OpenMM's standard forces do not have (``morse``, ``harmonic_improper``, couplings of class II,
    ``buckingham``, ``double_exponential``, Coulomb with a plain cutoff, geometric mixing, ``timemachine``, other pairs
    with parameters of their own, overrides) become custom forces. Values are exported as they are now, without
    gradients, in double precision. Parameters of interactions that the mapping makes are exported, not the tables.

    What OpenMM has another way to say is said exactly so: charges are multiplied by the root of the ratio of the
    bundle's Coulomb constant to OpenMM's where these differ, by more than rounding; exceptions of periodic terms use
    the nearest image. ``ewald`` has no splitting parameter in OpenMM, which takes one from the tolerance.

    Args:
        bundle: one system, in any framework. It is validated.
        constraints: make the bundle's constraints constraints of the System. Energies do not depend on it: every term
            is evaluated in full either way. Without it, molecular dynamics lets those distances vibrate.
        split_nonbonded: a force of its own for each nonbonded term, so that each has its own energy.

    Raises:
        MissingDependencyError: OpenMM is not installed.
        ValidationError: the bundle does not follow the standard.
        UnsupportedError: OpenMM cannot express something exactly: several systems, a form, a setting, more than 32
            terms, a constraint of a particle without mass.
    """
    try:
        import openmm  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "to_openmm needs the package 'openmm', which is not installed. Install it: pip install \"ffbridge[openmm]\""
        ) from error
    validate(bundle)
    if bundle.n_systems != 1:
        raise UnsupportedError(
            f"the bundle has {bundle.n_systems} systems, and atoms of one OpenMM System interact: export each by "
            "itself, [fb.to_openmm(each) for each in fb.separate(bundle)]"
        )
    values = bundle.snapshot()
    system = build_system(values, split_nonbonded=split_nonbonded).system
    _set_masses(system, values)
    add_virtual_sites(system, values)
    if constraints:
        _add_constraints(system, values)
    return system


def build_system(bundle: Bundle, *, split_nonbonded: bool) -> BuiltSystem:
    """Return a System with the forces of a bundle, whose particles have no mass.

    Virtual sites are particles like others in it, so that forces on them stay theirs.

    Args:
        bundle: one system, valid, of NumPy arrays.
        split_nonbonded: a force of its own for each nonbonded term.

    Raises:
        UnsupportedError: a term that OpenMM does not evaluate exactly.
        BundleError: parameters out of range.
    """
    import openmm

    system = openmm.System()
    for _ in range(bundle.n_atoms):
        system.addParticle(0.0)
    if bundle.box is not None:
        system.setDefaultPeriodicBoxVectors(*bundle.box[0].astype(float).tolist())
    made = make_forces(replace(bundle, terms=bundle.energy_terms), split_nonbonded=split_nonbonded)
    for held in made.values():
        for force in held.forces:
            system.addForce(force)
    return BuiltSystem(system, made)


def _set_masses(system: Any, bundle: Bundle) -> None:
    """Set the masses; those of the elements where the bundle has none."""
    if bundle.masses is not None:
        masses = bundle.masses.astype(float).tolist()
    else:
        from openmm.app import Element
        from openmm.unit import dalton

        known = {number: Element.getByAtomicNumber(number).mass for number in set(bundle.atomic_numbers.tolist()) - {0}}
        by_number = {0: 0.0} | {number: mass.value_in_unit(dalton) for number, mass in known.items()}
        masses = [by_number[number] for number in bundle.atomic_numbers.tolist()]
    for atom, mass in enumerate(masses):
        system.setParticleMass(atom, mass)


def _add_constraints(system: Any, bundle: Bundle) -> None:
    constraints = bundle.constraints
    if constraints is None:
        return
    massless = [atom for atom in range(bundle.n_atoms) if not system.getParticleMass(atom)]
    if (bad := np.isin(constraints.pairs, massless).any(axis=1)).any():
        pair = constraints.pairs[bad][0].tolist()
        raise UnsupportedError(
            f"constraints/pairs/{int(bad.argmax())}: atoms {pair}, of which one has no mass: OpenMM does not constrain "
            "it. Give it a mass, or export with constraints=False"
        )
    for pair, length in zip(constraints.pairs.tolist(), constraints.lengths.tolist(), strict=True):
        system.addConstraint(*pair, length)
