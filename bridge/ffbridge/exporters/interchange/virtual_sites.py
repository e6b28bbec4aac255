"""Virtual sites of a bundle as those of SMIRNOFF force fields, which an Interchange has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.interchange.potentials import Potentials, rows_of
from ffbridge.exporters.interchange.topology import Particles
from ffbridge.exporters.openmm.parameters import Floats, of_interactions
from ffbridge.producers.openff.virtual_sites import SITE_TYPES
from ffbridge.term import Term

__all__ = ["Site", "site_numbers", "virtual_sites"]

_UNITS = {"distance": "nanometer", "outOfPlaneAngle": "degree", "inPlaneAngle": "degree"}
_SAME_FRAME = 1e-12


@dataclass(frozen=True, eq=False)
class Site:
    """A virtual site.

    Attributes:
        number: the bundle's number of it.
        parents: the bundle's numbers of its parents, in the order of its frame.
        key: what the Interchange calls it.
    """

    number: int
    parents: tuple[int, ...]
    key: Any


def site_numbers(bundle: Bundle) -> NDArray[np.int64]:
    """Return the bundle's numbers of its virtual sites, term by term."""
    found = [np.asarray(term.indices)[:, 0] for term in bundle.virtual_sites.values()]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found]).astype(np.int64)


def virtual_sites(bundle: Bundle, particles: Particles) -> tuple[Any, list[Site]]:
    """Return the collection ``VirtualSites``, None without any, and the virtual sites in the bundle's order.

    Args:
        bundle: one system, valid, of NumPy arrays.
        particles: which of its particles are atoms.

    Raises:
        UnsupportedError: a site that is none of SMIRNOFF's types.
    """
    if not bundle.virtual_sites:
        return None, []
    from openff.interchange.smirnoff import SMIRNOFFVirtualSiteCollection

    collection, potentials = SMIRNOFFVirtualSiteCollection(), Potentials("VirtualSites")
    made: list[tuple[Site, Any]] = []
    for name, term in bundle.virtual_sites.items():
        kind = _type(name, term)
        geometry = _geometry(name, term, kind, of_interactions(name, term, bundle.tables[term.table].values))
        table = bundle.tables[term.table]
        names = [f"{name}[{row}]" for row in range(len(term))]
        units = {stated: _UNITS[stated] for stated in SITE_TYPES[kind].stated}
        keys = potentials.add(names, rows_of(term.mapping, len(term)), table, geometry, units)
        for (number, *parents), key in zip(term.indices.tolist(), keys, strict=True):
            key.virtual_site_type = kind
            atoms = tuple(particles.topology_atom[parents].tolist())
            made.append((Site(number, tuple(parents), _key(collection, kind, atoms, key.id, number)), key))
            collection.key_map[made[-1][0].key] = key
    made.sort(key=lambda each: each[0].number)
    collection.key_map = {site.key: key for site, key in made}
    collection.potentials.update(potentials.potentials)
    for place, (site, _) in enumerate(made):
        collection.virtual_site_key_topology_index_map[site.key] = len(particles) + place
    return collection, [site for site, _ in made]


def _type(name: str, term: Term) -> str:
    """Return SMIRNOFF's name of what a term places."""
    for kind, known in SITE_TYPES.items():
        if term.form == known.form and all(
            np.allclose(term.settings[setting], weights, rtol=0, atol=_SAME_FRAME)
            for setting, weights in known.settings.items()
        ):
            return kind
    frame = ", ".join(f"{setting} {list(weights)}" for setting, weights in term.settings.items())
    types = ", ".join(f"{kind} ({each.form})" for kind, each in SITE_TYPES.items())
    raise UnsupportedError(
        f"terms/{name}: an Interchange has no virtual sites of the form {term.form!r}"
        f"{' with ' + frame if frame else ''}; it has {types}, each with its own frame"
    )


def _geometry(name: str, term: Term, kind: str, parameters: Floats) -> Floats:
    """Return what the type states, ``(n_sites, n_stated)``: distances in nm, angles in degrees."""
    stated = SITE_TYPES[kind].stated
    geometry = np.empty((len(term), len(stated)))
    for row, values in enumerate(parameters.tolist()):
        found = SITE_TYPES[kind].read(*values)
        if found is None:
            raise UnsupportedError(
                f"terms/{name}: the site {int(term.indices[row, 0])} has the geometry {values}, and SMIRNOFF's {kind} "
                f"states {', '.join(stated)} only"
            )
        geometry[row] = [np.degrees(found[each]) if unit == "rad" else found[each] for each, unit in stated.items()]
    return geometry


def _key(collection: Any, kind: str, atoms: tuple[int, ...], pattern: str, number: int) -> Any:
    """Return the key of a site; patterns of a SMIRNOFF force field hold its name and which matches it is for."""
    from openff.interchange.models import SMIRNOFFVirtualSiteKey

    parts = pattern.split(" ")
    name, match = parts[1:] if len(parts) == 3 and parts[2] in ("once", "all_permutations") else ("EP", "once")
    stated = {"orientation_atom_indices": atoms, "type": kind, "match": match}
    key = SMIRNOFFVirtualSiteKey(name=name, **stated)
    return key if key not in collection.key_map else SMIRNOFFVirtualSiteKey(name=f"{name}{number}", **stated)
