"""The demo's comparisons: engines with OpenMM and with each other, and both roads with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.engine import Evaluation
from ffbridge.exchange import to
from ffbridge.forms import form
from ffbridge.potential import potential
from ffbridge.producers.espaloma import from_espaloma
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

from .graphs import ParametrizedGraph
from .molecules import Drug
from .reference import GROUPS
from .report import Check

__all__ = ["Results", "compare_engines", "compare_roads", "compare_with_openmm", "evaluate", "reach_graph"]

Floats = NDArray[np.float64]

ABSOLUTE, RELATIVE = 1e-6, 1e-9
"""Limits on energies: absolute [kJ/mol], and as a fraction of the energy."""

FORCES, DERIVATIVES, ENGINES = 1e-6, 1e-6, 1e-12
"""Relative limits: forces and derivatives against OpenMM, and engines among themselves."""

STEP = 1e-5
"""Step of finite differences, as a fraction of the parameters."""


@dataclass(frozen=True, eq=False)
class Results:
    """What one engine gives for the batch, as NumPy arrays.

    Attributes:
        by_term: energy of each molecule by term, ``(n_systems,)`` [kJ/mol].
        total: energy, forces and derivatives with respect to the tables.
    """

    by_term: dict[str, Floats]
    total: Evaluation


def evaluate(batch: Bundle, x: Floats, engine: str) -> Results:
    """Return everything that the demo compares, by one engine."""
    function = potential(batch, engine)
    found = function.value_and_grad(x)
    return Results(
        by_term={name: _numpy(energy) for name, energy in function.by_term(x).items()},
        total=Evaluation(
            _numpy(found.energy), _numpy(found.forces), {name: _numpy(table) for name, table in found.tables.items()}
        ),
    )


def compare_with_openmm(
    drugs: Sequence[Drug], batch: Bundle, results: Mapping[str, Results]
) -> tuple[list[Check], Floats]:
    """Return the checks of every engine against OpenMM, and OpenMM's energies ``(n_systems,)`` [kJ/mol]."""
    expected = [drug.reference.evaluate(drug.positions) for drug in drugs]
    slopes = {name: _slope_by_openmm(drugs, batch, name, _direction(batch, name)) for name in batch.terms}
    checks = []
    for engine, found in results.items():
        for group, terms in GROUPS.items():
            energies = np.array([forces[group][0] if group in forces else 0.0 for forces in expected])
            mine = sum(found.by_term[term] for term in terms)
            checks.append(_energy_check(f"energy: {group}", engine, "OpenMM", mine, energies))
        forces = [np.sum([force for _, force in by_group.values()], axis=0) for by_group in expected]
        offsets = batch.system_offsets
        worst = max(
            _relative(found.total.forces[start:stop], force)
            for start, stop, force in zip(offsets[:-1], offsets[1:], forces, strict=True)
        )
        checks.append(Check("forces", engine, "OpenMM", worst, FORCES, "1"))
        for term in batch.terms:
            parts = found.total.tables[batch.terms[term].table] * _direction(batch, term)
            worst = float(abs(parts.sum() - slopes[term]) / np.abs(parts).sum())
            checks.append(Check(f"dU/d table: {term}", engine, "finite differences by OpenMM", worst, DERIVATIVES, "1"))
    return checks, np.array([sum(energy for energy, _ in by_group.values()) for by_group in expected])


def compare_engines(results: Mapping[str, Results]) -> list[Check]:
    """Return the checks of every engine against the first."""
    (first, expected), *others = results.items()
    checks = []
    for engine, found in others:
        pairs = {
            "energy": (found.total.energy, expected.total.energy),
            "forces": (found.total.forces, expected.total.forces),
        }
        worst = {what: _relative(*pair) for what, pair in pairs.items()}
        worst["dU/d tables"] = max(
            _relative(found.total.tables[name], expected.total.tables[name]) for name in found.total.tables
        )
        checks += [Check(what, engine, first, difference, ENGINES, "1") for what, difference in worst.items()]
    return checks


