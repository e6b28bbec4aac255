"""Vectors of the forms of several coordinates, and of others for CustomCompoundBondForce, by OpenMM and by hand.

Energies, forces and dU/dtables of OpenMM's Reference platform come from CustomCompoundBondForce: one entry of a table,
as far as the mapping carries it to each interaction, is raised by a global parameter h, and OpenMM returns dU/dh by
symbolic differentiation. Correction maps are CMAPTorsionForce's; as energies are linear in a map, dU/dentry is the
energy of the map that has 1 there and 0 elsewhere.
"""

from __future__ import annotations

import re
from itertools import product
from math import pi

import numpy as np
import openmm

from tests.spec.load import to_numpy

from .by_openmm import context_of, dense_matrix, energy_and_forces
from .valid import ANGLE, CMAP_4, COUPLINGS, document, map_columns, term
from .write import energy_vector, ints, reals, topology

COMPOUND = (
    "OpenMM 8.6.1, Reference platform: energies, forces and dU/dtables from CustomCompoundBondForce, by OpenMM's "
    "symbolic differentiation"
)
MAPS = (
    "OpenMM 8.6.1, Reference platform: CMAPTorsionForce; dU/dtables are the energies of maps with one entry 1, others 0"
)
HAND = "by hand, from the formulas and from what the rule says where they have no value"

_FIRST, _SECOND, _OUTER = "distance(p1,p2)", "distance(p2,p3)", "distance(p3,p4)"
_PHI = "dihedral(p1,p2,p3,p4)"
_COSINES = f"(k1*cos({_PHI}) + k2*cos(2*{_PHI}) + k3*cos(3*{_PHI}))"
_TURN = f"d - 2*{pi!r}*floor(d/(2*{pi!r}) + 0.5)"
FORMULAS = {
    "quartic_bond": f"k2*d^2 + k3*d^3 + k4*d^4; d = {_FIRST} - length",
    "quartic_angle": "k2*d^2 + k3*d^3 + k4*d^4; d = angle(p1,p2,p3) - reference",
    "harmonic_improper": f"0.5*k*turn^2; turn = {_TURN}; d = {_PHI} - reference",
    "bond_bond": f"k*({_FIRST} - length1)*({_SECOND} - length2)",
    "bond_bond_13": f"k*({_FIRST} - length1)*({_OUTER} - length2)",
    "bond_angle": f"k*({_FIRST} - length)*(angle(p1,p2,p3) - reference)",
    "angle_angle": "k*(angle(p1,p2,p3) - angle1)*(angle(p3,p2,p4) - angle2)",
    "middle_bond_torsion": f"({_SECOND} - length)*{_COSINES}",
    "end_bond_torsion": f"({_FIRST} - length)*{_COSINES}",
    "angle_torsion": f"(angle(p1,p2,p3) - reference)*{_COSINES}",
    "angle_angle_torsion": f"k*(angle(p1,p2,p3) - angle1)*(angle(p2,p3,p4) - angle2)*cos({_PHI})",
}
"""In OpenMM's syntax, where `angle` is a function: the column of that name is `reference`."""

QUARTIC_BOND = {"columns": ["k2", "k3", "k4", "length"], "units": [*(f"kJ/mol/nm^{n}" for n in (2, 3, 4)), "nm"]}
QUARTIC_ANGLE = {"columns": ["k2", "k3", "k4", "angle"], "units": [*(f"kJ/mol/rad^{n}" for n in (2, 3, 4)), "rad"]}


