"""Checks of an engine: energies, forces and derivatives, against other programs, differences and matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ffbridge.engine import Engine
from ffbridge.errors import UnsupportedError
from ffbridge.mapping import Identity
from ffbridge.potential import Potential
from ffbridge.registry import get_engine
from ffbridge.testing import vectors
from ffbridge.testing.check import Case, Check, close, expect
from ffbridge.testing.differences import difference
from ffbridge.testing.samples import Sample, each_sample, evaluated, sample

__all__ = ["CHECKS"]

Floats = np.ndarray[Any, Any]

_STEP = 1e-6
"""Of central differences: nm, or relative for tables. Rounding and curvature then cost some 1e-9 of the result each."""

_AGREES = 1e-6


def _vector_cases(engine: Engine) -> Iterator[Case]:
    yield from ((name,) for name in vectors.load("energy"))


def _of_vector(engine: Engine, name: str) -> tuple[vectors.Vector, Potential | str, Floats]:
    vector = vectors.load("energy")[name]
    x = vectors.array(vector["positions"])
    return vector, evaluated(engine, Sample(name=name, bundle=vectors.bundle(vector), x=x)), x


def _energies(engine: Engine, name: str) -> str | None:
    vector, U, x = _of_vector(engine, name)
    if isinstance(U, str):
        return U
    by_term, tolerance = U.by_term(x), vector["tolerance"]
    if "energies" in vector:
        expect(set(by_term) == set(vector["energies"]), f"by_term() has the terms {', '.join(sorted(by_term))}")
    for term, expected in vector.get("energies", {}).items():
        close(f"energy of {term}", by_term[term], vectors.array(expected), tolerance)
    if "total" in vector:
        close("energy", U(x), vectors.array(vector["total"]), tolerance)
    return None


def _derivatives(engine: Engine, name: str) -> str | None:
    vector, U, x = _of_vector(engine, name)
    if isinstance(U, str):
        return U
    found = U.value_and_grad(x)
    close("forces", found.forces, vectors.array(vector["forces"]), vector["tolerance"])
    if not engine.table_derivatives:
        return None
    for table, expected in vector.get("tables", {}).items():
        close(f"dU/d {table}", found.tables[table], vectors.array(expected), vector["tolerance"])
    return None


def _forces(engine: Engine, name: str) -> str | None:
    """Forces along random directions, conformer by conformer, against differences of the engine's own energies."""
    found = sample(name)
    U = evaluated(engine, found)
    if isinstance(U, str):
        return U
    forces = U.value_and_grad(found.x).forces
    for seed in range(3):
        direction = found.direction(seed)
        along = -(forces * direction).sum(axis=(-1, -2))
        expected = difference(partial(_moved, U, found.x, direction), _STEP)
        what = "dU/dx along a direction (forces are -dU/dx)"
        close(what, along, expected.value, _AGREES, uncertainty=expected.uncertainty)
    return None


def _moved(U: Potential, x: Floats, direction: Floats, s: float) -> Floats:
    return np.asarray(U(x + s * direction).sum(axis=-1))


def _changed(U: Potential, x: Floats, table: str, values: Floats, direction: Floats, s: float) -> Floats:
    return np.asarray(U(x, {table: values + s * direction}).sum())


def _tables(engine: Engine, name: str) -> str | None:
    """Derivatives with respect to every table, along random directions, against differences; zero for integers."""
    found = sample(name)
    U = evaluated(engine, found)
    if isinstance(U, str):
        return U
    gradients = U.value_and_grad(found.x).tables
    if not engine.table_derivatives:
        return _no_table_derivatives(gradients, next(iter(found.bundle.tables)))
    own = found.tables()
    for table, values in own.items():
        gradient = gradients[table]
        expect(gradient.shape == values.shape, f"dU/d {table} has shape {gradient.shape}, the table {values.shape}")
        for seed in range(3):
            direction = 20 * (found.tables(seed)[table] - values)  # a change of the order of each value; 0 for integers
            expected = difference(partial(_changed, U, found.x, table, values, direction), _STEP)
            along = np.array((gradient * direction).sum())
            what = f"dU/d {table} along a direction"
            close(what, along, expected.value, _AGREES, uncertainty=expected.uncertainty)
    return None


