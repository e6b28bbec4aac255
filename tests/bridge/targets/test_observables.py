"""Averages over ensembles, reweighted: an oscillator whose averages are known, and the formula of the gradient."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.units import GAS_CONSTANT

from .molecules import PEROXIDE, bundle, conformers, noisy, peroxide
from .test_energies import fields as fields_of

H2 = "[H:1][H:2]"
K, LENGTH, TEMPERATURE = 4000.0, 0.1, 300.0


def oscillator():
    """Two atoms that move on a line, so that their distance has a normal distribution."""
    return fb.from_arrays(
        atomic_numbers=[1, 1],
        system_names=[H2],
        terms={"bonds": fb.TermArrays("harmonic_bond", {"k": [K], "length": [LENGTH]}, [[0, 1]])},
    )


def target(n_frames=20000, **fields):
    """Distances drawn from their distribution; the observable is the squared deviation from the length [nm²]."""
    width = np.sqrt(GAS_CONSTANT * TEMPERATURE / K)
    r = LENGTH + width * np.random.default_rng(2).normal(size=n_frames)
    x = np.zeros((n_frames, 2, 3))
    x[:, 1, 0] = r
    given = {"uncertainty": 1e-5, **fields}
    return fb.targets.ObservableTarget(
        name="fluctuation",
        smiles=H2,
        quantity="squared_deviation",
        value=5e-4,
        unit="nm^2",
        temperature=TEMPERATURE,
        atomic_numbers=[1, 1],
        positions=x,
        potential_energies=K / 2 * (r - LENGTH) ** 2,
        values=(r - LENGTH) ** 2,
        **given,
    )


def average(k, n_frames=20000):
    objective = fb.targets.objective([target(n_frames)], fb.potential(oscillator(), "numpy"))
    return objective.compare({"bonds": np.array([[k, LENGTH]])})[0].predicted[0]


@pytest.mark.parametrize("k", [K, 0.9 * K, 1.2 * K])
def test_the_average_is_that_of_the_other_oscillator(k):
    """⟨(r - r0)²⟩ = kT / k, within four standard errors of the sample: √(2 / n) of the value."""
    exact = GAS_CONSTANT * TEMPERATURE / k
    assert abs(average(k) / exact - 1) < 4 * np.sqrt(2 / 20000)


@pytest.mark.parametrize("host", ["torch", "jax"])
def test_the_gradient_is_minus_beta_times_the_covariance(host):
    pytest.importorskip(host, reason=f"{host} is not installed")
    own = target(500)
    objective = fb.targets.objective([own], fb.potential(oscillator(), host))
    du_dk = own.values / 2
    covariance = np.mean(own.values * du_dk) - own.values.mean() * du_dk.mean()
    slope = -covariance / (GAS_CONSTANT * TEMPERATURE)
    residual = (own.values.mean() - own.value) / own.uncertainty
    expected = 2 * residual * slope / own.uncertainty
    theta = np.array([[K, LENGTH]])
    if host == "jax":
        import jax

        found = jax.grad(lambda bonds: objective({"bonds": bonds}))(fb.to(theta, "jax"))
    else:
        import torch

        bonds = torch.tensor(theta).requires_grad_()
        objective({"bonds": bonds}).backward()
        found = bonds.grad
    np.testing.assert_allclose(float(found[0, 0]), expected, rtol=1e-9)


def test_weights_and_effective_sample_size():
    weights = fb.targets.reweighting(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]) + 7, 300.0)
    np.testing.assert_allclose(weights, 1 / 3)
    np.testing.assert_allclose(fb.targets.effective_sample_size(weights), 3)
    far = fb.targets.reweighting(np.array([0.0, 1e4, 1e4]), np.zeros(3), 300.0)
    np.testing.assert_allclose(fb.targets.effective_sample_size(far), 1)


def test_effective_sample_sizes_of_an_objective():
    """For weights exp(-a z²) of normal z, (Σw)²/Σw² is n √(1 + 4a) / (1 + 2a)."""
    objective = fb.targets.objective([target(20000)], fb.potential(oscillator(), "numpy"))
    assert objective.effective_sample_sizes() == {"fluctuation": pytest.approx(20000)}
    found = objective.effective_sample_sizes({"bonds": np.array([[3 * K, LENGTH]])})["fluctuation"]
    np.testing.assert_allclose(found, 20000 * np.sqrt(5) / 3, rtol=0.02)
    other = fb.targets.objective([conformers(PEROXIDE, noisy(peroxide(), 2))], fb.potential(bundle(PEROXIDE), "numpy"))
    assert other.effective_sample_sizes() == {}


def test_without_an_uncertainty_the_scale_is_a_fraction_of_the_value():
    objective = fb.targets.objective([target(100, uncertainty=None)], fb.potential(oscillator(), "numpy"))
    (part,) = objective.parts()
    np.testing.assert_allclose(part.scale, 0.01 * 5e-4)


def test_a_property_without_trajectory_is_refused_as_a_loss():
    measured = fb.targets.ObservableTarget(
        name="m", smiles=H2, quantity="density", value=1.0, unit="1", temperature=300
    )
    with pytest.raises(TargetError, match="target 'm': atomic_numbers: missing"):
        fb.targets.objective([measured], fb.potential(oscillator(), "numpy"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uncertainty": 0.0}, "uncertainty: got 0.0, expected more than 0, or none"),
        ({"temperature": -1.0}, "temperature: got -1.0 K, expected more than 0 K"),
        ({"positions": None}, "positions: missing; a trajectory has all of"),
        ({"values": np.ones(3)}, r"values: got shape \(3,\), expected \(n_frames,\) with n_frames = 5"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    own = target(5)
    given = fields_of(own)
    with pytest.raises(TargetError, match=f"target 'fluctuation': {message}"):
        fb.targets.ObservableTarget(**{**given, **fields})
