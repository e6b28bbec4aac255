"""Internal coordinates: hand values, pullbacks against central differences, finite derivatives at degenerate points."""

from contextlib import nullcontext

import array_api_compat.numpy as xp
import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.energy.geometry import COORDINATES
from ffbridge.energy.vectors import cross
from ffbridge.registry import get_backend

ARITY = {"distance": 2, "angle": 3, "dihedral": 4}


def corners(*points):
    return [np.asarray(point, dtype=float)[:, None, None] for point in points]


def phi(name, points):
    """The coordinate as one number; a dihedral as its angle."""
    q, _ = COORDINATES[name].forward(xp, points)
    return np.arctan2(q[1], q[0]) if name == "dihedral" else q


def test_hand_values():
    assert phi("distance", corners((0, 0, 0), (3, 4, 12)))[0, 0] == 13.0
    assert phi("angle", corners((1, 0, 0), (0, 0, 0), (0, 2, 0)))[0, 0] == np.pi / 2
    assert phi("angle", corners((1, 0, 0), (0, 0, 0), (-2, 0, 0)))[0, 0] == np.pi
    assert phi("angle", corners((1, 0, 0), (0, 0, 0), (5, 0, 0)))[0, 0] == 0.0


@pytest.mark.parametrize("degrees", [-179.0, -120.0, -60.0, 0.0, 1e-6, 60.0, 90.0, 150.0, 180.0])
def test_dihedral_has_the_iupac_sign(degrees):
    # Looking from the second atom to the third (along +z), the far bond is turned clockwise (x to y) from the near one.
    angle = np.radians(degrees)
    points = corners((1, 0, 0), (0, 0, 0), (0, 0, 1), (np.cos(angle), np.sin(angle), 1))
    assert phi("dihedral", points)[0, 0] == pytest.approx(angle, abs=1e-15)


@pytest.mark.parametrize("name", COORDINATES)
def test_pullback_is_the_gradient(name):
    rng = np.random.default_rng(7)
    split = list(rng.normal(size=(ARITY[name], 3, 50, 4)))
    _, state = COORDINATES[name].forward(xp, split)
    weight = rng.normal(size=(50, 4))
    gradients = COORDINATES[name].pullback(xp, state, weight)
    step = 1e-6
    for atom in range(ARITY[name]):
        for axis in range(3):
            moved = [[corner.copy() for corner in split] for _ in range(2)]
            moved[0][atom][axis] += step
            moved[1][atom][axis] -= step
            change = phi(name, moved[0]) - phi(name, moved[1])
            change = (change + np.pi) % (2 * np.pi) - np.pi if name == "dihedral" else change
            expected = weight * change / (2 * step)
            np.testing.assert_allclose(gradients[atom][axis], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", COORDINATES)
def test_pullback_neither_moves_nor_turns_the_whole(name):
    x = list(np.random.default_rng(8).normal(size=(ARITY[name], 3, 20, 2)))
    _, state = COORDINATES[name].forward(xp, x)
    gradients = COORDINATES[name].pullback(xp, state, np.ones((20, 2)))
    np.testing.assert_allclose(sum(gradients), 0, atol=1e-12)
    torque = sum(np.cross(corner, gradient, axis=0) for corner, gradient in zip(x, gradients, strict=True))
    np.testing.assert_allclose(torque, 0, atol=1e-11)


DEGENERATE = [
    ("distance", [(1, 2, 3), (1, 2, 3)]),
    ("angle", [(1, 0, 0), (0, 0, 0), (-1, 0, 0)]),
    ("angle", [(1, 0, 0), (0, 0, 0), (2, 0, 0)]),
    ("angle", [(0, 0, 0), (0, 0, 0), (2, 0, 0)]),
    ("dihedral", [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 1, 0)]),
    ("dihedral", [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)]),
]


@pytest.mark.parametrize(("name", "points"), DEGENERATE)
def test_degenerate_geometries_have_the_derivative_zero(name, points):
    _, state = COORDINATES[name].forward(xp, corners(*points))
    for gradient in COORDINATES[name].pullback(xp, state, np.ones((1, 1))):
        assert (gradient == 0).all()


