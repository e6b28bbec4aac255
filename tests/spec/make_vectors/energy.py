"""Energies, forces and dU/dtables: of OpenMM, by hand for degenerate geometries, and of ../shared/reference, copied."""

from __future__ import annotations

import json
from math import pi

import numpy as np

from ffbridge_spec import vectors as folder
from tests.spec.load import to_numpy

from . import by_hand, by_openmm, overrides, several_coordinates, virtual_sites
from .valid import (
    ANGLE,
    BOND,
    BUCKINGHAM,
    CHARGE,
    CHARGE_PRODUCT,
    COULOMB,
    DOUBLE_EXPONENTIAL,
    EXPONENTS,
    MORSE,
    NO_CUTOFF_BUCKINGHAM,
    NO_CUTOFF_CHARGE,
    NO_CUTOFF_VDW,
    RYCKAERT_BELLEMANS,
    TORSION,
    VDW,
    document,
    term,
)
from .write import energy_vector, ints, reals, topology

COPIED = ("ethanol_espaloma", "glycine_timemachine", "glycine_timemachine_nonbonded", "timemachine_cutoffs")
"""Their bundles and figures were copied once, as `source` in them says; they are kept as they are."""

OPENMM = (
    "OpenMM 8.6.1, Reference platform: energies and forces from HarmonicBondForce, HarmonicAngleForce, "
    "PeriodicTorsionForce and NonbondedForce, dU/dtables from custom forces of the same formulas by OpenMM's symbolic "
    "differentiation"
)
CUSTOM = (
    "OpenMM 8.6.1, Reference platform: energies and forces from HarmonicBondForce (urey_bradley), RBTorsionForce "
    "(ryckaert_bellemans) and custom forces (others), dU/dtables from custom forces by OpenMM's symbolic "
    "differentiation"
)


