"""Nonbonded methods: hand values, slopes against differences, the cutoff, and OpenMM where it has the method."""

from __future__ import annotations

from dataclasses import replace
from math import cos, erfc, pi

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.backend import Backend
from ffbridge.energy.methods import METHODS, PLAIN_METHOD
from ffbridge.errors import UnsupportedError
from ffbridge.forms import forms
from ffbridge.registry import get_backend
from ffbridge.units import COULOMB_CONSTANT

ENGINES = ("numpy", "torch", "jax")
SETTINGS = {"cutoff": {"cutoff": 1.1, "switch_distance": 0.8}, "timemachine": {"cutoff": 1.2, "beta": 2.0}}


def numpy_backend():
    return get_backend("numpy")


def evaluate(method, r, *, excepted=False, **settings):
    r = np.asarray(r, dtype=float)[:, None]
    marks = np.full(r.shape, excepted)
    settings = SETTINGS[method] | settings
    of_pairs = (numpy_backend(), settings, r, marks)
    return METHODS[method].evaluate(*of_pairs)[:, 0], METHODS[method].differentiate(*of_pairs)[:, 0]


def test_methods_are_those_of_the_standard():
    known = {method for form in forms().values() for method in form.methods}
    assert {PLAIN_METHOD, *METHODS} <= known
    assert set(SETTINGS) == set(METHODS)


def test_hand_values():
    factors, _ = evaluate("timemachine", [0.3, 0.9, 1.19])
    expected = [erfc(2 * r) * cos(pi / 2 * (r / 1.2) ** 8) ** 3 for r in (0.3, 0.9, 1.19)]
    np.testing.assert_allclose(factors, expected, rtol=1e-14)
    factors, _ = evaluate("cutoff", [0.5, 0.8, 0.95, 1.0999])
    np.testing.assert_allclose(factors, [1, 1, 0.5, 0], atol=1e-9)
    factors, _ = evaluate("cutoff", [0.5, 1.0999], switch_distance=1.1)
    np.testing.assert_array_equal(factors, [1, 1])