class Automatic:
    """A distance, an angle, or cos φ + sin φ, of points in one array, and its derivatives in a framework."""

    def __init__(self, name, framework):
        self.name, self.framework, self.xp = name, framework, get_backend(framework).namespace

    def value(self, points):
        q, _ = COORDINATES[self.name].forward(self.xp, list(points))
        return self.xp.sum(q[0] + q[1] if self.name == "dihedral" else q)

    def pulled_back(self, points):
        q, state = COORDINATES[self.name].forward(self.xp, list(points))
        slope = q[0] - q[1] if self.name == "dihedral" else self.xp.ones_like(q)
        return self.xp.stack(COORDINATES[self.name].pullback(self.xp, state, slope))

    def gradient(self, function):
        if self.framework == "jax":
            return jax.grad(function)
        import torch

        return torch.func.grad(function)

    def derivatives(self, points, direction):
        """The first one, and the second along a direction: of the forward pass, and of the pullback as in JAX."""
        points, along = (fb.to(array, self.framework) for array in (points, direction))
        first = self.gradient(self.value)
        second = [self.gradient(lambda x, of=of: (of(x) * along).sum())(points) for of in (first, self.pulled_back)]
        return [np.asarray(found) for found in (first(points), *second)]


@pytest.fixture(params=["torch", "jax"])
def automatic(request):
    pytest.importorskip(request.param)
    with jax.enable_x64(True):
        yield lambda name: Automatic(name, request.param)


@pytest.mark.parametrize(("name", "points"), DEGENERATE)
def test_automatic_derivatives_at_degenerate_geometries_are_zero_and_finite(name, points, automatic):
    points = np.stack(corners(*points))
    first, *second = automatic(name).derivatives(points, np.random.default_rng(10).normal(size=points.shape))
    assert (first == 0).all()
    assert np.isfinite(second).all()


@pytest.mark.parametrize("name", COORDINATES)
def test_automatic_derivatives_are_those_of_the_pullback(name, automatic):
    points, direction = np.random.default_rng(10).normal(size=(2, ARITY[name], 3, 4, 2))
    first, *second = automatic(name).derivatives(points, direction)
    plain = Automatic(name, "numpy")
    np.testing.assert_allclose(first, plain.pulled_back(points), rtol=1e-12, atol=1e-13)
    up, down = (plain.pulled_back(points + sign * 1e-6 * direction) for sign in (1, -1))
    for found in second:
        np.testing.assert_allclose(found, (up - down) / 2e-6, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("offset", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_angle_is_accurate_near_zero_and_pi(offset, direction):
    points = corners((1, 0, 0), (0, 0, 0), (direction * np.cos(offset), np.sin(offset), 0))
    expected = offset if direction > 0 else np.pi - offset
    assert phi("angle", points)[0, 0] == pytest.approx(expected, rel=1e-12)
    _, state = COORDINATES["angle"].forward(xp, points)
    first, _, last = COORDINATES["angle"].pullback(xp, state, np.ones((1, 1)))
    assert np.linalg.norm(first) == pytest.approx(1.0, rel=1e-6)
    assert np.linalg.norm(last) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
@pytest.mark.parametrize(("name", "ends"), [("angle", (1, 0, -2)), ("angle", (1, 0, 3)), ("dihedral", (1, 0, 1, None))])
def test_what_is_parallel_but_for_rounding_has_no_direction(name, ends, framework, dtype):
    """Atoms on lines in any direction, or with the first and third coincident: cross products are rounding, and FMA."""
    pytest.importorskip(framework)
    with jax.enable_x64(True) if framework == "jax" else nullcontext():
        _require_no_direction(name, ends, framework, dtype)


def _require_no_direction(name, ends, framework, dtype):
    rng = np.random.default_rng(9)
    along, elsewhere = rng.normal(size=(2, 3, 200, 1))
    points = [elsewhere if end is None else np.sqrt(2) * end * along for end in ends]
    backend = get_backend(framework)
    corners = [fb.to(point.astype(dtype), framework) for point in points]
    coordinate = COORDINATES[name]

    def measured(*corners):
        q, state = coordinate.forward(backend.namespace, corners)
        ones = backend.namespace.ones_like(q if name == "angle" else q[0])
        return q, coordinate.pullback(backend.namespace, state, ones)

    q, gradients = backend.fused(measured)(*corners)
    for gradient in gradients:
        assert (np.asarray(gradient) == 0).all()
    if name == "dihedral":
        assert (np.asarray(q[0]) == 1).all()
        assert (np.asarray(q[1]) == 0).all()


def test_a_cross_product_of_opposite_vectors_is_exactly_zero_in_torch():
    """By the library it is not, as that fuses a multiplication with the subtraction: rounding would be a direction."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import array_api_compat.torch as xt

    vectors = torch.tensor(np.random.default_rng(9).normal(size=(3, 50, 3)))
    assert (cross(xt, vectors, -vectors) == 0).all()
