"""Energies, forces and dU/dtables: of OpenMM, by hand for degenerate geometries, and of ../shared/reference, copied."""

from __future__ import annotations

import json
from math import pi

import numpy as np

from ffbridge_spec import vectors as folder
from tests.spec.load import to_numpy

from . import by_openmm
from .valid import ANGLE, BOND, CHARGE, NO_CUTOFF_CHARGE, NO_CUTOFF_VDW, TORSION, VDW, document, term
from .write import ints, reals

COPIED = ("ethanol_espaloma", "glycine_timemachine", "glycine_timemachine_nonbonded")
"""Their bundles and figures were copied once, as `source` in them says; they are kept as they are."""

OPENMM = (
    "OpenMM 8.6.1, Reference platform: energies and forces from HarmonicBondForce, HarmonicAngleForce, "
    "PeriodicTorsionForce and NonbondedForce, dU/dtables from custom forces of the same formulas by OpenMM's symbolic "
    "differentiation"
)
HAND = "by hand, from the formulas and from what the rule says where they have no value"


def _positions(seed, n_conformers, n_atoms, *, spread=0.02, step=0.13):
    """A random walk with steps of about a bond, bent at every atom, and noise for each conformer [nm]."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(n_atoms, 3))
    walk = np.cumsum(step * directions / np.linalg.norm(directions, axis=1, keepdims=True), axis=0)
    return np.round(walk + spread * random.normal(size=(n_conformers, n_atoms, 3)), 6)


def _topology(*sizes):
    return {"system_offsets": ints(np.cumsum([0, *sizes])), "atomic_numbers": ints([6] * sum(sizes))}


def _exceptions(pairs, kept_charge, kept_lj):
    return {
        "exceptions/pairs": ints(pairs),
        "exceptions/kept_charge": reals(kept_charge),
        "exceptions/kept_lj": reals(kept_lj),
    }


def bonds():
    """Three bonds, two of which share their parameters."""
    parts = document(tables={"bonds": BOND}, terms={"bonds": term("harmonic_bond", "bonds", "select")})
    return parts, _topology(4) | {
        "tables/bonds/values": reals([[250000, 0.14], [310000.5, 0.109]]),
        "terms/bonds/indices": ints([[0, 1], [2, 1], [2, 3]]),
        "terms/bonds/mapping/index": ints([1, 0, 1]),
    }, _positions(1, 2, 4)  # fmt: skip


def angles():
    """Angles, one of a linear combination of two rows."""
    parts = document(tables={"angles": ANGLE}, terms={"angles": term("harmonic_angle", "angles", "linear")})
    return parts, _topology(5) | {
        "tables/angles/values": reals([[420, 1.9], [510, 2.1]]),
        "terms/angles/indices": ints([[0, 1, 2], [3, 2, 1], [2, 3, 4]]),
        "terms/angles/mapping/offsets": ints([0, 1, 2, 4]),
        "terms/angles/mapping/columns": ints([0, 1, 0, 1]),
        "terms/angles/mapping/weights": reals([1, 1, 0.75, 0.5]),
    }, _positions(2, 2, 5)  # fmt: skip


def torsions():
    """Periodicities 1 to 6, phases that tell the sign of the dihedral, negative k, an improper, and rows combined."""
    parts = document(
        tables={"proper_torsions": TORSION, "improper_torsions": TORSION},
        terms={
            "proper_torsions": term("periodic_torsion", "proper_torsions", "select"),
            "improper_torsions": term("periodic_torsion", "improper_torsions", "linear"),
        },
    )
    rows = [[4.5, 0, 1], [-2.25, 0.7, 2], [1.5, pi, 3], [0.75, -1.2, 4], [-0.5, 2.5, 5], [0.3, 0.4, 6]]
    return parts, _topology(6) | {
        "tables/proper_torsions/values": reals(rows),
        "terms/proper_torsions/indices": ints([*[[0, 1, 2, 3]] * 6, [4, 3, 2, 1], [2, 3, 4, 5]]),
        "terms/proper_torsions/mapping/index": ints([0, 1, 2, 3, 4, 5, 1, 4]),
        "tables/improper_torsions/values": reals([[10, pi, 2], [12, 0.3, 2], [3, 0.1, 3]]),
        "terms/improper_torsions/indices": ints([[0, 1, 3, 5], [3, 1, 5, 0], [5, 1, 0, 3]]),
        "terms/improper_torsions/mapping/offsets": ints([0, 1, 4, 7]),
        "terms/improper_torsions/mapping/columns": ints([0, 0, 1, 1, 2, 2, 2]),
        "terms/improper_torsions/mapping/weights": reals([1, 0.1, 0.2, 0.7, 0.1, 0.2, 0.7]),
    }, _positions(3, 3, 6)  # fmt: skip


def lennard_jones():
    """Five atoms, one without attraction (epsilon 0), with exceptions left out, halved and doubled."""
    parts = document(tables={"vdw": VDW}, terms={"vdw": term("lennard_jones", "vdw", "select", NO_CUTOFF_VDW)})
    return parts, _topology(5) | _exceptions([[0, 1], [1, 2], [0, 3], [2, 4]], [1] * 4, [0, 0, 0.5, 2]) | {
        "tables/vdw/values": reals([[0.15, 0.4577], [0.12, 0.0656], [0.1, 0]]),
        "terms/vdw/indices": ints([[0], [1], [2], [3], [4]]),
        "terms/vdw/mapping/index": ints([0, 1, 0, 2, 1]),
    }, _positions(4, 2, 5, spread=0.01)  # fmt: skip


def coulomb():
    """Charges as sums of increments, an atom that takes no part, and exceptions."""
    parts = document(
        tables={"electrostatics": CHARGE},
        terms={"electrostatics": term("coulomb", "electrostatics", "linear", NO_CUTOFF_CHARGE)},
    )
    return parts, _topology(5) | _exceptions([[0, 1], [0, 4], [1, 2]], [0, 0.8333333333, 0], [1] * 3) | {
        "tables/electrostatics/values": reals([[-0.3], [0.25], [0.11]]),
        "terms/electrostatics/indices": ints([[4], [0], [1], [3]]),
        "terms/electrostatics/mapping/offsets": ints([0, 1, 3, 3, 5]),
        "terms/electrostatics/mapping/columns": ints([0, 1, 2, 1, 0]),
        "terms/electrostatics/mapping/weights": reals([1, 1, -1, -1, 0.5]),
    }, _positions(5, 2, 5)  # fmt: skip


def batch():
    """Three systems in one batch: every form, some of which a system lacks; parameters shared across systems."""
    parts = document(
        tables={"bonds": BOND, "angles": ANGLE, "proper_torsions": TORSION, "vdw": VDW, "electrostatics": CHARGE},
        terms={
            "bonds": term("harmonic_bond", "bonds", "select"),
            "angles": term("harmonic_angle", "angles", "identity"),
            "proper_torsions": term("periodic_torsion", "proper_torsions", "identity"),
            "vdw": term("lennard_jones", "vdw", "select", NO_CUTOFF_VDW),
            "electrostatics": term("coulomb", "electrostatics", "identity", NO_CUTOFF_CHARGE),
        },
    )
    exceptions = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3], [4, 5], [7, 8], [8, 9]]
    kept = [0, 0, 0.8333333333, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0, 0, 0, 0, 0, 0]
    return parts, _topology(4, 3, 3) | _exceptions(exceptions, *kept) | {
        "tables/bonds/values": reals([[250000, 0.14], [310000.5, 0.109]]),
        "terms/bonds/indices": ints([[0, 1], [1, 2], [2, 3], [4, 5], [7, 8], [8, 9]]),
        "terms/bonds/mapping/index": ints([1, 0, 1, 1, 0, 0]),
        "tables/angles/values": reals([[420, 1.9], [510, 2.1], [480, 1.8]]),
        "terms/angles/indices": ints([[0, 1, 2], [1, 2, 3], [7, 8, 9]]),
        "tables/proper_torsions/values": reals([[3.5, 0.7, 2]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3]]),
        "tables/vdw/values": reals([[0.15, 0.4577], [0.12, 0.0656]]),
        "terms/vdw/indices": ints([[atom] for atom in range(10)]),
        "terms/vdw/mapping/index": ints([0, 1, 1, 0, 0, 1, 1, 0, 0, 1]),
        "tables/electrostatics/values": reals([[0.3], [-0.1], [-0.2], [0.5], [-0.5]]),
        "terms/electrostatics/indices": ints([[0], [1], [2], [4], [6]]),
    }, _positions(6, 2, 10, spread=0.01)  # fmt: skip


_BY_OPENMM = {
    "bonds": (bonds, ["E-6"]),
    "angles": (angles, ["E-7"]),
    "torsions": (torsions, ["E-1", "E-8"]),
    "lennard_jones": (lennard_jones, ["E-2", "E-9"]),
    "coulomb": (coulomb, ["E-10"]),
    "batch": (batch, ["E-1", "E-6", "E-7", "E-8", "E-9", "E-10"]),
}


def undirected():
    """A straight angle, a folded one, one with an arm of no length, a dihedral of atoms in a line, coincident atoms."""
    parts = document(
        tables={"bonds": BOND, "angles": ANGLE, "proper_torsions": TORSION},
        terms={
            "bonds": term("harmonic_bond", "bonds", "identity"),
            "angles": term("harmonic_angle", "angles", "identity"),
            "proper_torsions": term("periodic_torsion", "proper_torsions", "identity"),
        },
    )
    arrays = _topology(5) | {
        "tables/bonds/values": reals([[1000, 0.25]]),
        "terms/bonds/indices": ints([[3, 4]]),
        "tables/angles/values": reals([[400, 1.75], [300, 0.5], [200, 0.5]]),
        "terms/angles/indices": ints([[0, 1, 2], [0, 2, 1], [0, 3, 4]]),
        "tables/proper_torsions/values": reals([[2, 0.5, 3]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3]]),
    }
    positions = np.asarray([[[0, 0, 0], [0.125, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [0.5, 0, 0]]])
    by_angle = [200 * (pi - 1.75) ** 2, 150 * 0.5**2, 100 * 0.5**2]
    return _vector(
        undirected.__doc__,
        ["E-3"],
        HAND,
        (parts, arrays, positions),
        energies={
            "bonds": [[500 * 0.25**2]],
            "angles": [[sum(by_angle)]],
            "proper_torsions": [[2 * (1 + np.cos(0.5))]],
        },
        forces=np.zeros((1, 5, 3)),
        tables={
            "bonds": [[0.5 * 0.25**2, 1000 * 0.25]],
            "angles": [[0.5 * (pi - 1.75) ** 2, -400 * (pi - 1.75)], [0.5 * 0.5**2, 150], [0.5 * 0.5**2, 100]],
            "proper_torsions": [[1 + np.cos(0.5), -2 * np.sin(0.5), 0]],
        },
    )


def coincident():
    """Two atoms at one place in the first system: its energies are infinite, those of the second are not affected."""
    parts = document(
        tables={"vdw": VDW, "electrostatics": CHARGE},
        terms={
            "vdw": term("lennard_jones", "vdw", "identity", NO_CUTOFF_VDW),
            "electrostatics": term("coulomb", "electrostatics", "identity", NO_CUTOFF_CHARGE),
        },
    )
    atoms = ints([[0], [1], [2], [3]])
    arrays = _topology(2, 2) | {
        "tables/vdw/values": reals([[0.25, 0.5]] * 4),
        "terms/vdw/indices": atoms,
        "tables/electrostatics/values": reals([[1], [-1], [0.5], [0.25]]),
        "terms/electrostatics/indices": atoms,
    }
    positions = np.asarray([[[0, 0, 0], [0, 0, 0], [1, 0, 0], [1.5, 0, 0]]])
    strength = NO_CUTOFF_CHARGE["coulomb_constant"] * 0.125
    attraction, repulsion = 4 * 0.5 * 0.5**6, 4 * 0.5 * 0.5**12
    push = (12 * repulsion - 6 * attraction) / 0.5 + strength / 0.5**2
    # Mixing halves the derivatives to sigma and, as the epsilons are equal, to epsilon.
    by_sigma, by_epsilon = 0.5 * (12 * repulsion - 6 * attraction) / 0.25, 0.5 * (repulsion - attraction) / 0.5
    return _vector(
        coincident.__doc__,
        ["E-4"],
        HAND,
        (parts, arrays, positions),
        energies={
            "vdw": [[np.inf, repulsion - attraction]],
            "electrostatics": [[np.inf, strength / 0.5]],
        },
        forces=[[[0, 0, 0], [0, 0, 0], [-push, 0, 0], [push, 0, 0]]],
        tables={
            "vdw": [[0, 0], [0, 0], [by_sigma, by_epsilon], [by_sigma, by_epsilon]],
            "electrostatics": [[0], [0], [strength / 0.5 / 0.5], [strength / 0.25 / 0.5]],
        },
    )


def vectors():
    made = {name: _by_openmm(make, rules) for name, (make, rules) in _BY_OPENMM.items()}
    made |= {"undirected": undirected(), "coincident": coincident()}
    for name in COPIED:
        made[name] = json.loads((folder("energy") / f"{name}.json").read_text(encoding="utf-8"))
    return made


def _by_openmm(make, rules):
    parts, arrays, positions = make()
    energies, forces, tables = by_openmm.figures(
        parts, {path: to_numpy(stored) for path, stored in arrays.items()}, positions
    )
    return _vector(
        make.__doc__, rules, OPENMM, (parts, arrays, positions), energies=energies, forces=forces, tables=tables
    )


def _vector(title, rules, source, content, *, energies, forces, tables, tolerance=1e-12):
    parts, arrays, positions = content
    return {
        "title": title,
        "rules": rules,
        "source": source,
        "tolerance": tolerance,
        "document": parts,
        "arrays": arrays,
        "positions": reals(positions),
        "energies": {name: reals(values) for name, values in energies.items()},
        "forces": reals(forces),
        "tables": {name: reals(values) for name, values in tables.items()},
    }
