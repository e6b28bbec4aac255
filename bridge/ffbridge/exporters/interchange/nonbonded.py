"""Nonbonded terms as the collections vdW and Electrostatics of an Interchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isclose, sqrt
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.interchange.potentials import Potentials
from ffbridge.exporters.interchange.scales import Scales
from ffbridge.exporters.interchange.topology import Particles
from ffbridge.exporters.openmm.methods import is_periodic
from ffbridge.exporters.openmm.parameters import Floats, of_interactions
from ffbridge.term import Term
from ffbridge.units import COULOMB_CONSTANT

__all__ = ["electrostatics", "vdw"]

Settings = Mapping[str, Any]

_MIXING_RULES = {"lorentz_berthelot": "lorentz-berthelot", "geometric": "geometric"}

_CHARGES = {
    "LibraryCharges": "LibraryCharges",
    "NAGLCharges": "NAGLChargesHandler",
    "ToolkitAM1BCC": "ToolkitAM1BCCHandler",
    "molecules_with_preset_charges": "molecules_with_preset_charges",
}
"""What an Interchange calls the origins of charges whose keys it can read again."""


def vdw(bundle: Bundle, name: str, particles: Particles, scales: Scales) -> Any:
    """Return the collection ``vdW`` of a Lennard-Jones term; atoms that it does not list get depth 0.

    Args:
        bundle: one system, valid, of NumPy arrays.
        name: the term's name.
        particles: which of its particles are atoms.
        scales: what the exceptions say.

    Raises:
        UnsupportedError: a method or an exception that an Interchange does not have.
    """
    from openff.interchange.smirnoff import SMIRNOFFvdWCollection
    from openff.units import Quantity

    term = bundle.terms[name]
    _check_periodic(name, term, bundle)
    parameters = of_interactions(name, term, bundle.tables[term.table].values)
    weights = _of_particles(term, parameters[:, 1], bundle.n_atoms)
    collection = SMIRNOFFvdWCollection(
        mixing_rule=_MIXING_RULES[term.settings["mixing_rule"]],
        **_vdw_method(name, term.settings),
        **scales.of("kept_lj", weights),
    )
    units = {"sigma": "nanometer", "epsilon": "kilojoule / mole"}
    none = {"sigma": Quantity(0.1, "nanometer"), "epsilon": Quantity(0.0, "kilojoule / mole")}
    _fill(collection, Potentials("vdW"), bundle, name, parameters, particles, units, none)
    return collection


def electrostatics(bundle: Bundle, name: str, particles: Particles, scales: Scales) -> Any:
    """Return the collection ``Electrostatics`` of a Coulomb term; atoms that it does not list get charge 0.

    An Interchange does not state 1/(4πε₀). Where the term's is not that of CODATA 2018, charges are multiplied by the
    root of the ratio of the two, which gives the term's own energies.

    Args, Raises: as for :func:`vdw`.
    """
    from openff.interchange.smirnoff import SMIRNOFFElectrostaticsCollection
    from openff.units import Quantity

    term = bundle.terms[name]
    _check_periodic(name, term, bundle)
    parameters = of_interactions(name, term, bundle.tables[term.table].values) * _factor(term)
    weights = _of_particles(term, parameters[:, 0], bundle.n_atoms)
    collection = SMIRNOFFElectrostaticsCollection(
        **_coulomb_method(name, term.settings),
        **scales.of("kept_charge", weights),
    )
    # Interchange shares this dictionary between all collections, until it is set.
    collection._charges = {}
    potentials = Potentials("ExternalSource", _CHARGES)
    none = {"charge": Quantity(0.0, "elementary_charge")}
    _fill(collection, potentials, bundle, name, parameters, particles, {"charge": "elementary_charge"}, none)
    return collection


def _fill(
    collection: Any,
    potentials: Potentials,
    bundle: Bundle,
    name: str,
    parameters: Floats,
    particles: Particles,
    units: dict[str, str],
    none: dict[str, Any],
) -> None:
    """Add every atom to a collection, those that the term does not list with the parameters `none`."""
    from openff.interchange.models import TopologyKey

    term = bundle.terms[name]
    listed = particles.topology_atom[term.indices[:, 0]]
    names = [f"{name}[{row}]" for row in range(len(term))]
    keys = potentials.add(names, term.mapping, bundle.tables[term.table], parameters, units)
    of_atom = dict(zip(listed.tolist(), keys, strict=True))
    if missing := sorted(set(range(len(particles))) - set(of_atom)):
        absent = potentials.put(None, f"{name}[none]", none)
        of_atom.update(dict.fromkeys(missing, absent))
    charge_key = _charge_keys(bundle)
    for atom in range(len(particles)):
        origin = of_atom[atom].associated_handler
        key = charge_key[origin](atom) if origin in charge_key else TopologyKey(atom_indices=(atom,))
        collection.key_map[key] = of_atom[atom]
    collection.potentials.update(potentials.potentials)


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


def _of_particles(term: Term, values: Floats, n_atoms: int) -> Floats:
    result = np.zeros(n_atoms)
    result[term.indices[:, 0]] = values
    return result


def _factor(term: Term) -> float:
    """Return what charges are multiplied by to have the term's energies with the constant of CODATA 2018."""
    constant = float(term.settings["coulomb_constant"])
    same = isclose(constant, COULOMB_CONSTANT, rel_tol=4 * np.finfo(float).eps)
    return 1.0 if same else sqrt(constant / COULOMB_CONSTANT)


def _check_periodic(name: str, term: Term, bundle: Bundle) -> None:
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


def _coulomb_method(name: str, settings: Settings) -> dict[str, Any]:
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


def _kind(periodic: bool) -> str:
    return "periodic" if periodic else "not periodic"
