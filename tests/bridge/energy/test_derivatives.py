"""Analytic derivatives: of weighted energies, against differences, and over lists of pairs that are taken in blocks."""

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.energy.api import analytic_value_and_grad
from ffbridge.energy.derivatives import derivatives
from ffbridge.energy.plan import plan
from ffbridge.energy.total import energies
from ffbridge.registry import get_backend
from tests.bridge.bundles import chain, random_bundle, zigzag

STEP = 1e-6


def maps(rng):
    """Correction maps in the two systems of a random bundle: a column with a shape."""
    chains = [[0, 1, 2, 3, 1, 2, 3, 4], [2, 3, 4, 5, 1, 2, 3, 4], [6, 7, 8, 9, 7, 8, 9, 10]]
    terms = {"cmap": fb.TermArrays("cmap", {"energy": rng.normal(size=(2, 6, 6))}, chains, [1, 0, 1], {"size": 6})}
    return fb.from_arrays(n_atoms=11, system_offsets=[0, 6, 11], terms=terms)


@pytest.mark.parametrize("make", [random_bundle, maps])
@pytest.mark.parametrize("n_weights", [1, 2])
def test_derivatives_of_weighted_energies_equal_central_differences(n_weights, make):
    """Each term, system and conformer has a weight of its own; or each term and conformer, for both systems."""
    rng, backend = np.random.default_rng(15), get_backend("numpy")
    bundle = make(rng)
    structure, arrays = plan(bundle)
    tables = {name: table.values for name, table in bundle.tables.items()}
    x = np.moveaxis(zigzag(rng, 3), 0, -1).swapaxes(0, 1)  # (3, n_atoms, n_conformers)
    weights = {name: rng.normal(size=(n_weights, 3)) for name in bundle.energy_terms}

    def weighted(x, tables):
        found = energies(backend, structure, arrays, x, tables)
        return sum(np.sum(weights[name] * energy) for name, energy in found.items())

    energy, by_x, by_table = derivatives(backend, structure, arrays, x, tables, weights)
    direction = rng.normal(size=x.shape)
    up, down = (weighted(x + sign * STEP * direction, tables) for sign in (1, -1))
    assert np.sum(by_x * direction) == pytest.approx((up - down) / (2 * STEP), rel=1e-6)
    for name, values in tables.items():
        direction = values * rng.normal(size=values.shape)
        if name == "periodic_torsion":
            direction[:, 2] = 0  # whole numbers
        up, down = (weighted(x, {**tables, name: values + sign * STEP * direction}) for sign in (1, -1))
        assert np.sum(by_table[name] * direction) == pytest.approx((up - down) / (2 * STEP), rel=1e-6), name
    without = derivatives(backend, structure, arrays, x, tables, weights, of_tables=False)
    np.testing.assert_array_equal(without[1], by_x)
    assert not any(each.any() for each in without[2].values())
    expected = sum(energies(backend, structure, arrays, x, tables).values())
    for found in (energy, without[0]):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_conformers_that_are_not_counted_have_energies_and_no_derivatives():
    backend, bundle = get_backend("numpy"), random_bundle(np.random.default_rng(16))
    structure, arrays = plan(bundle)
    tables = {name: table.values for name, table in bundle.tables.items()}
    x, counted = zigzag(np.random.default_rng(17), 3), np.array([1.0, 0.0, 1.0])
    found = analytic_value_and_grad(backend, structure, arrays, x, tables, counted=counted[:, None])
    expected = analytic_value_and_grad(backend, structure, arrays, x[[0, 2]], tables)
    np.testing.assert_allclose(found.energy[[0, 2]], expected.energy, rtol=1e-13)
    assert np.isfinite(found.energy[1]).all()
    np.testing.assert_allclose(found.forces[[0, 2]], expected.forces, rtol=0, atol=1e-9)
    assert not found.forces[1].any()
    for name, gradient in expected.tables.items():
        np.testing.assert_allclose(found.tables[name], gradient, rtol=1e-11, atol=1e-11)