def class_ii():
    """Quartic bonds and angles and all couplings of class II force fields: shared rows, and both sides of a torsion."""
    values = {
        "bond_bond": [[21000, 0.153, 0.11], [-9000, 0.14, 0.15]],
        "bond_bond_13": [[-6500, 0.153, 0.12]],
        "bond_angle": [[1530, 0.153, 1.9], [870, 0.11, 2]],
        "angle_angle": [[-15.25, 1.95, 1.8], [60, 2.1, 1.9]],
        "middle_bond_torsion": [[-147, 7.1, -23], [60.5, 0, 12]],
        "end_bond_torsion": [[14.3, -37.8, 5.7], [3, 0.5, -80]],
        "angle_torsion": [[-1.5, -3.3, -8.5], [0.25, 2, 1.75]],
        "angle_angle_torsion": [[-56.6, 1.92, 1.83], [12, 2.2, 2]],
    }
    for name, reference in (("middle_bond_torsion", 0.15), ("end_bond_torsion", 0.11), ("angle_torsion", 1.9)):
        values[name] = [[*row, reference + 0.01 * place] for place, row in enumerate(values[name])]
    rows = {3: [[0, 1, 2], [3, 2, 1], [2, 3, 4]], 4: [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 4]]}
    rows["angle_angle"] = [[0, 2, 1, 3], [1, 2, 4, 5], [3, 2, 5, 0]]
    tables = {"bonds": QUARTIC_BOND, "angles": QUARTIC_ANGLE, **COUPLINGS}
    forms = {"bonds": "quartic_bond", "angles": "quartic_angle"} | {name: name for name in COUPLINGS}
    parts = document(tables=tables, terms={name: term(form, name, "select") for name, form in forms.items()})
    values |= {
        "bonds": [[125000, -319000, 498000, 0.153], [144000, -280000, 335000, 0.1101]],
        "angles": [[165, -31, -11, 1.93], [190.5, -42, 25, 2.05]],
    }
    arrays = topology(6)
    for name, form in forms.items():
        arity = 2 if form == "quartic_bond" else 3 if form in ("quartic_angle", "bond_bond", "bond_angle") else 4
        found = rows.get(name) or rows.get(arity) or [[0, 1], [2, 1], [4, 5]]
        arrays |= {
            f"tables/{name}/values": reals(values[name]),
            f"terms/{name}/indices": ints(found),
            f"terms/{name}/mapping/index": ints([row % len(values[name]) for row in range(len(found))]),
        }
    return parts, arrays, 15, 6


def harmonic_improper():
    """Impropers about 0, about π, where the difference passes ±π, and about an angle beyond a turn; rows combined."""
    improper = {"columns": ["k", "angle"], "units": ["kJ/mol/rad^2", "rad"]}
    assert improper == ANGLE
    parts = document(
        tables={"impropers": improper}, terms={"impropers": term("harmonic_improper", "impropers", "linear")}
    )
    return parts, topology(5) | {
        "tables/impropers/values": reals([[83.68, 0], [502.08, pi], [20, -2.5], [-7.5, 7.25]]),
        "terms/impropers/indices": ints([[0, 1, 2, 3], [4, 3, 2, 1], [2, 0, 1, 4], [1, 2, 0, 3], [3, 4, 1, 0]]),
        "terms/impropers/mapping/offsets": ints([0, 1, 2, 3, 4, 6]),
        "terms/impropers/mapping/columns": ints([0, 1, 2, 3, 1, 2]),
        "terms/impropers/mapping/weights": reals([1, 1, 1, 1, 0.25, 0.75]),
    }, 16, 5  # fmt: skip


def cmap():
    """Maps of two sizes, one of them the least; two dihedrals of a chain, without common atoms, in other orders."""
    random = np.random.default_rng(20)
    parts = document(
        tables={"cmap": map_columns(7), "small_maps": CMAP_4},
        terms={
            "cmap": term("cmap", "cmap", "select", {"size": 7}),
            "small_maps": term("cmap", "small_maps", "linear", {"size": 4}),
        },
    )
    return parts, topology(8) | {
        "tables/cmap/values": reals(np.round(random.normal(scale=5, size=(2, 49)), 3)),
        "terms/cmap/indices": ints([[0, 1, 2, 3, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 1, 0, 1, 0, 5, 2]]),
        "terms/cmap/mapping/index": ints([1, 0, 1]),
        "tables/small_maps/values": reals(np.round(random.normal(scale=5, size=(2, 16)), 3)),
        "terms/small_maps/indices": ints([[1, 2, 3, 4, 2, 3, 4, 5], [5, 4, 3, 2, 4, 3, 2, 1]]),
        "terms/small_maps/mapping/offsets": ints([0, 1, 3]),
        "terms/small_maps/mapping/columns": ints([1, 0, 1]),
        "terms/small_maps/mapping/weights": reals([1, 0.5, -2]),
    }, 17, 8  # fmt: skip


