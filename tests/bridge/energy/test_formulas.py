"""Formulas of the forms: hand values, and each derivative against central differences of the energy."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from ffbridge.energy.bonded import BONDED, HIGHEST_PERIODICITY, periodic_torsion
from ffbridge.energy.mixing import ARITHMETIC, GEOMETRIC, HARMONIC
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


def test_hand_values_of_several_coordinates():
    phi = (column(0.5), column(np.sqrt(0.75)))  # 60 degrees: cos 2φ = -1/2, cos 3φ = -1
    for name in ("bond_bond", "bond_bond_13", "bond_angle", "angle_angle"):
        found = BONDED[name].energy(xp, column(0.5), column(2.0), column(10.0), column(0.3), column(1.5))
        assert found == pytest.approx(10 * 0.2 * 0.5)
    for name in ("middle_bond_torsion", "end_bond_torsion", "angle_torsion"):
        found = BONDED[name].energy(xp, column(0.5), phi, column(4.0), column(6.0), column(1.0), column(0.25))
        assert found == pytest.approx(0.25 * (2 - 3 - 1))
    angles = (column(2.0), column(1.0), phi)
    found = BONDED["angle_angle_torsion"].energy(xp, *angles, column(8.0), column(1.5), column(1.25))
    assert found == pytest.approx(8 * 0.5 * -0.25 * 0.5)
    found = BONDED["quartic_bond"].energy(xp, column(0.5), column(3.0), column(-4.0), column(16.0), column(1.0))
    assert found == pytest.approx(3 / 4 + 4 / 8 + 1)


@pytest.mark.parametrize(
    ("phi", "angle", "turn"),
    [(3.0, -3.0, 6 - 2 * np.pi), (-3.0, 3.0, 2 * np.pi - 6), (0.5, 8.0, 0.5 - 8 + 2 * np.pi), (1.0, 0.5, 0.5)],
)
def test_an_improper_turns_the_shorter_way(phi, angle, turn):
    q = (column(np.cos(phi)), column(np.sin(phi)))
    assert BONDED["harmonic_improper"].energy(xp, q, column(4.0), column(angle)) == pytest.approx(2 * turn**2)


@pytest.mark.parametrize("size", [4, 5, 24])
def test_a_map_has_its_values_at_its_points(size):
    grid = np.random.default_rng(1).normal(size=(1, size, size))
    for a in range(size):
        angles = 2 * np.pi * np.arange(size) / size
        phi, psi = np.full((1, size), angles[a]), angles[None]
        q = [(np.cos(angle), np.sin(angle)) for angle in (phi, psi)]
        np.testing.assert_allclose(BONDED["cmap"].energy(xp, *q, grid, size=size)[0], grid[0, a], rtol=0, atol=1e-13)


def test_a_map_is_the_periodic_spline_of_scipy():
    interpolate = pytest.importorskip("scipy.interpolate", reason="SciPy is not installed")
    size = 7
    grid = np.random.default_rng(2).normal(size=(size, size))
    knots = 2 * np.pi * np.arange(size + 1) / size
    phi, psi = np.random.default_rng(3).uniform(0, 2 * np.pi, size=(2, 40))
    closed = np.pad(grid, ((0, 1), (0, 1)), mode="wrap")
    # A spline through rows, each of which is a spline through its points.
    along_psi = interpolate.CubicSpline(knots, closed, axis=1, bc_type="periodic")(psi)
    expected = [
        interpolate.CubicSpline(knots, rows, bc_type="periodic")(p) for rows, p in zip(along_psi.T, phi, strict=True)
    ]
    q = [(np.cos(angle)[None], np.sin(angle)[None]) for angle in (phi, psi)]
    found = BONDED["cmap"].energy(xp, *q, grid[None], size=size)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_hand_values_of_pairs():
    energies = {name: form.energy for name, form in NONBONDED.items()}
    minimum = column(2 ** (1 / 6) * 0.3)
    assert energies["lennard_jones"](xp, {}, minimum, column(0.3), column(0.5)) == pytest.approx(-0.5)
    assert energies["coulomb"](xp, {}, column(2.0), column(-138.0)) == pytest.approx(-69.0)
    far = column(0.5)
    assert energies["buckingham"](xp, {}, far, column(8.0), column(2 * np.log(2)), column(1.0)) == pytest.approx(-60)
    assert energies["double_exponential"](xp, SETTINGS, far, far, column(0.7)) == pytest.approx(-0.7)
    _, slope, _ = NONBONDED["double_exponential"].derivatives(xp, SETTINGS, far, far, column(0.7))
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


@pytest.mark.parametrize("r_min", [0.0, -0.2])
def test_a_pair_without_size_has_no_double_exponential_energy(r_min):
    inputs = (xp, SETTINGS, column(0.3), column(r_min), column(0.7))
    assert NONBONDED["double_exponential"].energy(*inputs) == 0
    _, slope, by_parameter = NONBONDED["double_exponential"].derivatives(*inputs)
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
        u, (du_dphi,), du_dp = BONDED["periodic_torsion"].derivatives(
            xp, (xp.cos(phi), xp.sin(phi)), k, phase, parameters[2]
        )
        np.testing.assert_array_equal(du_dp[2], 0)
        return u, (du_dphi,), du_dp[:2]

    check_derivatives(energy, derivatives, phi, parameters[:2])


SEVERAL = {
    "bond_bond": [900.0, 0.15, 0.11],
    "bond_bond_13": [-900.0, 0.15, 0.11],
    "bond_angle": [700.0, 0.15, 1.9],
    "angle_angle": [30.0, 1.8, 1.9],
    "middle_bond_torsion": [-147.0, 7.1, -23.0, 0.15],
    "end_bond_torsion": [14.0, -38.0, 6.0, 0.11],
    "angle_torsion": [-1.5, -3.3, -8.5, 1.9],
    "angle_angle_torsion": [-56.0, 1.9, 1.8],
    "harmonic_improper": [80.0, -2.5],
    "quartic_bond": [1e4, -3e4, 5e4, 0.15],
    "quartic_angle": [160.0, -30.0, -11.0, 1.9],
}


@pytest.mark.parametrize("name", SEVERAL)
def test_derivatives_of_several_coordinates(name):
    """A dihedral is differentiated as its angle."""
    form, kinds = BONDED[name], [coordinate.kind for coordinate in forms()[name].coordinates]
    values = {"distance": column(0.14, 0.2), "angle": column(1.7, 2.1), "dihedral": column(1.2, -2.9)}

    def of_angles(function):
        def evaluate(xp, *inputs):
            q = [(xp.cos(x), xp.sin(x)) if kind == "dihedral" else x for x, kind in zip(inputs, kinds, strict=False)]
            return function(xp, *q, *inputs[len(kinds) :])

        return evaluate

    parameters = [column(value, value) for value in SEVERAL[name]]
    coordinates = tuple(values[kind] for kind in kinds)
    check_derivatives(of_angles(form.energy), of_angles(form.derivatives), coordinates, parameters)


def test_derivatives_of_a_map():
    size, random = 6, np.random.default_rng(5)
    grid, angles = random.normal(size=(3, size, size)), random.uniform(-np.pi, np.pi, size=(2, 3, 4))

    def energy(phi, psi, grid):
        return BONDED["cmap"].energy(xp, (xp.cos(phi), xp.sin(phi)), (xp.cos(psi), xp.sin(psi)), grid, size=size)

    q = [(np.cos(angle), np.sin(angle)) for angle in angles]
    u, slopes, (by_entry,) = BONDED["cmap"].derivatives(xp, *q, grid, size=size)
    np.testing.assert_allclose(u, energy(*angles, grid), rtol=1e-13)
    for number, slope in enumerate(slopes):
        up, down = (energy(*(angles + sign * STEP * np.eye(2)[number][:, None, None]), grid) for sign in (1, -1))
        np.testing.assert_allclose(slope, (up - down) / (2 * STEP), rtol=0, atol=1e-8)
    # Energies are linear in the map.
    np.testing.assert_allclose(np.sum(by_entry * grid.reshape(3, -1, 1), axis=1), energy(*angles, grid), rtol=1e-12)
    for entry in np.ndindex(size, size):
        unit = np.zeros((3, size, size))
        unit[:, *entry] = 1
        expected = energy(*angles, unit)
        np.testing.assert_allclose(by_entry[:, size * entry[0] + entry[1]], expected, rtol=0, atol=1e-14)


def test_the_second_derivative_of_a_map_is_right_at_its_points():
    """Where the distance to a point is 0, whose absolute value autodiff takes for constant."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import array_api_compat.torch as xt

    size, grid = 8, torch.tensor(np.random.default_rng(6).normal(size=(1, 8, 8)))

    def energy(phi):
        psi = torch.full((1, 1), 0.3, dtype=torch.float64)
        q = [(torch.cos(angle), torch.sin(angle)) for angle in (phi.reshape(1, 1), psi)]
        return BONDED["cmap"].energy(xt, *q, grid, size=size).sum()

    def slope(phi):
        return float(torch.func.grad(energy)(torch.tensor(phi, dtype=torch.float64)))

    at_point = torch.tensor(0.0, dtype=torch.float64)
    found = float(torch.func.hessian(energy)(at_point))
    assert found == pytest.approx((slope(STEP) - slope(-STEP)) / (2 * STEP), rel=1e-4)


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
        u, du_dr, du_dp = form.derivatives(xp, SETTINGS, *inputs)
        return u, (du_dr,), du_dp

    check_derivatives(energy, derivatives, column(0.29, 0.5), [column(value, value) for value in PAIR_PARAMETERS[name]])


