"""Potentials: engines agree, derivatives are those of the energy, degenerate geometries are clear, bad input is not."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.forms import form
from ffbridge_backends.compiled.jax import compile_energies
from tests.bridge.bundles import random_bundle, zigzag

ENGINES = ("numpy", "torch", "jax")


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def bundle(rng):
    return random_bundle(rng)


@pytest.fixture
def x(rng):
    return zigzag(rng, 2, 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_energy_is_the_sum_of_terms_for_each_system(bundle, x, engine):
    U = fb.potential(bundle, engine=engine)
    energy, terms = np.asarray(U(x)), U.by_term(x)
    assert energy.shape == (2, 3, 2)
    assert set(terms) == set(bundle.terms)
    np.testing.assert_allclose(energy, sum(np.asarray(value) for value in terms.values()), rtol=1e-13)


@pytest.mark.parametrize("engine", ENGINES)
def test_derivatives_equal_central_differences(bundle, x, engine):
    U = fb.potential(bundle, engine=engine)
    result = U.value_and_grad(x)
    np.testing.assert_allclose(np.asarray(result.energy), np.asarray(U(x)), rtol=1e-13)
    direction = np.random.default_rng(5).normal(size=x.shape)
    slope = np.sum(np.asarray(U(x + 1e-7 * direction)) - np.asarray(U(x - 1e-7 * direction))) / 2e-7
    assert -np.sum(np.asarray(result.forces) * direction) == pytest.approx(slope, rel=1e-6)
    for name, gradient in result.tables.items():
        values = bundle.tables[name].values
        for column, declared in enumerate(form(name).columns):
            if declared.integer:
                np.testing.assert_array_equal(np.asarray(gradient)[:, column], 0)
                continue
            step = 1e-6 * np.abs(values[:, column]).max()
            for row in range(len(values)):
                change = np.zeros_like(values)
                change[row, column] = step
                up, down = (np.asarray(U(x, {name: values + sign * change})) for sign in (1, -1))
                expected = np.sum(up - down) / (2 * step)
                scale = np.abs(np.asarray(gradient)[:, column]).max()
                assert np.asarray(gradient)[row, column] == pytest.approx(expected, rel=1e-5, abs=1e-6 * scale)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_automatic_derivatives_equal_the_analytic_ones(bundle, x, engine):
    analytic = fb.potential(bundle, engine="numpy").value_and_grad(x)
    automatic = fb.potential(bundle, engine=engine).value_and_grad(x)
    np.testing.assert_allclose(np.asarray(automatic.energy), analytic.energy, rtol=1e-12)
    scale = np.abs(analytic.forces).max()
    np.testing.assert_allclose(np.asarray(automatic.forces), analytic.forces, rtol=1e-11, atol=1e-12 * scale)
    for name, gradient in analytic.tables.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(np.asarray(automatic.tables[name]), gradient, rtol=1e-11, atol=1e-12 * scale)


@pytest.mark.parametrize("engine", ENGINES)
def test_systems_do_not_see_each_other(bundle, x, engine):
    moved = x.copy()
    moved[..., 6:, :] += 0.05
    U = fb.potential(bundle, engine=engine)
    np.testing.assert_array_equal(np.asarray(U(moved))[..., 0], np.asarray(U(x))[..., 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_coincident_atoms_give_inf_and_leave_the_others_finite(bundle, x, engine):
    x[..., 5, :] = x[..., 0, :]
    result = fb.potential(bundle, engine=engine).value_and_grad(x)
    assert np.isposinf(np.asarray(result.energy)[..., 0]).all()
    assert np.isfinite(np.asarray(result.energy)[..., 1]).all()
    assert np.isfinite(np.asarray(result.forces)).all()
    for gradient in result.tables.values():
        assert np.isfinite(np.asarray(gradient)).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_straight_angles_have_finite_forces(bundle, engine):
    x = np.zeros((11, 3))
    x[:, 0] = 0.15 * np.arange(11)
    result = fb.potential(bundle, engine=engine).value_and_grad(x)
    assert np.isfinite(np.asarray(result.energy)).all()
    assert np.isfinite(np.asarray(result.forces)).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bundle_in_float32_is_evaluated_in_float32(bundle, x, engine):
    single = fb.potential(bundle.to("numpy", dtype="float32"), engine=engine)
    energy = single(x.astype(np.float32))
    assert np.asarray(energy).dtype == np.float32
    np.testing.assert_allclose(np.asarray(energy), fb.potential(bundle, engine="numpy")(x), rtol=2e-4)


def test_positions_in_float32_are_widened(bundle, x):
    U = fb.potential(bundle, engine="numpy")
    narrow = x.astype(np.float32)
    np.testing.assert_array_equal(U(narrow), U(narrow.astype(float)))


def test_torch_energies_carry_gradients_through_tables(bundle, x, torch):
    values = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
    U = fb.potential(bundle, engine="torch")
    U(x, {"coulomb": values}).sum().backward()
    np.testing.assert_allclose(values.grad, U.value_and_grad(x).tables["coulomb"], rtol=1e-12)


def test_a_bundle_whose_tables_carry_gradients_passes_them_on(bundle, x, torch):
    values = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
    on_torch = bundle.to("torch").replace_table("coulomb", values)
    fb.potential(on_torch)(x).sum().backward()
    np.testing.assert_allclose(values.grad, fb.potential(bundle).value_and_grad(x).tables["coulomb"], rtol=1e-12)


def test_jax_potentials_work_inside_transformations(bundle, x):
    U = fb.potential(bundle, engine="jax")
    values = jax.numpy.asarray(bundle.tables["coulomb"].values)
    gradient = jax.jit(jax.grad(lambda charges: U(jax.numpy.asarray(x), {"coulomb": charges}).sum()))(values)
    np.testing.assert_allclose(gradient, U.value_and_grad(x).tables["coulomb"], rtol=1e-12)
    batched = jax.vmap(U)(jax.numpy.asarray(x))
    np.testing.assert_allclose(batched, U(x), rtol=1e-12)


def test_equal_structures_and_shapes_share_compiled_code(x):
    first, second = (random_bundle(np.random.default_rng(seed)) for seed in (1, 2))
    U = fb.potential(first, engine="jax")
    U(x)
    of_structure = U._evaluator
    shared = compile_energies(of_structure.backend, of_structure.structure, of_structure.evaluate).energy
    compiled = shared._cache_size()
    assert compiled
    fb.potential(second, engine="jax")(x)
    assert shared._cache_size() == compiled


@pytest.mark.parametrize(
    ("engine", "options"),
    [*((engine, {}) for engine in ENGINES), ("jax", {"shapes": "exact"}), ("torch", {"compile": True})],
)
def test_no_conformers_have_no_energies(bundle, engine, options):
    found = fb.potential(bundle, engine=engine, **options).value_and_grad(np.zeros((0, 11, 3)))
    assert tuple(found.energy.shape) == (0, 2)
    assert tuple(found.forces.shape) == (0, 11, 3)
    assert not np.asarray(found.tables["coulomb"]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bundle_without_terms_has_no_energy(engine):
    empty = fb.Bundle(np.array([0, 2], dtype=np.int32), np.array([1, 1], dtype=np.int32), {}, {})
    result = fb.potential(empty, engine=engine).value_and_grad(np.ones((4, 2, 3)))
    assert np.asarray(result.energy).shape == (4, 1)
    assert not np.asarray(result.energy).any()
    assert not np.asarray(result.forces).any()


class TestRefusals:
    def test_wrong_positions(self, bundle):
        with pytest.raises(fb.errors.BundleError, match=r"positions: got shape \(4, 3\), expected \(\.\.\., 11, 3\)"):
            fb.potential(bundle)(np.zeros((4, 3)))

    def test_wrong_table(self, bundle, x):
        with pytest.raises(fb.errors.BundleError, match=r"tables/coulomb: got shape \(1, 1\), expected \(5, 1\)"):
            fb.potential(bundle)(x, {"coulomb": np.zeros((1, 1))})

    def test_unknown_table(self, bundle, x):
        with pytest.raises(fb.errors.UnknownNameError, match="no table 'charges'; it has: coulomb, harmonic_angle"):
            fb.potential(bundle)(x, {"charges": np.zeros((5, 1))})

    def test_unknown_engine(self, bundle):
        with pytest.raises(fb.errors.UnknownNameError, match="'abacus'.*jax, .*native, numpy"):
            fb.potential(bundle, engine="abacus")

    def test_narrowing(self, bundle, x):
        with pytest.raises(fb.errors.ExchangeError, match="positions: got float64, expected float32"):
            fb.potential(bundle.to("numpy", dtype="float32"))(x)

    def test_integers(self, bundle):
        with pytest.raises(fb.errors.ExchangeError, match="positions: got int64"):
            fb.potential(bundle)(np.zeros((11, 3), dtype=int))

    def test_a_gradient_into_another_framework(self, bundle, x, torch):
        with pytest.raises(fb.errors.ExchangeError, match="requires grad.*host='torch'"):
            fb.potential(bundle, engine="jax")(torch.tensor(x, requires_grad=True))

    def test_float64_while_jax_has_x64_off(self, bundle):
        with jax.enable_x64(False), pytest.raises(fb.errors.ExchangeError, match="jax_enable_x64"):
            fb.potential(bundle, engine="jax")

    def test_methods_that_are_not_evaluated(self, bundle):
        whole = bundle.terms["electrostatics"]
        settings = {**whole.settings, "method": "reaction_field", "cutoff": 0.9, "periodic": False, "dielectric": 78.3}
        terms = {**bundle.terms, "electrostatics": replace(whole, settings=settings)}
        changed = replace(bundle, terms=terms)
        match = "terms/electrostatics/settings/method.*not 'reaction_field'"
        with pytest.raises(fb.errors.UnsupportedError, match=match):
            fb.potential(changed, engine="jax")
