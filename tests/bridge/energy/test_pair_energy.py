"""The energy of pairs as the standard counts it: hand values where atoms coincide or little is kept."""

import numpy as np

from ffbridge.energy.pair_energy import Distances, PairEnergy
from ffbridge.registry import get_backend


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_coincident_atoms_have_an_infinite_energy_unless_nothing_is_kept():
    """And no derivative."""
    backend = get_backend("numpy")
    evaluate = PairEnergy(backend, "coulomb", {"method": "no_cutoff"})
    r, pairs = column(0, 0, 0, 2), (column(0, 0.5, 1, 0.5), np.full((4, 1), True), column(3, 3, -3, 3))
    u, du_dr, (du_dstrength,) = evaluate.derivatives(Distances.of(backend.namespace, r), *pairs)
    assert u.tolist() == evaluate.energy(r, *pairs).tolist() == [[0], [np.inf], [np.inf], [0.75]]
    assert du_dr.tolist() == [[0], [0], [0], [-0.375]]
    assert du_dstrength.tolist() == [[0], [0], [0], [0.25]]
