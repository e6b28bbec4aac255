"""Molecules as users give them to a producer: one, several, or a topology."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import UnsupportedError
from ffbridge.producers.connectivity import pairs_by_separation
from ffbridge.producers.openff.topology import Atoms

__all__ = ["Systems", "join_systems", "read_systems", "type_name"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Systems:
    """Atoms of several systems, numbered over all of them.

    Attributes:
        offsets: ``(n_systems + 1,)``, the first atom of each system.
        atomic_numbers: ``(n_atoms,)``.
        masses: ``(n_atoms,)`` [Da].
        bonds: ``(n_bonds, 2)``, the covalent bonds.
        pairs: ``(n_pairs, 2)``, pairs of atoms at most three bonds apart.
        separations: ``(n_pairs,)``, by how many bonds.
        names: mapped SMILES of each system; None if a system has none.
    """

    offsets: Indices
    atomic_numbers: Indices
    masses: NDArray[np.float64]
    bonds: Indices
    pairs: Indices
    separations: Indices
    names: tuple[str, ...] | None


def join_systems(systems: Sequence[Atoms]) -> Systems:
    """Return the atoms of one or several systems as those of a bundle."""
    offsets = np.cumsum([0, *(len(atoms.atomic_numbers) for atoms in systems)])
    bonds = np.concatenate([atoms.bonds + start for atoms, start in zip(systems, offsets[:-1], strict=True)])
    pairs, separations = pairs_by_separation(bonds.astype(np.int64), int(offsets[-1]))
    names = [atoms.name for atoms in systems if atoms.name is not None]
    return Systems(
        offsets=offsets,
        atomic_numbers=np.concatenate([atoms.atomic_numbers for atoms in systems]).astype(np.int64),
        masses=np.concatenate([atoms.masses for atoms in systems]),
        bonds=bonds.astype(np.int64),
        pairs=pairs,
        separations=separations,
        names=tuple(names) if len(names) == len(systems) else None,
    )


def read_systems(molecules: Any | Sequence[Any], *, caller: str) -> list[Any]:
    """Return one OpenFF ``Topology`` for each system.

    Args:
        molecules: an OpenFF ``Molecule`` (one system), a sequence of them (one system each), or a ``Topology`` (one
            system of all its molecules).
        caller: name of the user's function, for messages.

    Raises:
        UnsupportedError: something else, or nothing.
    """
    from openff.toolkit import Molecule, Topology

    if isinstance(molecules, Topology):
        return [molecules]
    batch = list(molecules) if isinstance(molecules, Sequence) else [molecules]
    if not batch:
        raise UnsupportedError(f"{caller}: got no molecule, expected at least one")
    for each in batch:
        if not isinstance(each, Molecule):
            raise UnsupportedError(
                f"{caller}: got {type_name(each)}, expected an OpenFF Molecule, a sequence of them, or a Topology"
            )
    return [Topology.from_molecules([molecule]) for molecule in batch]


def type_name(value: Any) -> str:
    """Return module and name of an object's type, for messages."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
