"""Reweighting of trajectories that OpenMM's molecular dynamics made: methanol in vacuum, at 300 K.

Each simulation is one of Langevin dynamics; its statistical error is that of the means of 20 blocks, each far longer
than the molecule remembers.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ReweightingWarning, TargetError
from ffbridge.targets.internal import dihedral_angles
from ffbridge.units import GAS_CONSTANT

from .molecules import METHANOL, bundle, methanol

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TEMPERATURE = 300.0
BETA = 1 / (GAS_CONSTANT * TEMPERATURE)
BLOCKS = 20


def torsions(**changes):
    """The table of torsions with rows changed: ``row_0=0.5`` adds 0.5 kJ/mol to k of the first."""
    values = np.array(bundle(METHANOL).tables["torsions"].values)
    for name, change in changes.items():
        values[int(name.removeprefix("row_")), 0] += change
    return values


@cache
def simulated(n_frames=2000, every=50, seed=1, **changes):
    """Positions ``(n_frames, 6, 3)`` [nm] and potential energies ``(n_frames,)`` [kJ/mol] of OpenMM's dynamics."""
    system = fb.to_openmm(bundle(METHANOL).replace_table("torsions", torsions(**changes)))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 5.0, 0.0005)
    integrator.setRandomNumberSeed(seed)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(methanol())
    context.setVelocitiesToTemperature(TEMPERATURE, seed)
    integrator.step(10000)
    positions, energies = np.empty((n_frames, 6, 3)), np.empty(n_frames)
    for frame in range(n_frames):
        integrator.step(every)
        state = context.getState(getPositions=True, getEnergy=True)
        positions[frame] = state.getPositions(asNumpy=True)._value
        energies[frame] = state.getPotentialEnergy()._value
    return positions, energies


def angles(positions):
    """The three dihedrals of the hydroxyl group, ``(n_frames, 3)``."""
    return dihedral_angles(positions, np.array([[hydrogen, 0, 4, 5] for hydrogen in (1, 2, 3)]))


def cosine(positions):
    """The mean of cos 3φ: -1 where methanol is staggered."""
    return np.cos(3 * angles(positions)).mean(axis=1)


def target(positions, energies, quantity="cosine", values=None, unit="1", **fields):
    return fb.targets.ObservableTarget(
        name=quantity,
        smiles=METHANOL,
        quantity=quantity,
        value=0.0,
        uncertainty=1.0,
        unit=unit,
        temperature=TEMPERATURE,
        atomic_numbers=[6, 1, 1, 1, 8, 1],
        positions=positions,
        potential_energies=energies,
        values=cosine(positions) if values is None else values,
        **fields,
    )


def averages(targets, changes, **options):
    """The averages and their derivatives by k of all torsions, by reweighting."""
    objective = fb.targets.objective(targets, fb.potential(bundle(METHANOL), "torch"), **options)
    theta = torch.tensor(torsions(**changes)).requires_grad_()
    (part,) = objective.parts({"torsions": theta})
    slopes = [torch.autograd.grad(each, theta, retain_graph=True)[0][:, 0].numpy() for each in part.predicted]
    return part.predicted.detach().numpy(), np.array(slopes)


def block_error(values):
    """The standard error of the mean of a time series, by the means of its blocks."""
    means = np.asarray(values).reshape(BLOCKS, -1, *np.shape(values)[1:]).mean(axis=1)
    return means.std(axis=0, ddof=1) / BLOCKS**0.5


def test_openmms_energies_are_the_potentials():
    positions, energies = simulated()
    found = fb.potential(bundle(METHANOL), "numpy")(positions)[:, 0]
    np.testing.assert_allclose(found, energies, rtol=1e-6)


@pytest.mark.parametrize("change", [0.0, 0.4])
def test_the_gradient_is_the_formulas(change):
    """-β cov(O, ∂U/∂k) + ⟨∂O/∂k⟩ with ∂U/∂k = 1 + cos(nφ - phase), of a stored observable and of the energy itself."""
    positions, energies = simulated()
    du_dk = (1 + np.cos(np.array([1, 2, 3]) * angles(positions)[..., None] - np.array([0, np.pi, 0]))).sum(axis=1)
    w = np.exp(-BETA * change * du_dk[:, 0])
    w /= w.sum()
    U = energies + change * du_dk[:, 0]
    both = [target(positions, energies), target(positions, energies, "potential_energy", energies, "kJ/mol")]
    found, slopes = averages(both, {"row_0": change})
    for number, (values, own) in enumerate(((cosine(positions), 0.0), (U, w @ du_dk))):
        covariance = (w * values) @ du_dk - (w @ values) * (w @ du_dk)
        np.testing.assert_allclose(found[number], w @ values, rtol=1e-6)
        np.testing.assert_allclose(slopes[number], own - BETA * covariance, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("quantity", "row", "step"), [("cosine", 2, 0.25), ("potential_energy", 1, 1.0)])
