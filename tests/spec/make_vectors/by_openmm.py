"""Energies, forces and dU/dtables of a bundle by OpenMM's Reference platform (double precision, no cutoff).

Energies and forces come from OpenMM's standard forces. For dU/dtable the same formula is given to OpenMM as a custom
force in which one entry of the table, as far as the mapping carries it to each interaction, is raised by a global
parameter h: OpenMM differentiates the expression symbolically, and returns dU/dh at h = 0.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import openmm

FORMULAS = {
    "harmonic_bond": "0.5*(k + h*dk)*(r - length - h*dlength)^2",
    "harmonic_angle": "0.5*(k + h*dk)*(theta - angle - h*dangle)^2",
    "periodic_torsion": "(k + h*dk)*(1 + cos(periodicity*theta - phase - h*dphase))",
    "lennard_jones": (
        "kept*4*sqrt((epsilon1 + h*depsilon1)*(epsilon2 + h*depsilon2))*(s^12 - s^6);"
        "s = 0.5*(sigma1 + sigma2 + h*(dsigma1 + dsigma2))/r"
    ),
    "coulomb": "kept*coulomb_constant*(charge1 + h*dcharge1)*(charge2 + h*dcharge2)/r",
}
"""Each parameter of `FREE` has a partner with d, by which it is raised."""

FREE = {
    "harmonic_bond": ("k", "length"),
    "harmonic_angle": ("k", "angle"),
    "periodic_torsion": ("k", "phase"),
    "lennard_jones": ("sigma", "epsilon"),
    "coulomb": ("charge",),
}
KIND = {"harmonic_bond": "Bond", "harmonic_angle": "Angle", "periodic_torsion": "Torsion"}
STANDARD = {
    "harmonic_bond": (openmm.HarmonicBondForce, lambda k, length: (length, k)),
    "harmonic_angle": (openmm.HarmonicAngleForce, lambda k, angle: (angle, k)),
    "periodic_torsion": (openmm.PeriodicTorsionForce, lambda k, phase, periodicity: (round(periodicity), phase, k)),
}


def figures(document, arrays, positions):
    """Energies by term (n_conformers, n_systems), forces of all terms together, dU/dtables."""
    offsets = arrays["system_offsets"]
    energies, forces = {}, np.zeros_like(positions)
    tables = {name: np.zeros_like(arrays[f"tables/{name}/values"]) for name in document["tables"]}
    for name, term in document["terms"].items():
        theta = arrays[f"tables/{term['table']}/values"]
        indices, matrix = arrays[f"terms/{name}/indices"], _matrix(name, term, arrays, len(theta))
        energies[name] = np.zeros((len(positions), len(offsets) - 1))
        for system, (start, stop) in enumerate(pairwise(offsets)):
            rows = np.flatnonzero((indices[:, 0] >= start) & (indices[:, 0] < stop))
            evaluate = _bonded if term["form"] in KIND else _nonbonded
            found = evaluate(term, indices[rows].tolist(), matrix[rows], theta, arrays, positions)
            energies[name][:, system] = found[0]
            forces += found[1]
            tables[term["table"]] += found[2]
    return energies, forces, tables


def _matrix(name, term, arrays, n_params):
    """M of a term, dense, (n_terms, n_params)."""
    n_terms = len(arrays[f"terms/{name}/indices"])
    if term["mapping"] == "identity":
        return np.eye(n_terms)
    matrix = np.zeros((n_terms, n_params))
    if term["mapping"] == "select":
        matrix[np.arange(n_terms), arrays[f"terms/{name}/mapping/index"]] = 1
        return matrix
    offsets, columns, weights = (arrays[f"terms/{name}/mapping/{part}"] for part in ("offsets", "columns", "weights"))
    for row in range(n_terms):
        for entry in range(offsets[row], offsets[row + 1]):
            matrix[row, columns[entry]] += weights[entry]
    return matrix


def _bonded(term, atoms, matrix, theta, arrays, positions):
    make, order = STANDARD[term["form"]]
    kind, parameters = KIND[term["form"]], (matrix @ theta).tolist()
    force = make()
    for row, values in enumerate(parameters):
        getattr(force, f"add{kind}")(*atoms[row], *order(*values))
    if term["form"] == "periodic_torsion":
        parameters = [[k, phase, round(periodicity)] for k, phase, periodicity in parameters]

    def values(row, shift):
        return [*parameters[row], *shift[row]]

    names = [*(("k", "phase", "periodicity") if kind == "Torsion" else FREE[term["form"]])]
    names += [f"d{name}" for name in FREE[term["form"]]]
    gradient = _gradient(term["form"], kind, names, atoms, values, matrix, theta.shape, positions)
    return *_energy_and_forces(force, positions), gradient


def _nonbonded(term, indices, matrix, theta, arrays, positions):
    form, members = term["form"], [row[0] for row in indices]
    parameters = dict(zip(members, (matrix @ theta).tolist(), strict=True))
    kept = _kept(form, arrays)
    couples = list(combinations(sorted(members), 2))
    force = openmm.NonbondedForce()
    for atom in range(positions.shape[1]):
        force.addParticle(*_particle(form, parameters.get(atom)))
    for i, j in couples:
        if (fraction := kept.get((i, j), 1.0)) != 1:
            force.addException(i, j, *_exception(form, fraction, parameters[i], parameters[j]))
    if form == "lennard_jones":
        # With an epsilon of 0 a pair has no energy; its derivative to that epsilon is infinite, and taken as 0 (E-2).
        couples = [(i, j) for i, j in couples if parameters[i][1] and parameters[j][1]]
    constant = [term["settings"]["coulomb_constant"]] if form == "coulomb" else []
    place = {atom: row for row, atom in enumerate(members)}

    def values(couple, shift):
        i, j = couples[couple]
        shifts = [*shift[place[i]], *shift[place[j]]]
        return [kept.get((i, j), 1.0), *constant, *parameters[i], *parameters[j], *shifts]

    names = ["kept", *(["coulomb_constant"] if constant else [])]
    names += [f"{prefix}{name}{side}" for prefix in ("", "d") for side in (1, 2) for name in FREE[form]]
    gradient = _gradient(form, "Bond", names, couples, values, matrix, theta.shape, positions)
    return *_energy_and_forces(force, positions), gradient


def _kept(form, arrays):
    if "exceptions/pairs" not in arrays:
        return {}
    fractions = arrays["exceptions/kept_lj" if form == "lennard_jones" else "exceptions/kept_charge"]
    return dict(zip(map(tuple, arrays["exceptions/pairs"].tolist()), fractions.tolist(), strict=True))


def _particle(form, parameters):
    if parameters is None:
        return 0, 1, 0
    return (0, *parameters) if form == "lennard_jones" else (*parameters, 1, 0)


def _exception(form, fraction, one, two):
    if form == "lennard_jones":
        return 0, 0.5 * (one[0] + two[0]), fraction * (one[1] * two[1]) ** 0.5
    return fraction * one[0] * two[0], 1, 0


def _gradient(form, kind, names, atoms, values, matrix, shape, positions):
    """dU/dtable summed over conformers: one entry of the table is raised at a time, by M in each interaction."""
    force = getattr(openmm, f"Custom{kind}Force")(FORMULAS[form])
    for name in names:
        getattr(force, f"addPer{kind}Parameter")(name)
    force.addGlobalParameter("h", 0)
    force.addEnergyParameterDerivative("h")
    gradient, still = np.zeros(shape), np.zeros((len(matrix), len(FREE[form])))
    for row, members in enumerate(atoms):
        getattr(force, f"add{kind}")(*members, values(row, still))
    context = _context(force, positions.shape[1])
    for entry in np.ndindex(shape[0], len(FREE[form])):
        shift = still.copy()
        shift[:, entry[1]] = matrix[:, entry[0]]
        for row, members in enumerate(atoms):
            getattr(force, f"set{kind}Parameters")(row, *members, values(row, shift))
        force.updateParametersInContext(context)
        for conformer in positions:
            context.setPositions(conformer)
            gradient[entry] += context.getState(getParameterDerivatives=True).getEnergyParameterDerivatives()["h"]
    return gradient


def _energy_and_forces(force, positions):
    context = _context(force, positions.shape[1])
    energies, forces = [], []
    for conformer in positions:
        context.setPositions(conformer)
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoules_per_mole))
        forces.append(
            state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoules_per_mole / openmm.unit.nanometer)
        )
    return np.asarray(energies), np.asarray(forces)


def _context(force, n_atoms):
    system = openmm.System()
    for _ in range(n_atoms):
        system.addParticle(1)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    return openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
