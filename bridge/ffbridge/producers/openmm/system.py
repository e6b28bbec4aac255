"""From an ``openmm.System`` to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.forms import form
from ffbridge.mapping import Identity, Mapping, Select
from ffbridge.producers.openmm.bonded import BONDED_READERS
from ffbridge.producers.openmm.cmap import read_cmap
from ffbridge.producers.openmm.compound import read_compound
from ffbridge.producers.openmm.custom import read_custom_bonded
from ffbridge.producers.openmm.custom_exceptions import CustomPairs, read_custom_exceptions
from ffbridge.producers.openmm.exceptions import join_kept
from ffbridge.producers.openmm.found import Floats, FoundTerm, Kept, name_of
from ffbridge.producers.openmm.improper import read_custom_torsion
from ffbridge.producers.openmm.nonbonded import EXCEPTIONS, read_custom_nonbonded, read_nonbonded
from ffbridge.producers.openmm.particles import Particles, read_box, read_constraints, read_masses, read_particles
from ffbridge.producers.openmm.virtual_sites import read_virtual_sites
from ffbridge.table import Table
from ffbridge.term import Overrides, Term
from ffbridge.validate import validate

__all__ = ["from_openmm"]

_BONDED = BONDED_READERS | {
    "CustomBondForce": read_custom_bonded,
    "CustomAngleForce": read_custom_bonded,
    "CustomTorsionForce": read_custom_torsion,
    "CustomCompoundBondForce": read_compound,
    "CMAPTorsionForce": read_cmap,
}
_NONBONDED = {"NonbondedForce": read_nonbonded, "CustomNonbondedForce": read_custom_nonbonded}

_NO_ENERGY = (
    "AndersenThermostat",
    "CMMotionRemover",
    "MonteCarloAnisotropicBarostat",
    "MonteCarloBarostat",
    "MonteCarloFlexibleBarostat",
    "MonteCarloMembraneBarostat",
)
"""Forces of OpenMM that change a simulation and have no energy."""

_CONVERSIONS = (
    "exceptions of periodic forces are at the nearest image, as in the standard: the same energy for whole molecules",
    "the constraints are data: the source's forces are taken as they are, with or without the constrained bonds",
)


def from_openmm(
    system: Any, topology: Any = None, *, merge: bool = False, exception_tolerance: float = 1e-12
) -> Bundle:
    """Return the bundle of an ``openmm.System``: one system, with the same energies and forces.

    Bond, angle, periodic-torsion, Ryckaert-Bellemans and CMAP forces become terms, and so do custom bond, angle,
    torsion, compound-bond and nonbonded forces whose expression is a form of the standard, however it is written and up
    to a factor. (A harmonic improper is told by its text: those are known that OpenMM's readers of CHARMM's, AMBER's
    and GROMACS' files write.) A ``NonbondedForce`` becomes the terms ``vdw`` and ``electrostatics`` with the method and
    settings that it has; its exceptions, which OpenMM states as energies of pairs, become fractions of the pairs' own
    energies, and those that are no fractions (another sigma than the mixed one) terms of pairs, ``vdw_pairs`` and
    ``electrostatics_pairs``. A ``CustomNonbondedForce`` whose Lennard-Jones coefficients are tables of types, as
    OpenMM's CHARMM force fields have it, becomes ``vdw`` with a row for each type, and overrides for those pairs of
    types that are not mixed (NBFIX). Global parameters of a ``CustomNonbondedForce`` are taken at their defaults, which
    ``provenance["conversions"]`` lists. A ``CustomBondForce`` with the same energy for pairs that such a force excludes
    becomes the fractions that these pairs keep. Several forces of a kind become ``bonds``, ``bonds_2`` and so on, in
    their order. ``provenance["forces"]`` says which terms each force became, and names the forces without energy
    (thermostats, barostats, the remover of the center of mass' motion), which the bundle does not have. Constraints are
    kept. Virtual sites become terms, ``two_particle_sites``, ``out_of_plane_sites`` and the like; those of local
    coordinates one for each set of weights.

    OpenMM keeps no types, SMIRKS or names, so tables have no keys.

    Args:
        system: the System. It is not changed.
        topology: its ``openmm.app.Topology``, for what a System does not know: elements and bonds. Bonds tell proper
            from improper torsions and bonds from Urey-Bradley terms. Without it atomic numbers are 0 (masses are no
            basis for a guess), there are no ``bonds``, torsions are one term, and Urey-Bradley terms are among the
            harmonic bonds, which have the same formula.
        merge: make rows of equal parameters one row of the table, shared by their interactions (mapping ``select``).
            Otherwise each interaction has its own row, but where OpenMM shares them: types of a
            ``CustomNonbondedForce`` with tables, whose pairs that are not mixed (NBFIX) become overrides of its term.
        exception_tolerance: relative difference of an exception's sigma from the mixed one that is taken for rounding.
            Pairs that differ more have parameters of their own. AMBER's ``prmtop`` files hold eight digits: with 1e-8
            their 1-4 pairs are fractions.

    Raises:
        MissingDependencyError: OpenMM is not installed.
        UnsupportedError: something has no exact counterpart in the standard; each such force is named with its index.
        BundleError: the topology is of another system.
        ValidationError: a value that the standard does not allow, such as a periodicity of 0.
    """
    try:
        import openmm
    except ImportError as error:
        raise MissingDependencyError(
            "from_openmm needs the package 'openmm', which is not installed. Install it: pip install "
            '"ffbridge[openmm]"'
        ) from error
    particles = read_particles(system, topology)
    forces = system.getForces()
    found, kept, shared = _read_forces(forces, particles, exception_tolerance)
    by_force, kept, idle = _without_idle(forces, found, kept)
    terms: dict[str, Term] = {}
    tables: dict[str, Table] = {}
    names: dict[int, list[str]] = {}
    for force, term in by_force:
        name = _new_name(term.name, terms)
        names.setdefault(force, []).append(name)
        terms[name], own = _term(name, term, merge=merge)
        tables |= own
    names |= {index: names.get(of, []) for index, of in shared.items()}
    for site_term in read_virtual_sites(system):
        name = _new_name(site_term.name, terms)
        terms[name], own = _term(name, site_term, merge=merge)
        tables |= own
    exceptions, n_open = join_kept(kept, particles.n_atoms)
    bundle = Bundle(
        system_offsets=np.array([0, particles.n_atoms], dtype=np.int32),
        atomic_numbers=particles.atomic_numbers,
        terms=terms,
        tables=tables,
        exceptions=exceptions,
        masses=read_masses(system),
        bonds=particles.bonds,
        box=read_box(system),
        constraints=read_constraints(system),
        provenance=_provenance(forces, names, openmm.version.version, [*_notes(forces, by_force, n_open), *idle]),
    )
    validate(bundle)
    return bundle


def _read_forces(
    forces: Sequence[Any], particles: Particles, tolerance: float
) -> tuple[list[tuple[int, FoundTerm]], list[Kept], dict[int, int]]:
    """Return what each force holds, by its index, and what the forces keep; all that is refused in one error.

    Also which forces hold exceptions of another one's term, by the indices of both.
    """
    found: list[tuple[int, FoundTerm]] = []
    kept: list[Kept] = []
    customs: list[CustomPairs] = []
    shared: dict[int, int] = {}
    refused: dict[int, str] = {}
    # Forces of exceptions after those whose exceptions they are.
    for index in sorted(range(len(forces)), key=lambda each: name_of(forces[each]) == "CustomBondForce"):
        force = forces[index]
        kind, label = name_of(force), _label(index, force)
        try:
            if kind == "CustomBondForce" and (of := _add_exceptions(force, customs, shared, tolerance)) is not None:
                shared[index] = of
            elif kind in _BONDED:
                found += [(index, term) for term in _BONDED[kind](force, particles)]
            elif kind in _NONBONDED:
                terms, fractions = _NONBONDED[kind](force, label, tolerance)
                found += [(index, term) for term in terms]
                if kind == "CustomNonbondedForce":
                    customs.append(CustomPairs(index, terms[0], fractions[0]))
                else:
                    kept += fractions
            elif kind not in _NO_ENERGY:
                refused[index] = f"{label}: the standard has no counterpart of a {kind}"
        except UnsupportedError as error:
            refused[index] = f"{label}: {error}"
    if refused:
        raise UnsupportedError(
            "from_openmm: the System has forces that the standard does not express exactly. Remove them from it if "
            "their energy is not wanted:\n  " + "\n  ".join(refused[index] for index in sorted(refused))
        )
    found.sort(key=lambda each: each[0])
    return found, kept + [custom.kept for custom in customs], shared


def _add_exceptions(force: Any, customs: list[CustomPairs], shared: dict[int, int], tolerance: float) -> int | None:
    """Add the fractions that a force of bonds has to a custom force's, and return its index; None if it has none."""
    free = [custom for custom in customs if custom.index not in shared.values()]
    changed = read_custom_exceptions(force, free, tolerance)
    if changed is None:
        return None
    customs[[custom.index for custom in customs].index(changed.index)] = changed
    return changed.index


def _without_idle(
    forces: Sequence[Any], found: list[tuple[int, FoundTerm]], kept: list[Kept]
) -> tuple[list[tuple[int, FoundTerm]], list[Kept], list[str]]:
    """Leave out nonbonded terms without energy (every charge or depth is 0) where another term has that part.

    Force fields with mixing rules of their own have a NonbondedForce for the charges alone, with depths of 0, and a
    custom force for the rest. Returns what is left, and what provenance says of it.
    """
    acting = {form(term.form).exceptions for _, term in found if not _is_idle(term)}
    idle = {(index, kind) for index, term in found if _is_idle(term) and (kind := form(term.form).exceptions) in acting}
    labels = {(_label(index, forces[index]), kind) for index, kind in idle}
    parts = {"kept_charge": "charge", "kept_lj": "depth"}
    return (
        [(index, term) for index, term in found if (index, form(term.form).exceptions) not in idle],
        [each for each in kept if (each.force, each.kind) not in labels],
        [f"{label} has no {parts[str(kind)]} other than 0: no term" for label, kind in sorted(labels)],
    )


def _is_idle(term: FoundTerm) -> bool:
    return term.form in ("lennard_jones", "coulomb") and not term.values[:, -1].any()


def _label(index: int, force: Any) -> str:
    return f"force {index} ({_called(force)})"


def _called(force: Any) -> str:
    """Return a force's class, and its name if it was given one."""
    kind = name_of(force)
    return kind if force.getName() in ("", kind) else f"{kind} {force.getName()!r}"


def _new_name(name: str, terms: dict[str, Term]) -> str:
    """Return the name, with a number if it is taken."""
    numbered = (f"{name}_{number}" for number in range(2, len(terms) + 3))
    return name if name not in terms else next(each for each in numbered if each not in terms)


def _term(name: str, found: FoundTerm, *, merge: bool) -> tuple[Term, dict[str, Table]]:
    """Return a term, and the tables that it uses."""
    values = np.ascontiguousarray(found.values)
    mapping: Mapping = Identity() if found.rows is None else Select(found.rows)
    if merge and found.overrides is None:
        _, first, row = np.unique(values, axis=0, return_index=True, return_inverse=True)
        # In the order of first use.
        place = np.argsort(np.argsort(first))
        row = row.reshape(-1) if found.rows is None else row.reshape(-1)[found.rows]
        values, mapping = values[np.sort(first)], Select(place[row].astype(np.int32))
    table = _table(found, values)
    if found.overrides is None:
        return Term(found.form, found.indices, name, mapping, found.settings), {name: table}
    pairs, own = found.overrides
    overrides = Overrides(f"{name}_overrides", pairs)
    term = Term(found.form, found.indices, name, mapping, found.settings, overrides)
    return term, {name: table, overrides.table: _table(found, own)}


def _table(found: FoundTerm, values: Floats) -> Table:
    columns = form(found.form).columns_for(found.settings)
    return Table(values, tuple(column.name for column in columns), tuple(column.unit for column in columns))


def _notes(forces: Sequence[Any], by_force: Sequence[tuple[int, FoundTerm]], n_open: int) -> list[str]:
    """Return what provenance says of conversions."""
    notes = [*_CONVERSIONS, *(note for index, force in enumerate(forces) if (note := _defaults(index, force)))]
    own = [found for index, found in by_force if found.name in EXCEPTIONS and name_of(forces[index]) in _NONBONDED]
    if n_own := sum(len(found.indices) for found in own):
        notes.append(f"{n_own} exceptions have parameters of their own: terms of pairs, which are never periodic")
    if n_open:
        notes.append(
            f"{n_open} fractions of exceptions are open, as the atoms have no charge or no depth: they have the value "
            "of most pairs like them"
        )
    return notes


def _defaults(index: int, force: Any) -> str:
    """Return what provenance says of a force's global parameters; nothing where it has none."""
    count = getattr(force, "getNumGlobalParameters", int)()
    named = (
        f"{force.getGlobalParameterName(number)} = {force.getGlobalParameterDefaultValue(number)!r}"
        for number in range(count)
    )
    return f"{_label(index, force)} has global parameters, taken at their defaults: {', '.join(named)}" if count else ""


def _provenance(
    forces: Sequence[Any], names: dict[int, list[str]], version: str, conversions: list[str]
) -> dict[str, Any]:
    listed = [
        {"index": index, "force": name_of(force), "name": force.getName(), "terms": names.get(index, [])}
        for index, force in enumerate(forces)
    ]
    return {
        "producer": "ffbridge.from_openmm",
        "versions": {"openmm": version},
        "forces": listed,
        "conversions": conversions,
    }
