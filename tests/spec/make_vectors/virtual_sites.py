"""Energy vectors of virtual sites: OpenMM places them, distributes their forces, and evaluates the terms.

A site's position is linear in its geometry whatever the form. So its derivative to an entry of the table is the
difference of two positions, and dU/dtable is its product with OpenMM's force on the site as a particle of its own.
"""

from __future__ import annotations

import numpy as np
import openmm

from tests.spec.load import to_numpy

from . import by_openmm
from .valid import (
    BOND,
    CHARGE,
    COULOMB,
    FRAME,
    LOCAL_COORDINATES,
    NO_CUTOFF_CHARGE,
    NO_CUTOFF_VDW,
    OUT_OF_PLANE,
    TWO_PARTICLE,
    VDW,
    document,
    term,
)
from .write import energy_vector, ints, reals, topology

SOURCE = (
    "OpenMM 8.6.1, Reference platform: positions and distribution of forces from its virtual sites, energies and "
    "forces from HarmonicBondForce and NonbondedForce, dU/dtables of virtual sites from its forces and positions, of "
    "other terms from custom forces by OpenMM's symbolic differentiation"
)
FRAME_OF_FOUR = {"origin_weights": [0.7, 0.1, 0.1, 0.1], "x_weights": [-1, 0.25, 0.25, 0.5], "y_weights": [-1, 1, 0, 0]}


def virtual_sites():
    """Every form of virtual sites in two systems; sites with charges and Lennard-Jones; positions of sites at 0."""
    parts = document(
        tables={
            "points": TWO_PARTICLE,
            "planes": OUT_OF_PLANE,
            "frames": LOCAL_COORDINATES,
            "bonds": BOND,
            "vdw": VDW,
            "electrostatics": CHARGE,
        },
        terms={
            "bonds": term("harmonic_bond", "bonds", "select"),
            "points": term("two_particle_site", "points", "select"),
            "planes": term("out_of_plane_site", "planes", "linear"),
            "lone_pairs": term("local_coordinates_3_site", "frames", "select", FRAME),
            "apex": term("local_coordinates_4_site", "frames", "select", FRAME_OF_FOUR),
            "vdw": term("lennard_jones", "vdw", "select", NO_CUTOFF_VDW),
            "electrostatics": term("coulomb", "electrostatics", "identity", NO_CUTOFF_CHARGE),
        },
    )
    # Five atoms and four sites, then four atoms and three sites.
    positions = np.zeros((2, 16, 3))
    positions[:, :5] = _atoms(31, 5)
    positions[:, 9:13] = _atoms(32, 4)
    charges = [0.3, -0.2, 0.4, 0.1, -0.5, 0.25, -0.35, 0.6, -0.6, 0.2, 0.3, -0.4, 0.1, -0.55, 0.45, -0.1]
    return parts, topology(9, 7) | _left_out([(6, 0), (7, 1), (14, 9)]) | {
        "tables/points/values": reals([[0.3, 0], [0, -0.05]]),
        "terms/points/indices": ints([[5, 0, 1], [13, 9, 10]]),
        "terms/points/mapping/index": ints([0, 1]),
        "tables/planes/values": reals([[-0.34, -0.34, -6.4], [0.1, 0.2, 0]]),
        "terms/planes/indices": ints([[6, 0, 1, 2], [14, 9, 11, 12]]),
        "terms/planes/mapping/offsets": ints([0, 1, 3]),
        "terms/planes/mapping/columns": ints([0, 0, 1]),
        "terms/planes/mapping/weights": reals([1, -0.25, 1.5]),
        "tables/frames/values": reals([[-0.03, 0.01, 0.02], [-0.04, 0.005, -0.01]]),
        "terms/lone_pairs/indices": ints([[7, 1, 0, 3], [15, 10, 9, 12]]),
        "terms/lone_pairs/mapping/index": ints([0, 1]),
        "terms/apex/indices": ints([[8, 2, 1, 3, 4]]),
        "terms/apex/mapping/index": ints([1]),
        "tables/bonds/values": reals([[250000, 0.14]]),
        "terms/bonds/indices": ints([[0, 1], [2, 5], [9, 10]]),
        "terms/bonds/mapping/index": ints([0, 0, 0]),
        "tables/vdw/values": reals([[0.1, 0.4577], [0.05, 0.0656]]),
        "terms/vdw/indices": ints([[0], [2], [6], [8], [9], [12], [15]]),
        "terms/vdw/mapping/index": ints([0, 0, 1, 1, 0, 0, 1]),
        "tables/electrostatics/values": reals([[charge] for charge in charges]),
        "terms/electrostatics/indices": ints([[atom] for atom in range(16)]),
    }, positions  # fmt: skip


