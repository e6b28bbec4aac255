"""``CustomCompoundBondForce`` whose expression is a form of the standard, such as the couplings of class II."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from ffbridge.energy.bonded import BONDED
from ffbridge.energy.geometry import measure
from ffbridge.forms import form
from ffbridge.producers.openmm.bonded import found_terms, refuse_periodic
from ffbridge.producers.openmm.custom import N_POINTS, PROPORTIONAL, Match, Probe, matched, stated_parameters
from ffbridge.producers.openmm.found import Floats, FoundTerm, read_rows
from ffbridge.producers.openmm.particles import Particles

__all__ = ["read_compound"]


def read_compound(force: Any, particles: Particles) -> list[FoundTerm]:
    """Return the terms of a ``CustomCompoundBondForce``, whose expression may have its particles in any order.

    Raises:
        UnsupportedError: its expression is no form of the standard, or it is periodic.
    """
    refuse_periodic(force)
    arity, names = force.getNumParticlesPerBond(), stated_parameters(force, "Bond")
    known = [name for name in PROPORTIONAL if _has_coordinates(name, arity)]
    places: list[tuple[int, ...]] = []
    found = matched(force, names, known, _candidates(force, known, arity, len(names), places))
    if not force.getNumBonds():
        return []

    def get(row: int) -> Sequence[Any]:
        atoms, parameters = force.getBondParameters(row)
        return [*atoms, tuple(parameters)]

    atoms, stated = read_rows(force.getNumBonds(), get, arity)
    return found_terms(found.form, atoms[:, places[-1]], found.values(stated), particles)


def _has_coordinates(name: str, arity: int) -> bool:
    """Return whether a form is a bonded one of so many atoms without settings."""
    declared = form(name)
    return declared.kind == "bonded" and declared.arity == arity and not declared.settings


def _candidates(
    force: Any, known: Sequence[str], arity: int, n_parameters: int, places: list[tuple[int, ...]]
) -> Iterator[tuple[Match, Floats, Floats]]:
    """Yield forms with each way in which parameters can be columns and particles can be atoms of a row.

    `places` has the atoms' places of the last candidate at its end.
    """
    random = np.random.default_rng(0)
    # Parameters are small whole numbers, as a periodicity is.
    parameters = random.integers(1, 5, (N_POINTS, n_parameters)).astype(float)
    x = random.normal(size=(N_POINTS, arity, 3))
    probe = Probe(force, "Bond", n_atoms=arity)
    expected = np.array([probe(each, [row]) for each, row in zip(x, parameters.tolist(), strict=True)])
    for name in known:
        declared = form(name)
        if len(declared.columns) != n_parameters:
            continue
        for atoms in permutations(range(arity)):
            places.append(atoms)
            q, _ = measure(xp, declared.coordinates, [x[:, atom, :].T[..., None] for atom in atoms])
            for columns in permutations(range(n_parameters)):
                values = BONDED[name].energy(xp, *q, *(parameters[:, [column]] for column in columns))
                yield Match(name, columns, 1.0), values[:, 0], expected
