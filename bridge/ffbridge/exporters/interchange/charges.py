"""Coulomb terms as the collection Electrostatics of an Interchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isclose, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.interchange.nonbonded import check_periodic, of_particles
from ffbridge.exporters.interchange.potentials import Potentials, rows_of
from ffbridge.exporters.interchange.scales import Scales
from ffbridge.exporters.interchange.topology import Particles
from ffbridge.exporters.interchange.virtual_sites import Site
from ffbridge.exporters.openmm.methods import is_periodic
from ffbridge.exporters.openmm.parameters import Floats, of_interactions
from ffbridge.mapping import Linear
from ffbridge.table import ParameterKey
from ffbridge.term import Term
from ffbridge.units import COULOMB_CONSTANT

__all__ = ["electrostatics"]

Entry = tuple[int, float]

_ORIGINS = {
    "LibraryCharges": "LibraryCharges",
    "NAGLCharges": "NAGLChargesHandler",
    "ToolkitAM1BCC": "ToolkitAM1BCCHandler",
    "molecules_with_preset_charges": "molecules_with_preset_charges",
}
"""What an Interchange calls the origins of charges whose keys it can read again."""


def electrostatics(bundle: Bundle, name: str, particles: Particles, sites: list[Site], scales: Scales) -> Any:
    """Return the collection ``Electrostatics`` of a Coulomb term; atoms that it does not list get charge 0.

    An Interchange does not state 1/(4πε₀). Where the term's is not that of CODATA 2018, charges are multiplied by the
    root of the ratio of the two, which gives the term's own energies. It gives a virtual site the negative sum of what
    it adds to the parents: where the mapping does not say that, all of the site's charge is taken from its first
    parent, which has it in addition.

    Args:
        bundle: one system, valid, of NumPy arrays.
        name: the term's name.
        particles: which of its particles are atoms.
        sites: its virtual sites.
        scales: what the exceptions say.

    Raises:
        UnsupportedError: a method or an exception that an Interchange does not have.
    """
    from openff.interchange.models import TopologyKey
    from openff.interchange.smirnoff import SMIRNOFFElectrostaticsCollection
    from openff.units import Quantity

    term = bundle.terms[name]
    check_periodic(name, term, bundle)
    factor = _factor(term)
    charges = of_interactions(name, term, bundle.tables[term.table].values)[:, 0] * factor
    collection = SMIRNOFFElectrostaticsCollection(
        **_coulomb_method(name, term.settings),
        **scales.of("kept_charge", of_particles(term, charges, bundle.n_atoms)),
    )
    # Interchange shares this dictionary between all collections, until it is set.
    collection._charges = {}
    potentials = Potentials("ExternalSource", _ORIGINS)
    split = _split(bundle, term, of_particles(term, charges, bundle.n_atoms), factor, sites)
    keys = _atom_keys(bundle, name, split, particles, potentials, factor)
    charge_key = _charge_keys(bundle)
    for atom, key in enumerate(keys):
        origin = key.associated_handler
        place = charge_key[origin](atom) if origin in charge_key else TopologyKey(atom_indices=(atom,))
        collection.key_map[place] = key
    increments = Potentials("Electrostatics", {"VirtualSites": "Electrostatics"})
    shared: dict[tuple[Any, ...], Any] = {}
    for site in sites:
        given = split.increments[site.number]
        where = given.rows or (site.number,)
        if where not in shared:
            stated = {"charge_increments": Quantity(np.array(given.values), "elementary_charge")}
            shared[where] = increments.put(given.key, f"{name}[{site.number}]", stated)
        collection.key_map[site.key] = shared[where]
    collection.potentials.update({**potentials.potentials, **increments.potentials})
    return collection


@dataclass(frozen=True, eq=False)
class _Increments:
    """What a virtual site adds to its parents: the rows of the table, if it is rows, the values [e], a key."""

    rows: tuple[int, ...]
    values: list[float]
    key: ParameterKey | None


@dataclass(frozen=True, eq=False)
class _Split:
    """Charges before virtual sites take theirs.

    Attributes:
        rows: by particle, the row of the table that is its charge, if it is one row.
        charges: ``(n_atoms,)`` [e].
        increments: of each virtual site, by its number.
    """

    rows: dict[int, int]
    charges: Floats
    increments: dict[int, _Increments]


def _split(bundle: Bundle, term: Term, charges: Floats, factor: float, sites: list[Site]) -> _Split:
    """Take apart what the mapping has summed up: charges of atoms, and increments of virtual sites."""
    table = bundle.tables[term.table]
    rest = dict(zip(term.indices[:, 0].tolist(), _entries(term), strict=True))
    charges = charges.copy()
    increments = {}
    for site in sites:
        own = rest.get(site.number, [])
        rows = tuple(row for row, weight in own if weight == -1.0)
        taken = list(zip(site.parents, rows, strict=False))
        if not own:
            increments[site.number] = _Increments((), [0.0] * len(site.parents), None)
        elif len(rows) == len(own) <= len(site.parents) and all((row, 1.0) in rest.get(p, []) for p, row in taken):
            for parent, row in taken:
                rest[parent].remove((row, 1.0))
            values = (table.values[list(rows), 0] * factor).tolist()
            key = None if table.keys is None else table.keys[rows[0]]
            increments[site.number] = _Increments(rows, values, key)
            charges[[parent for parent, _ in taken]] -= values
        else:
            # No single row is the charge of the first parent any more.
            rest[site.parents[0]] = []
            increments[site.number] = _Increments((), [-charges[site.number]] + [0.0] * (len(site.parents) - 1), None)
            charges[site.parents[0]] += charges[site.number]
    single = {particle: entries[0][0] for particle, entries in rest.items() if _is_row(entries)}
    return _Split(single, charges, increments)


def _is_row(entries: list[Entry]) -> bool:
    return len(entries) == 1 and entries[0][1] == 1.0


def _entries(term: Term) -> list[list[Entry]]:
    """Return rows and weights of each interaction."""
    mapping = term.mapping
    if isinstance(mapping, Linear):
        entries = list(zip(mapping.columns.tolist(), mapping.weights.astype(float).tolist(), strict=True))
        ends = mapping.offsets.tolist()
        return [entries[start:end] for start, end in pairwise(ends)]
    rows = rows_of(mapping, len(term))
    return [[(row, 1.0)] for row in ([] if rows is None else rows.tolist())]


def _atom_keys(
    bundle: Bundle, name: str, split: _Split, particles: Particles, potentials: Potentials, factor: float
) -> list[Any]:
    """Return the ``PotentialKey`` of each atom of the topology."""
    table = bundle.tables[bundle.terms[name].table]
    units = {"charge": "elementary_charge"}
    numbers = particles.atoms.tolist()
    known = [number for number in numbers if number in split.rows]
    rows: NDArray[np.int64] = np.array([split.rows[number] for number in known], dtype=np.int64)
    values = table.values[rows].astype(np.float64) * factor
    keys = dict(zip(known, potentials.add([f"{name}[{n}]" for n in known], rows, table, values, units), strict=True))
    summed = [number for number in numbers if number not in split.rows]
    names = [f"{name}[{number}]" for number in summed]
    keys |= dict(zip(summed, potentials.add(names, None, table, split.charges[summed][:, None], units), strict=True))
    return [keys[number] for number in numbers]


def _charge_keys(bundle: Bundle) -> dict[str, Callable[[int], Any]]:
    """Return, by origin, how an Interchange names the atom that has a charge; others are named as everywhere else."""
    from openff.interchange.models import LibraryChargeTopologyKey, SingleAtomChargeTopologyKey

    files = [f"{name}-{model.version}.pt" for name, model in bundle.models.items()]
    # The rows of a table do not say which of several models made them.
    nagl = {"partial_charge_method": files[0]} if len(files) == 1 else {}
    extras: dict[str, dict[str, str]] = {
        "NAGLChargesHandler": {"handler": "NAGLChargesHandler", **nagl},
        "ToolkitAM1BCCHandler": {"handler": "ToolkitAM1BCCHandler", "partial_charge_method": "am1bcc"},
        "molecules_with_preset_charges": {"handler": "preset"},
    }

    def single(origin: str) -> Callable[[int], Any]:
        return lambda atom: SingleAtomChargeTopologyKey(this_atom_index=atom, extras=dict(extras[origin]))

    return {
        "LibraryCharges": lambda atom: LibraryChargeTopologyKey(this_atom_index=atom),
        **{origin: single(origin) for origin in extras},
    }


def _factor(term: Term) -> float:
    """Return what charges are multiplied by to have the term's energies with the constant of CODATA 2018."""
    constant = float(term.settings["coulomb_constant"])
    same = isclose(constant, COULOMB_CONSTANT, rel_tol=4 * np.finfo(float).eps)
    return 1.0 if same else sqrt(constant / COULOMB_CONSTANT)


def _coulomb_method(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    from openff.units import Quantity

    method, periodic = settings["method"], is_periodic(settings)
    if method == "no_cutoff":
        return {"nonperiodic_potential": "Coulomb"}
    if method in ("ewald", "pme"):
        return {"periodic_potential": "Ewald3D-ConductingBoundary", "cutoff": Quantity(settings["cutoff"], "nanometer")}
    if method == "cutoff" and "switch_distance" not in settings:
        which = "periodic_potential" if periodic else "nonperiodic_potential"
        return {which: "cutoff", "cutoff": Quantity(settings["cutoff"], "nanometer")}
    detail = {
        "reaction_field": ", and an Interchange does not state the dielectric constant",
        "cutoff": " with a switch_distance",
    }.get(method, "")
    raise UnsupportedError(
        f"terms/{name}/settings/method: {method!r}{detail}; an Interchange has no_cutoff, pme (or ewald), and cutoff "
        "without switch_distance for charges"
    )