def _positions(seed, n_conformers, n_atoms, *, spread=0.02, step=0.13):
    """A random walk with steps of about a bond, bent at every atom, and noise for each conformer [nm]."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(n_atoms, 3))
    walk = np.cumsum(step * directions / np.linalg.norm(directions, axis=1, keepdims=True), axis=0)
    return np.round(walk + spread * random.normal(size=(n_conformers, n_atoms, 3)), 6)


def _exceptions(pairs, kept_charge, kept_lj):
    return {
        "exceptions/pairs": ints(pairs),
        "exceptions/kept_charge": reals(kept_charge),
        "exceptions/kept_lj": reals(kept_lj),
    }


def bonds():
    """Three bonds, two of which share their parameters."""
    parts = document(tables={"bonds": BOND}, terms={"bonds": term("harmonic_bond", "bonds", "select")})
    return parts, topology(4) | {
        "tables/bonds/values": reals([[250000, 0.14], [310000.5, 0.109]]),
        "terms/bonds/indices": ints([[0, 1], [2, 1], [2, 3]]),
        "terms/bonds/mapping/index": ints([1, 0, 1]),
    }, _positions(1, 2, 4)  # fmt: skip


def angles():
    """Angles, one of a linear combination of two rows."""
    parts = document(tables={"angles": ANGLE}, terms={"angles": term("harmonic_angle", "angles", "linear")})
    return parts, topology(5) | {
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
    return parts, topology(6) | {
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
    return parts, topology(5) | _exceptions([[0, 1], [1, 2], [0, 3], [2, 4]], [1] * 4, [0, 0, 0.5, 2]) | {
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
    return parts, topology(5) | _exceptions([[0, 1], [0, 4], [1, 2]], [0, 0.8333333333, 0], [1] * 3) | {
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
    return parts, topology(4, 3, 3) | _exceptions(exceptions, *kept) | {
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


def urey_bradley():
    """The outer atoms of two angles, which share their parameters, and of a third."""
    parts = document(
        tables={"urey_bradleys": BOND}, terms={"urey_bradleys": term("urey_bradley", "urey_bradleys", "select")}
    )
    return parts, topology(5) | {
        "tables/urey_bradleys/values": reals([[9338.7, 0.2561], [18853, 0.2179]]),
        "terms/urey_bradleys/indices": ints([[0, 2], [3, 1], [2, 4]]),
        "terms/urey_bradleys/mapping/index": ints([1, 1, 0]),
    }, _positions(7, 2, 5)  # fmt: skip


def morse():
    """Bonds that are stretched and compressed, one of a linear combination of two rows."""
    parts = document(tables={"bonds": MORSE}, terms={"bonds": term("morse", "bonds", "linear")})
    return parts, topology(4) | {
        "tables/bonds/values": reals([[410, 20.5, 0.153], [436, 18, 0.109]]),
        "terms/bonds/indices": ints([[0, 1], [2, 1], [2, 3]]),
        "terms/bonds/mapping/offsets": ints([0, 1, 2, 4]),
        "terms/bonds/mapping/columns": ints([0, 1, 0, 1]),
        "terms/bonds/mapping/weights": reals([1, 1, 0.25, 0.75]),
    }, _positions(8, 2, 4)  # fmt: skip


def pairs_of_their_own():
    """Pairs with parameters of their own in place of what they keep of their nonbonded energy, which is nothing."""
    parts = document(
        tables={"vdw": VDW, "vdw_pairs": VDW, "electrostatics_pairs": CHARGE_PRODUCT},
        terms={
            "vdw": term("lennard_jones", "vdw", "select", NO_CUTOFF_VDW),
            "vdw_pairs": term("lennard_jones_pair", "vdw_pairs", "select"),
            "electrostatics_pairs": term(
                "coulomb_pair", "electrostatics_pairs", "linear", {"coulomb_constant": COULOMB}
            ),
        },
    )
    return parts, topology(5) | _exceptions([[0, 1], [0, 3], [1, 2]], [0, 0, 0], [0, 0, 0]) | {
        "tables/vdw/values": reals([[0.15, 0.4577], [0.12, 0.0656]]),
        "terms/vdw/indices": ints([[0], [1], [2], [3], [4]]),
        "terms/vdw/mapping/index": ints([0, 1, 0, 1, 1]),
        "tables/vdw_pairs/values": reals([[0.17, 0.3], [0.11, -0.02]]),
        "terms/vdw_pairs/indices": ints([[3, 0], [0, 1], [1, 2]]),
        "terms/vdw_pairs/mapping/index": ints([0, 1, 0]),
        "tables/electrostatics_pairs/values": reals([[-0.21], [0.125]]),
        "terms/electrostatics_pairs/indices": ints([[0, 1], [3, 0]]),
        "terms/electrostatics_pairs/mapping/offsets": ints([0, 1, 3]),
        "terms/electrostatics_pairs/mapping/columns": ints([0, 0, 1]),
        "terms/electrostatics_pairs/mapping/weights": reals([1, 0.5, 2]),
    }, _positions(14, 2, 5, spread=0.01)  # fmt: skip


def ryckaert_bellemans():
    """Coefficients of odd and even powers, which tell trans from cis, and a row in the other direction."""
    parts = document(
        tables={"proper_torsions": RYCKAERT_BELLEMANS},
        terms={"proper_torsions": term("ryckaert_bellemans", "proper_torsions", "select")},
    )
    rows = [[9.28, 12.16, -13.12, -3.06, 26.24, -31.5], [2.5, -1.25, 0.75, 3.5, 0, 0], [0, 0, 0, 0, -1.5, 0.7]]
    return parts, topology(6) | {
        "tables/proper_torsions/values": reals(rows),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3], [4, 3, 2, 1], [2, 3, 4, 5], [1, 2, 3, 4]]),
        "terms/proper_torsions/mapping/index": ints([0, 1, 0, 2]),
    }, _positions(9, 3, 6)  # fmt: skip


def _pairs(form, columns, values, settings, seed):
    """Six atoms that share three rows of parameters, and exceptions left out, halved and doubled."""
    parts = document(tables={"vdw": columns}, terms={"vdw": term(form, "vdw", "select", settings)})
    exceptions = _exceptions([[0, 1], [1, 2], [0, 3], [2, 4]], [1] * 4, [0, 0, 0.5, 2])
    return parts, topology(6) | exceptions | {
        "tables/vdw/values": reals(values),
        "terms/vdw/indices": ints([[0], [1], [2], [3], [4], [5]]),
        "terms/vdw/mapping/index": ints([0, 1, 0, 2, 1, 2]),
    }, _positions(seed, 2, 6, spread=0.01)  # fmt: skip


def geometric():
    """Lennard-Jones with geometric mixing, two atoms without attraction (epsilon 0), scaled exceptions."""
    settings = {"method": "no_cutoff", "mixing_rule": "geometric"}
    return _pairs("lennard_jones", VDW, [[0.15, 0.4577], [0.12, 0.0656], [0.1, 0]], settings, 10)


def buckingham():
    """Buckingham pairs, on both sides of their maximum, two atoms that do not interact, scaled exceptions."""
    values = [[350000, 36, 0.0025], [11000, 37.4, 0.00011], [0, 0, 0]]
    return _pairs("buckingham", BUCKINGHAM, values, NO_CUTOFF_BUCKINGHAM, 11)


def double_exponential():
    """Double-exponential pairs, two atoms that do not interact, scaled exceptions."""
    values = [[0.21, 0.4577], [0.15, 0.0656], [0.1, 0]]
    return _pairs("double_exponential", DOUBLE_EXPONENTIAL, values, {**NO_CUTOFF_VDW, **EXPONENTS}, 12)


def double_exponential_geometric():
    """Double-exponential pairs with geometric mixing."""
    values = [[0.21, 0.4577], [0.15, 0.0656], [0.3, 0.2]]
    settings = {**NO_CUTOFF_VDW, **EXPONENTS, "mixing_rule": "geometric"}
    return _pairs("double_exponential", DOUBLE_EXPONENTIAL, values, settings, 13)


_BY_OPENMM = {
    "bonds": (bonds, ["E-6"]),
    "angles": (angles, ["E-7"]),
    "torsions": (torsions, ["E-1", "E-8"]),
    "lennard_jones": (lennard_jones, ["E-2", "E-9"]),
    "coulomb": (coulomb, ["E-10"]),
    "batch": (batch, ["E-1", "E-6", "E-7", "E-8", "E-9", "E-10"]),
}
_BY_CUSTOM_FORCES = {
    "urey_bradley": (urey_bradley, ["E-11"]),
    "morse": (morse, ["E-12"]),
    "ryckaert_bellemans": (ryckaert_bellemans, ["E-13"]),
    "pairs_of_their_own": (pairs_of_their_own, ["E-16", "E-17"]),
    "geometric": (geometric, ["E-2", "E-9"]),
    "buckingham": (buckingham, ["E-2", "E-14"]),
    "double_exponential": (double_exponential, ["E-2", "E-15"]),
    "double_exponential_geometric": (double_exponential_geometric, ["E-15"]),
}


def vectors():
    made = {name: _by_openmm(make, rules, OPENMM) for name, (make, rules) in _BY_OPENMM.items()}
    made |= {name: _by_openmm(make, rules, CUSTOM) for name, (make, rules) in _BY_CUSTOM_FORCES.items()}
    made |= by_hand.vectors() | several_coordinates.vectors()
    made |= overrides.vectors() | virtual_sites.vectors()
    for name in COPIED:
        made[name] = json.loads((folder("energy") / f"{name}.json").read_text(encoding="utf-8"))
    return made


def _by_openmm(make, rules, source):
    parts, arrays, positions = make()
    energies, forces, tables = by_openmm.figures(
        parts, {path: to_numpy(stored) for path, stored in arrays.items()}, positions
    )
    return energy_vector(
        make.__doc__, rules, source, (parts, arrays, positions), energies=energies, forces=forces, tables=tables
    )
