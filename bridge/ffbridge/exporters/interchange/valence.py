"""Bonded terms and constraints as collections of an Interchange."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.interchange.potentials import Potentials, rows_of
from ffbridge.exporters.interchange.topology import Particles
from ffbridge.exporters.openmm.parameters import Floats, of_interactions
from ffbridge.producers.connectivity import Neighbors, pairs_by_separation
from ffbridge.table import Table
from ffbridge.term import Constraints, Term

__all__ = ["VALENCE_FORMS", "constraints", "valence"]

Indices = NDArray[np.int64]

VALENCE_FORMS = {
    "harmonic_bond": {"k": "kilojoule / mole / nanometer**2", "length": "nanometer"},
    "harmonic_angle": {"k": "kilojoule / mole / radian**2", "angle": "radian"},
    "periodic_torsion": {"k": "kilojoule / mole", "phase": "radian", "periodicity": "dimensionless"},
    "ryckaert_bellemans": {f"c{power}": "kilojoule / mole" for power in range(6)},
}
"""The bonded forms that an Interchange has: the unit of each column, as pint reads it."""

_ALWAYS = {
    "Bonds": "harmonic_bond",
    "Angles": "harmonic_angle",
    "ProperTorsions": "periodic_torsion",
    "ImproperTorsions": "periodic_torsion",
}
"""Collections that an Interchange of a SMIRNOFF force field has, be they empty; its writers expect them."""

_TORSION = ("ProperTorsions", "ImproperTorsions")
_COLLECTION = {"harmonic_bond": "Bonds", "harmonic_angle": "Angles", "ryckaert_bellemans": "RBTorsions"}
_KEYS = {
    "Bonds": "BondKey",
    "Angles": "AngleKey",
    "ProperTorsions": "ProperTorsionKey",
    "ImproperTorsions": "ImproperTorsionKey",
    "RBTorsions": "ProperTorsionKey",
}
"""The class of the keys of each collection."""


def valence(bundle: Bundle, particles: Particles) -> dict[str, Any]:
    """Return the collections of the bonded terms, by name; some are empty.

    Args:
        bundle: one system, valid, of NumPy arrays.
        particles: which of its particles are atoms.

    Raises:
        UnsupportedError: a bond between atoms that the topology does not bond, two bonds or angles of the same atoms, a
            torsion whose ends are more than three bonds apart, an interaction of a virtual site.
    """
    made = {name: _Collection(name, form) for name, form in _ALWAYS.items()}
    torsions = _Torsions(particles)
    for name, term in bundle.terms.items():
        if term.form not in VALENCE_FORMS:
            continue
        atoms = _atoms(name, term, particles)
        if term.form == "harmonic_bond":
            _refuse_unbonded(name, atoms, particles)
        parameters = of_interactions(name, term, bundle.tables[term.table].values)
        known = rows_of(term.mapping, len(term))
        improper = torsions.are_impropers(name, term, atoms)
        for rows, collection in (
            (np.flatnonzero(~improper), _COLLECTION.get(term.form, "ProperTorsions")),
            (np.flatnonzero(improper), "ImproperTorsions"),
        ):
            if len(rows):
                held = made.setdefault(collection, _Collection(collection, term.form))
                used = None if known is None else known[rows]
                held.add(name, rows, atoms[rows], used, bundle.tables[term.table], parameters[rows])
    return {name: held.collection for name, held in made.items()}


def constraints(found: Constraints | None, particles: Particles, bonds: Any) -> Any:
    """Return the collection of the constraints, one potential for each bond's parameter and for each other length.

    Args:
        found: the bundle's constraints, if it has any.
        particles: which of its particles are atoms.
        bonds: the collection of the bonds. A constraint that holds a bond at its own length has the bond's key, as in
            SMIRNOFF; Interchange's writer for LAMMPS looks for it.

    Raises:
        UnsupportedError: a constraint of a virtual site.
    """
    from openff.interchange.components.potentials import Potential
    from openff.interchange.models import BondKey, PotentialKey
    from openff.interchange.smirnoff import SMIRNOFFConstraintCollection
    from openff.units import Quantity

    collection = SMIRNOFFConstraintCollection()
    if found is None:
        return collection
    atoms = particles.topology_atom[found.pairs]
    if (bad := (atoms < 0).any(axis=1)).any():
        row = int(bad.argmax())
        raise UnsupportedError(
            f"constraints/pairs/{row}: of the particles {found.pairs[row].tolist()} one is a virtual site, and an "
            "Interchange has no constraints of one"
        )
    for pair, length in zip(np.sort(atoms, axis=1).tolist(), found.lengths.astype(float).tolist(), strict=True):
        where = BondKey(atom_indices=tuple(pair))
        key = bonds.key_map.get(where)
        if key is None or bonds.potentials[key].parameters["length"].m_as("nanometer") != length:
            key = PotentialKey(id=f"constraints[{length!r} nm]", associated_handler="Constraints")
        collection.key_map[where] = key
        collection.potentials[key] = Potential(parameters={"distance": Quantity(length, "nanometer")})
    return collection


class _Collection:
    """A collection of bonded interactions that is being filled."""

    def __init__(self, name: str, form: str) -> None:
        from openff.interchange import models, smirnoff
        from openff.interchange.common._valence import RyckaertBellemansTorsionCollection

        own = RyckaertBellemansTorsionCollection if name == "RBTorsions" else None
        self.collection = (own or getattr(smirnoff, f"SMIRNOFF{name.removesuffix('s')}Collection"))()
        self._name, self._units = name, VALENCE_FORMS[form]
        self._key = getattr(models, _KEYS[name])
        self._potentials = Potentials(name)
        self._uses: Counter[tuple[int, ...]] = Counter()

    def add(
        self, name: str, rows: Indices, atoms: Indices, used: Indices | None, table: Table, parameters: Floats
    ) -> None:
        """Add interactions, rows of a term, by the rows of its table that they use, if each uses one."""
        more = {"idivf": _one()} if self._name in _TORSION else {}
        names = [f"{name}[{row}]" for row in rows.tolist()]
        keys = self._potentials.add(names, used, table, parameters, self._units, **more)
        self.collection.potentials.update(self._potentials.potentials)
        for row, members, key in zip(rows.tolist(), self._in_order(atoms).tolist(), keys, strict=True):
            self.collection.key_map[self._topology_key(name, row, tuple(members))] = key

    def _in_order(self, atoms: Indices) -> Indices:
        """Return the atoms as an Interchange lists them: the lesser end first, or the center of an improper."""
        if self._name == "ImproperTorsions":
            return atoms
        return np.where(atoms[:, :1] > atoms[:, -1:], atoms[:, ::-1], atoms)

    def _topology_key(self, name: str, row: int, atoms: tuple[int, ...]) -> Any:
        number = self._uses[atoms]
        self._uses[atoms] += 1
        if len(atoms) == 4:
            return self._key(atom_indices=atoms, mult=number)
        if number:
            raise UnsupportedError(
                f"terms/{name}/indices/{row}: atoms {list(atoms)} of the topology have an interaction in {self._name} "
                "already, and an Interchange has one of each. Join them into one row"
            )
        return self._key(atom_indices=atoms)


class _Torsions:
    """Which torsions are impropers.

    A quartet along three bonds is proper. An Interchange lists an improper with its center first, and its writers look
    for a center of three neighbors. Any other row goes with the proper ones, which is the same energy in every program:
    impropers with their center elsewhere, as espaloma has them. Writers take the scale of a 1-4 pair from a proper
    torsion, so its ends must not be farther apart.
    """

    def __init__(self, particles: Particles) -> None:
        n_atoms = len(particles)
        self._n_atoms = n_atoms
        self._bonds = _ranks(np.sort(particles.bonds, axis=1), n_atoms)
        pairs, _ = pairs_by_separation(particles.bonds, n_atoms)
        self._near = _ranks(pairs, n_atoms)
        self._degree = Neighbors.from_bonds(particles.bonds, n_atoms).degree

    def are_impropers(self, name: str, term: Term, atoms: Indices) -> NDArray[np.bool_]:
        """Return which rows of a term are impropers, ``(n_terms,)``; none of one that has no torsions.

        Raises:
            UnsupportedError: the ends of a torsion are more than three bonds apart.
        """
        if term.form not in ("periodic_torsion", "ryckaert_bellemans"):
            return np.zeros(len(atoms), dtype=bool)
        star = np.stack([self._bonded(atoms[:, [0, end]]) for end in (1, 2, 3)], axis=1).all(axis=1)
        path = np.stack([self._bonded(atoms[:, [end, end + 1]]) for end in range(3)], axis=1).all(axis=1)
        far = ~np.isin(_ranks(np.sort(atoms[:, [0, 3]], axis=1), self._n_atoms), self._near)
        if far.any():
            row = int(far.argmax())
            raise UnsupportedError(
                f"terms/{name}/indices/{row}: the ends of the torsion of atoms {atoms[row].tolist()} are more than "
                "three bonds apart, and writers of an Interchange would scale them as a 1-4 pair"
            )
        found: NDArray[np.bool_] = ~path & star & (self._degree[atoms[:, 0]] == 3)
        return found if term.form == "periodic_torsion" else np.zeros_like(found)

    def _bonded(self, pairs: Indices) -> NDArray[np.bool_]:
        return np.isin(_ranks(np.sort(pairs, axis=1), self._n_atoms), self._bonds)


def _atoms(name: str, term: Term, particles: Particles) -> Indices:
    """Return the topology's numbers of the atoms of each interaction."""
    atoms = particles.topology_atom[term.indices]
    if (bad := (atoms < 0).any(axis=1)).any():
        row = int(bad.argmax())
        raise UnsupportedError(
            f"terms/{name}/indices/{row}: of the particles {term.indices[row].tolist()} one is a virtual site, and an "
            f"Interchange has no {term.form} of one"
        )
    return atoms


def _refuse_unbonded(name: str, atoms: Indices, particles: Particles) -> None:
    pairs = _ranks(np.sort(atoms, axis=1), len(particles))
    bonds = _ranks(np.sort(particles.bonds, axis=1), len(particles))
    if (bad := ~np.isin(pairs, bonds)).any():
        row = int(bad.argmax())
        raise UnsupportedError(
            f"terms/{name}/indices/{row}: the topology has no bond between its atoms {atoms[row].tolist()}, and "
            "writers of an Interchange take each harmonic_bond for a bond, which leaves out nonbonded interactions"
        )


def _ranks(pairs: Indices, n_atoms: int) -> Indices:
    """Return one number for each pair, ``(n_pairs,)``."""
    return pairs[:, 0].astype(np.int64) * n_atoms + pairs[:, 1]


def _one() -> Any:
    from openff.units import Quantity

    return Quantity(1.0, "dimensionless")
