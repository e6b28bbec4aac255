"""Formulas of the forms: hand values, and each derivative against central differences of the energy."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from ffbridge.energy.bonded import BONDED, HIGHEST_PERIODICITY, periodic_torsion
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.forms import forms

STEP = 1e-6


def column(*values):
    return np.asarray(values, dtype=float)[:, None]


def test_every_form_of_the_standard_has_a_formula():
    known = {"bonded": set(BONDED), "nonbonded": set(NONBONDED)}
    for kind, formulas in known.items():
        assert formulas == {name for name, form in forms().items() if form.kind == kind}


def test_hand_values():
    assert BONDED["harmonic_bond"].energy(xp, column(0.15), column(2000.0), column(0.1)) == pytest.approx(2.5)
    assert BONDED["harmonic_angle"].energy(xp, column(2.0), column(400.0), column(1.5)) == pytest.approx(50.0)
    quarter = (column(0.0), column(1.0))
    assert periodic_torsion(xp, quarter, column(3.0), column(0.0), column(2.0)) == pytest.approx(0.0)
    assert periodic_torsion(xp, quarter, column(3.0), column(np.pi / 2), column(1.0)) == pytest.approx(6.0)
    assert periodic_torsion(xp, quarter, column(3.0), column(-np.pi / 2), column(1.0)) == pytest.approx(0.0)
    minimum = column(2 ** (1 / 6) * 0.3)
    assert NONBONDED["lennard_jones"].energy(xp, minimum, column(0.3), column(0.5)) == pytest.approx(-0.5)
    assert NONBONDED["coulomb"].energy(xp, column(2.0), column(-138.0)) == pytest.approx(-69.0)


@pytest.mark.parametrize("n", range(1, HIGHEST_PERIODICITY + 1))
def test_torsions_of_every_periodicity_equal_the_cosine(n):
    phi = np.linspace(-np.pi, np.pi, 37)[None, :]
    energy = periodic_torsion(xp, (np.cos(phi), np.sin(phi)), column(2.5), column(0.7), column(n))
    np.testing.assert_allclose(energy, 2.5 * (1 + np.cos(n * phi - 0.7)), atol=2e-14)


@pytest.mark.parametrize("n", [2.5, -1.0, HIGHEST_PERIODICITY + 1.0, np.nan])
def test_a_periodicity_that_is_not_evaluated_gives_nan_and_no_number(n):
    assert np.isnan(periodic_torsion(xp, (column(0.6), column(0.8)), column(1.0), column(0.0), column(n)))


@pytest.mark.parametrize("name", ["harmonic_bond", "harmonic_angle"])
def test_derivatives_of_harmonic_forms(name):
    check_derivatives(
        BONDED[name].energy, BONDED[name].derivatives, column(0.2, 1.9), [column(300.0, 90), column(0.15, 2)]
    )


def test_derivatives_of_torsions():
    phi, parameters = column(0.3, -2.0, 3.1), [column(3.0, -1.0, 2.0), column(0.4, 0.0, np.pi), column(1, 3, 6)]

    def energy(xp, phi, k, phase):
        return periodic_torsion(xp, (xp.cos(phi), xp.sin(phi)), k, phase, parameters[2])

    def derivatives(xp, phi, k, phase):
        du_dphi, du_dp = BONDED["periodic_torsion"].derivatives(xp, (xp.cos(phi), xp.sin(phi)), k, phase, parameters[2])
        np.testing.assert_array_equal(du_dp[2], 0)
        return du_dphi, du_dp[:2]

    check_derivatives(energy, derivatives, phi, parameters[:2])


@pytest.mark.parametrize(("name", "parameters"), [("lennard_jones", [0.31, 0.6]), ("coulomb", [-55.0])])
def test_derivatives_of_pair_forms(name, parameters):
    form = NONBONDED[name]
    check_derivatives(form.energy, form.derivatives, column(0.29, 0.5), [column(value, value) for value in parameters])


def check_derivatives(energy, derivatives, q, parameters):
    du_dq, du_dp = derivatives(xp, q, *parameters)
    assert len(du_dp) == len(parameters)
    inputs = [q, *parameters]
    for position, analytic in enumerate([du_dq, *du_dp]):
        step = STEP * np.maximum(1.0, abs(inputs[position]))
        up, down = list(inputs), list(inputs)
        up[position], down[position] = inputs[position] + step, inputs[position] - step
        numeric = (energy(xp, *up) - energy(xp, *down)) / (2 * step)
        np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NONBONDED)
def test_derivatives_of_mixing(name):
    form, settings = NONBONDED[name], {"coulomb_constant": 138.9, "mixing_rule": "lorentz_berthelot"}
    rng = np.random.default_rng(3)
    first, second = (tuple(rng.uniform(0.2, 0.6, size=(6, 1)) for _ in forms()[name].columns) for _ in range(2))
    cotangents = tuple(rng.normal(size=(6, 1)) for _ in form.mix(xp, settings, first, second))

    def mixed(parameters):
        found = form.mix(xp, settings, form.variables(xp, *parameters), form.variables(xp, *second))
        return sum(weight * value for weight, value in zip(cotangents, found, strict=True))

    analytic = form.variables_pullback(
        xp,
        first,
        form.mix_pullback(xp, settings, form.variables(xp, *first), form.variables(xp, *second), cotangents),
    )
    for position, gradient in enumerate(analytic):
        up, down = list(first), list(first)
        up[position], down[position] = first[position] + STEP, first[position] - STEP
        np.testing.assert_allclose(gradient, (mixed(up) - mixed(down)) / (2 * STEP), rtol=1e-6)


def test_a_vanishing_epsilon_has_derivative_zero_and_no_nan():
    form = NONBONDED["lennard_jones"]
    parameters = (column(0.3), column(0.0))
    variables = form.variables(xp, *parameters)
    assert variables[1] == 0
    assert form.variables_pullback(xp, parameters, (column(1.0), column(1.0)))[1] == 0
