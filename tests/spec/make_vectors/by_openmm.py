"""Energies, forces and dU/dtables of a bundle by OpenMM's Reference platform (double precision, no cutoff).

Energies and forces come from OpenMM's standard forces, and from its custom forces where there is no standard one. For
dU/dtable the formula is given to OpenMM as a custom force in which one entry of the table, as far as the mapping
carries it to each interaction, is raised by a global parameter h: OpenMM differentiates the expression symbolically,
and returns dU/dh at h = 0.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import openmm

FORMULAS = {
    "harmonic_bond": "0.5*(k + h*dk)*(r - length - h*dlength)^2",
    "harmonic_angle": "0.5*(k + h*dk)*(theta - angle - h*dangle)^2",
    "periodic_torsion": "(k + h*dk)*(1 + cos(periodicity*theta - phase - h*dphase))",
    "urey_bradley": "0.5*(k + h*dk)*(r - length - h*dlength)^2",
    "morse": "(depth + h*ddepth)*(1 - exp(-(steepness + h*dsteepness)*(r - length - h*dlength)))^2",
    "lennard_jones_pair": ("4*(epsilon + h*depsilon)*(((sigma + h*dsigma)/r)^12 - ((sigma + h*dsigma)/r)^6)"),
    "coulomb_pair": "coulomb_constant*(charge_product + h*dcharge_product)/r",
    "ryckaert_bellemans": " + ".join(f"(c{n} + h*dc{n})*cos(theta - 3.14159265358979323846)^{n}" for n in range(6)),
    "lennard_jones": "kept*4*epsilon*((sigma/r)^12 - (sigma/r)^6)",
    "coulomb": "kept*coulomb_constant*(charge1 + h*dcharge1)*(charge2 + h*dcharge2)/r",
    "buckingham": "kept*(a*exp(-b*r) - c*r^(-6))",
    "double_exponential": (
        "kept*epsilon*(repulsion - attraction)/(alpha - beta);"
        "repulsion = beta*exp(alpha)*exp(-alpha*r/r_min);"
        "attraction = alpha*exp(beta)*exp(-beta*r/r_min);"
        "alpha = repulsion_exponent; beta = attraction_exponent"
    ),
}
"""Each parameter of `FREE` has a partner with d, by which it is raised."""

MEANS = {
    "lorentz_berthelot": {"sigma": "arithmetic", "r_min": "arithmetic", "epsilon": "geometric"},
    "geometric": {"sigma": "geometric", "r_min": "geometric", "epsilon": "geometric"},
    "buckingham": {"a": "geometric", "b": "harmonic", "c": "geometric"},
}
MEAN = {
    "arithmetic": "0.5*({one} + {two})",
    "geometric": "sqrt({one}*{two})",
    "harmonic": "2/(1/{one} + 1/{two})",
}

FREE = {
    "harmonic_bond": ("k", "length"),
    "harmonic_angle": ("k", "angle"),
    "periodic_torsion": ("k", "phase"),
    "urey_bradley": ("k", "length"),
    "morse": ("depth", "steepness", "length"),
    "lennard_jones_pair": ("sigma", "epsilon"),
    "coulomb_pair": ("charge_product",),
    "ryckaert_bellemans": ("c0", "c1", "c2", "c3", "c4", "c5"),
    "lennard_jones": ("sigma", "epsilon"),
    "coulomb": ("charge",),
    "buckingham": ("a", "b", "c"),
    "double_exponential": ("r_min", "epsilon"),
}
CONSTANTS = {
    "coulomb": ("coulomb_constant",),
    "coulomb_pair": ("coulomb_constant",),
    "double_exponential": ("repulsion_exponent", "attraction_exponent"),
}
"""Settings that stand in the formula."""

KIND = {
    "harmonic_bond": "Bond",
    "urey_bradley": "Bond",
    "morse": "Bond",
    "lennard_jones_pair": "Bond",
    "coulomb_pair": "Bond",
    "harmonic_angle": "Angle",
    "periodic_torsion": "Torsion",
    "ryckaert_bellemans": "Torsion",
}
STANDARD = {
    "harmonic_bond": (openmm.HarmonicBondForce, lambda k, length: (length, k)),
    "harmonic_angle": (openmm.HarmonicAngleForce, lambda k, angle: (angle, k)),
    "periodic_torsion": (openmm.PeriodicTorsionForce, lambda k, phase, periodicity: (round(periodicity), phase, k)),
    "urey_bradley": (openmm.HarmonicBondForce, lambda k, length: (length, k)),
    "ryckaert_bellemans": (openmm.RBTorsionForce, lambda *coefficients: coefficients),
}


def figures(document, arrays, positions):
    """Energies by term (n_conformers, n_systems), forces of all terms together, dU/dtables."""
    offsets = arrays["system_offsets"]
    energies, forces = {}, np.zeros_like(positions)
    tables = {name: np.zeros_like(arrays[f"tables/{name}/values"]) for name in document["tables"]}
    for name, term in document["terms"].items():
        theta = arrays[f"tables/{term['table']}/values"]
        indices, matrix = arrays[f"terms/{name}/indices"], dense_matrix(name, term, arrays, len(theta))
        energies[name] = np.zeros((len(positions), len(offsets) - 1))
        for system, (start, stop) in enumerate(pairwise(offsets)):
            rows = np.flatnonzero((indices[:, 0] >= start) & (indices[:, 0] < stop))
            evaluate = _bonded if term["form"] in KIND else nonbonded
            found = evaluate(term, indices[rows].tolist(), matrix[rows], theta, arrays, positions)
            energies[name][:, system] = found[0]
            forces += found[1]
            tables[term["table"]] += found[2]
    return energies, forces, tables


def dense_matrix(name, term, arrays, n_params):
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
    form, parameters = term["form"], (matrix @ theta).tolist()
    kind = KIND[form]
    if form == "periodic_torsion":
        parameters = [[k, phase, round(periodicity)] for k, phase, periodicity in parameters]
    names = [*(("k", "phase", "periodicity") if form == "periodic_torsion" else FREE[form])]
    names += [f"d{name}" for name in FREE[form]]
    settings = [term["settings"][name] for name in CONSTANTS.get(form, ())]
    names += CONSTANTS.get(form, ())

    def values(row, shift):
        return [*parameters[row], *shift[row], *settings]

    if form in STANDARD:
        make, order = STANDARD[form]
        force = make()
        for row, values_of_row in enumerate(parameters):
            getattr(force, f"add{kind}")(*atoms[row], *order(*values_of_row))
    else:
        force = custom(FORMULAS[form], kind, names, atoms, values, np.zeros((len(atoms), len(FREE[form]))))
    gradient = gradient_of(FORMULAS[form], form, kind, names, atoms, values, matrix, theta.shape, positions)
    return *energy_and_forces([force], positions), gradient


def nonbonded(term, indices, matrix, theta, arrays, positions, *, left_out=()):
    form, settings, members = term["form"], term["settings"], [row[0] for row in indices]
    parameters = dict(zip(members, (matrix @ theta).tolist(), strict=True))
    kept = kept_fractions(form, arrays) | dict.fromkeys(left_out, 0.0)
    couples = list(combinations(sorted(members), 2))
    standard = form == "coulomb" or (form, settings["mixing_rule"]) == ("lennard_jones", "lorentz_berthelot")
    forces = (_standard_pairs if standard else _custom_pairs)(term, parameters, kept, couples, positions.shape[1])
    # An atom of the vectors whose last parameter is 0 has no energy with any other, and infinite derivatives, which
    # are taken as 0 (E-2).
    couples = [couple for couple in couples if form == "coulomb" or all(parameters[atom][-1] for atom in couple)]
    constants = [settings[name] for name in CONSTANTS.get(form, ())]
    place = {atom: row for row, atom in enumerate(members)}

    def values(couple, shift):
        i, j = couples[couple]
        shifts = [*shift[place[i]], *shift[place[j]]]
        return [kept.get((i, j), 1.0), *constants, *parameters[i], *parameters[j], *shifts]

    names = ["kept", *CONSTANTS.get(form, ())]
    names += [f"{prefix}{name}{side}" for prefix in ("", "d") for side in (1, 2) for name in FREE[form]]
    formula = _mixed(form, settings, raised=True)
    gradient = gradient_of(formula, form, "Bond", names, couples, values, matrix, theta.shape, positions)
    return *energy_and_forces(forces, positions), gradient


def _mixed(form, settings, *, raised):
    """The formula of a pair with its mixing rule, of parameters that are raised by h or not."""
    text = FORMULAS[form]
    if "mixing_rule" in settings:
        for name, mean in MEANS[settings["mixing_rule"]].items():
            if name in FREE[form]:
                one, two = (f"({name}{side} + h*d{name}{side})" if raised else f"{name}{side}" for side in (1, 2))
                text += f"; {name} = {MEAN[mean].format(one=one, two=two)}"
    return text


def _standard_pairs(term, parameters, kept, couples, n_atoms):
    form, force = term["form"], openmm.NonbondedForce()
    for atom in range(n_atoms):
        force.addParticle(*_particle(form, parameters.get(atom)))
    for i, j in couples:
        if (fraction := kept.get((i, j), 1.0)) != 1:
            force.addException(i, j, *_exception(form, fraction, parameters[i], parameters[j]))
    return [force]


def _custom_pairs(term, parameters, kept, couples, n_atoms):
    """All pairs but the exceptions by a CustomNonbondedForce, these by a CustomBondForce of the same formula."""
    form, settings = term["form"], term["settings"]
    formula, constants = _mixed(form, settings, raised=False), CONSTANTS.get(form, ())
    pairs, exceptions = openmm.CustomNonbondedForce(formula), openmm.CustomBondForce(formula)
    pairs.addGlobalParameter("kept", 1)
    for name in constants:
        pairs.addGlobalParameter(name, settings[name])
        exceptions.addGlobalParameter(name, settings[name])
    exceptions.addPerBondParameter("kept")
    for side in (1, 2):
        for name in FREE[form]:
            exceptions.addPerBondParameter(f"{name}{side}")
    for name in FREE[form]:
        pairs.addPerParticleParameter(name)
    for atom in range(n_atoms):
        pairs.addParticle(parameters.get(atom, [1.0] * len(FREE[form])))
    pairs.addInteractionGroup(list(parameters), list(parameters))
    for i, j in couples:
        if (i, j) in kept:
            pairs.addExclusion(i, j)
            exceptions.addBond(i, j, [kept[i, j], *parameters[i], *parameters[j]])
    return [pairs, exceptions]


def kept_fractions(form, arrays):
    if "exceptions/pairs" not in arrays:
        return {}
    fractions = arrays["exceptions/kept_charge" if form == "coulomb" else "exceptions/kept_lj"]
    return dict(zip(map(tuple, arrays["exceptions/pairs"].tolist()), fractions.tolist(), strict=True))


def _particle(form, parameters):
    if parameters is None:
        return 0, 1, 0
    return (0, *parameters) if form == "lennard_jones" else (*parameters, 1, 0)


def _exception(form, fraction, one, two):
    if form == "lennard_jones":
        return 0, 0.5 * (one[0] + two[0]), fraction * (one[1] * two[1]) ** 0.5
    return fraction * one[0] * two[0], 1, 0


def gradient_of(formula, form, kind, names, atoms, values, matrix, shape, positions):
    """dU/dtable summed over conformers: one entry of the table is raised at a time, by M in each interaction."""
    gradient, still = np.zeros(shape), np.zeros((len(matrix), len(FREE[form])))
    force = custom(formula, kind, names, atoms, values, still)
    force.addEnergyParameterDerivative("h")
    context = context_of([force], positions.shape[1])
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


def custom(formula, kind, names, atoms, values, shift):
    """A custom force of interactions, raised by h times the shift, h = 0."""
    force = getattr(openmm, f"Custom{kind}Force")(formula)
    for name in names:
        getattr(force, f"addPer{kind}Parameter")(name)
    force.addGlobalParameter("h", 0)
    for row, members in enumerate(atoms):
        getattr(force, f"add{kind}")(*members, values(row, shift))
    return force


def energy_and_forces(added, positions):
    context = context_of(added, positions.shape[1])
    energies, forces = [], []
    for conformer in positions:
        context.setPositions(conformer)
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoules_per_mole))
        forces.append(
            state.getForces(asNumpy=True).value_in_unit(openmm.unit.kilojoules_per_mole / openmm.unit.nanometer)
        )
    return np.asarray(energies), np.asarray(forces)


def context_of(forces, n_atoms):
    system = openmm.System()
    for _ in range(n_atoms):
        system.addParticle(1)
    for force in forces:
        system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    return openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
