"""The topology that an Interchange is made for, checked against a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.producers.openff.topology import Atoms, read_topology

__all__ = ["Particles", "match"]

_SAME_MASS = 1e-3
"""How far masses of one element may differ, relative to them: tables of atomic weights do, isotopes differ by more."""


@dataclass(frozen=True, eq=False)
class Particles:
    """Which particles of a bundle are which atoms of a topology.

    Attributes:
        atoms: ``(n_topology_atoms,)``, the bundle's number of each atom; what is not listed is a virtual site.
        topology_atom: ``(n_atoms,)``, the topology's number of each particle of the bundle; -1 for a virtual site.
        bonds: ``(n_bonds, 2)``, the covalent bonds of the topology, by its own numbers.
    """

    atoms: NDArray[np.int64]
    topology_atom: NDArray[np.int64]
    bonds: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of atoms of the topology."""
        return len(self.atoms)


def match(bundle: Bundle, topology: Any, sites: NDArray[Any]) -> Particles:
    """Return how the particles of a bundle and the atoms of a topology correspond: in order, without virtual sites.

    Args:
        bundle: one system, of NumPy arrays.
        topology: an ``openff.toolkit.Topology``.
        sites: numbers of the virtual sites.

    Raises:
        BundleError: the topology has other elements or other bonds.
        UnsupportedError: the bundle has particles that are neither atoms nor virtual sites, or other masses than the
            elements have.
    """
    given = read_topology(topology)
    is_site = np.zeros(bundle.n_atoms, dtype=bool)
    is_site[sites] = True
    if (odd := is_site != (bundle.atomic_numbers == 0)).any():
        particle = int(odd.argmax())
        raise UnsupportedError(
            f"atomic_numbers/{particle}: it is {int(bundle.atomic_numbers[particle])}, and the particle is "
            f"{'a virtual site' if is_site[particle] else 'none'}. An Interchange has atoms with an element, and "
            "virtual sites without"
        )
    atoms = np.flatnonzero(~is_site)
    topology_atom = np.full(bundle.n_atoms, -1)
    topology_atom[atoms] = np.arange(len(atoms))
    found = Particles(atoms, topology_atom, given.bonds.astype(np.int64))
    _check_elements(bundle.atomic_numbers[atoms], given)
    if bundle.bonds is not None:
        _check_bonds(topology_atom[bundle.bonds], given)
    if bundle.masses is not None:
        _check_masses(bundle.masses[atoms], given)
        if (heavy := sites[bundle.masses[sites] != 0]).size:
            raise UnsupportedError(
                f"masses: that of the virtual site {int(heavy.min())} is {bundle.masses[heavy.min()]:g} Da, and an "
                "Interchange has none of virtual sites: set it to 0"
            )
    return found


def _check_elements(numbers: NDArray[Any], given: Atoms) -> None:
    if len(numbers) != len(given.atomic_numbers):
        raise BundleError(
            f"topology: it has {len(given.atomic_numbers)} atoms, and the bundle has {len(numbers)} that are no "
            "virtual sites. Give the topology that the bundle was made for"
        )
    if (wrong := numbers != given.atomic_numbers).any():
        atom = int(wrong.argmax())
        raise BundleError(
            f"topology: atom {atom} has the atomic number {int(given.atomic_numbers[atom])}, and the bundle's has "
            f"{int(numbers[atom])}. Give the topology that the bundle was made for, its atoms in the same order"
        )


def _check_bonds(bonds: NDArray[Any], given: Atoms) -> None:
    mine, theirs = ({tuple(sorted(pair)) for pair in pairs.tolist()} for pairs in (bonds, given.bonds))
    for pairs, having, lacking in ((theirs - mine, "topology", "bundle"), (mine - theirs, "bundle", "topology")):
        if pairs:
            raise BundleError(
                f"topology: the {having} has a bond between atoms {list(min(pairs))}, which the {lacking} does not. "
                "Give the topology that the bundle was made for, its atoms in the same order"
            )


def _check_masses(masses: NDArray[Any], given: Atoms) -> None:
    if (wrong := ~np.isclose(masses, given.masses, rtol=_SAME_MASS, atol=0)).any():
        atom = int(wrong.argmax())
        raise UnsupportedError(
            f"masses: that of atom {atom} of the topology is {masses[atom]:g} Da, and an Interchange has that of the "
            f"element, {given.masses[atom]:g} Da. Leave the masses out, dataclasses.replace(bundle, masses=None); "
            "exports of an Interchange can repartition hydrogens' masses by themselves (hydrogen_mass=)"
        )
