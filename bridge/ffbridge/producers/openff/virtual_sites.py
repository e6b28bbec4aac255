"""Virtual sites of an Interchange: particles after all atoms, placed by terms, one for each of SMIRNOFF's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import UnsupportedError
from ffbridge.forms import form
from ffbridge.table import Table
from ffbridge.term import Term

from .parameters import Parameters, read_parameters

__all__ = ["SITE_TYPES", "SiteType", "Sites", "read_sites", "site_terms"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SiteType:
    """How SMIRNOFF places virtual sites of a type, and how the standard does.

    Attributes:
        term: name of the term.
        form: the standard's form.
        place: from what the force field states, ``(n_params,)`` each in nm and rad, to the columns of the form.
        read: from the columns of the form back, to distance [nm] and angles [rad] by the force field's names; None for
            a geometry that the type does not have.
        stated: what the force field states, with its units.
        settings: the frame of local coordinates.
    """

    term: str
    form: str
    place: Callable[..., list[Any]]
    read: Callable[..., dict[str, float] | None]
    stated: Mapping[str, str]
    settings: Mapping[str, list[float]]


def _distance_along(weight: float, distance: float) -> dict[str, float] | None:
    return None if weight else {"distance": -distance}


def _distance_behind(x: float, y: float, z: float) -> dict[str, float] | None:
    return None if y or z else {"distance": -x}


def _distance_and_angle(x: float, y: float, z: float) -> dict[str, float] | None:
    """Invert x = -d cos φ, z = d sin φ, with φ between -π/2 and π/2."""
    sign = 1.0 if x <= 0 else -1.0
    distance, angle = sign * np.hypot(x, z), np.arctan2(sign * z, sign * -x)
    return None if y else {"distance": float(distance), "outOfPlaneAngle": float(angle)}


def _distance_and_angles(x: float, y: float, z: float) -> dict[str, float] | None:
    """Invert x = d cos θ cos φ, y = d sin θ cos φ, z = d sin φ."""
    in_plane = np.hypot(x, y)
    angles = {"outOfPlaneAngle": float(np.arctan2(z, in_plane)), "inPlaneAngle": float(np.arctan2(y, x))}
    return {"distance": float(np.hypot(in_plane, z)), **angles}


_ANGLES = {"outOfPlaneAngle": "rad", "inPlaneAngle": "rad"}
_THIRD = 1.0 / 3.0

SITE_TYPES = MappingProxyType(
    {
        "BondCharge": SiteType(
            term="bond_charge_sites",
            form="two_particle_site",
            place=lambda distance: [0.0, -distance],
            read=_distance_along,
            stated={"distance": "nm"},
            settings={},
        ),
        "MonovalentLonePair": SiteType(
            term="monovalent_lone_pair_sites",
            form="local_coordinates_3_site",
            place=lambda distance, phi, theta: [
                distance * np.cos(theta) * np.cos(phi),
                distance * np.sin(theta) * np.cos(phi),
                distance * np.sin(phi),
            ],
            read=_distance_and_angles,
            stated={"distance": "nm", **_ANGLES},
            settings={"origin_weights": [1.0, 0.0, 0.0], "x_weights": [-1.0, 1.0, 0.0], "y_weights": [-1.0, 0.0, 1.0]},
        ),
        "DivalentLonePair": SiteType(
            term="divalent_lone_pair_sites",
            form="local_coordinates_3_site",
            place=lambda distance, phi: [-distance * np.cos(phi), 0.0, distance * np.sin(phi)],
            read=_distance_and_angle,
            stated={"distance": "nm", "outOfPlaneAngle": "rad"},
            settings={"origin_weights": [1.0, 0.0, 0.0], "x_weights": [-1.0, 0.5, 0.5], "y_weights": [-1.0, 1.0, 0.0]},
        ),
        "TrivalentLonePair": SiteType(
            term="trivalent_lone_pair_sites",
            form="local_coordinates_4_site",
            place=lambda distance: [-distance, 0.0, 0.0],
            read=_distance_behind,
            stated={"distance": "nm"},
            settings={
                "origin_weights": [1.0, 0.0, 0.0, 0.0],
                "x_weights": [-1.0, _THIRD, _THIRD, _THIRD],
                "y_weights": [-1.0, 1.0, 0.0, 0.0],
            },
        ),
    }
)
"""SMIRNOFF's types of virtual sites (SMIRNOFF specification, "VirtualSites"; frames as in Interchange)."""


