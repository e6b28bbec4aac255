"""Van der Waals interactions of an Interchange, and the exceptions of all nonbonded ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.mapping import Mapping, Select
from ffbridge.producers.connectivity import particle_pairs
from ffbridge.table import Table
from ffbridge.term import Exceptions, Term

from .parameters import Parameters, magnitudes

__all__ = ["VDW_FORMS", "exceptions_from_bonds", "kind_of", "per_atom", "vdw_form", "vdw_term"]

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
        n_atoms: number of atoms, virtual sites included; each must be there once.
        periodic: whether the Interchange has a box.
        tolerance: error tolerance for LJPME.

    Raises:
        UnsupportedError: a method or a mixing rule that the standard does not have.
    """
    order = _order_of_atoms(parameters, n_atoms)
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
    return per_atom(name, "vdw", n_atoms, Select(parameters.index[order]), settings), parameters.table(name)


def exceptions_from_bonds(
    bonds: Indices, parents: NDArray[np.int64], *, vdw: Any = None, electrostatics: Any = None
) -> Exceptions:
    """Return the exceptions that the scales of the nonbonded collections ask for.

    A pair counts by its shortest path: the ends of a path of three bonds around a ring of four atoms are 1-2 or 1-3
    neighbors. A virtual site has the exceptions of the atom it belongs to, and does not interact with that (SMIRNOFF's
    exclusion policy ``parents``). Cost is linear in the number of paths.

    Args:
        bonds: of atoms, ``(n_bonds, 2)``.
        parents: ``(n_particles,)``, the atom that each particle counts as.
        vdw: the collection ``vdW``; without it, nothing is scaled.
        electrostatics: the collection ``Electrostatics``.

    Raises:
        UnsupportedError: a collection scales pairs beyond 1-4.
    """
    for name, collection in (("vdW", vdw), ("Electrostatics", electrostatics)):
        if getattr(collection, "scale_15", 1.0) != 1.0:
            raise UnsupportedError(f"collection {name!r}: scale_15 is {collection.scale_15}, and only 1 is supported")
    pairs, separations = particle_pairs(bonds.astype(np.int64), parents)

    def scales(collection: Any) -> NDArray[np.float64]:
        names = ("scale_12", "scale_13", "scale_14")
        by_separation = np.array([0.0, *(getattr(collection, name, 1.0) for name in names)], dtype=np.float64)
        return np.take(by_separation, separations)

    return Exceptions(
        pairs=pairs.astype(np.int32),
        kept_charge=scales(electrostatics),
        kept_lj=scales(vdw),
    )


def per_atom(form_name: str, table: str, n_atoms: int, mapping: Mapping, settings: dict[str, Any]) -> Term:
    """Return a nonbonded term that lists every atom."""
    indices = np.arange(n_atoms, dtype=np.int32)[:, None]
    return Term(form=form_name, indices=indices, table=table, mapping=mapping, settings=settings)


def _order_of_atoms(parameters: Parameters, n_atoms: int) -> NDArray[np.int64]:
    """Return what sorts the collection's entries by atom; each atom must be there once."""
    counts = np.bincount(parameters.atoms[:, 0], minlength=n_atoms)
    if (wrong := counts != 1).any():
        atom = int(wrong.argmax())
        raise BundleError(
            f"collection {parameters.where!r}: atom {atom} has {int(counts[atom])} parameters, expected one"
        )
    return np.argsort(parameters.atoms[:, 0], kind="stable")


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
        f"collection {where!r}: method {method!r} for a {kind_of(periodic)} system is none of no-cutoff (not "
        "periodic), cutoff, pme (periodic)"
    )


def kind_of(periodic: bool) -> str:
    """Return what a system is called in messages."""
    return "periodic" if periodic else "non-periodic"
