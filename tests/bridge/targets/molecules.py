"""Small molecules with a force field by elements, and geometries of them."""

from __future__ import annotations

from functools import cache

import numpy as np

import ffbridge as fb
from ffbridge.producers.connectivity import Neighbors, angles, proper_torsions
from ffbridge.targets.molecules import mapped_molecule

PEROXIDE = "[H:1][O:2][O:3][H:4]"
METHANOL = "[C:1]([H:2])([H:3])([H:4])[O:5][H:6]"
PEROXIDES = "[H:1][O:2][O:3][H:4].[H:5][O:6][O:7][H:8]"

LENGTHS = {(1, 6): 0.109, (1, 8): 0.097, (6, 8): 0.141, (8, 8): 0.146}


def rows(kind, groups):
    """The keys of a table, one for each combination of elements, and the row of each group."""
    names = ["-".join(map(str, min(group, group[::-1]))) for group in groups.tolist()]
    known = sorted(set(names))
    keys = [fb.ParameterKey(kind, name) for name in known]
    return keys, np.array([known.index(name) for name in names], dtype=np.int32)


@cache
def bundle(smiles):
    """The molecule's bundle; parameters of equal elements are shared."""
    molecule = mapped_molecule(smiles)
    numbers = molecule.atomic_numbers
    neighbors = Neighbors.from_bonds(molecule.bonds, len(numbers))
    triples, quads = angles(neighbors), proper_torsions(neighbors)
    bond_keys, bond_rows = rows("Bonds", numbers[molecule.bonds])
    angle_keys, angle_rows = rows("Angles", numbers[triples])
    keys, torsion_rows = rows("Torsions", numbers[quads])
    torsion_keys = [fb.ParameterKey(key.handler, key.pattern, index=n) for key in keys for n in range(3)]
    lengths = [LENGTHS[tuple(map(int, key.pattern.split("-")))] for key in bond_keys]
    atom_keys, atom_rows = rows("Atoms", numbers[:, None])
    elements = np.array([int(key.pattern) for key in atom_keys])
    n = len(keys)
    bonds = {"k": 2e6 * np.array(lengths), "length": lengths}
    bend = {
        "k": [350.0 + 10 * sum(map(int, key.pattern.split("-"))) for key in angle_keys],
        "angle": np.full(len(angle_keys), 1.85),
    }
    torsions = {
        "k": np.tile([3.0, 5.0, 1.0], n),
        "phase": np.tile([0.0, np.pi, 0.0], n),
        "periodicity": np.tile([1.0, 2.0, 3.0], n),
    }
    vdw = {"sigma": 0.2 + 0.01 * elements, "epsilon": 0.1 + 0.05 * elements}
    # Neutral: every bond moves a little charge from one atom to the other.
    charge = np.zeros(len(numbers))
    for i, j in molecule.bonds:
        moved = 0.02 * (int(numbers[j]) - int(numbers[i]))
        charge[i] += moved
        charge[j] -= moved
    quads3 = np.repeat(quads, 3, axis=0)
    torsion_index = (3 * torsion_rows[:, None] + np.arange(3)).reshape(-1)
    return fb.from_arrays(
        atomic_numbers=numbers,
        bonds=molecule.bonds,
        kept_charge=(0, 0, 5 / 6),
        kept_lj=(0, 0, 0.5),
        system_names=[smiles],
        terms={
            "bonds": fb.TermArrays("harmonic_bond", bonds, molecule.bonds, bond_rows, keys=bond_keys),
            "angles": fb.TermArrays("harmonic_angle", bend, triples, angle_rows, keys=angle_keys),
            "torsions": fb.TermArrays("periodic_torsion", torsions, quads3, torsion_index, keys=torsion_keys),
            "vdw": fb.TermArrays(
                "lennard_jones", vdw, mapping=atom_rows, settings={"mixing_rule": "lorentz_berthelot"}, keys=atom_keys
            ),
            "electrostatics": fb.TermArrays("coulomb", {"charge": charge}),
        },
    )


def peroxide(angle=2.0, stretch=0.0):
    """Hydrogen peroxide with this dihedral [rad], bonds longer by `stretch` [nm], ``(4, 3)``."""
    oh, oo, bend = 0.097 + stretch, 0.146 + stretch, 1.8
    first = [oh * np.cos(bend), oh * np.sin(bend), 0.0]
    last = [
        oo - oh * np.cos(bend),
        oh * np.sin(bend) * np.cos(angle),
        oh * np.sin(bend) * np.sin(angle),
    ]
    return np.array([first, [0, 0, 0], [oo, 0, 0], last])


def methanol():
    """Methanol, staggered, ``(6, 3)`` [nm]."""
    positions = [[0.0, 0.0, 0.0]]
    for turn in (0, 2 * np.pi / 3, -2 * np.pi / 3):
        positions.append([-0.036, 0.1028 * np.cos(turn + np.pi), 0.1028 * np.sin(turn + np.pi)])
    positions += [[0.141, 0.0, 0.0], [0.171, 0.092, 0.0]]
    return np.array(positions)


def noisy(positions, count, scale=0.003, seed=0):
    """Conformers with noise [nm]."""
    return positions + np.random.default_rng(seed).normal(scale=scale, size=(count, *positions.shape))


def batch(*smiles):
    """One bundle of several molecules."""
    return fb.concatenate([bundle(each) for each in smiles])


def conformers(smiles, positions, *, tables=None, name=None, forces=True, **fields):
    """A target made by the force field itself, with other tables if given."""
    made = fb.potential(bundle(smiles), "numpy").value_and_grad(positions, tables)
    return fb.targets.ConformerTarget(
        name=name or smiles,
        smiles=smiles,
        atomic_numbers=mapped_molecule(smiles).atomic_numbers,
        energies=made.energy[:, 0],
        positions=positions,
        forces=made.forces if forces else None,
        **fields,
    )


def drive(*, points=8, energies=None, **fields):
    """A torsion drive of hydrogen peroxide on unrelaxed geometries."""
    angles = np.linspace(-np.pi, np.pi, points, endpoint=False) + 0.1
    positions = np.stack([peroxide(angle) for angle in angles])
    return fb.targets.TorsionDrive(
        name="peroxide drive",
        smiles=PEROXIDE,
        atomic_numbers=np.array([1, 8, 8, 1]),
        dihedrals=np.array([[0, 1, 2, 3]]),
        energies=5 * np.cos(angles) + 3 * np.cos(2 * angles) if energies is None else energies,
        angles=angles[:, None],
        positions=positions,
        **fields,
    )
