"""From a bundle to an OpenFF Interchange."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, MissingDependencyError, UnsupportedError
from ffbridge.exporters.interchange.charges import electrostatics
from ffbridge.exporters.interchange.nonbonded import vdw
from ffbridge.exporters.interchange.scales import Scales
from ffbridge.exporters.interchange.topology import Particles, match
from ffbridge.exporters.interchange.valence import VALENCE_FORMS, constraints, valence
from ffbridge.exporters.interchange.virtual_sites import site_numbers, virtual_sites
from ffbridge.snapshot import snapshot
from ffbridge.validate import validate

__all__ = ["to_interchange"]

_NONBONDED = {"lennard_jones": ("vdW", vdw), "coulomb": ("Electrostatics", electrostatics)}


def to_interchange(bundle: Bundle, topology: Any, *, positions: Array | None = None) -> Any:
    """Return the OpenFF ``Interchange`` of a bundle of one system.

    Interchange writes files of GROMACS, AMBER and LAMMPS of it. Values are exported as they are now, without gradients,
    in double precision. A row of a table becomes one potential, which the interactions that select it share; its key
    keeps the row's pattern, a SMIRKS mostly (ids such as ``b84`` have no place there), and rows without keys, such as
    outputs of a model, get names of their own. What a ``linear`` mapping sums up is exported as sums. Torsions have
    idivf 1.

    - ``harmonic_bond``, ``harmonic_angle``, ``periodic_torsion``, ``ryckaert_bellemans``: Bonds, Angles, ProperTorsions
      and ImproperTorsions, RBTorsions. An improper is what has its center first and three neighbors there, as in
      SMIRNOFF; impropers that have it elsewhere go with the ProperTorsions, which is the same energy.
    - ``lennard_jones``, ``coulomb``: vdW, Electrostatics. Charges of a term with another Coulomb constant than that of
      CODATA 2018 are multiplied by the root of the ratio. Numerical choices for Ewald sums have no place in an
      Interchange.
    - virtual sites: VirtualSites, if they are of a type that SMIRNOFF force fields have.
    - constraints, box. Constrained bonds keep their terms. Models and provenance are left behind.

    Interchange's own writers for AMBER and LAMMPS leave RBTorsions out, and the one for AMBER scales a 1-4 pair only
    where a proper torsion, be its k 0, has it as its ends.

    Args:
        bundle: one system, in any framework, with however many molecules. It is validated.
        topology: the ``openff.toolkit.Topology`` or ``Molecule`` that it was made for; its atoms are the bundle's,
            without virtual sites, in the same order.
        positions: ``(n_atoms, 3)`` [nm], of all particles of the bundle; those of virtual sites are ignored. If None,
            the topology's own, if every molecule has a conformer.

    Raises:
        MissingDependencyError: the OpenFF packages are not installed.
        ValidationError: the bundle does not follow the standard.
        BundleError: the topology has other elements or bonds; positions of another shape.
        UnsupportedError: an Interchange cannot express something exactly: several systems, a form, a method, exceptions
            that are no scales of 1-4 pairs, masses other than those of the elements, a virtual site of another kind.
    """
    try:
        from openff.interchange import Interchange
        from openff.toolkit import Molecule, Topology
        from openff.units import Quantity
    except ImportError as error:
        raise MissingDependencyError(
            f"to_interchange needs the OpenFF packages, which cannot be imported ({error}). Install them: pip install "
            '"ffbridge[openff]", or conda-forge\'s openff-interchange'
        ) from error
    validate(bundle)
    if bundle.n_systems != 1:
        raise UnsupportedError(
            f"the bundle has {bundle.n_systems} systems, and atoms of one Interchange interact: export each by itself, "
            "[fb.to_interchange(each, topology) for each, topology in zip(fb.separate(bundle), topologies)]. A bundle "
            "of one system may have many molecules"
        )
    _refuse_forms(bundle)
    values = bundle.snapshot()
    own = topology.to_topology() if isinstance(topology, Molecule) else Topology(topology)
    particles = match(values, own, site_numbers(values))
    interchange = Interchange(topology=own)
    interchange.collections.update(_collections(values, particles))
    if values.box is not None:
        interchange.box = Quantity(values.box[0].astype(float), "nanometer")
    interchange.positions = own.get_positions() if positions is None else _positions(positions, values, particles)
    return interchange


def _collections(bundle: Bundle, particles: Particles) -> dict[str, Any]:
    made = valence(bundle, particles)
    made["Constraints"] = constraints(bundle.constraints, particles, made["Bonds"])
    collection, sites = virtual_sites(bundle, particles)
    if collection is not None:
        made["VirtualSites"] = collection
    parents = np.arange(bundle.n_atoms)
    parents[[site.number for site in sites]] = [site.parents[0] for site in sites]
    scales = Scales(bundle, particles.atoms[particles.bonds], parents)
    for name, term in bundle.terms.items():
        if term.form in _NONBONDED:
            collection, make = _NONBONDED[term.form]
            made[collection] = make(bundle, name, particles, sites, scales)
    return made


def _refuse_forms(bundle: Bundle) -> None:
    known = (*VALENCE_FORMS, *_NONBONDED)
    seen: set[str] = set()
    for name, term in bundle.energy_terms.items():
        if term.form not in known:
            raise UnsupportedError(
                f"terms/{name}: an Interchange has no {term.form!r}; it has {', '.join(known)}. fb.to_openmm may "
                "express it"
            )
        if term.overrides is not None:
            raise UnsupportedError(
                f"terms/{name}/overrides: an Interchange mixes the parameters of every pair. fb.to_openmm has pairs of "
                "their own"
            )
        if term.form in _NONBONDED and term.form in seen:
            raise UnsupportedError(
                f"terms/{name}: the bundle has several terms of the form {term.form!r}, and an Interchange has one of "
                "each nonbonded form"
            )
        seen.add(term.form)


def _positions(positions: Array, bundle: Bundle, particles: Particles) -> Any:
    from openff.units import Quantity

    values = snapshot(positions)
    if values.shape != (bundle.n_atoms, 3):
        raise BundleError(f"positions: got shape {tuple(values.shape)}, expected ({bundle.n_atoms}, 3), in nm")
    return Quantity(np.asarray(values, dtype=np.float64)[particles.atoms], "nanometer")
