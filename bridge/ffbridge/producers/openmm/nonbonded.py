"""``NonbondedForce`` and ``CustomNonbondedForce``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.errors import UnsupportedError
from ffbridge.forms import form
from ffbridge.producers.openmm.exceptions import fractions_of_charge, fractions_of_lj
from ffbridge.producers.openmm.found import Floats, FoundTerm, Ints, Kept, read_rows
from ffbridge.producers.openmm.methods import custom_settings, nonbonded_settings
from ffbridge.producers.openmm.pair_expressions import match_pair_expression
from ffbridge.producers.openmm.type_tables import read_type_tables

__all__ = ["EXCEPTIONS", "NAMES", "read_custom_nonbonded", "read_nonbonded"]

EXCEPTIONS = ("vdw_pairs", "electrostatics_pairs")
"""What terms of exceptions with parameters of their own are called."""

NAMES = {"lennard_jones": "vdw", "buckingham": "vdw", "double_exponential": "vdw", "coulomb": "electrostatics"}


def read_nonbonded(force: Any, label: str, tolerance: float) -> tuple[list[FoundTerm], list[Kept]]:
    """Return the Lennard-Jones and the Coulomb term of a ``NonbondedForce``, and what its exceptions keep.

    Exceptions that are no fraction of their pair's energy are terms of their own, one for each of the two energies.

    Args:
        force: the force.
        label: how messages call it.
        tolerance: see :func:`.exceptions.fractions_of_lj`.

    Raises:
        UnsupportedError: a setting that the standard lacks.
    """
    if force.getNumParticleParameterOffsets() or force.getNumExceptionParameterOffsets():
        raise UnsupportedError(
            "it has parameter offsets, which depend on global parameters of a Context. Put their values into the "
            "parameters"
        )
    if not force.getIncludeDirectSpace():
        raise UnsupportedError("it leaves out the direct space of its lattice sums (setIncludeDirectSpace(False))")
    lennard_jones, coulomb = nonbonded_settings(force)
    n_atoms = force.getNumParticles()
    _, atoms = read_rows(n_atoms, force.getParticleParameters, 0)
    pairs, stated = read_rows(force.getNumExceptions(), force.getExceptionParameters, 2)
    stated = stated.reshape(-1, 3)
    pairs = np.sort(pairs, axis=1)
    charge, own_charge = fractions_of_charge(pairs, stated[:, 0], atoms[:, 0])
    lj, own_lj = fractions_of_lj(pairs, stated[:, 1:], atoms[:, 1:], tolerance)
    constant = {"coulomb_constant": coulomb["coulomb_constant"]}
    terms = [
        FoundTerm(NAMES["lennard_jones"], "lennard_jones", _all(n_atoms), atoms[:, 1:], lennard_jones),
        FoundTerm(NAMES["coulomb"], "coulomb", _all(n_atoms), atoms[:, :1], coulomb),
        FoundTerm(EXCEPTIONS[0], "lennard_jones_pair", pairs[own_lj], stated[own_lj, 1:]),
        FoundTerm(EXCEPTIONS[1], "coulomb_pair", pairs[own_charge], stated[own_charge, :1], constant),
    ]
    kept = [Kept(label, "kept_charge", pairs, charge), Kept(label, "kept_lj", pairs, lj)]
    return [term for term in terms if len(term.indices)], kept


def read_custom_nonbonded(force: Any, label: str, tolerance: float) -> tuple[list[FoundTerm], list[Kept]]:
    """Return the term of a ``CustomNonbondedForce``, and its exclusions; arguments as of :func:`read_nonbonded`.

    Raises:
        UnsupportedError: its expression is no form of the standard; interaction groups; a setting that the standard
            lacks.
    """
    if force.getNumInteractionGroups():
        raise UnsupportedError("it has interaction groups; terms of the standard are over all pairs of their atoms")
    if force.getNumComputedValues():
        raise UnsupportedError("it has computed values; write their expressions into the energy")
    settings = custom_settings(force)
    if force.getNumTabulatedFunctions():
        return _typed(force, label, settings)
    found = match_pair_expression(force)
    if found.form == "coulomb":
        settings["coulomb_constant"] = found.factor
    elif found.mixing_rule:
        settings["mixing_rule"] = found.mixing_rule
    settings |= found.settings
    stated = _particle_parameters(force)
    term = FoundTerm(NAMES[found.form], found.form, _all(len(stated)), found.values(stated), settings)
    return [term], [_exclusions(force, label, found.form)]


def _typed(force: Any, label: str, settings: dict[str, Any]) -> tuple[list[FoundTerm], list[Kept]]:
    """Return the term of a ``CustomNonbondedForce`` with tables of types, and its exclusions."""
    stated = _particle_parameters(force)
    found = read_type_tables(force, stated)
    term = FoundTerm(
        NAMES[found.form],
        found.form,
        _all(len(stated)),
        found.values,
        settings | {"mixing_rule": found.mixing_rule, **found.settings},
        rows=found.index,
        overrides=(found.pairs, found.own) if len(found.pairs) else None,
    )
    return [term], [_exclusions(force, label, found.form)]


def _particle_parameters(force: Any) -> Floats:
    _, stated = read_rows(force.getNumParticles(), lambda atom: [force.getParticleParameters(atom)], 0)
    return stated


def _exclusions(force: Any, label: str, form_name: str) -> Kept:
    pairs, _ = read_rows(force.getNumExclusions(), force.getExclusionParticles, 2)
    return Kept(label, str(form(form_name).exceptions), np.sort(pairs, axis=1), np.zeros(len(pairs)))


def _all(n_atoms: int) -> Ints:
    return np.arange(n_atoms, dtype=np.int32)[:, None]
