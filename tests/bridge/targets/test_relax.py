"""Constrained minimization: against SciPy, and total derivatives of relaxed losses against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import ffbridge as fb
from ffbridge.errors import ExchangeError, TargetError
from ffbridge.targets.internal import dihedral_angles

from .molecules import METHANOL, PEROXIDE, batch, bundle, drive, methanol, noisy, peroxide
from .test_energies import changed

ANGLES = np.array([0.3, 1.4, 2.9, -1.0])


def held_peroxides(U, row_count=4):
    x = np.zeros((row_count, U.bundle.n_atoms, 3))
    x[:, :4] = [peroxide(angle, stretch=0.004) for angle in ANGLES]
    if U.bundle.n_systems > 1:
        x[:, 4:] = noisy(methanol(), row_count, scale=0.01)
    held = fb.targets.HeldDihedrals(np.arange(4), np.tile(np.arange(4), (4, 1)), ANGLES)
    return x, held


def of_internal(q):
    """Hydrogen peroxide of three distances, two angles and a dihedral."""
    oh, oo, ho, first, last, angle = q
    return np.array(
        [
            [oh * np.cos(first), oh * np.sin(first), 0],
            [0, 0, 0],
            [oo, 0, 0],
            [oo - ho * np.cos(last), ho * np.sin(last) * np.cos(angle), ho * np.sin(last) * np.sin(angle)],
        ]
    )


def scipys_minimum(angle):
    """The energy of hydrogen peroxide with this dihedral, minimized over its other internal coordinates."""
    alone = fb.potential(bundle(PEROXIDE), "numpy")
    start, scale = np.array([0.097, 0.146, 0.097, 1.8, 1.8]), np.array([0.01, 0.01, 0.01, 0.1, 0.1])

    def energy(z):
        return float(alone(of_internal([*(start + scale * z), angle]))[0])

    return minimize(energy, np.zeros(5), tol=1e-13).fun


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_constrained_minima_are_scipys(engine):
    """SciPy minimizes over the other internal coordinates, so it has no constraint to hold."""
    U = fb.potential(batch(PEROXIDE, METHANOL), engine)
    x, held = held_peroxides(U)
    found = fb.targets.relax(U, x, held=held, tolerance=1e-4)
    assert found.converged.all()
    np.testing.assert_allclose(dihedral_angles(found.positions, np.array([[0, 1, 2, 3]]))[:, 0], ANGLES, atol=1e-9)
    for row, angle in enumerate(ANGLES):
        assert abs(found.energies[row, 0] - scipys_minimum(angle)) < 1e-6
    # The other system goes to its own minimum, whatever is held in the first.
    assert np.ptp(found.energies[:, 1]) < 1e-5


def test_free_minima_have_no_forces():
    U = fb.potential(bundle(METHANOL), "numpy")
    found = fb.targets.relax(U, noisy(methanol(), 5, scale=0.01), tolerance=1e-5)
    assert found.converged.all()
    assert np.abs(U.energy_and_forces(found.positions)[1]).max() < 1e-5
    assert found.iterations < 400


def test_two_dihedrals_of_one_molecule_are_held_together():
    U = fb.potential(bundle(METHANOL), "numpy")
    atoms = np.array([[1, 0, 4, 5], [2, 0, 4, 5]])
    start = methanol()[None]
    angles = dihedral_angles(start, atoms)[0] + np.array([0.2, 0.1])
    held = fb.targets.HeldDihedrals(np.array([0, 0]), atoms, angles)
    found = fb.targets.relax(U, start, held=held, tolerance=1e-4)
    assert found.converged.all()
    np.testing.assert_allclose(dihedral_angles(found.positions, atoms)[0], angles, atol=1e-9)


def relaxed_loss(targets, U, tables):
    return fb.targets.objective(targets, U).relaxed(tables, tolerance=1e-5)


@pytest.mark.parametrize("host", ["torch", "jax"])
def test_the_derivative_of_a_relaxed_profile_is_the_total_one(host):
    """The envelope theorem: relaxing again after each change gives the same differences."""
    pytest.importorskip(host, reason=f"{host} is not installed")
    targets = [drive(weight=2.0)]
    plain = fb.potential(bundle(PEROXIDE), "numpy")
    tables = changed(bundle(PEROXIDE).tables)

    def total(name, column, by):
        moved = tables[name].copy()
        moved[0, column] += by
        given = {**tables, name: moved}
        return float(relaxed_loss(targets, plain, given)(given))

    gradients = gradient_at(host, fb.potential(bundle(PEROXIDE), host), targets, tables)
    fixed = fb.targets.objective(targets, plain)(tables)
    assert abs(total("bonds", 0, 0.0) - fixed) > 1e-4 * fixed
    for name, column, h in (("torsions", 0, 1e-3), ("bonds", 1, 1e-5), ("angles", 1, 1e-4)):
        expected = (total(name, column, h) - total(name, column, -h)) / (2 * h)
        np.testing.assert_allclose(gradients[name][0, column], expected, rtol=1e-5)


def gradient_at(host, U, targets, tables):
    if host == "jax":
        import jax

        objective = relaxed_loss(targets, U, tables)
        given = {name: fb.to(table, "jax") for name, table in tables.items()}
        return {name: np.asarray(each) for name, each in jax.grad(objective)(given).items()}
    objective = relaxed_loss(targets, U, tables)
    given = {name: fb.to(table, "torch", copy=True).requires_grad_() for name, table in tables.items()}
    objective(given).backward()
    return {name: each.grad.numpy() for name, each in given.items()}


def test_compiled_losses_take_other_geometries():
    """One compilation serves all relaxations: geometries are arguments."""
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    objective = fb.targets.objective([drive()], fb.potential(bundle(PEROXIDE), "jax"))
    tables = {name: fb.to(table, "jax") for name, table in changed(bundle(PEROXIDE).tables).items()}
    compiled = jax.jit(objective)
    relaxed = objective.relaxed(tables)
    first, second = (compiled(tables, each.constants) for each in (objective, relaxed))
    np.testing.assert_allclose(first, objective(tables), rtol=1e-12)
    np.testing.assert_allclose(second, relaxed(tables), rtol=1e-12)
    assert abs(first - second) > 1e-6
    assert compiled._cache_size() == 1


def test_relaxing_again_goes_on_where_it_ended():
    U = fb.potential(bundle(PEROXIDE), "numpy")
    once = fb.targets.objective([drive()], U).relaxed(tolerance=1e-3)
    again = once.relaxed(tolerance=1e-3)
    np.testing.assert_array_equal(once.positions[0], again.positions[0])


def test_what_does_not_converge_is_refused():
    U = fb.potential(bundle(PEROXIDE), "numpy")
    with pytest.raises(
        TargetError,
        match=r"target 'peroxide drive': conformer \d+ is not at a minimum after 3 iterations: a gradient of",
    ):
        fb.targets.objective([drive()], U).relaxed(max_iterations=3)
    found = fb.targets.relax(U, peroxide(2.0, 0.01)[None], max_iterations=3)
    assert not found.converged.any()


def test_tables_that_are_traced_are_refused():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    objective = fb.targets.objective([drive()], fb.potential(bundle(PEROXIDE), "jax"))
    tables = {"bonds": fb.to(bundle(PEROXIDE).tables["bonds"].values, "jax")}
    with pytest.raises(ExchangeError, match="is being traced"):
        jax.grad(lambda tables: objective.relaxed(tables)(tables))(tables)


def test_an_angle_that_cannot_be_held_is_refused():
    U = fb.potential(bundle(PEROXIDE), "numpy")
    straight = np.array([[[0.0, 0, 0], [0.1, 0, 0], [0.25, 0, 0], [0.35, 0, 0]]])
    held = fb.targets.HeldDihedrals(np.array([0]), np.array([[0, 1, 2, 3]]), np.array([1.0]))
    with pytest.raises(
        TargetError, match="a held dihedral of system 0 in row 0 is .* may be about a straight bond angle"
    ):
        fb.targets.relax(U, straight, held=held)


def test_angles_that_depend_on_each_other_are_refused():
    U = fb.potential(bundle(PEROXIDE), "numpy")
    held = fb.targets.HeldDihedrals(np.array([0, 0]), np.array([[0, 1, 2, 3], [0, 1, 2, 3]]), np.array([1.0, 1.2]))
    with pytest.raises(TargetError, match="held dihedrals of one system depend on each other"):
        fb.targets.relax(U, peroxide(1.1)[None], held=held)


def test_positions_of_another_shape_are_refused():
    U = fb.potential(bundle(PEROXIDE), "numpy")
    with pytest.raises(TargetError, match=r"positions: got shape \(4, 3\), expected \(n_rows, n_atoms, 3\)"):
        fb.targets.relax(U, peroxide())
