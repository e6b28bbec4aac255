"""How many conformers are evaluated at once, and for how many numbers of them something is compiled."""

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.energy.chunks import bucket, chunk_of, conformers_at_once
from tests.bridge.bundles import random_bundle, zigzag


@pytest.mark.parametrize(("interactions", "expected"), [(0, 64), (2730, 64), (2731, 32), (11000, 8), (10**6, 8)])
def test_what_is_evaluated_at_once_fits_in_four_mebibytes(interactions, expected):
    arrays = {"pairs/systems": np.zeros(interactions), "pairs/atoms": np.zeros(2 * interactions)}
    assert conformers_at_once(arrays) == expected


def test_few_numbers_of_conformers_are_compiled():
    buckets = {n: bucket(n, 64) for n in range(1, 1001)}
    assert all(found >= n for n, found in buckets.items())
    assert len(set(buckets.values())) == 41
    assert all(found - n < 4 * -(-n // 64) for n, found in buckets.items() if 64 < n <= 512)
    assert all(found < 1.25 * n for n, found in buckets.items() if n > 64)


@pytest.mark.parametrize("at_once", [8, 16, 64])
def test_buckets_are_whole_numbers_of_chunks(at_once):
    for n in range(1, 1001):
        found = bucket(n, at_once)
        chunk = chunk_of(found, at_once)
        assert found % chunk == 0
        assert chunk <= at_once
    assert chunk_of(0, at_once) == 0


@pytest.mark.parametrize("n_conformers", [64, pytest.param(150, marks=pytest.mark.slow)])
def test_chunks_have_the_energies_and_derivatives_of_the_whole(n_conformers):
    bundle = random_bundle(np.random.default_rng(11))
    x = zigzag(np.random.default_rng(12), n_conformers)
    expected = fb.potential(bundle, engine="numpy").value_and_grad(x)
    with jax.enable_x64(True):
        U = fb.potential(bundle, engine="jax", shapes="exact")
        assert U._evaluator.at_once == 64
        found = U.value_and_grad(x)
        pairs = [
            (U(x), expected.energy),
            (found.energy, expected.energy),
            (found.forces, expected.forces),
            (U.energy_and_forces(x)[1], expected.forces),
            (-jax.grad(lambda x: U(x).sum())(jax.numpy.asarray(x)), expected.forces),
            *((found.tables[name], table) for name, table in expected.tables.items()),
        ]
    for one, other in pairs:
        assert one.shape == other.shape
        assert np.abs(np.asarray(one) - other).max() <= 1e-12 * np.abs(other).max()


def test_tangents_and_second_derivatives_go_through_chunks():
    bundle = random_bundle(np.random.default_rng(11))
    x = zigzag(np.random.default_rng(12), 70)
    with jax.enable_x64(True):
        U = fb.potential(bundle, engine="jax")
        here, along = jax.numpy.asarray(x), jax.numpy.asarray(np.random.default_rng(1).normal(size=x.shape))
        gradient = jax.grad(lambda x: U(x).sum())
        slope = float(jax.jvp(lambda x: U(x).sum(), (here,), (along,))[1])
        product = np.asarray(jax.jvp(gradient, (here,), (along,))[1])
        parts = [np.asarray(jax.jvp(gradient, (here[i : i + 1],), (along[i : i + 1],))[1]) for i in (0, 69)]
    forces = fb.potential(bundle, engine="numpy").value_and_grad(x).forces
    assert slope == pytest.approx(-np.sum(forces * np.asarray(along)), rel=1e-11)
    for i, part in zip((0, 69), parts, strict=True):
        assert np.abs(product[i] - part[0]).max() <= 1e-11 * np.abs(part).max()