@dataclass(frozen=True, eq=False)
class Sites:
    """Virtual sites of an Interchange, in the order in which its exports have them.

    Attributes:
        numbers: number of each site, after the atoms, by its key.
        parents: ``(n_particles,)``, the atom that each particle counts as: itself, or the first parent.
    """

    numbers: Mapping[Any, int]
    parents: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of virtual sites."""
        return len(self.numbers)

    @property
    def orientations(self) -> dict[int, tuple[int, ...]]:
        """The parents of each site, in the order of its frame, by its number."""
        return {number: key.orientation_atom_indices for key, number in self.numbers.items()}


def read_sites(interchange: Any, molecule_offsets: NDArray[np.int64]) -> Sites:
    """Return the virtual sites: those of the first molecule, of the second, and so on.

    Args:
        interchange: the Interchange.
        molecule_offsets: ``(n_molecules + 1,)``, the first atom of each molecule.

    Raises:
        UnsupportedError: sites that are no SMIRNOFF virtual sites, or another exclusion policy than ``parents``.
    """
    n_atoms = int(molecule_offsets[-1])
    collection = interchange.collections.get("VirtualSites")
    keys = [] if collection is None else list(collection.key_map)
    for key in keys:
        if key.type not in SITE_TYPES:
            raise UnsupportedError(
                f"collection 'VirtualSites': a site of the type {key.type!r}; from_interchange understands "
                f"{', '.join(SITE_TYPES)}. Sites that came from an OpenMM System: fb.from_openmm of the System"
            )
    if keys and collection.exclusion_policy != "parents":
        raise UnsupportedError(
            f"collection 'VirtualSites': the exclusion policy is {collection.exclusion_policy!r}, and from_interchange "
            "understands 'parents'"
        )
    first = np.array([key.orientation_atom_indices[0] for key in keys], dtype=np.int64)
    order = np.argsort(np.searchsorted(molecule_offsets, first, side="right"), kind="stable").tolist()
    return Sites(
        numbers={keys[place]: n_atoms + number for number, place in enumerate(order)},
        parents=np.concatenate([np.arange(n_atoms), first[order]]).astype(np.int64),
    )


def site_terms(interchange: Any, sites: Sites, force_field: Any) -> dict[str, tuple[Term, Table]]:
    """Return the term of each type of virtual sites, and its table, by the term's name.

    Raises:
        BundleError: the force field has no parameter of that pattern.
    """
    made: dict[str, tuple[Term, Table]] = {}
    for name, kind in SITE_TYPES.items():
        keys = [key for key in sites.numbers if key.type == name]
        if keys:
            collection = interchange.collections["VirtualSites"]
            found = read_parameters(
                collection,
                where="VirtualSites",
                force_field=force_field,
                key_map={key: collection.key_map[key] for key in keys},
                sites=sites.numbers,
            )
            indices = [(sites.numbers[key], *key.orientation_atom_indices) for key in keys]
            term = Term(
                form=kind.form,
                indices=np.array(indices, dtype=np.int32),
                table=kind.term,
                mapping=found.mapping,
                settings=dict(kind.settings),
            )
            made[kind.term] = term, _table(kind, found)
    return made


def _table(kind: SiteType, found: Parameters) -> Table:
    declared = form(kind.form)
    columns = kind.place(*(found.column(name, unit) for name, unit in kind.stated.items()))
    values = np.stack([np.broadcast_to(column, len(found.keys)) for column in columns], axis=1)
    return Table(values=values.astype(float), columns=declared.column_names, units=declared.units, keys=found.keys)