def undirected_couplings():
    """Four atoms in a line: angles of π, a dihedral without direction, and distances that have one all the same."""
    forms = {
        "bond_angle": [1600, 0.25, 1.5],
        "angle_angle_torsion": [40, 1.5, 2],
        "middle_bond_torsion": [30, -10, 5, 0.125],
        "end_bond_torsion": [16, 8, -4, 0.25],
        "angle_torsion": [2, 3, 4, 1.5],
    }
    parts = document(
        tables={name: COUPLINGS[name] for name in forms} | {"impropers": ANGLE, "cmap": CMAP_4},
        terms={name: term(name, name, "identity") for name in forms}
        | {
            "impropers": term("harmonic_improper", "impropers", "identity"),
            "cmap": term("cmap", "cmap", "identity", {"size": 4}),
        },
    )
    chain = [0, 1, 2, 3]
    arrays = topology(4) | {
        "tables/impropers/values": reals([[10, 0.5]]),
        "terms/impropers/indices": ints([chain]),
        "tables/cmap/values": reals([np.arange(1.0, 17)]),
        "terms/cmap/indices": ints([chain + chain]),
    }
    for name, row in forms.items():
        arrays |= {f"tables/{name}/values": reals([row])}
        arrays |= {f"terms/{name}/indices": ints([chain[:3] if name == "bond_angle" else chain])}
    positions = np.asarray([[[0, 0, 0], [0.125, 0, 0], [0.375, 0, 0], [0.5, 0, 0]]])
    a, b = pi - 1.5, pi - 2
    # dU/dr of the first bond (0.125 long), by bond_angle and end_bond_torsion; of the middle one (0.25 long).
    first, middle = 1600 * a + 20, 25
    return energy_vector(
        undirected_couplings.__doc__,
        ["E-3"],
        HAND,
        (parts, arrays, positions),
        energies={
            "bond_angle": [[-200 * a]],
            "angle_angle_torsion": [[40 * a * b]],
            "middle_bond_torsion": [[0.125 * 25]],
            "end_bond_torsion": [[-0.125 * 20]],
            "angle_torsion": [[9 * a]],
            "impropers": [[5 * 0.25]],
            "cmap": [[1]],
        },
        forces=[[[first, 0, 0], [-first + middle, 0, 0], [-middle, 0, 0], [0, 0, 0]]],
        tables={
            "bond_angle": [[-0.125 * a, -1600 * a, 200]],
            "angle_angle_torsion": [[a * b, -40 * b, -40 * a]],
            "middle_bond_torsion": [[0.125, 0.125, 0.125, -25]],
            "end_bond_torsion": [[-0.125, -0.125, -0.125, -20]],
            "angle_torsion": [[a, a, a, -9]],
            "impropers": [[0.125, 5]],
            "cmap": [[1, *[0] * 15]],
        },
    )


def vectors():
    rules = [*(f"E-{n}" for n in (18, 19)), *(f"E-{n}" for n in range(22, 30))]
    return {
        "class_ii": _by_openmm(class_ii, rules, COMPOUND, _compound),
        "harmonic_improper": _by_openmm(harmonic_improper, ["E-20"], COMPOUND, _compound),
        "cmap": _by_openmm(cmap, ["E-21"], MAPS, _maps),
        "undirected_couplings": undirected_couplings(),
    }


