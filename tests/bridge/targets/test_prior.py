"""Priors, in units of each parameter's width."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError

from .molecules import PEROXIDE, bundle

WIDTHS = {"bonds": {"k": 1e4, "length": 0.005}}


def chosen():
    return fb.trainable(bundle(PEROXIDE), {"bonds": ["k", "length"]})


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_parameter_that_moves_by_its_width_adds_one(framework):
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    prior = fb.targets.Prior.of(chosen(), WIDTHS)
    vector = chosen().initial + np.array([1e4, 0, -0.010, 0])
    assert float(prior(fb.to(chosen().initial, framework))) == 0
    np.testing.assert_allclose(float(prior(fb.to(vector, framework))), 1 + 4)


def test_the_gradient_flows():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    vector = torch.tensor(chosen().initial + np.array([0, 0, 0, 0.005])).requires_grad_()
    fb.targets.Prior.of(chosen(), WIDTHS)(vector).backward()
    np.testing.assert_allclose(vector.grad.numpy(), [0, 0, 0, 2 / 0.005], rtol=1e-9)


@pytest.mark.parametrize(("width", "got"), [({}, "none"), ({"length": 0.0, "k": 1.0}, "0.0")])
def test_widths_that_are_missing_or_zero_are_refused(width, got):
    with pytest.raises(TargetError, match=f"the width of tables/bonds/.* is {got}, expected a number more than 0"):
        fb.targets.Prior.of(chosen(), {"bonds": width})


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(TargetError, match=r"prior: got a vector of shape \(2,\), expected \(4,\)"):
        fb.targets.Prior.of(chosen(), WIDTHS)(np.zeros(2))
