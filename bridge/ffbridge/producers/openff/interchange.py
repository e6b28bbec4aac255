"""From an OpenFF Interchange to a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.bundle import Bundle, Model
from ffbridge.errors import UnsupportedError
from ffbridge.table import Table
from ffbridge.term import Constraints, Term

from .charges import electrostatics_term
from .nagl import MODEL_FRAMEWORK, nagl_fingerprint, split_model_file
from .nonbonded import VDW_FORMS, exceptions_from_bonds, vdw_form, vdw_term
from .parameters import read_parameters
from .topology import Atoms, read_topology
from .virtual_sites import read_sites, site_terms

__all__ = ["from_interchange"]

_VALENCE = {
    "Bonds": ("bonds", "harmonic_bond"),
    "Angles": ("angles", "harmonic_angle"),
    "ProperTorsions": ("proper_torsions", "periodic_torsion"),
    "ImproperTorsions": ("improper_torsions", "periodic_torsion"),
    "RBTorsions": ("rb_torsions", "ryckaert_bellemans"),
}

_EXPRESSIONS = {
    "Bonds": "k/2*(r-length)**2",
    "Angles": "k/2*(theta-angle)**2",
    "ProperTorsions": "k*(1+cos(periodicity*theta-phase))",
    "ImproperTorsions": "k*(1+cos(periodicity*theta-phase))",
    "Electrostatics": "coul",
    "Constraints": "",
    "VirtualSites": "",
    # As Interchange writes it, a plus sign short; what it evaluates is the sum.
    "RBTorsions": "c0 + c1 * (cos(phi - 180)) c2 * (cos(phi - 180)) ** 2 + c3 * (cos(phi - 180)) ** 3 + "
    "c4 * (cos(phi - 180)) ** 4 + c5 * (cos(phi - 180)) ** 5",
}

_CONVERSIONS = (
    "one row for each force-field parameter in use, in the order of its first use",
    "torsions: k is the force field's k divided by its idivf",
    "impropers: three cyclic permutations for each center, the center first, as the Interchange lists them",
    "virtual sites: after all atoms; distances and angles are positions in the frame of the parents",
    "constrained bonds keep their harmonic term (Interchange's export to OpenMM leaves it out by default)",
)


def from_interchange(interchange: Any, *, force_field: Any = None, ewald_tolerance: float = 1e-4) -> Bundle:
    """Return the bundle of an OpenFF ``Interchange``: one system, however many molecules its topology has.

    Bonds, Angles, ProperTorsions, ImproperTorsions, RBTorsions, vdW and Electrostatics become the terms ``bonds``,
    ``angles``, ``proper_torsions``, ``improper_torsions``, ``rb_torsions``, ``vdw`` and ``electrostatics``; a
    collection without interactions becomes no term. So do plug-ins that act as vdW with the expression of a
    ``double_exponential`` or ``buckingham`` interaction. Interactions that share a SMIRNOFF parameter share its row
    (mapping ``select``). Charges that are sums of a base charge and increments are mapped by ``linear``, and so are
    parameters that are interpolated by bond order, with a row for each bond order that the force field states; fitting
    them reaches the force field's own numbers. Virtual sites come after all atoms, as in Interchange's exports, with a
    term for each type; their distances and angles become positions in the frame of the parents. Constraints are kept as
    data. The NAGL model that
    made charges is listed in ``models``, and the keys of its rows say ``NAGLCharges``; the table as a whole names no
    model, for it may hold library charges too.

    Args:
        interchange: the Interchange.
        force_field: the ``openff.toolkit.ForceField`` that it was made with. An Interchange knows its parameters'
            SMIRKS only; with the force field, the keys hold their ids (``b84``) as well.
        ewald_tolerance: error tolerance of the Ewald sums of periodic systems, which an Interchange does not state.
            The default is that of ``Interchange.to_openmm``.

    Raises:
        UnsupportedError: the Interchange holds something that has no exact counterpart: GBSA, other plug-ins, other
            functional forms, a nonbonded method that the standard lacks.
        BundleError: the force field is another one than that of the Interchange.
    """
    collections = {name: collection for name, collection in interchange.collections.items() if collection.key_map}
    # Unknown collections first: they say more than what they bring into the known ones.
    for name in sorted(collections, key=_EXPRESSIONS.__contains__):
        _check(name, collections[name])
    acting = _acting_as_vdw(collections)
    atoms = read_topology(interchange.topology)
    sites = read_sites(interchange, atoms.molecule_offsets)
    parameters = {
        name: read_parameters(collection, where=name, force_field=force_field, sites=sites.numbers)
        for name, collection in collections.items()
        if name not in ("Constraints", "VirtualSites")
    }
    n_atoms = len(sites.parents)
    periodic = interchange.box is not None
    found: dict[str, tuple[Term, Table]] = {}
    for name, (term, form_name) in _VALENCE.items():
        if name in parameters:
            each = parameters[name]
            made = Term(form=form_name, indices=each.atoms, table=term, mapping=each.mapping)
            found[term] = made, each.table(form_name)
    vdw, electrostatics = collections.get(acting), collections.get("Electrostatics")
    options: dict[str, Any] = {"periodic": periodic, "tolerance": ewald_tolerance}
    if vdw is not None:
        found["vdw"] = vdw_term(vdw, parameters[acting], n_atoms, **options)
    if electrostatics is not None:
        charges = parameters["Electrostatics"]
        found["electrostatics"] = electrostatics_term(electrostatics, charges, atoms.molecule_offsets, sites, **options)
    found |= site_terms(interchange, sites, force_field)
    return Bundle(
        system_offsets=np.array([0, n_atoms], dtype=np.int32),
        atomic_numbers=np.append(atoms.atomic_numbers, np.zeros(len(sites), dtype=np.int32)),
        terms={name: term for name, (term, _) in found.items()},
        tables={name: table for name, (_, table) in found.items()},
        exceptions=exceptions_from_bonds(atoms.bonds, sites.parents, vdw=vdw, electrostatics=electrostatics),
        masses=np.append(atoms.masses, np.zeros(len(sites))),
        bonds=atoms.bonds,
        box=interchange.box.m_as("nm")[None].astype(np.float64) if periodic else None,
        constraints=_constraints(collections.get("Constraints")),
        system_names=None if atoms.name is None else (atoms.name,),
        models={} if electrostatics is None else _models(electrostatics),
        provenance=_provenance(atoms, force_field),
    )


def _check(name: str, collection: Any) -> None:
    """Refuse by name what has no exact counterpart."""
    if vdw_form(collection) is not None:
        return
    # A plug-in's virtual sites are placed like others, with parameters for another form of van der Waals interactions.
    is_plugin = collection.is_plugin and getattr(collection, "acts_as", "") != "VirtualSites"
    if is_plugin or name not in (*_EXPRESSIONS, "vdW"):
        what = "is of a plug-in" if is_plugin else "is not supported"
        raise UnsupportedError(
            f"collection {name!r} {what}, with the expression {collection.expression!r}; from_interchange understands "
            f"{', '.join(_EXPRESSIONS)}, and vdW and plug-ins with the expressions of {', '.join(VDW_FORMS)}. Nothing "
            "is left out: remove it from the Interchange if its energy is not wanted"
        )
    if name == "vdW" or collection.expression != _EXPRESSIONS[name]:
        expected = [each.expression for each in VDW_FORMS.values()] if name == "vdW" else _EXPRESSIONS[name]
        raise UnsupportedError(
            f"collection {name!r} has the expression {collection.expression!r}; expected {expected!r}"
        )


def _acting_as_vdw(collections: dict[str, Any]) -> str:
    """Return the name of the collection that holds the van der Waals interactions, ``vdW`` if none does."""
    acting = [name for name, collection in collections.items() if vdw_form(collection) is not None]
    if len(acting) > 1:
        raise UnsupportedError(
            f"collections {' and '.join(map(repr, acting))}: exports of an Interchange have one collection of van der "
            "Waals interactions, and would leave out the others. Remove those that are not meant"
        )
    return acting[0] if acting else "vdW"


def _constraints(collection: Any) -> Constraints | None:
    if collection is None:
        return None
    found = read_parameters(collection, where="Constraints")
    return Constraints(pairs=found.atoms, lengths=found.column("distance", "nm")[found.index])


def _models(electrostatics: Any) -> dict[str, Model]:
    """Return the charge models that the collection names."""
    files = {
        key.extras["partial_charge_method"]
        for key in electrostatics.key_map
        if getattr(key, "extras", {}).get("handler") == "NAGLChargesHandler" and "partial_charge_method" in key.extras
    }
    return {
        name: Model(version=version, framework=MODEL_FRAMEWORK, sha256=nagl_fingerprint(file))
        for file, (name, version) in zip(sorted(files), map(split_model_file, sorted(files)), strict=True)
    }


def _provenance(atoms: Atoms, force_field: Any) -> dict[str, Any]:
    import openff.interchange
    import openff.toolkit

    provenance: dict[str, Any] = {
        "producer": "ffbridge.from_interchange",
        "versions": {
            "openff-interchange": openff.interchange.__version__,
            "openff-toolkit": openff.toolkit.__version__,
        },
        "conversions": list(_CONVERSIONS),
        "n_molecules": len(atoms.molecule_offsets) - 1,
    }
    if force_field is not None:
        provenance["force_field"] = {"author": force_field.author, "date": force_field.date}
    return provenance