def _positions(seed, n_atoms, n_conformers=3):
    """A chain that is bent at every atom, and noise for each conformer [nm]."""
    random = np.random.default_rng(seed)
    places = np.arange(n_atoms)[:, None]
    chain = np.concatenate([0.12 * places, 0.05 * (places % 2), 0.06 * (places // 2 % 2)], axis=1)
    return np.round(chain + 0.03 * random.normal(size=(n_conformers, n_atoms, 3)), 6)


def _by_openmm(make, rules, source, evaluate):
    parts, arrays, seed, n_atoms = make()
    positions = _positions(seed, n_atoms)
    plain = {path: to_numpy(stored) for path, stored in arrays.items()}
    energies, forces, tables = {}, np.zeros_like(positions), {}
    for name, declared in parts["terms"].items():
        theta = plain[f"tables/{name}/values"]
        matrix = dense_matrix(name, declared, plain, len(theta))
        found = evaluate(parts, name, plain[f"terms/{name}/indices"].tolist(), matrix, theta, positions)
        energies[name], tables[name] = found[0][:, None], found[2]
        forces += found[1]
    content = (parts, arrays, positions)
    return energy_vector(make.__doc__, rules, source, content, energies=energies, forces=forces, tables=tables)


def _compound(parts, name, atoms, matrix, theta, positions):
    """Energy (n_conformers,), forces and dU/dtable of a term by CustomCompoundBondForce."""
    columns = [{"angle": "reference"}.get(column, column) for column in parts["tables"][name]["columns"]]
    formula = FORMULAS[parts["terms"][name]["form"]]
    raised = re.sub(rf"\b({'|'.join(columns)})\b(?!\()", r"(\1 + h*d\1)", formula)
    parameters = (matrix @ theta).tolist()
    energies, forces = energy_and_forces([_raised(raised, columns, atoms, parameters)], positions)
    force = _raised(raised, columns, atoms, parameters)
    gradient, context = np.zeros(theta.shape), context_of([force], positions.shape[1])
    for entry in np.ndindex(*theta.shape):
        shift = np.zeros((len(atoms), len(columns)))
        shift[:, entry[1]] = matrix[:, entry[0]]
        for row, members in enumerate(atoms):
            force.setBondParameters(row, members, [*parameters[row], *shift[row]])
        force.updateParametersInContext(context)
        for conformer in positions:
            context.setPositions(conformer)
            gradient[entry] += context.getState(getParameterDerivatives=True).getEnergyParameterDerivatives()["h"]
    return energies, forces, gradient


def _raised(formula, columns, atoms, parameters):
    """A force whose parameters are raised by h times a shift of 0."""
    force = openmm.CustomCompoundBondForce(len(atoms[0]), formula)
    for column in (*columns, *(f"d{column}" for column in columns)):
        force.addPerBondParameter(column)
    force.addGlobalParameter("h", 0)
    force.addEnergyParameterDerivative("h")
    for members, values in zip(atoms, parameters, strict=True):
        force.addBond(members, [*values, *np.zeros(len(columns))])
    return force


def _maps(parts, name, atoms, matrix, theta, positions):
    """Energy (n_conformers,), forces and dU/dtable of a term by CMAPTorsionForce."""
    size = parts["terms"][name]["settings"]["size"]

    def force(maps):
        made = openmm.CMAPTorsionForce()
        for members, energies in zip(atoms, maps, strict=True):
            # OpenMM has the first angle running fastest.
            number = made.addMap(size, np.reshape(energies, (size, size)).T.reshape(-1).tolist())
            made.addTorsion(number, *members)
        return made

    gradient = np.zeros(theta.shape)
    for row, entry in product(range(len(theta)), range(size**2)):
        unit = np.outer(matrix[:, row], np.arange(size**2) == entry)
        gradient[row, entry] = energy_and_forces([force(unit)], positions)[0].sum()
    return *energy_and_forces([force(matrix @ theta)], positions), gradient
