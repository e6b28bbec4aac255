"""Formulas of the forms: hand values, and each derivative against central differences of the energy."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from ffbridge.energy.bonded import BONDED, HIGHEST_PERIODICITY, periodic_torsion
from ffbridge.energy.mixing import ARITHMETIC, GEOMETRIC
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.forms import forms

STEP = 1e-6
SETTINGS = {"coulomb_constant": 138.9, "repulsion_exponent": 14.0, "attraction_exponent": 4.5}
MIXINGS = [(name, rule) for name, form in NONBONDED.items() for rule in form.mixing]


def column(*values):
    return np.asarray(values, dtype=float)[:, None]


def test_every_form_of_the_standard_has_a_formula():
    known = {"bonded": set(BONDED), "nonbonded": set(NONBONDED)}
    for kind, formulas in known.items():
        assert formulas == {name for name, form in forms().items() if form.kind == kind}


def test_every_mixing_rule_of_the_standard_has_a_formula():
    for name, formula in NONBONDED.items():
        assert tuple(formula.mixing) == (forms()[name].mixing_rules or ("",))


def test_hand_values():
    assert BONDED["harmonic_bond"].energy(xp, column(0.15), column(2000.0), column(0.1)) == pytest.approx(2.5)
    assert BONDED["harmonic_angle"].energy(xp, column(2.0), column(400.0), column(1.5)) == pytest.approx(50.0)
    quarter = (column(0.0), column(1.0))
    assert periodic_torsion(xp, quarter, column(3.0), column(0.0), column(2.0)) == pytest.approx(0.0)
    assert periodic_torsion(xp, quarter, column(3.0), column(np.pi / 2), column(1.0)) == pytest.approx(6.0)
    assert periodic_torsion(xp, quarter, column(3.0), column(-np.pi / 2), column(1.0)) == pytest.approx(0.0)
    assert BONDED["urey_bradley"].energy(xp, column(0.3), column(2000.0), column(0.25)) == pytest.approx(2.5)
    halfway = column(0.1 + np.log(2) / 20)
    assert BONDED["morse"].energy(xp, halfway, column(400.0), column(20.0), column(0.1)) == pytest.approx(100.0)
    coefficients = [column(float(2**n)) for n in range(6)]
    for cosine, expected in ((-1.0, 63), (1.0, 1 - 2 + 4 - 8 + 16 - 32), (0.0, 1)):  # trans, cis, a right angle
        q = (column(cosine), column(np.sqrt(1 - cosine**2)))
        assert BONDED["ryckaert_bellemans"].energy(xp, q, *coefficients) == pytest.approx(expected)


def test_hand_values_of_pairs():
    energies = {name: form.energy for name, form in NONBONDED.items()}
    minimum = column(2 ** (1 / 6) * 0.3)
    assert energies["lennard_jones"](xp, {}, minimum, column(0.3), column(0.5)) == pytest.approx(-0.5)
    assert energies["coulomb"](xp, {}, column(2.0), column(-138.0)) == pytest.approx(-69.0)
    far = column(0.5)
    assert energies["buckingham"](xp, {}, far, column(8.0), column(2 * np.log(2)), column(1.0)) == pytest.approx(-60)
    assert energies["double_exponential"](xp, SETTINGS, far, far, column(0.7)) == pytest.approx(-0.7)
    slope, _ = NONBONDED["double_exponential"].derivatives(xp, SETTINGS, far, far, column(0.7))
    assert slope == pytest.approx(0, abs=1e-13)
    third = (4.5 * np.exp(14 / 3) - 14 * np.exp(1.5)) / 9.5
    found = energies["double_exponential"](xp, SETTINGS, column(0.4), column(0.6), column(0.7))
    assert found == pytest.approx(0.7 * third)


def test_mixed_parameters():
    def mixed(name, rule, first, second):
        mixing = NONBONDED[name].mixing[rule]
        variables = (mixing.variables(xp, *map(column, parameters)) for parameters in (first, second))
        return [float(value[0, 0]) for value in mixing.mix(xp, SETTINGS, *variables)]

    for name in ("lennard_jones", "double_exponential"):
        assert mixed(name, "lorentz_berthelot", (0.2, 0.5), (0.4, 2.0)) == pytest.approx([0.3, 1.0])
        assert mixed(name, "geometric", (0.2, 0.5), (0.8, 2.0)) == pytest.approx([0.4, 1.0])
    assert mixed("buckingham", "buckingham", (2.0, 10.0, 0.0), (8.0, 30.0, 3.0)) == pytest.approx([4.0, 15.0, 0.0])
    assert mixed("coulomb", "", (0.5,), (-1.0,)) == pytest.approx([-69.45])


def test_buckingham_has_the_catastrophe_that_the_standard_states():
    r = np.linspace(0.02, 0.6, 500)[:, None]
    energy = NONBONDED["buckingham"].energy(xp, {}, r, column(350000.0), column(36.0), column(0.0025))[:, 0]
    top = int(energy.argmax())
    assert 0 < top < len(r) - 1
    assert (np.diff(energy[: top + 1]) > 0).all()
    assert energy[0] < -1e6


def test_a_pair_without_size_has_no_double_exponential_energy():
    inputs = (xp, SETTINGS, column(0.3), column(0.0), column(0.7))
    assert NONBONDED["double_exponential"].energy(*inputs) == 0
    slope, by_parameter = NONBONDED["double_exponential"].derivatives(*inputs)
    assert [slope, *by_parameter] == [0, 0, 0]


@pytest.mark.parametrize("n", range(1, HIGHEST_PERIODICITY + 1))
def test_torsions_of_every_periodicity_equal_the_cosine(n):
    phi = np.linspace(-np.pi, np.pi, 37)[None, :]
    energy = periodic_torsion(xp, (np.cos(phi), np.sin(phi)), column(2.5), column(0.7), column(n))
    np.testing.assert_allclose(energy, 2.5 * (1 + np.cos(n * phi - 0.7)), atol=2e-14)


@pytest.mark.parametrize("n", [2.5, -1.0, HIGHEST_PERIODICITY + 1.0, np.nan])
def test_a_periodicity_that_is_not_evaluated_gives_nan_and_no_number(n):
    assert np.isnan(periodic_torsion(xp, (column(0.6), column(0.8)), column(1.0), column(0.0), column(n)))


@pytest.mark.parametrize("name", ["harmonic_bond", "harmonic_angle", "urey_bradley"])
def test_derivatives_of_harmonic_forms(name):
    check_derivatives(
        BONDED[name].energy, BONDED[name].derivatives, column(0.2, 1.9), [column(300.0, 90), column(0.15, 2)]
    )


def test_derivatives_of_morse():
    parameters = [column(410.0, 436), column(20.5, 18), column(0.153, 0.109)]
    check_derivatives(BONDED["morse"].energy, BONDED["morse"].derivatives, column(0.14, 0.16), parameters)


def test_derivatives_of_ryckaert_bellemans():
    rows = np.random.default_rng(1).normal(scale=9, size=(6, 3))
    form = BONDED["ryckaert_bellemans"]

    def energy(xp, phi, *coefficients):
        return form.energy(xp, (xp.cos(phi), xp.sin(phi)), *coefficients)

    def derivatives(xp, phi, *coefficients):
        return form.derivatives(xp, (xp.cos(phi), xp.sin(phi)), *coefficients)

    check_derivatives(energy, derivatives, column(0.3, -2.0, 3.1), [column(*row) for row in rows])


def test_derivatives_of_torsions():
    phi, parameters = column(0.3, -2.0, 3.1), [column(3.0, -1.0, 2.0), column(0.4, 0.0, np.pi), column(1, 3, 6)]

    def energy(xp, phi, k, phase):
        return periodic_torsion(xp, (xp.cos(phi), xp.sin(phi)), k, phase, parameters[2])

    def derivatives(xp, phi, k, phase):
        (du_dphi,), du_dp = BONDED["periodic_torsion"].derivatives(
            xp, (xp.cos(phi), xp.sin(phi)), k, phase, parameters[2]
        )
        np.testing.assert_array_equal(du_dp[2], 0)
        return (du_dphi,), du_dp[:2]

    check_derivatives(energy, derivatives, phi, parameters[:2])


PAIR_PARAMETERS = {
    "lennard_jones": [0.31, 0.6],
    "coulomb": [-55.0],
    "buckingham": [350000.0, 36.0, 0.0025],
    "double_exponential": [0.34, 0.6],
}


@pytest.mark.parametrize("name", NONBONDED)
def test_derivatives_of_pair_forms(name):
    form = NONBONDED[name]

    def energy(xp, *inputs):
        return form.energy(xp, SETTINGS, *inputs)

    def derivatives(xp, *inputs):
        du_dr, du_dp = form.derivatives(xp, SETTINGS, *inputs)
        return (du_dr,), du_dp

    check_derivatives(energy, derivatives, column(0.29, 0.5), [column(value, value) for value in PAIR_PARAMETERS[name]])


def check_derivatives(energy, derivatives, q, parameters):
    """Check dU/dq and dU/dp of a form; of several coordinates `q` is a tuple."""
    coordinates = q if isinstance(q, tuple) else (q,)
    du_dq, du_dp = derivatives(xp, *coordinates, *parameters)
    assert (len(du_dq), len(du_dp)) == (len(coordinates), len(parameters))
    inputs = [*coordinates, *parameters]
    for position, analytic in enumerate([*du_dq, *du_dp]):
        step = STEP * np.maximum(1.0, abs(inputs[position]))
        up, down = list(inputs), list(inputs)
        up[position], down[position] = inputs[position] + step, inputs[position] - step
        numeric = (energy(xp, *up) - energy(xp, *down)) / (2 * step)
        np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "rule"), MIXINGS)
def test_derivatives_of_mixing(name, rule):
    mixing = NONBONDED[name].mixing[rule]
    rng = np.random.default_rng(3)
    first, second = (tuple(rng.uniform(0.2, 0.6, size=(6, 1)) for _ in forms()[name].columns) for _ in range(2))
    cotangents = tuple(rng.normal(size=(6, 1)) for _ in mixing.mix(xp, SETTINGS, first, second))

    def mixed(parameters):
        found = mixing.mix(xp, SETTINGS, mixing.variables(xp, *parameters), mixing.variables(xp, *second))
        return sum(weight * value for weight, value in zip(cotangents, found, strict=True))

    variables = (mixing.variables(xp, *parameters) for parameters in (first, second))
    analytic = mixing.variables_pullback(xp, first, mixing.mix_pullback(xp, SETTINGS, *variables, cotangents))
    for position, gradient in enumerate(analytic):
        up, down = list(first), list(first)
        up[position], down[position] = first[position] + STEP, first[position] - STEP
        np.testing.assert_allclose(gradient, (mixed(up) - mixed(down)) / (2 * STEP), rtol=1e-6)


@pytest.mark.parametrize(("name", "rule"), MIXINGS)
def test_parameters_that_vanish_have_derivative_zero_and_no_nan(name, rule):
    mixing, n_columns = NONBONDED[name].mixing[rule], len(forms()[name].columns)
    nothing, ones = (column(0.0),) * n_columns, (column(1.0),) * n_columns
    variables = mixing.variables(xp, *nothing)
    assert mixing.mix(xp, SETTINGS, variables, variables) == nothing
    pulled = mixing.mix_pullback(xp, SETTINGS, variables, variables, ones)
    found = mixing.variables_pullback(xp, nothing, pulled)
    for mean, value in zip(mixing.means, found, strict=True):
        assert value == (0.5 if mean is ARITHMETIC else 0)
        if mean is GEOMETRIC:
            assert mean.variable_pullback(xp, column(0.0), column(1.0)) == 0
