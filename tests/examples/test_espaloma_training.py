"""The example espaloma_training in small: a PyTorch and DGL network learns through JAX's energies."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dgl", reason="DGL is not installed")
pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")

import espaloma_training
import torch

import ffbridge as fb


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that meet for operations this small cost more than they gain, ten times more on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def result():
    return espaloma_training.train(smiles=("CCO", "CC(=O)[O-]"), n_conformers=4, steps=100)


def test_the_loss_falls(result):
    assert result.losses[0] > 100 * result.losses[-1]
    before, after = result.force_errors
    assert before > 5 * after


def test_gradients_of_weights_are_the_same_through_both_engines(result):
    assert max(result.gradient_differences) < 1e-8


def test_charges_keep_their_sum(result):
    charges = result.bundle.table("electrostatics").values[:, 0]
    np.testing.assert_allclose(np.add.reduceat(charges, result.bundle.system_offsets[:-1]), [0, -1], atol=1e-12)
    assert np.abs(charges).max() > 0.1


def test_the_bundle_names_the_model_of_its_tables(result):
    fb.validate(result.bundle)
    made = {name: table.model for name, table in result.bundle.tables.items()}
    assert made.pop("vdw") is None
    assert set(made.values()) == {"espaloma-style"}
    assert len(result.bundle.models["espaloma-style"].sha256) == 64


def test_gradients_of_weights_are_finite_differences_of_the_loss():
    """Through the engine torch, which compiles nothing: the test above says that the other gives the same."""
    problem = espaloma_training.load_problem(("CC=O",), n_conformers=2, seed=1)
    network = espaloma_training.new_network(problem, seed=1)
    U = fb.potential(problem.bundle(network).snapshot(), "torch", host="torch")
    weights = list(network.parameters())
    directions = [torch.randn_like(weight) for weight in weights]
    gradients = torch.autograd.grad(problem.loss(network, U), weights)
    slope = sum(float((a * b).sum()) for a, b in zip(gradients, directions, strict=True))

    def moved(step):
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight += step * direction
        return problem.loss(network, U).item()

    up, down = moved(1e-6), moved(-2e-6)
    assert slope == pytest.approx((up - down) / 2e-6, rel=1e-5)


def test_what_is_printed(result, capsys):
    espaloma_training.show(result)
    assert result.bundle.models["espaloma-style"].sha256 in capsys.readouterr().out
