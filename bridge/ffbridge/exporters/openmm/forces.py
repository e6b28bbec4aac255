"""Which OpenMM forces the terms of a bundle become."""

from __future__ import annotations

from typing import Any, Protocol

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.bonded import BONDED_FORCES, BondedForce
from ffbridge.exporters.openmm.cmap import MapForce
from ffbridge.exporters.openmm.methods import can_be_one_force, is_nonbonded_force, is_periodic
from ffbridge.exporters.openmm.nonbonded import NonbondedForce, exceptional_pairs
from ffbridge.exporters.openmm.pairs import PAIR_FORMS, PairForces
from ffbridge.exporters.openmm.parameters import Floats, of_terms

__all__ = ["FORCE_GROUPS", "TermForces", "make_forces"]

FORCE_GROUPS = 32
"""Force groups that OpenMM has."""

_PAIRED = ("lennard_jones", "coulomb")


class TermForces(Protocol):
    """The OpenMM forces of one term, or of several that share one."""

    forces: tuple[Any, ...]

    def update(self, context: Any, parameters: dict[str, Floats]) -> None:
        """Set parameters ``(n_terms, n_columns)`` by name of the term, and those that changed in a Context.

        The Context must be of the System that has the forces. It may be reinitialized, and loses its positions then.
        """


def make_forces(bundle: Bundle, *, split_nonbonded: bool) -> dict[tuple[str, ...], TermForces]:
    """Return the OpenMM forces of a bundle's terms, by names of the terms that they hold.

    Each force is named for its terms, and its force group is the place of its first term in the bundle.

    Args:
        bundle: one system, valid, of NumPy arrays.
        split_nonbonded: a force of its own for each nonbonded term.

    Raises:
        UnsupportedError: a term that OpenMM does not evaluate exactly.
        BundleError: parameters out of range.
    """
    if len(bundle.terms) > FORCE_GROUPS:
        raise UnsupportedError(
            f"terms: the bundle has {len(bundle.terms)} terms, and OpenMM has {FORCE_GROUPS} force groups, one for "
            "each term. Join terms of the same form"
        )
    parameters = of_terms(bundle.terms, {name: table.values for name, table in bundle.tables.items()})
    made: dict[tuple[str, ...], TermForces] = {}
    shared = () if split_nonbonded else _shared(bundle, parameters)
    for name, term in bundle.terms.items():
        if name in shared:
            if shared not in made:
                lennard_jones, coulomb, *pairs = shared
                made[shared] = NonbondedForce(
                    bundle, parameters, lennard_jones=lennard_jones, coulomb=coulomb, pairs=pairs
                )
        elif term.form in BONDED_FORCES:
            made[name,] = BondedForce(name, term, parameters[name])
        elif term.form == "cmap":
            made[name,] = MapForce(name, term, parameters[name])
        elif term.form not in PAIR_FORMS:
            known = ", ".join([*BONDED_FORCES, "cmap", *PAIR_FORMS])
            raise UnsupportedError(
                f"terms/{name}: the form {term.form!r} has no exact OpenMM force here; known: {known}"
            )
        elif is_nonbonded_force(term):
            made[name,] = NonbondedForce(bundle, parameters, **{term.form: name})
        else:
            made[name,] = PairForces(bundle, name, parameters)
    _label(bundle, made)
    return made


def _shared(bundle: Bundle, parameters: dict[str, Floats]) -> tuple[str, ...]:
    """Return the Lennard-Jones and the Coulomb term that become one force; nothing where it cannot be one.

    Terms of pairs with parameters of their own, which its exceptions can have, follow. Exceptions of a periodic force
    are at the nearest image, and these terms never are.
    """
    by_form = {kind: [name for name, term in bundle.terms.items() if term.form == kind] for kind in _PAIRED}
    if any(len(names) != 1 for names in by_form.values()):
        return ()
    names = tuple(names[0] for names in by_form.values())
    first, second = (bundle.terms[name].settings for name in names)
    fit = all(is_nonbonded_force(bundle.terms[name]) for name in names)
    if not fit or not can_be_one_force(first, second):
        return ()
    return names if is_periodic(first) else names + exceptional_pairs(bundle, parameters)


def _label(bundle: Bundle, made: dict[tuple[str, ...], TermForces]) -> None:
    places = {name: number for number, name in enumerate(bundle.terms)}
    for names, held in made.items():
        for force in held.forces:
            force.setName(" + ".join(names))
            force.setForceGroup(min(places[name] for name in names))
