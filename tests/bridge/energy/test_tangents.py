"""The rules of tangents, evaluated in NumPy: each is the central difference of the energy along the same direction."""

import numpy as np
import pytest

from ffbridge.energy.bonded import BONDED
from ffbridge.energy.geometry import COORDINATES
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.pair_energy import PairEnergy
from ffbridge.energy.tangents import bonded_energy, measured, pair_energies
from ffbridge.forms import forms
from ffbridge_backends.numpy import NumpyBackend

STEP = 1e-6
SIZES = {"cmap": {"size": 4}, "coulomb_pair": {"coulomb_constant": 138.9}}
EXPONENTS = {"repulsion_exponent": 14.0, "attraction_exponent": 4.5}
ARITY = {"distance": 2, "angle": 3, "dihedral": 4}


class Along(NumpyBackend):
    """NumPy, in which a function with a rule returns its value, and value and tangent by the rule."""

    def __init__(self, tangents):
        self.tangents = tangents

    def with_tangents(self, function, rule):
        return lambda *inputs: (function(*inputs), rule(inputs, self.tangents))


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def check(found, difference):
    """Check that a rule has the function's value, and its tangent the difference."""
    value, (again, tangent) = found
    np.testing.assert_allclose(again, value, rtol=1e-13)
    np.testing.assert_allclose(tangent, difference, rtol=1e-6, atol=1e-7)


def difference(function, inputs, tangents):
    """Return the central difference of a function along tangents, of which None is none."""
    moves = [0.0 if tangent is None else tangent for tangent in tangents]
    up, down = (
        function(*(value + sign * STEP * move for value, move in zip(inputs, moves, strict=True))) for sign in (1, -1)
    )
    return (np.asarray(up) - np.asarray(down)) / (2 * STEP)


@pytest.mark.parametrize("still", [None, 0, 1])
@pytest.mark.parametrize("kind", COORDINATES)
def test_coordinates(kind, still, rng):
    corners, tangents = (list(rng.normal(size=(ARITY[kind], 3, 5, 2))) for _ in range(2))
    if still is not None:
        tangents[still] = None

    def value(*corners):
        return COORDINATES[kind].forward(np, corners)[0]

    check(measured(Along(tangents), kind, corners), difference(value, corners, tangents))


@pytest.mark.parametrize("still", ["nothing", "coordinates", "parameters"])
@pytest.mark.parametrize("name", BONDED)
def test_bonded_forms(name, still, rng):
    """A dihedral moves on its circle; both its parts have tangents, or neither."""
    declared, settings, n = forms()[name], SIZES.get(name, {}), 6
    n_coordinates = len(declared.coordinates)
    at = [rng.uniform(0.8, 2.5, size=(n, 3)) for _ in declared.coordinates]
    columns = [rng.uniform(0.5, 1.5, size=(n, *(settings[each] for each in c.shape))) for c in declared.columns]
    columns = [c if c.ndim > 1 else c[:, None] for c in columns]
    columns = [np.ceil(c) if about.integer else c for c, about in zip(columns, declared.columns, strict=True)]
    inputs = [*at, *columns]
    moves = [rng.normal(size=each.shape) for each in inputs]
    for number, about in enumerate(declared.columns, start=n_coordinates):
        if about.integer:
            moves[number] = None
    if still == "coordinates":
        moves[:n_coordinates] = [None] * n_coordinates
    if still == "parameters":
        moves[n_coordinates:] = [None] * len(columns)

    def on_circle(number, angle):
        dihedral = number < n_coordinates and declared.coordinates[number].kind == "dihedral"
        return (np.cos(angle), np.sin(angle)) if dihedral else angle

    def value(*inputs):
        return BONDED[name].energy(np, *(on_circle(*each) for each in enumerate(inputs)), **settings)

    tangents = []
    for number, (input_, move) in enumerate(zip(inputs, moves, strict=True)):
        taken = on_circle(number, input_)
        if isinstance(taken, tuple):
            tangents.append((None, None) if move is None else (-taken[1] * move, taken[0] * move))
        else:
            tangents.append(move)
    q = [on_circle(*each) for each in enumerate(at)]
    check(bonded_energy(Along(tangents), name, settings, q, columns), difference(value, inputs, moves))


@pytest.mark.parametrize(("cosine", "sine"), [(0.3, None), (None, 0.3), (0.3, -0.2)])
def test_a_part_of_a_dihedral_without_tangent_does_not_move(cosine, sine):
    """φ = atan2(sin φ, cos φ), whose differential on the unit circle is cos φ d(sin φ) - sin φ d(cos φ)."""
    found = COORDINATES["dihedral"].rate((0.6, 0.8), (cosine, sine))
    assert found == pytest.approx(0.6 * (sine or 0) - 0.8 * (cosine or 0), rel=1e-15)


@pytest.mark.parametrize("still", ["nothing", "distances", "parameters"])
@pytest.mark.parametrize("method", ["no_cutoff", "cutoff"])
@pytest.mark.parametrize("name", NONBONDED)
def test_pairs(name, method, still, rng):
    settings = {"method": method, "cutoff": 2.0, "switch_distance": 1.2, **EXPONENTS}
    evaluate = PairEnergy(NumpyBackend(), name, settings)
    parameters = [rng.uniform(0.5, 1.5, size=(6, 1)) for _ in forms()[name].columns]
    kept, excepted = np.array([[0, 0.5, 1, 1, 1, 1.0]]).T, np.array([[1, 1, 0, 0, 0, 0]]).T > 0
    inputs = [rng.uniform(0.9, 1.9, size=(6, 3)), kept, excepted, *parameters]
    tangents = [rng.normal(size=inputs[0].shape), None, None, *(rng.normal(size=each.shape) for each in parameters)]
    if still == "distances":
        tangents[0] = None
    if still == "parameters":
        tangents[3:] = [None] * len(parameters)

    def value(r, *parameters):
        return evaluate.energy(r, kept, excepted, *parameters)

    moved = difference(value, [inputs[0], *parameters], [tangents[0], *tangents[3:]])
    along = PairEnergy(Along(tangents), name, settings)
    check(pair_energies(along, *inputs[:3], parameters), moved)