def compare_roads(drugs: Sequence[Drug], graphs: Sequence[ParametrizedGraph], expected: Results) -> list[Check]:
    """Return the checks of the bundles made from graphs against those made from Interchanges."""
    energies: dict[str, list[float]] = {}
    forces = []
    for drug, made in zip(drugs, graphs, strict=True):
        function = potential(from_espaloma(made.graph), "torch")
        for term, energy in function.by_term(drug.positions).items():
            energies.setdefault(term, []).append(float(_numpy(energy)[0]) - made.offset.get(term, 0.0))
        same = potential(_without(drug.bundle, "vdw"), "numpy").value_and_grad(drug.positions).forces
        forces.append(_relative(_numpy(function.value_and_grad(drug.positions).forces), same))
    checks = [
        _energy_check(f"energy: {term}", "DGL graph", "Interchange", np.array(found), expected.by_term[term])
        for term, found in energies.items()
    ]
    return [*checks, Check("forces without vdW", "DGL graph", "Interchange", max(forces), RELATIVE, "1")]


def reach_graph(drug: Drug, made: ParametrizedGraph) -> Check:
    """Return the check of the gradient that arrives at the graph's nodes, where a neural network would take it on.

    The energy's derivative with respect to the bonds' k on the nodes, summed over those that share a SMIRNOFF
    parameter, is the derivative with respect to that parameter.
    """
    node = made.graph.nodes["n2"].data
    node["k"] = node["k"].requires_grad_()
    potential(from_espaloma(made.graph), "torch")(drug.positions).sum().backward()
    gradient = node["k"].grad[:, 0].numpy() / (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2)
    node["k"] = node["k"].detach()
    # Every bond is two nodes, which have one half of the gradient each.
    of_bond = {frozenset(atoms): row for row, atoms in enumerate(drug.bundle.terms["bonds"].indices.tolist())}
    by_bond = np.zeros((len(of_bond), 2))
    np.add.at(by_bond[:, 0], [of_bond[frozenset(atoms)] for atoms in node["idxs"].tolist()], gradient)
    found = drug.bundle.pullback("bonds", by_bond)[:, 0]
    expected = potential(drug.bundle, "numpy").value_and_grad(drug.positions).tables["bonds"][:, 0]
    return Check("dU/dk on bond nodes", "DGL graph", "Interchange", _relative(found, expected), RELATIVE, "1")


def _without(bundle: Bundle, name: str) -> Bundle:
    """Return the bundle without one term and its table: espaloma's graphs hold no Lennard-Jones parameters."""
    terms = {other: term for other, term in bundle.terms.items() if other != name}
    return replace(bundle, terms=terms, tables={term.table: bundle.tables[term.table] for term in terms.values()})


def _slope_by_openmm(drugs: Sequence[Drug], batch: Bundle, term: str, direction: Floats) -> float:
    """Return the derivative of OpenMM's energy of all molecules along a change of a table, by central differences."""
    values = batch.tables[batch.terms[term].table].values
    sizes = [len(drug.bundle.terms[term]) if term in drug.bundle.terms else 0 for drug in drugs]
    ends = np.cumsum(sizes)
    energies = []
    for sign in (1, -1, 0):
        parameters = batch.parameters(term, values + sign * STEP * direction)
        total = 0.0
        for drug, size, end in zip(drugs, sizes, ends, strict=True):
            if size:
                atoms = drug.bundle.terms[term].indices.tolist()
                drug.reference.set_parameters(term, atoms, parameters[end - size : end])
                total += drug.reference.energy(term)
        energies.append(total)
    return (energies[0] - energies[1]) / (2 * STEP)


def _direction(batch: Bundle, term: str) -> Floats:
    """Return a seeded direction in the space of a term's table: each parameter by its own size; whole numbers stay."""
    values = batch.tables[batch.terms[term].table].values
    whole = [column.integer for column in form(batch.terms[term].form).columns]
    size = np.where(values == 0, 1.0, np.abs(values)) * ~np.array(whole)
    direction: Floats = np.random.default_rng(len(values)).normal(size=values.shape) * size
    return direction


def _energy_check(what: str, found_by: str, expected_by: str, found: Any, expected: Floats) -> Check:
    """Return the check of that molecule which comes closest to its limit, or exceeds it most."""
    differences = np.abs(np.asarray(found) - expected)
    limits = ABSOLUTE + RELATIVE * np.abs(expected)
    worst = int(np.argmax(np.nan_to_num(differences / limits, nan=np.inf)))
    return Check(what, found_by, expected_by, float(differences[worst]), float(limits[worst]), "kJ/mol")


def _relative(found: Floats, expected: Floats) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _numpy(array: Any) -> Floats:
    found: Floats = to(array.detach() if hasattr(array, "detach") else array, "numpy")
    return found
