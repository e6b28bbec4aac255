"""Energies, forces and dU/dtables by hand, where a geometry has no direction or atoms coincide."""

from __future__ import annotations

from math import pi

import numpy as np

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

HAND = "by hand, from the formulas and from what the rule says where they have no value"


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
    arrays = topology(5) | {
        "tables/bonds/values": reals([[1000, 0.25]]),
        "terms/bonds/indices": ints([[3, 4]]),
        "tables/angles/values": reals([[400, 1.75], [300, 0.5], [200, 0.5]]),
        "terms/angles/indices": ints([[0, 1, 2], [0, 2, 1], [0, 3, 4]]),
        "tables/proper_torsions/values": reals([[2, 0.5, 3]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3]]),
    }
    positions = np.asarray([[[0, 0, 0], [0.125, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [0.5, 0, 0]]])
    by_angle = [200 * (pi - 1.75) ** 2, 150 * 0.5**2, 100 * 0.5**2]
    return energy_vector(
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
    arrays = topology(2, 2) | {
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
    return energy_vector(
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


def undirected_other_forms():
    """Coincident atoms of a Urey-Bradley and of a Morse term, a Ryckaert-Bellemans dihedral of atoms in a line."""
    parts = document(
        tables={"urey_bradleys": BOND, "bonds": MORSE, "proper_torsions": RYCKAERT_BELLEMANS},
        terms={
            "urey_bradleys": term("urey_bradley", "urey_bradleys", "identity"),
            "bonds": term("morse", "bonds", "identity"),
            "proper_torsions": term("ryckaert_bellemans", "proper_torsions", "identity"),
        },
    )
    arrays = topology(5) | {
        "tables/urey_bradleys/values": reals([[1000, 0.25]]),
        "terms/urey_bradleys/indices": ints([[3, 4]]),
        "tables/bonds/values": reals([[400, 10, 0.125]]),
        "terms/bonds/indices": ints([[4, 3]]),
        "tables/proper_torsions/values": reals([[1, 2, 4, 8, 16, 32]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3]]),
    }
    positions = np.asarray([[[0, 0, 0], [0.125, 0, 0], [0.25, 0, 0], [0.5, 0, 0], [0.5, 0, 0]]])
    decay = np.exp(1.25)
    slope = 2 * 400 * (1 - decay) * decay
    return energy_vector(
        undirected_other_forms.__doc__,
        ["E-3"],
        HAND,
        (parts, arrays, positions),
        energies={
            "urey_bradleys": [[500 * 0.25**2]],
            "bonds": [[400 * (1 - decay) ** 2]],
            "proper_torsions": [[1 - 2 + 4 - 8 + 16 - 32]],
        },
        forces=np.zeros((1, 5, 3)),
        tables={
            "urey_bradleys": [[0.5 * 0.25**2, 1000 * 0.25]],
            "bonds": [[(1 - decay) ** 2, -0.125 * slope, -10 * slope]],
            "proper_torsions": [[1, -1, 1, -1, 1, -1]],
        },
    )


def coincident_other_forms():
    """Coincident atoms in the first system, and in the second two atoms apart, of which one is without size."""
    settings = {**NO_CUTOFF_VDW, **EXPONENTS, "mixing_rule": "geometric"}
    parts = document(
        tables={"buckingham": BUCKINGHAM, "vdw": DOUBLE_EXPONENTIAL},
        terms={
            "buckingham": term("buckingham", "buckingham", "select", NO_CUTOFF_BUCKINGHAM),
            "vdw": term("double_exponential", "vdw", "identity", settings),
        },
    )
    atoms = ints([[0], [1], [2], [3]])
    arrays = topology(2, 2) | {
        "tables/buckingham/values": reals([[1000, 8, 0.25]]),
        "terms/buckingham/indices": atoms,
        "terms/buckingham/mapping/index": ints([0, 0, 0, 0]),
        "tables/vdw/values": reals([[0.25, 0.5], [0.25, 0.5], [0.25, 0.5], [0, 0.5]]),
        "terms/vdw/indices": atoms,
    }
    positions = np.asarray([[[0, 0, 0], [0, 0, 0], [1, 0, 0], [1.5, 0, 0]]])
    decay, inverse = np.exp(-4), 64
    push = 8000 * decay - 6 * 0.25 * inverse / 0.5
    return energy_vector(
        coincident_other_forms.__doc__,
        ["E-4", "E-14", "E-15"],
        HAND,
        (parts, arrays, positions),
        energies={"buckingham": [[np.inf, 1000 * decay - 0.25 * inverse]], "vdw": [[np.inf, 0]]},
        forces=[[[0, 0, 0], [0, 0, 0], [-push, 0, 0], [push, 0, 0]]],
        # Both atoms have the same row, so that its derivatives are those of the pair's parameters.
        tables={"buckingham": [[decay, -500 * decay, -inverse]], "vdw": np.zeros((4, 2))},
    )


def coincident_pairs():
    """Coincident atoms of pairs with parameters of their own; another pair of each kind is not affected."""
    parts = document(
        tables={"vdw_pairs": VDW, "electrostatics_pairs": CHARGE_PRODUCT},
        terms={
            "vdw_pairs": term("lennard_jones_pair", "vdw_pairs", "identity"),
            "electrostatics_pairs": term(
                "coulomb_pair", "electrostatics_pairs", "identity", {"coulomb_constant": COULOMB}
            ),
        },
    )
    arrays = topology(2, 2) | {
        "tables/vdw_pairs/values": reals([[0.25, 0.5], [0.25, 0.5]]),
        "terms/vdw_pairs/indices": ints([[0, 1], [2, 3]]),
        "tables/electrostatics_pairs/values": reals([[-1], [0.125]]),
        "terms/electrostatics_pairs/indices": ints([[1, 0], [3, 2]]),
    }
    positions = np.asarray([[[0, 0, 0], [0, 0, 0], [1, 0, 0], [1.5, 0, 0]]])
    attraction, repulsion = 4 * 0.5 * 0.5**6, 4 * 0.5 * 0.5**12
    slope = 12 * repulsion - 6 * attraction
    push = slope / 0.5 + COULOMB * 0.125 / 0.5**2
    return energy_vector(
        coincident_pairs.__doc__,
        ["E-4"],
        HAND,
        (parts, arrays, positions),
        energies={
            "vdw_pairs": [[np.inf, repulsion - attraction]],
            "electrostatics_pairs": [[np.inf, COULOMB * 0.125 / 0.5]],
        },
        forces=[[[0, 0, 0], [0, 0, 0], [-push, 0, 0], [push, 0, 0]]],
        tables={
            "vdw_pairs": [[0, 0], [slope / 0.25, (repulsion - attraction) / 0.5]],
            "electrostatics_pairs": [[0], [COULOMB / 0.5]],
        },
    )


def vectors():
    return {
        "coincident_pairs": coincident_pairs(),
        "undirected": undirected(),
        "undirected_other_forms": undirected_other_forms(),
        "coincident": coincident(),
        "coincident_other_forms": coincident_other_forms(),
    }