@pytest.mark.parametrize("method", METHODS)
def test_slopes_equal_central_differences(method):
    r = np.array([0.15, 0.4, 0.79, 0.85, 0.99, 1.08])
    up, down = (evaluate(method, r + sign * 1e-6)[0] for sign in (1, -1))
    np.testing.assert_allclose(evaluate(method, r)[1], (up - down) / 2e-6, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_beyond_the_cutoff_nothing_is_left_but_of_spared_exceptions(method):
    beyond = [SETTINGS[method]["cutoff"], 1.3, 40.0, 1e60]
    for found in evaluate(method, beyond):
        np.testing.assert_array_equal(found, 0)
    spared = float(METHODS[method].spares_exceptions)
    for found, expected in zip(evaluate(method, [0.95, *beyond], excepted=True), (spared, 0), strict=True):
        np.testing.assert_array_equal(found[1:], expected)
    assert METHODS["cutoff"].spares_exceptions
    assert not METHODS["timemachine"].spares_exceptions


def chain(**settings):
    """Two systems of six atoms, one of each without Lennard-Jones, with exceptions near and beyond the cutoff."""
    rng = np.random.default_rng(8)
    atoms = np.arange(12, dtype=np.int32)[:, None]
    vdw, charge = forms()["lennard_jones"], forms()["coulomb"]
    epsilon = rng.uniform(0.1, 0.9, size=12)
    epsilon[[0, 7]] = 0
    tables = {
        "vdw": fb.Table(np.column_stack([rng.uniform(0.2, 0.3, size=12), epsilon]), vdw.column_names, vdw.units),
        "electrostatics": fb.Table(rng.normal(scale=0.4, size=(12, 1)), charge.column_names, charge.units),
    }
    lj = {"mixing_rule": "lorentz_berthelot", "method": "cutoff", "cutoff": 1.1, "periodic": False}
    q = {"coulomb_constant": COULOMB_CONSTANT, "method": "timemachine", "cutoff": 1.2, "beta": 2.0, "periodic": False}
    lj |= settings.pop("vdw", {})
    return fb.Bundle(
        system_offsets=np.array([0, 6, 12], dtype=np.int32),
        atomic_numbers=np.full(12, 6, dtype=np.int32),
        tables=tables,
        terms={
            "vdw": fb.Term("lennard_jones", atoms, "vdw", fb.Identity(), lj),
            "electrostatics": fb.Term("coulomb", atoms, "electrostatics", fb.Identity(), q | settings),
        },
        exceptions=fb.Exceptions(
            np.array([[0, 1], [0, 4], [1, 3], [6, 11], [7, 8]], dtype=np.int32),
            np.array([0, 0.7, 1, 0.6, 0]),
            np.array([0, 0.5, 0.4, 0.8, 0.3]),
        ),
    )


def positions(seed=2):
    rng = np.random.default_rng(seed)
    one = np.column_stack([0.3 * np.arange(6), 0.1 * (np.arange(6) % 2), np.zeros(6)])
    return np.concatenate([one, one + 50.0]) + rng.normal(scale=0.02, size=(3, 12, 3))


def by_hand(bundle, x):
    """Both energies of each system by loops over pairs, from the standard's text."""
    lj, q = bundle.terms["vdw"].settings, bundle.terms["electrostatics"].settings
    exceptions = {tuple(pair): number for number, pair in enumerate(bundle.exceptions.pairs.tolist())}
    sigma, epsilon = bundle.tables["vdw"].values.T
    charge = bundle.tables["electrostatics"].values[:, 0]
    found = np.zeros((2, 2))
    for i in range(12):
        for j in range(i + 1, 12):
            if i // 6 != j // 6:
                continue
            r, number = np.linalg.norm(x[i] - x[j]), exceptions.get((i, j))
            sixth = ((sigma[i] + sigma[j]) / 2 / r) ** 6
            u = 4 * np.sqrt(epsilon[i] * epsilon[j]) * (sixth**2 - sixth)
            found[i // 6, 0] += u * (r < lj["cutoff"]) if number is None else u * bundle.exceptions.kept_lj[number]
            u = q["coulomb_constant"] * charge[i] * charge[j] / r * erfc(q["beta"] * r)
            u *= cos(pi / 2 * (r / q["cutoff"]) ** 8) ** 3 * (r < q["cutoff"])
            found[i // 6, 1] += u if number is None else u * bundle.exceptions.kept_charge[number]
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_energies_equal_a_loop_over_pairs(engine):
    bundle, x = chain(), positions()
    terms = fb.potential(bundle, engine=engine, host="numpy").by_term(x)
    expected = np.stack([by_hand(bundle, each) for each in x])
    np.testing.assert_allclose(terms["vdw"], expected[..., 0], rtol=1e-12)
    np.testing.assert_allclose(terms["electrostatics"], expected[..., 1], rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_derivatives_equal_central_differences(engine):
    bundle, x = chain(vdw={"switch_distance": 0.7}), positions()
    U = fb.potential(bundle, engine=engine, host="numpy")
    energy, forces, tables = U.value_and_grad(x)
    np.testing.assert_allclose(energy, U(x), rtol=1e-13)
    direction = np.random.default_rng(5).normal(size=x.shape)
    slope = np.sum(U(x + 1e-6 * direction) - U(x - 1e-6 * direction)) / 2e-6
    assert -np.sum(forces * direction) == pytest.approx(slope, rel=1e-7)
    for name, gradient in tables.items():
        values = bundle.tables[name].values
        # Where epsilon is 0, its derivative is 0 by definition, and no difference can be taken.
        direction = np.where(values == 0, 0, np.random.default_rng(6).normal(size=values.shape))
        up, down = (np.sum(U(x, {name: values + sign * 1e-6 * direction})) for sign in (1, -1))
        assert np.sum(gradient * direction) == pytest.approx((up - down) / 2e-6, rel=1e-7)
    np.testing.assert_array_equal(tables["vdw"][[0, 7], 1], 0)


def test_second_derivatives_are_finite_and_equal_in_both_frameworks():
    bundle, x = chain(), positions()[:1]
    vector = np.random.default_rng(9).normal(size=x.shape)

    def product(engine):
        U = fb.potential(bundle, engine=engine, host="jax")
        gradient = jax.grad(lambda x: U(x).sum())
        return jax.grad(lambda x: (gradient(x) * vector).sum())(x)

    with jax.enable_x64(True):
        by_jax, by_torch = np.asarray(product("jax")), np.asarray(product("torch"))
    assert np.isfinite(by_jax).all()
    np.testing.assert_allclose(by_jax, by_torch, rtol=0, atol=1e-12 * np.abs(by_jax).max())


@pytest.mark.parametrize("switch", [None, 0.6])
def test_a_cutoff_equals_that_of_openmm(switch):
    openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
    bundle, x = chain(vdw={} if switch is None else {"switch_distance": switch}), positions()[0, :6]
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(force.CutoffNonPeriodic)
    force.setCutoffDistance(1.1)
    if switch is not None:
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(switch)
    system = openmm.System()
    parameters = bundle.tables["vdw"].values[:6]
    for sigma, epsilon in parameters:
        system.addParticle(1.0)
        force.addParticle(0.0, sigma, epsilon)
    for (i, j), kept in zip(bundle.exceptions.pairs[:3].tolist(), bundle.exceptions.kept_lj[:3], strict=True):
        sigma, epsilon = parameters[[i, j], 0].mean(), np.sqrt(parameters[i, 1] * parameters[j, 1])
        force.addException(i, j, 0.0, sigma, kept * epsilon)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x)
    state = context.getState(energy=True, forces=True)
    vdw_only = replace(bundle, terms={"vdw": bundle.terms["vdw"]}, tables={"vdw": bundle.tables["vdw"]})
    found = fb.potential(vdw_only, engine="numpy").value_and_grad(np.concatenate([x, x + 50]))
    assert found.energy[0] == pytest.approx(state.getPotentialEnergy()._value, rel=1e-12)
    forces = np.array(state.getForces(asNumpy=True)._value)
    np.testing.assert_allclose(found.forces[:6], forces, rtol=0, atol=1e-12 * np.abs(forces).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_box_is_refused_by_name(engine):
    with pytest.raises(UnsupportedError, match="terms/electrostatics/settings/periodic: .* not True"):
        fb.potential(replace(chain(periodic=True), box=np.tile(np.eye(3) * 5, (2, 1, 1))), engine=engine, host="numpy")


def test_a_backend_without_erfc_says_so(monkeypatch):
    """And potentials that need it are refused before anything is evaluated; others are made."""
    with pytest.raises(UnsupportedError, match="does not implement erfc"):
        Backend.erfc(numpy_backend(), np.zeros(1))
    monkeypatch.setattr(type(numpy_backend()), "erfc", Backend.erfc)
    with pytest.raises(UnsupportedError, match="terms/electrostatics: the method 'timemachine' needs erfc"):
        fb.potential(chain(), engine="numpy")
    bundle = chain()
    only = replace(bundle, terms={"vdw": bundle.terms["vdw"]}, tables={"vdw": bundle.tables["vdw"]})
    assert np.isfinite(fb.potential(only, engine="numpy")(positions())).all()


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erfc_keeps_shape_and_dtype(name, dtype):
    with jax.enable_x64(True):
        values = np.linspace(-1, 6, 12, dtype=dtype).reshape(3, 4)
        found = fb.to(get_backend(name).erfc(fb.to(values, name)), "numpy")
    assert found.dtype == dtype
    expected = np.array([erfc(value) for value in values.ravel().tolist()]).reshape(3, 4)
    np.testing.assert_allclose(found, expected, rtol=5e-6 if dtype == "float32" else 1e-13)


@pytest.mark.gpu
def test_cupy_has_erfc():
    values = np.linspace(-1, 6, 12)
    found = fb.to(get_backend("cupy").erfc(fb.to(values, "cupy")), "numpy")
    np.testing.assert_allclose(found, [erfc(value) for value in values.tolist()], rtol=1e-13)
