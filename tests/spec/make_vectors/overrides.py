"""Vectors of overrides, by OpenMM: listed pairs are taken out of the mixed ones, and are bonds of their own."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tests.spec.load import to_numpy

from .by_openmm import FORMULAS, FREE, custom, dense_matrix, energy_and_forces, gradient_of, kept_fractions, nonbonded
from .valid import BUCKINGHAM, NO_CUTOFF_BUCKINGHAM, NO_CUTOFF_VDW, VDW, document, term
from .write import energy_vector, ints, reals, topology

SOURCE = (
    "OpenMM 8.6.1, Reference platform: mixed pairs by NonbondedForce or CustomNonbondedForce, which leaves out the "
    "listed ones, and these by CustomBondForce; dU/dtables from custom forces by OpenMM's symbolic differentiation"
)


def overrides():
    """Two types of three that are not mixed with each other, a type that is not mixed with itself, and exceptions."""
    parts = document(
        tables={"vdw": VDW, "vdw_overrides": VDW},
        terms={"vdw": term("lennard_jones", "vdw", "select", NO_CUTOFF_VDW) | {"overrides": "vdw_overrides"}},
    )
    return parts, topology(6) | {
        "exceptions/pairs": ints([[0, 1], [0, 4], [2, 3], [1, 4]]),
        "exceptions/kept_charge": reals([1, 1, 1, 1]),
        "exceptions/kept_lj": reals([0, 0.5, 0, 0.5]),
        "tables/vdw/values": reals([[0.15, 0.4577], [0.12, 0.0656], [0.1, 0.2]]),
        "terms/vdw/indices": ints([[0], [1], [2], [5], [4], [3]]),
        "terms/vdw/mapping/index": ints([0, 1, 0, 2, 1, 2]),
        "tables/vdw_overrides/values": reals([[0.17, 0.3], [0.11, 0.05]]),
        "terms/vdw/overrides/pairs": ints([[0, 1], [1, 1]]),
    }


def overrides_buckingham():
    """Each atom with parameters of its own, and three pairs of them that are not mixed."""
    parts = document(
        tables={"vdw": BUCKINGHAM, "vdw_overrides": BUCKINGHAM},
        terms={"vdw": term("buckingham", "vdw", "identity", NO_CUTOFF_BUCKINGHAM) | {"overrides": "vdw_overrides"}},
    )
    return parts, topology(5) | {
        "tables/vdw/values": reals(
            [[350000, 36, 0.0025], [11000, 37.4, 0.00011], [0, 0, 0], [9000, 30, 0.0005], [500, 20, 0.0001]]
        ),
        "terms/vdw/indices": ints([[0], [1], [2], [3], [4]]),
        "tables/vdw_overrides/values": reals([[20000, 33, 0.0001], [12000, 31, 0], [500, 20, 0.0002]]),
        "terms/vdw/overrides/pairs": ints([[2, 4], [0, 1], [3, 4]]),
    }


def vectors():
    made = {"overrides": (overrides, ["E-9", "E-30"], 15), "overrides_buckingham": (overrides_buckingham, ["E-30"], 16)}
    return {name: _vector(make, rules, seed) for name, (make, rules, seed) in made.items()}


def _vector(make, rules, seed):
    parts, stored = make()
    arrays = {path: to_numpy(array) for path, array in stored.items()}
    random = np.random.default_rng(seed)
    directions = random.normal(size=(len(arrays["atomic_numbers"]), 3))
    walk = np.cumsum(0.13 * directions / np.linalg.norm(directions, axis=1, keepdims=True), axis=0)
    positions = np.round(walk + 0.01 * random.normal(size=(2, *walk.shape)), 6)
    (name, whole), *_ = parts["terms"].items()
    listed = _listed(name, whole, arrays)
    atoms, theta = arrays[f"terms/{name}/indices"].tolist(), arrays[f"tables/{whole['table']}/values"]
    matrix = dense_matrix(name, whole, arrays, len(theta))
    mixed = nonbonded(whole, atoms, matrix, theta, arrays, positions, left_out=listed)
    own = _own(whole, listed, arrays, positions)
    energies = (mixed[0] + own[0])[:, None]
    return energy_vector(
        make.__doc__,
        rules,
        SOURCE,
        (parts, stored, positions),
        energies={name: energies},
        forces=mixed[1] + own[1],
        tables={whole["table"]: mixed[2], whole["overrides"]: own[2]},
    )


def _listed(name, whole, arrays):
    """The row of the overrides by pair of atoms."""
    atoms, index = arrays[f"terms/{name}/indices"][:, 0].tolist(), arrays.get(f"terms/{name}/mapping/index")
    rows = dict(zip(atoms, range(len(atoms)) if index is None else index.tolist(), strict=True))
    pairs = {tuple(pair): row for row, pair in enumerate(arrays[f"terms/{name}/overrides/pairs"].tolist())}
    found = {
        couple: pairs.get(tuple(sorted(rows[atom] for atom in couple))) for couple in combinations(sorted(atoms), 2)
    }
    return {couple: row for couple, row in found.items() if row is not None}


def _own(whole, listed, arrays, positions):
    """Energies, forces and dU/d overrides of the listed pairs."""
    form, kept = whole["form"], kept_fractions(whole["form"], arrays)
    theta, couples, names = arrays[f"tables/{whole['overrides']}/values"], list(listed), FREE[form]
    matrix = np.zeros((len(couples), len(theta)))
    matrix[range(len(couples)), list(listed.values())] = 1
    raised = "; ".join([FORMULAS[form], *(f"{name} = {name}0 + h*d{name}" for name in names)])
    arguments = ["kept", *(f"{name}0" for name in names), *(f"d{name}" for name in names)]

    def values(row, shift):
        return [kept.get(couples[row], 1.0), *(matrix[row] @ theta), *shift[row]]

    force = custom(raised, "Bond", arguments, couples, values, np.zeros((len(couples), len(names))))
    gradient = gradient_of(raised, form, "Bond", arguments, couples, values, matrix, theta.shape, positions)
    return *energy_and_forces([force], positions), gradient
