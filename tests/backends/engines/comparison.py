"""The engine `native` beside the engine `numpy`: what the tests of both files share."""

from __future__ import annotations

import numpy as np

import ffbridge as fb

TOLERANCE = 1e-12


def relative(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0)


def assert_same(bundle, x, given=None, **options):
    """The energies of all terms, forces and derivatives to tables are those of the NumPy engine."""
    found, expected = fb.potential(bundle, engine="native", **options), fb.potential(bundle, engine="numpy")
    terms = expected.by_term(x, given)
    for name, energy in found.by_term(x, given).items():
        assert relative(energy, terms[name]) <= TOLERANCE, name
    assert relative(found(x, given), expected(x, given)) <= TOLERANCE
    one, other = found.value_and_grad(x, given), expected.value_and_grad(x, given)
    assert relative(one.energy, other.energy) <= TOLERANCE
    assert relative(one.forces, other.forces) <= TOLERANCE
    assert one.tables.keys() == other.tables.keys()
    for name, table in other.tables.items():
        assert relative(one.tables[name], table) <= TOLERANCE, name
    energy, forces = found.energy_and_forces(x, given)
    np.testing.assert_array_equal(energy, one.energy)
    np.testing.assert_array_equal(forces, one.forces)


def changed(bundle, name, seed=3):
    """Other values of a table; integer columns stay."""
    values = bundle.tables[name].values.copy()
    stop = 2 if name == "periodic_torsion" else values.shape[1]
    values[:, :stop] *= np.random.default_rng(seed).uniform(0.9, 1.1, size=(len(values), stop))
    return values
