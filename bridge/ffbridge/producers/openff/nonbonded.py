"""The nonbonded collections of an Interchange: charges, methods, exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.forms import form
from ffbridge.mapping import Linear, Mapping, Select
from ffbridge.producers.connectivity import pairs_by_separation
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Exceptions, Term
from ffbridge.units import COULOMB_CONSTANT

from .parameters import PER_MOLECULE, Parameters, magnitudes

__all__ = ["VDW_FORMS", "electrostatics_term", "exceptions_from_bonds", "vdw_form", "vdw_term"]

Indices = NDArray[np.int32]

_MIXING_RULES = {"lorentz-berthelot": "lorentz_berthelot", "geometric": "geometric"}


@dataclass(frozen=True)
class VdwForm:
    """How a collection states a form.

    Attributes:
        expression: its expression.
        mixing_rule: the mixing rule that the expression contains; that of the collection if None.
        settings: settings of the form, by the collection's attributes.
    """

    expression: str
    mixing_rule: str | None = None
    settings: dict[str, str] = field(default_factory=dict)


VDW_FORMS = {
    "lennard_jones": VdwForm("4*epsilon*((sigma/r)**12-(sigma/r)**6)"),
    # Plug-ins: smirnoff-plugins, and the one of Interchange's documentation. Their expressions contain the mixing; what
    # r_min and epsilon of an atom are in the first, half and root of the parameters, its modify_parameters says.
    "double_exponential": VdwForm(
        "CombinedEpsilon*RepulsionFactor*RepulsionExp-CombinedEpsilon*AttractionFactor*AttractionExp;"
        "CombinedEpsilon=epsilon1*epsilon2;RepulsionExp=exp(-alpha*ExpDistance);AttractionExp=exp(-beta*ExpDistance);"
        "ExpDistance=r/CombinedR;CombinedR=r_min1+r_min2;",
        mixing_rule="lorentz_berthelot",
        settings={"repulsion_exponent": "alpha", "attraction_exponent": "beta"},
    ),
    "buckingham": VdwForm("a*exp(-b*r)-c*r**-6;a=sqrt(a1*a2);b=2/(1/b1+1/b2);c=sqrt(c1*c2);", mixing_rule="buckingham"),
}
"""The forms of van der Waals interactions that collections may have."""


def vdw_form(collection: Any) -> str | None:
    """Return the form of a collection that holds van der Waals interactions; None if it has another expression."""
    expression = collection.expression.replace(" ", "").replace("^", "**")
    return next((name for name, each in VDW_FORMS.items() if each.expression == expression), None)


def vdw_term(
    collection: Any, parameters: Parameters, n_atoms: int, *, periodic: bool, tolerance: float
) -> tuple[Term, Table]:
    """Return the term of the van der Waals interactions and its table.

    Args:
        collection: the collection ``vdW``, or a plug-in that acts as it, of one of the `VDW_FORMS`.
        parameters: what it holds.
        n_atoms: number of atoms of the topology; each must be there once.
        periodic: whether the Interchange has a box.
        tolerance: error tolerance for LJPME.

    Raises:
        UnsupportedError: a method or a mixing rule that the standard does not have.
    """
    order = _order_of_atoms(parameters, n_atoms, once=True)
    name = str(vdw_form(collection))
    stated = VDW_FORMS[name]
    mixing = stated.mixing_rule or _MIXING_RULES.get(collection.mixing_rule.lower())
    if mixing is None:
        raise UnsupportedError(
            f"collection {parameters.where!r}: mixing rule {collection.mixing_rule!r} is none of "
            f"{', '.join(_MIXING_RULES)}"
        )
    settings = {**_vdw_method(collection, parameters.where, periodic, tolerance), "mixing_rule": mixing}
    for setting, attribute in stated.settings.items():
        settings[setting] = float(magnitudes([getattr(collection, attribute)], "1")[0])
    return _per_atom(name, "vdw", n_atoms, Select(parameters.index[order]), settings), parameters.table(name)


def electrostatics_term(
    collection: Any,
    parameters: Parameters,
    molecule_offsets: NDArray[np.int64],
    *,
    periodic: bool,
    tolerance: float,
) -> tuple[Term, Table]:
    """Return the Coulomb term and its table: charges, and the charge increments that are added to them.

    Args:
        collection: the collection ``Electrostatics``.
        parameters: what it holds.
        molecule_offsets: ``(n_molecules + 1,)``, the first atom of each molecule.
        periodic: whether the Interchange has a box.
        tolerance: error tolerance for PME.
    """
    n_atoms = int(molecule_offsets[-1])
    once = len(parameters.index) == n_atoms
    order = _order_of_atoms(parameters, n_atoms, once=once)
    settings = {**_coulomb_method(collection, periodic, tolerance), "coulomb_constant": COULOMB_CONSTANT}
    declared = form("coulomb")
    table = Table(
        values=_charges(parameters)[:, None],
        columns=declared.column_names,
        units=declared.units,
        keys=_charge_keys(parameters, molecule_offsets),
    )
    mapping: Mapping = Select(parameters.index[order])
    if not once:
        counts = np.bincount(parameters.atoms[:, 0], minlength=n_atoms)
        mapping = Linear(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            columns=parameters.index[order],
            weights=np.ones(len(order)),
        )
    return _per_atom("coulomb", "electrostatics", n_atoms, mapping, settings), table


def exceptions_from_bonds(bonds: Indices, n_atoms: int, *, vdw: Any = None, electrostatics: Any = None) -> Exceptions:
    """Return the exceptions that the scales of the nonbonded collections ask for.

    A pair counts by its shortest path: the ends of a path of three bonds around a ring of four atoms are 1-2 or 1-3
    neighbors. Cost is linear in the number of paths.

    Args:
        bonds: ``(n_bonds, 2)``.
        n_atoms: number of atoms.
        vdw: the collection ``vdW``; without it, nothing is scaled.
        electrostatics: the collection ``Electrostatics``.

    Raises:
        UnsupportedError: a collection scales pairs beyond 1-4.
    """
    for name, collection in (("vdW", vdw), ("Electrostatics", electrostatics)):
        if getattr(collection, "scale_15", 1.0) != 1.0:
            raise UnsupportedError(f"collection {name!r}: scale_15 is {collection.scale_15}, and only 1 is supported")
    pairs, separations = pairs_by_separation(bonds.astype(np.int64), n_atoms)

    def scales(collection: Any) -> NDArray[np.float64]:
        names = ("scale_12", "scale_13", "scale_14")
        by_separation = np.array([getattr(collection, name, 1.0) for name in names], dtype=np.float64)
        return np.take(by_separation, separations - 1)

    return Exceptions(
        pairs=pairs.astype(np.int32),
        kept_charge=scales(electrostatics),
        kept_lj=scales(vdw),
    )


def _per_atom(form_name: str, table: str, n_atoms: int, mapping: Mapping, settings: dict[str, Any]) -> Term:
    indices = np.arange(n_atoms, dtype=np.int32)[:, None]
    return Term(form=form_name, indices=indices, table=table, mapping=mapping, settings=settings)


def _order_of_atoms(parameters: Parameters, n_atoms: int, *, once: bool) -> NDArray[np.int64]:
    """Return what sorts the collection's entries by atom; each atom must be there (once)."""
    counts = np.bincount(parameters.atoms[:, 0], minlength=n_atoms)
    wrong = counts != 1 if once else counts == 0
    if wrong.any():
        atom = int(wrong.argmax())
        raise BundleError(
            f"collection {parameters.where!r}: atom {atom} has {int(counts[atom])} parameters, expected "
            + ("one" if once else "at least one")
        )
    return np.argsort(parameters.atoms[:, 0], kind="stable")