def sites_on_a_line():
    """A site whose frame has one direction alone, as its parents are on a line: on that line, not turning off it."""
    parts = document(
        tables={"frames": LOCAL_COORDINATES, "electrostatics": CHARGE},
        terms={
            "frames": term("local_coordinates_3_site", "frames", "select", FRAME),
            "electrostatics": term("coulomb", "electrostatics", "identity", NO_CUTOFF_CHARGE),
        },
    )
    positions = np.zeros((1, 5, 3))
    positions[0, :4] = [[0, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [0.125, 0.25, 0.375]]
    return parts, topology(5) | {
        "tables/frames/values": reals([[0.125, 0.25, 0.375]]),
        "terms/frames/indices": ints([[4, 1, 0, 2]]),
        "terms/frames/mapping/index": ints([0]),
        "tables/electrostatics/values": reals([[0.4], [0.5]]),
        "terms/electrostatics/indices": ints([[3], [4]]),
    }, positions  # fmt: skip


def sites_without_direction():
    """Sites whose parents coincide: each is where the weights of the origin say, and its force goes by these alone."""
    parts = document(
        tables={"points": TWO_PARTICLE, "frames": LOCAL_COORDINATES, "electrostatics": CHARGE},
        terms={
            "points": term("two_particle_site", "points", "identity"),
            "frames": term("local_coordinates_3_site", "frames", "identity", FRAME),
            "electrostatics": term("coulomb", "electrostatics", "identity", NO_CUTOFF_CHARGE),
        },
    )
    positions = np.zeros((1, 8, 3))
    positions[0, [2, 6]] = [0, 0, 0.5]
    arrays = topology(4, 4) | {
        "tables/points/values": reals([[0.25, 0.125]]),
        "terms/points/indices": ints([[3, 0, 1]]),
        "tables/frames/values": reals([[0.125, 0.25, 0.375]]),
        "terms/frames/indices": ints([[7, 4, 5, 6]]),
        "tables/electrostatics/values": reals([[0.5], [-0.25], [0.5], [0.25]]),
        "terms/electrostatics/indices": ints([[2], [3], [6], [7]]),
    }  # fmt: skip
    attraction, forces = COULOMB * 0.5 * 0.25 / 0.5**2, np.zeros((1, 8, 3))
    forces[0, [0, 1, 2, 4, 6], 2] = attraction * np.array([0.75, 0.25, -1, -1, 1])
    return energy_vector(
        sites_without_direction.__doc__,
        ["E-32", "E-34"],
        "By hand: two charges at a distance of 0.5 nm, one of them the site's.",
        (parts, arrays, positions),
        energies={"electrostatics": np.array([[-1, 1]]) * attraction * 0.5},
        forces=forces,
        tables={
            "points": np.zeros((1, 2)),
            "frames": np.zeros((1, 3)),
            "electrostatics": COULOMB / 0.5 * np.array([[-0.25], [0.5], [0.25], [0.5]]),
        },
    )


def _atoms(seed, n_atoms):
    """Two conformers of atoms on the corners of a cube of 0.2 nm, with noise."""
    corners = 0.2 * np.argwhere(np.ones((2, 2, 2)))[:n_atoms]
    return np.round(corners + np.random.default_rng(seed).normal(scale=0.02, size=(2, n_atoms, 3)), 6)


def _left_out(pairs):
    pairs = sorted(tuple(sorted(pair)) for pair in pairs)
    kept = reals([0] * len(pairs))
    return {"exceptions/pairs": ints(pairs), "exceptions/kept_charge": kept, "exceptions/kept_lj": kept}


def vectors():
    rules = {
        "virtual_sites": (virtual_sites, ["E-31", "E-32", "E-33", "E-34", "E-35"]),
        "sites_on_a_line": (sites_on_a_line, ["E-34"]),
    }
    made = {name: _vector(make, rules) for name, (make, rules) in rules.items()}
    return made | {"sites_without_direction": sites_without_direction()}


def _vector(make, rules):
    parts, stored, positions = make()
    arrays = {path: to_numpy(array) for path, array in stored.items()}
    sites = {name: each for name, each in parts["terms"].items() if each["form"] in _SITE}
    own = {name: arrays[f"tables/{each['table']}/values"] for name, each in sites.items()}
    placed = _place(sites, arrays, own, positions)
    others = {**parts, "terms": {name: each for name, each in parts["terms"].items() if name not in sites}}
    energies, forces, tables = by_openmm.figures(others, arrays, placed)
    for name, each in sites.items():
        for entry in np.ndindex(*own[name].shape):
            raised = own[name].copy()
            raised[entry] += 1
            moved = _place(sites, arrays, {**own, name: raised}, positions) - placed
            tables[each["table"]][entry] -= np.sum(forces * moved)
    forces = _distributed(sites, arrays, own, placed, forces)
    return energy_vector(
        make.__doc__, rules, SOURCE, (parts, stored, positions), energies=energies, forces=forces, tables=tables
    )


def _system(sites, arrays, tables, n_atoms):
    system = openmm.System()
    for _ in range(n_atoms):
        system.addParticle(0)
    for name, each in sites.items():
        parameters = by_openmm.dense_matrix(name, each, arrays, len(tables[name])) @ tables[name]
        for (site, *parents), geometry in zip(
            arrays[f"terms/{name}/indices"].tolist(), parameters.tolist(), strict=True
        ):
            system.setVirtualSite(site, _SITE[each["form"]](parents, geometry, each.get("settings")))
    return system


def _place(sites, arrays, tables, positions):
    context = _context(_system(sites, arrays, tables, positions.shape[1]))
    placed = []
    for conformer in positions:
        context.setPositions(conformer)
        context.computeVirtualSites()
        placed.append(context.getState(getPositions=True).getPositions(asNumpy=True)._value)
    return np.array(placed)


def _distributed(sites, arrays, tables, placed, forces):
    """The forces, those of sites given to their parents by OpenMM."""
    system = _system(sites, arrays, tables, placed.shape[1])
    given = openmm.CustomExternalForce("-(fx*x + fy*y + fz*z)")
    for name in ("fx", "fy", "fz"):
        given.addPerParticleParameter(name)
    for atom in range(placed.shape[1]):
        given.addParticle(atom, [0, 0, 0])
    system.addForce(given)
    context, result = _context(system), []
    for conformer, force in zip(placed, forces, strict=True):
        for atom, values in enumerate(force.tolist()):
            given.setParticleParameters(atom, atom, values)
        given.updateParametersInContext(context)
        context.setPositions(conformer)
        found = context.getState(getForces=True).getForces(asNumpy=True)._value
        result.append(np.array(found))
    result = np.array(result)
    for name in sites:
        result[:, arrays[f"terms/{name}/indices"][:, 0]] = 0
    return result


def _context(system):
    return openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))


def _two_particle(parents, geometry, settings):
    weight, distance = geometry
    along = [-1, 1]
    return openmm.LocalCoordinatesSite(parents, [1 - weight, weight], along, along, [distance, 0, 0])


def _out_of_plane(parents, geometry, settings):
    return openmm.OutOfPlaneSite(*parents, *geometry)


def _local_coordinates(parents, geometry, settings):
    weights = (settings[f"{name}_weights"] for name in ("origin", "x", "y"))
    return openmm.LocalCoordinatesSite(parents, *weights, geometry)


_SITE = {
    "two_particle_site": _two_particle,
    "out_of_plane_site": _out_of_plane,
    "local_coordinates_3_site": _local_coordinates,
    "local_coordinates_4_site": _local_coordinates,
}
