"""Lennard-Jones terms as the collection vdW of an Interchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.interchange.potentials import Potentials, rows_of
from ffbridge.exporters.interchange.scales import Scales
from ffbridge.exporters.interchange.topology import Particles
from ffbridge.exporters.interchange.virtual_sites import Site
from ffbridge.exporters.openmm.methods import is_periodic
from ffbridge.exporters.openmm.parameters import Floats, of_interactions
from ffbridge.term import Term

__all__ = ["check_periodic", "of_particles", "vdw"]

Settings = Mapping[str, Any]

_MIXING_RULES = {"lorentz_berthelot": "lorentz-berthelot", "geometric": "geometric"}


def vdw(bundle: Bundle, name: str, particles: Particles, sites: list[Site], scales: Scales) -> Any:
    """Return the collection ``vdW`` of a Lennard-Jones term; atoms that it does not list get depth 0.

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
    from openff.interchange.smirnoff import SMIRNOFFvdWCollection
    from openff.units import Quantity

    term = bundle.terms[name]
    check_periodic(name, term, bundle)
    parameters = of_interactions(name, term, bundle.tables[term.table].values)
    weights = of_particles(term, parameters[:, 1], bundle.n_atoms)
    collection = SMIRNOFFvdWCollection(
        mixing_rule=_MIXING_RULES[term.settings["mixing_rule"]],
        **_vdw_method(name, term.settings),
        **scales.of("kept_lj", weights),
    )
    units = {"sigma": "nanometer", "epsilon": "kilojoule / mole"}
    none = {"sigma": Quantity(0.1, "nanometer"), "epsilon": Quantity(0.0, "kilojoule / mole")}
    # What a virtual site has of vdW, an Interchange calls by another name than what an atom has.
    potentials = Potentials("vdW", {"vdW": "vdW", "VirtualSites": "vdw"})
    names = [f"{name}[{row}]" for row in range(len(term))]
    table = bundle.tables[term.table]
    keys = potentials.add(names, rows_of(term.mapping, len(term)), table, parameters, units)
    found = dict(zip(term.indices[:, 0].tolist(), keys, strict=True))
    places = {particle: TopologyKey(atom_indices=(atom,)) for atom, particle in enumerate(particles.atoms.tolist())}
    for particle, place in (places | {site.number: site.key for site in sites}).items():
        key = found.get(particle)
        collection.key_map[place] = potentials.put(None, f"{name}[none {particle}]", none) if key is None else key
    collection.potentials.update(potentials.potentials)
    return collection


def of_particles(term: Term, values: Floats, n_atoms: int) -> Floats:
    """Return one value of each particle, ``(n_atoms,)``; 0 where the term does not list it."""
    result = np.zeros(n_atoms)
    result[term.indices[:, 0]] = values
    return result


def check_periodic(name: str, term: Term, bundle: Bundle) -> None:
    """Refuse a term that is periodic without a box, or not periodic with one: a box is how an Interchange tells."""
    if is_periodic(term.settings) != (bundle.box is not None):
        raise UnsupportedError(
            f"terms/{name}/settings: the method {term.settings['method']!r} is {_kind(is_periodic(term.settings))}, "
            f"and the bundle has {'a' if bundle.box is not None else 'no'} box, which is how an Interchange tells: "
            "leave the box out, dataclasses.replace(bundle, box=None), if it means nothing"
        )


def _vdw_method(name: str, settings: Settings) -> dict[str, Any]:
    from openff.units import Quantity

    method, periodic = settings["method"], is_periodic(settings)
    if method == "no_cutoff":
        return {"nonperiodic_method": "no-cutoff"}
    cutoff = settings["cutoff"]
    width = cutoff - settings.get("switch_distance", cutoff)
    lengths = {"cutoff": Quantity(cutoff, "nanometer"), "switch_width": Quantity(width, "nanometer")}
    if method == "ljpme":
        return {"periodic_method": "pme", **lengths}
    if periodic and not settings.get("dispersion_correction", False):
        raise UnsupportedError(
            f"terms/{name}/settings/dispersion_correction: it is false, and an Interchange's exports always have it "
            "for a periodic cutoff. Set it to true, if that is meant: it changes the energy"
        )
    return {"periodic_method" if periodic else "nonperiodic_method": "cutoff", **lengths}


def _kind(periodic: bool) -> str:
    return "periodic" if periodic else "not periodic"