def _charges(parameters: Parameters) -> NDArray[np.float64]:
    """Return the value of each row, a charge or a charge increment [e]."""
    quantities = []
    for key, values in zip(parameters.keys, parameters.values, strict=True):
        found = values.keys() & {"charge", "charge_increment"}
        if len(values) != 1 or not found:
            raise UnsupportedError(
                f"collection 'Electrostatics': the parameter {key.pattern!r} of {key.handler!r} states "
                f"{', '.join(sorted(values))}; expected a charge or a charge_increment"
            )
        quantities.append(values[found.pop()])
    return magnitudes(quantities, "e")


def _charge_keys(parameters: Parameters, molecule_offsets: NDArray[np.int64]) -> tuple[ParameterKey, ...]:
    """Return the keys, with the atom of its mapped SMILES as the index of a preset charge.

    For preset charges Interchange numbers the atoms as the molecule that brought the charges does, and writes the
    SMILES of the molecule in the topology. The first use of each is in the molecule whose SMILES that is.
    """
    _, first = np.unique(parameters.index, return_index=True)
    atoms = parameters.atoms[first, 0]
    local = atoms - molecule_offsets[np.searchsorted(molecule_offsets, atoms, side="right") - 1]
    return tuple(
        replace(key, index=int(atom)) if key.handler in PER_MOLECULE else key
        for key, atom in zip(parameters.keys, local, strict=True)
    )


def _vdw_method(collection: Any, where: str, periodic: bool, tolerance: float) -> dict[str, Any]:
    method = collection.periodic_method if periodic else collection.nonperiodic_method
    cutoff = float(collection.cutoff.m_as("nm"))
    if method == "no-cutoff" and not periodic:
        return {"method": "no_cutoff"}
    if method == "pme" and periodic:
        return {"method": "ljpme", "cutoff": cutoff, "tolerance": tolerance}
    if method == "cutoff":
        # Neither SMIRNOFF nor an Interchange states the dispersion correction; Interchange's export to OpenMM has it.
        settings = {"method": "cutoff", "cutoff": cutoff, "periodic": periodic, "dispersion_correction": periodic}
        width = float(collection.switch_width.m_as("nm"))
        return {**settings, "switch_distance": cutoff - width} if width else settings
    raise UnsupportedError(
        f"collection {where!r}: method {method!r} for a {_kind(periodic)} system is none of no-cutoff (not periodic), "
        "cutoff, pme (periodic)"
    )


def _coulomb_method(collection: Any, periodic: bool, tolerance: float) -> dict[str, Any]:
    method = collection.periodic_potential if periodic else collection.nonperiodic_potential
    cutoff = float(collection.cutoff.m_as("nm"))
    if method in ("Coulomb", "no-cutoff") and not periodic:
        return {"method": "no_cutoff"}
    if method == "Ewald3D-ConductingBoundary" and periodic:
        return {"method": "pme", "cutoff": cutoff, "tolerance": tolerance}
    if method == "cutoff":
        return {"method": "cutoff", "cutoff": cutoff, "periodic": periodic}
    detail = "; an Interchange does not state the dielectric constant" if method == "reaction-field" else ""
    raise UnsupportedError(
        f"collection 'Electrostatics': method {method!r} for a {_kind(periodic)} system is none of Coulomb (not "
        f"periodic), Ewald3D-ConductingBoundary (periodic), cutoff{detail}"
    )


def _kind(periodic: bool) -> str:
    return "periodic" if periodic else "non-periodic"
