"""Differentiable molecular dynamics: potentials as the energy functions of jax-md.

The units of the standard are those of dynamics: 1 kJ/mol = 1 Da nm²/ps². What is independent here is jax-md: its
integrators, and the same force field made of its own energy functions.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.units import COULOMB_CONSTANT, GAS_CONSTANT
from tests.bridge.targets.molecules import METHANOL, bundle, methanol

jax = pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("jax_md", reason="jax-md is not installed")

TIME_STEP = 0.0005
KT = GAS_CONSTANT * 300
MASSES = {1: 1.008, 6: 12.011, 8: 15.999}
STEPS = 200


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def masses():
    return np.array([MASSES[number] for number in bundle(METHANOL).atomic_numbers.tolist()])


@cache
def own_energy():
    """The molecule's energy by jax-md's functions alone, of positions [nm]."""
    from jax_md import energy, smap, space
    from jax_md.mm_forcefields.amber.energy import harmonic_angle, periodic_torsion

    source = bundle(METHANOL)
    displacement, _ = space.free()
    distance = space.canonicalize_displacement_or_metric(displacement)
    parameters = {name: np.asarray(source.parameters(name)).T for name in source.terms}
    indices = {name: np.asarray(term.indices) for name, term in source.terms.items()}
    i, j = np.triu_indices(source.n_atoms, 1)
    kept_charge, kept_lj = np.ones((2, source.n_atoms, source.n_atoms))
    exceptions = source.exceptions
    first, second = exceptions.pairs.T
    kept_charge[first, second], kept_lj[first, second] = exceptions.kept_charge, exceptions.kept_lj
    sigma, epsilon = parameters["vdw"]
    (charge,) = parameters["electrostatics"]
    pairs = np.stack([i, j], axis=1)
    k, length = parameters["bonds"]
    bend, angle = parameters["angles"]
    barrier, phase, periodicity = parameters["torsions"]
    terms = (
        smap.bond(energy.simple_spring, distance, indices["bonds"], epsilon=k, length=length),
        smap.angle(harmonic_angle, displacement, indices["angles"], k=bend, theta0=angle),
        smap.torsion(periodic_torsion, displacement, indices["torsions"], k=barrier, phase=phase, period=periodicity),
        smap.bond(
            energy.lennard_jones,
            distance,
            pairs,
            sigma=(sigma[i] + sigma[j]) / 2,
            epsilon=np.sqrt(epsilon[i] * epsilon[j]) * kept_lj[i, j],
        ),
        smap.bond(
            lambda r, product: COULOMB_CONSTANT * product / r,
            distance,
            pairs,
            product=charge[i] * charge[j] * kept_charge[i, j],
        ),
    )
    # Angles do not depend on the unit of length, but jax-md adds 1e-7 to displacements: far less than one here.
    scales = (1, 1e6, 1e6, 1, 1)
    return lambda x, **unused: sum(term(scale * x) for scale, term in zip(scales, terms, strict=True))


def energy_function(engine="jax"):
    """The potential as jax-md takes it: keyword arguments of a step are those of the energy."""
    U = fb.potential(bundle(METHANOL), engine, host="jax")

    def energy(x, tables=None, **unused):
        return U(x, tables).sum()

    return energy


def trajectory(energy, n_steps=STEPS, *, tables=None, gamma=None, every=1):
    """Positions and momenta after every so many steps of NVE, or of Langevin dynamics, and the final ones."""
    from jax_md import simulate, space

    _, shift = space.free()
    options = {} if tables is None else {"tables": tables}
    key, x = jax.random.PRNGKey(1), jax.numpy.asarray(methanol())
    if gamma is None:
        init, step = simulate.nve(energy, shift, TIME_STEP)
        state = init(key, x, KT, mass=masses(), **options)
    else:
        init, step = simulate.nvt_langevin(energy, shift, TIME_STEP, KT, gamma=gamma)
        state = init(key, x, mass=masses(), **options)

    def advance(state, _):
        state = step(state, **options)
        return state, (state.position, state.momentum)

    path = jax.lax.scan(advance, state, None, length=n_steps)[1]
    return tuple(each[every - 1 :: every] for each in path)


def total_energy(energy, positions, momenta):
    kinetic = (momenta**2 / (2 * masses()[:, None])).sum(axis=(1, 2))
    return np.asarray(jax.lax.map(energy, positions) + kinetic)


def observable(path):
    """The mean square distance of the methyl's and the hydroxyl's hydrogens over the last half [nm²]."""
    x = path[len(path) // 2 :]
    return ((x[:, 1] - x[:, 5]) ** 2).sum(axis=-1).mean()


def test_energies_and_forces_are_those_of_jax_mds_functions():
    x = methanol() + 0.002 * np.random.default_rng(0).normal(size=(6, 3))
    found = jax.value_and_grad(energy_function())(x)
    expected = jax.value_and_grad(own_energy())(x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-7)


def test_energy_is_kept_as_with_jax_mds_functions():
    """4,000 steps, 2 ps: the total energy at each time, its drift and its fluctuation."""
    found, expected = (
        total_energy(energy, *jax.jit(partial(trajectory, energy, 4000, every=10))())
        for energy in (energy_function(), own_energy())
    )
    times = np.arange(1, len(found) + 1) * 10 * TIME_STEP
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    drifts = [np.polyfit(times, energies, 1)[0] for energies in (found, expected)]
    np.testing.assert_allclose(*drifts, rtol=1e-5)
    assert abs(drifts[0]) < 1e-4 * 3 * len(methanol()) * KT
    assert found.std() < 0.02 * KT


@pytest.mark.parametrize("gamma", [None, pytest.param(5.0, marks=pytest.mark.slow)], ids=["nve", "langevin"])
def test_the_derivative_of_an_observable_through_dynamics_is_a_finite_difference(gamma):
    """200 steps with every table an input; Langevin's noise is the same random numbers each time."""
    energy = energy_function()
    tables = {name: jax.numpy.asarray(table.values) for name, table in bundle(METHANOL).tables.items()}

    @jax.jit
    def average(tables):
        return observable(trajectory(energy, tables=tables, gamma=gamma)[0])

    gradients = jax.jit(jax.grad(average))(tables)
    for name, row, column, h in (
        ("bonds", 1, 0, 10.0),
        ("bonds", 1, 1, 1e-6),
        ("angles", 0, 0, 1e-2),
        ("angles", 0, 1, 1e-5),
        ("torsions", 2, 0, 1e-3),
        ("vdw", 0, 0, 1e-5),
        ("electrostatics", 5, 0, 1e-4),
    ):
        moved = [average(tables | {name: tables[name].at[row, column].add(sign * h)}) for sign in (1, -1)]
        expected = (moved[0] - moved[1]) / (2 * h)
        assert abs(expected) > 0
        np.testing.assert_allclose(gradients[name][row, column], expected, rtol=1e-5)


@pytest.mark.slow
def test_an_engine_without_jax_moves_the_same():
    """Compiled loops through a lambda module, within jax-md's compiled step."""
    pytest.importorskip("numba", reason="numba is not installed")
    found, expected = (trajectory(energy_function(engine), 50)[0] for engine in ("native", "jax"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