def test_many_pairs_of_many_conformers_are_those_of_each():
    """780 pairs of 128 conformers are several blocks, those of one conformer are one."""
    U = fb.potential(chain(40), engine="numpy")
    positions = np.column_stack([0.15 * np.arange(40), 0.1 * (np.arange(40) % 2), np.zeros(40)])
    x = positions + np.random.default_rng(18).normal(scale=0.02, size=(128, 40, 3))
    found, each = U.value_and_grad(x), [U.value_and_grad(one) for one in x]
    np.testing.assert_allclose(found.energy, [one.energy for one in each], rtol=1e-12)
    forces = np.stack([one.forces for one in each])
    np.testing.assert_allclose(found.forces, forces, rtol=0, atol=1e-12 * np.abs(forces).max())
    for name, gradient in found.tables.items():
        expected = sum(one.tables[name] for one in each)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_terms_of_one_form_keep_energies_and_tables_of_their_own():
    """Of three systems, each term has none in one: what terms share is not shared out by their places."""
    rng = np.random.default_rng(19)

    def torsions(indices):
        parameters = np.column_stack([rng.normal(size=(len(indices), 2)), rng.integers(1, 7, size=len(indices))])
        return fb.TermArrays("periodic_torsion", parameters, indices)

    terms = {
        "propers": torsions([[0, 1, 2, 3], [4, 5, 6, 7]]),
        "impropers": torsions([[5, 4, 6, 7], [8, 9, 10, 11], [9, 8, 10, 11]]),
    }
    x = rng.normal(size=(2, 12, 3))
    whole = {"n_atoms": 12, "system_offsets": [0, 4, 8, 12]}
    U = fb.potential(fb.from_arrays(**whole, terms=terms), engine="numpy")
    alone = {
        name: fb.potential(fb.from_arrays(**whole, terms={name: term}), engine="numpy") for name, term in terms.items()
    }
    found, each = U.value_and_grad(x), {name: one.value_and_grad(x) for name, one in alone.items()}
    assert (found.energy != 0).all()
    np.testing.assert_allclose(found.energy, sum(one.energy for one in each.values()), rtol=1e-13)
    np.testing.assert_allclose(found.forces, sum(one.forces for one in each.values()), rtol=0, atol=1e-10)
    for name, one in each.items():
        np.testing.assert_allclose(found.tables[name], one.tables[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_weighted_sums_of_equal_whole_numbers_are_whole(engine):
    """The sum of five 0.2 · 3 is 3.0000000000000004: no periodicity, but for rounding."""
    weights = np.full(5, 0.2)
    assert sum(weights * 3) != 3
    mapping = fb.Linear(np.array([0, 5], np.int32), np.arange(5, dtype=np.int32), weights)
    parameters = {"k": np.arange(5.0), "phase": np.full(5, 0.3), "periodicity": np.full(5, 3)}
    terms = {"torsions": fb.TermArrays("periodic_torsion", parameters, [[0, 1, 2, 3]], mapping)}
    U = fb.potential(fb.from_arrays(n_atoms=4, terms=terms), engine=engine)
    x = np.array([[0.1, 0, 0.1], [0, 0, 0], [0, 0.1, 0], [0.05, 0.1, 0.1]])
    plain = {"k": [2.0], "phase": [0.3], "periodicity": [3]}
    other = {"torsions": fb.TermArrays("periodic_torsion", plain, [[0, 1, 2, 3]])}
    expected = fb.potential(fb.from_arrays(n_atoms=4, terms=other), engine="numpy").value_and_grad(x)
    found = U.value_and_grad(fb.to(x, engine))
    np.testing.assert_allclose(fb.to(found.energy, "numpy"), expected.energy, rtol=1e-13)
    np.testing.assert_allclose(fb.to(found.forces, "numpy"), expected.forces, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_conformers_of_a_large_batch_are_evaluated_a_few_at_a_time(engine, monkeypatch):
    seen = []

    def few(n_atoms):
        seen.append(n_atoms)
        return 2

    U = fb.potential(random_bundle(np.random.default_rng(20)), engine=engine)
    x = fb.to(zigzag(np.random.default_rng(21), 5).reshape(5, 1, 11, 3), engine)
    at_once = U.value_and_grad(x)
    monkeypatch.setattr("ffbridge.energy.api.conformers_with_blocks", few)
    found = U.value_and_grad(x)
    assert seen == [11]
    for name in ("energy", "forces"):
        one, other = (fb.to(getattr(each, name), "numpy") for each in (found, at_once))
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-10)
    for name, table in at_once.tables.items():
        np.testing.assert_allclose(fb.to(found.tables[name], "numpy"), fb.to(table, "numpy"), rtol=1e-11, atol=1e-10)
