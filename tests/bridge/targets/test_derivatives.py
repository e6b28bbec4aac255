"""Forces differentiable by tables, computed in chunks of conformers that are computed again for derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.targets import derivatives

from .molecules import METHANOL, bundle, methanol, noisy

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def loss_of(U, x):
    def loss(theta):
        energies, forces = fb.targets.energies_and_forces(U, x, {"bonds": theta})
        return (energies**2).sum() * 1e-3 + (forces**2).sum() * 1e-6

    return loss


@pytest.fixture
def problem(monkeypatch):
    """A loss in chunks of two conformers of five, the same at once, and where to take it; how often a chunk is run."""
    U = fb.potential(bundle(METHANOL), "torch")
    loss = loss_of(U, torch.tensor(noisy(methanol(), 5)))
    runs = []
    evaluate = derivatives._energies_and_forces
    monkeypatch.setattr(derivatives, "_energies_and_forces", lambda U, x, t: runs.append(len(x)) or evaluate(U, x, t))

    def in_chunks(theta):
        with monkeypatch.context() as context:
            context.setattr(derivatives, "ATOMS_AT_ONCE", 13)
            return loss(theta)

    return in_chunks, loss, torch.tensor(bundle(METHANOL).tables["bonds"].values) * 1.01, runs


def test_chunks_have_the_same_derivatives(problem):
    in_chunks, loss, theta, runs = problem
    theta.requires_grad_()
    value = in_chunks(theta)
    assert runs == [2, 2, 1]
    (found,) = torch.autograd.grad(value, theta)
    assert sorted(runs) == [1, 1, 2, 2, 2, 2]
    (expected,) = torch.autograd.grad(loss(theta), theta)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_second_derivatives_go_through_them(problem):
    in_chunks, loss, theta, _ = problem
    theta.requires_grad_()
    found, expected = (
        torch.autograd.grad(torch.autograd.grad(f(theta), theta, create_graph=True)[0][:, 0].sum(), theta)[0]
        for f in (in_chunks, loss)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_torch_func_differentiates_them(problem):
    in_chunks, loss, theta, _ = problem
    expected = torch.func.grad(loss)(theta)
    np.testing.assert_allclose(torch.func.grad(in_chunks)(theta), expected, rtol=1e-12)
    found = torch.func.jvp(in_chunks, (theta,), (torch.ones_like(theta),))[1]
    np.testing.assert_allclose(found, expected.sum(), rtol=1e-9)