def _no_table_derivatives(gradients: Mapping[str, Any], table: str) -> str:
    """The engine declares that it has none, so reading one must raise."""
    try:
        gradients[table]
    except UnsupportedError:
        return "it declares no derivatives with respect to tables"
    raise AssertionError("it declares no derivatives with respect to tables, and one can be read")


def _reference(engine: Engine, name: str) -> str | None:
    """Other positions and other tables than those of the vectors, against the engine `numpy`."""
    found = sample(name)
    U = evaluated(engine, found)
    if isinstance(U, str):
        return U
    expected = evaluated(get_engine("numpy"), found)
    if isinstance(expected, str):
        return f"the engine numpy, to which it would be compared, has it not: {expected}"
    tables = found.tables(seed=5)
    by_term, known = U.by_term(found.x, tables), expected.by_term(found.x, tables)
    for term, energy in known.items():
        close(f"energy of {term}", by_term[term], energy, 1e-9)
    close("energy", U(found.x, tables), expected(found.x, tables), 1e-9)
    forces = expected.value_and_grad(found.x, tables).forces
    close("forces", U.value_and_grad(found.x, tables).forces, forces, 1e-9)
    close("forces of energy_and_forces()", U.energy_and_forces(found.x, tables)[1], forces, 1e-9)
    return None


def _mapped_cases(engine: Engine) -> Iterator[Case]:
    for case in each_sample(engine):
        terms = vectors.load("energy")[case[0]]["document"]["terms"].values()
        # Overrides are listed by rows of the table, of which there would be others.
        if any(term["mapping"] != "identity" for term in terms) and not any("overrides" in term for term in terms):
            yield case


def _mapping(engine: Engine, name: str) -> str | None:
    """One row for each interaction, p = M table, gives the same energy; and dU/dtable is Mᵀ dU/dp."""
    shared = sample(name)
    tables, terms = {}, {}
    for term_name, term in shared.bundle.terms.items():
        table = shared.bundle.tables[term.table]
        tables[term_name] = replace(table, values=term.mapping.apply(table.values), keys=None)
        terms[term_name] = replace(term, table=term_name, mapping=Identity())
    own = Sample(name=name, bundle=replace(shared.bundle, tables=tables, terms=terms), x=shared.x)
    U = evaluated(engine, shared)
    if isinstance(U, str):
        return U
    expanded = own.potential(engine)
    close("energy, of p = M table and of p itself", U(shared.x), expanded(own.x), 1e-10)
    if not engine.table_derivatives:
        return "it declares no derivatives with respect to tables; energies agree"
    found, by_interaction = U.value_and_grad(shared.x).tables, expanded.value_and_grad(own.x).tables
    for name, gradient in found.items():
        expected = np.zeros_like(gradient)
        for term_name, term in shared.bundle.terms.items():
            if term.table == name:
                matrix = term.mapping.apply(np.eye(len(expected)))
                expected = expected + matrix.T @ by_interaction[term_name]
        close(f"dU/d {name} = Mᵀ dU/dp", gradient, expected, 1e-10)
    return None


CHECKS: tuple[Check[Engine], ...] = (
    Check(
        name="vectors/energies",
        about="energies of every term, as another program has them; what is not evaluated exactly is refused by name",
        cases=_vector_cases,
        run=_energies,
    ),
    Check(
        name="vectors/derivatives",
        about="forces and dU/dtables, as another program has them",
        cases=_vector_cases,
        run=_derivatives,
    ),
    Check(
        name="reference", about="energies and forces are those of the engine numpy", cases=each_sample, run=_reference
    ),
    Check(
        name="derivatives/positions",
        about="forces are minus the differences of its own energies",
        cases=each_sample,
        run=_forces,
    ),
    Check(
        name="derivatives/tables",
        about="dU/dtables are the differences of its own energies, or are refused as declared",
        cases=each_sample,
        run=_tables,
    ),
    Check(
        name="derivatives/mapping",
        about="derivatives come back from interactions to tables by Mᵀ",
        cases=_mapped_cases,
        run=_mapping,
    ),
)