def check_derivatives(energy, derivatives, q, parameters):
    """Check U, dU/dq and dU/dp of a form; of several coordinates `q` is a tuple."""
    coordinates = q if isinstance(q, tuple) else (q,)
    u, du_dq, du_dp = derivatives(xp, *coordinates, *parameters)
    np.testing.assert_allclose(u, energy(xp, *coordinates, *parameters), rtol=1e-13)
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


@pytest.mark.parametrize("value", [0.0, -0.5, -2.0])
def test_a_parameter_that_is_not_positive_has_root_zero_and_slope_zero(value):
    """An optimizer may step below 0: no NaN, nor by automatic differentiation, which sees both sides of a `where`."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import array_api_compat.torch as xt

    assert GEOMETRIC.variable(xp, column(value)) == 0
    assert GEOMETRIC.variable_pullback(xp, column(value), column(1.0)) == 0
    assert torch.func.grad(lambda value: GEOMETRIC.variable(xt, value))(torch.tensor(value)) == 0


def test_opposite_parameters_have_no_harmonic_mean():
    """Their sum is 0."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import array_api_compat.torch as xt

    def mean(first):
        return HARMONIC.mix(xt, {}, first, torch.tensor(-0.5))

    assert HARMONIC.mix(xp, {}, column(0.5), column(-0.5)) == 0
    assert HARMONIC.mix_pullback(xp, {}, column(0.5), column(-0.5), column(1.0)) == 0
    assert torch.isfinite(torch.func.grad(mean)(torch.tensor(0.5)))
