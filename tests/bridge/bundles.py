"""Small bundles that hold every form, every kind of mapping and scaled exceptions."""

import numpy as np

import ffbridge as fb
from ffbridge.forms import form
from ffbridge.units import COULOMB_CONSTANT


def table(name, values):
    declared = form(name)
    return fb.Table(np.asarray(values, dtype=float), declared.column_names, declared.units)


def term(name, indices, *, mapping=None, table_name=None, **settings):
    indices = np.asarray(indices, dtype=np.int32)
    return fb.Term(name, indices, table_name or name, mapping or fb.Identity(), settings)


def random_bundle(rng):
    """Two systems of six and five atoms with every form, every kind of mapping and scaled exceptions."""
    bonds = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [6, 7], [7, 8], [8, 9], [9, 10]]
    angles = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [6, 7, 8], [7, 8, 9]]
    torsions = [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 4], [6, 7, 8, 9]]
    atoms = np.arange(11)[:, None]
    select = fb.Select(rng.integers(0, 4, size=11).astype(np.int32))
    increments = fb.Linear(
        offsets=np.concatenate([[0], np.cumsum(np.arange(11) % 3 + 1)]).astype(np.int32),
        columns=rng.integers(0, 5, size=21).astype(np.int32),
        weights=rng.uniform(-1, 1, size=21),
    )
    tables = {
        "harmonic_bond": table("harmonic_bond", rng.uniform((1e4, 0.1), (2e5, 0.2), size=(9, 2))),
        "harmonic_angle": table("harmonic_angle", rng.uniform((100, 1.5), (900, 2.2), size=(5, 2))),
        "periodic_torsion": table(
            "periodic_torsion", np.column_stack([rng.normal(size=(4, 2)), rng.integers(1, 7, size=4)])
        ),
        "lennard_jones": table("lennard_jones", rng.uniform((0.1, 0.1), (0.3, 0.9), size=(4, 2))),
        "coulomb": table("coulomb", rng.normal(scale=0.3, size=(5, 1))),
    }
    terms = {
        "bonds": term("harmonic_bond", bonds),
        "angles": term("harmonic_angle", angles),
        "torsions": term("periodic_torsion", torsions),
        "vdw": term("lennard_jones", atoms, mapping=select, method="no_cutoff", mixing_rule="lorentz_berthelot"),
        "electrostatics": term(
            "coulomb", atoms, mapping=increments, method="no_cutoff", coulomb_constant=COULOMB_CONSTANT
        ),
    }
    exceptions = fb.Exceptions(
        np.array([[0, 1], [0, 3], [6, 9]], dtype=np.int32), np.array([0, 0.8, 0.5]), np.array([0, 0.5, 0])
    )
    return fb.Bundle(
        system_offsets=np.array([0, 6, 11], dtype=np.int32),
        atomic_numbers=np.full(11, 6, dtype=np.int32),
        terms=terms,
        tables=tables,
        exceptions=exceptions,
    )


def zigzag(rng, *batch):
    """Positions of a random bundle: no two atoms so close that differences of energies lose their digits."""
    chain = np.column_stack([0.15 * np.arange(11), 0.1 * (np.arange(11) % 2), np.zeros(11)])
    return chain + rng.normal(scale=0.02, size=(*batch, 11, 3))


def chain(n_atoms):
    """A molecule: a chain with bonds, angles, torsions and Lennard-Jones interactions."""
    indices = np.arange(n_atoms)
    firsts = {arity: fb.Select(np.zeros(n_atoms - arity + 1, dtype=np.int32)) for arity in (1, 2, 3, 4)}
    rows = {arity: np.stack([indices[i : n_atoms - arity + 1 + i] for i in range(arity)], axis=1) for arity in firsts}
    return fb.Bundle(
        system_offsets=np.array([0, n_atoms], dtype=np.int32),
        atomic_numbers=np.full(n_atoms, 6, dtype=np.int32),
        terms={
            "bonds": term("harmonic_bond", rows[2], mapping=firsts[2], table_name="bonds"),
            "angles": term("harmonic_angle", rows[3], mapping=firsts[3], table_name="angles"),
            "torsions": term("periodic_torsion", rows[4], mapping=firsts[4], table_name="torsions"),
            "vdw": term(
                "lennard_jones",
                rows[1],
                mapping=firsts[1],
                table_name="vdw",
                method="no_cutoff",
                mixing_rule="lorentz_berthelot",
            ),
        },
        tables={
            "bonds": table("harmonic_bond", [[2e5, 0.15]]),
            "angles": table("harmonic_angle", [[400.0, 2.0]]),
            "torsions": table("periodic_torsion", [[2.0, 0.3, 3]]),
            "vdw": table("lennard_jones", [[0.3, 0.4]]),
        },
    )