def test_the_gradient_is_that_of_simulations_with_other_parameters(quantity, row, step):
    """Central differences of two simulations of 2 ns, and the gradient of a third, each with its statistical error."""
    options = {"n_frames": 20000, "every": 200}

    def made(positions, energies):
        if quantity == "cosine":
            return target(positions, energies)
        return target(positions, energies, quantity, energies, "kJ/mol")

    moved = [
        np.asarray(made(*simulated(seed=seed, **options, **{f"row_{row}": sign * step})).values)
        for seed, sign in ((2, 1), (3, -1))
    ]
    difference = (moved[0].mean() - moved[1].mean()) / (2 * step)
    of_difference = np.hypot(*map(block_error, moved)) / (2 * step)
    positions, energies = simulated(**options)
    gradient = averages([made(positions, energies)], {})[1][0, row]
    parts = zip(np.split(positions, BLOCKS), np.split(energies, BLOCKS), strict=True)
    of_gradient = np.std([averages([made(*part)], {})[1][0, row] for part in parts], ddof=1) / BLOCKS**0.5
    print(f"{quantity}: {gradient:.4f} ± {of_gradient:.4f}, simulated {difference:.4f} ± {of_difference:.4f}")
    error = np.hypot(of_gradient, of_difference)
    assert abs(gradient - difference) < 3 * error
    assert error < 0.07 * abs(difference)


def test_the_average_is_that_of_a_simulation_with_other_parameters():
    """Within three standard errors, where reweighting moves it by many."""
    options = {"n_frames": 8000, "every": 100}
    positions, energies = simulated(**options)
    other, _ = simulated(seed=4, **options, row_2=0.5)
    found, _ = averages([target(positions, energies)], {"row_2": 0.5})
    error = 2**0.5 * block_error(cosine(other))
    assert abs(found[0] - cosine(other).mean()) < 3 * error
    assert abs(cosine(positions).mean() - cosine(other).mean()) > 4 * error


def test_an_observable_of_tables_depends_on_them_twice():
    """The squared dipole moment of given charges: its own derivative, beside that of the weights."""
    positions, energies = simulated(500)
    charge = np.array(bundle(METHANOL).tables["electrostatics"].values)

    def squared_dipole(x, energies, tables):
        moment = (tables["electrostatics"][None] * x).sum(1)
        return (moment**2).sum(-1)

    def average(charge):
        made = target(positions, energies, "squared_dipole", np.zeros(len(energies)), "e^2*nm^2")
        objective = fb.targets.objective(
            [made], fb.potential(bundle(METHANOL), "torch"), observables={"squared_dipole": squared_dipole}
        )
        return objective.parts({"electrostatics": charge})[0].predicted[0]

    theta = torch.tensor(charge).requires_grad_()
    (slope,) = torch.autograd.grad(average(theta), theta)
    h = 1e-5 * np.eye(6)[4][:, None]
    difference = (average(torch.tensor(charge + h)) - average(torch.tensor(charge - h))).item() / 2e-5
    np.testing.assert_allclose(slope[4, 0], difference, rtol=1e-6)
    moments = (charge[None] * positions).sum(axis=1)
    np.testing.assert_allclose(average(torch.tensor(charge)).item(), (moments**2).sum(axis=1).mean(), rtol=1e-6)


def test_few_effective_samples_are_warned_of():
    positions, energies = simulated()
    objective = fb.targets.objective([target(positions, energies)], fb.potential(bundle(METHANOL), "torch"))
    far = {"torsions": torch.tensor(torsions(row_2=-25.0)).requires_grad_()}
    message = "target 'cosine': its average is made by .* effective samples of 2000, fewer than 50: .* sample again"
    with pytest.warns(ReweightingWarning, match=message):
        objective(far)
    relaxed = fb.targets.objective(objective.targets, objective.U, least_samples=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relaxed(far)
        objective({"torsions": torch.tensor(torsions(row_2=0.5))})


def test_what_is_traced_is_not_warned_of():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    objective = fb.targets.objective([target(*simulated(200))], fb.potential(bundle(METHANOL), "jax"))
    far = {"torsions": fb.to(torsions(row_2=-25.0), "jax")}
    found = jax.jit(objective)(far)
    with pytest.warns(ReweightingWarning):
        np.testing.assert_allclose(found, objective(far), rtol=1e-12)


def test_what_does_not_fit_is_refused():
    positions, energies = simulated(200)
    U = fb.potential(bundle(METHANOL), "numpy")
    with pytest.raises(TargetError, match="target 'potential_energy': unit: got '1', expected kJ/mol of a potential"):
        fb.targets.objective([target(positions, energies, "potential_energy")], U)
    one = fb.targets.objective([target(positions, energies)], U, observables={"cosine": lambda x, e, t: e.sum()})
    with pytest.raises(TargetError, match=r"'cosine' returned shape \(\), expected \(200,\): a number for each frame"):
        one()
