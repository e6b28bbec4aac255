"""Forms of virtual sites: positions by definition, and pullbacks against differences and automatic derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.energy.virtual_sites import SITES
from ffbridge.forms import form, forms
from tests.bridge.samples import framework

xp = pytest.importorskip("array_api_compat.numpy", reason="array_api_compat is not installed")

NAMES = [name for name, declared in forms().items() if declared.kind == "virtual_site"]
N, CONFORMERS = 3, 2


def inputs(name, seed=1):
    """Settings, parents and geometry of three sites in two conformers."""
    rng = np.random.default_rng(seed)
    declared = form(name)
    n_parents = declared.arity - 1
    settings = {}
    if declared.settings:
        origin, along, other = rng.normal(size=(3, n_parents))
        settings = {
            "origin_weights": (origin + (1 - origin.sum()) / n_parents).tolist(),
            "x_weights": (along - along.mean()).tolist(),
            "y_weights": (other - other.mean()).tolist(),
        }
    parents = [rng.normal(size=(3, N, CONFORMERS)) for _ in range(n_parents)]
    return settings, parents, [rng.normal(size=(N, 1)) for _ in declared.columns]


def test_every_form_of_the_standard_is_placed():
    assert set(SITES) == set(NAMES)


def test_positions_of_a_site_on_a_line():
    start, end = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.8])
    parents = [point[:, None, None] for point in (start, end)]
    found = SITES["two_particle_site"].position(xp, {}, parents, [np.array([[0.5]]), np.array([[-0.1]])])
    np.testing.assert_allclose(found[:, 0, 0], [0.1, 0.2, 0.45], rtol=1e-15)


def test_positions_of_a_site_out_of_a_plane():
    parents = [np.array(point, dtype=float)[:, None, None] for point in ([1, 1, 1], [3, 1, 1], [1, 4, 1])]
    geometry = [np.array([[value]]) for value in (0.5, 0.25, -0.125)]
    found = SITES["out_of_plane_site"].position(xp, {}, parents, geometry)
    np.testing.assert_allclose(found[:, 0, 0], [2, 1.75, 0.25], rtol=1e-15)


def test_positions_in_local_coordinates():
    settings = {"origin_weights": [0, 1, 0], "x_weights": [-1, 1, 0], "y_weights": [-1, 0, 1]}
    parents = [np.array(point, dtype=float)[:, None, None] for point in ([0, 0, 0], [0, 2, 0], [-3, 1, 0])]
    geometry = [np.array([[value]]) for value in (0.5, 0.25, -0.125)]
    found = SITES["local_coordinates_3_site"].position(xp, settings, parents, geometry)
    # x along the second axis, z out of the page, y to the left.
    np.testing.assert_allclose(found[:, 0, 0], [-0.25, 2.5, -0.125], rtol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_pullbacks_are_those_of_differences(name):
    settings, parents, geometry = inputs(name)
    weights = np.random.default_rng(2).normal(size=(3, N, CONFORMERS))
    of_parents, of_geometry = SITES[name].pullback(xp, weights, settings, parents, geometry)

    def loss(moved):
        return np.sum(weights * SITES[name].position(xp, settings, moved[: len(parents)], moved[len(parents) :]))

    values = [*parents, *geometry]
    found = [*of_parents, *(np.sum(du, axis=1, keepdims=True) for du in of_geometry)]
    for place, value in enumerate(values):
        expected = np.zeros_like(value)
        for entry in np.ndindex(*value.shape):
            step = np.zeros_like(value)
            step[entry] = 1e-6
            ends = [loss([*values[:place], value + sign * step, *values[place + 1 :]]) for sign in (1, -1)]
            expected[entry] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(found[place], expected, rtol=1e-7, atol=1e-8, err_msg=str(place))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shared", [False, True], ids=["apart", "coincident"])
def test_pullbacks_are_those_of_automatic_differentiation(name, shared):
    """Also where the parents coincide: no direction, and no derivative of one."""
    with framework("jax"):
        import jax

        settings, parents, geometry = inputs(name)
        if shared:
            parents = [parents[0]] * len(parents)
        weights = np.random.default_rng(2).normal(size=(3, N, CONFORMERS))
        expected = SITES[name].pullback(xp, weights, settings, parents, geometry)

        def loss(parents, geometry):
            return jax.numpy.sum(weights * SITES[name].position(jax.numpy, settings, parents, geometry))

        slopes = jax.grad(loss, argnums=(0, 1))
        at = parents, geometry
        found, turned = jax.jit(lambda *at: jax.jvp(slopes, at, jax.tree.map(jax.numpy.ones_like, at)))(*at)
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one[:, 0], np.sum(other, axis=1), rtol=1e-12, atol=1e-12)
    assert all(np.isfinite(each).all() for part in turned for each in part)
