"""The example pretrained_charges in small: a JAX model learns through PyTorch's energies."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("expaloma", reason="the extra `examples` is not installed")
pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")

import expaloma
import jax
import pretrained_charges
from conformers import Data, load_batch
from rdkit.rdBase import BlockLogs

import ffbridge as fb

SMILES = ("CCO", "CC(=O)[O-]", "NCCS")


@pytest.fixture(scope="module")
def result():
    return pretrained_charges.train(smiles=SMILES, n_conformers=4, steps=100)


def test_the_loss_falls(result):
    assert result.losses[0] > 100 * result.losses[-1]


def test_charges_come_closer_to_the_answer_and_keep_their_sum(result):
    answer = result.charges["answer"]
    before, after = (np.linalg.norm(result.charges[name] - answer) for name in ("pretrained", "fine-tuned"))
    assert after < before
    starts = result.bundle.system_offsets[:-1]
    np.testing.assert_allclose(np.add.reduceat(result.charges["fine-tuned"], starts), [0, -1, 0], atol=1e-12)


def test_gradients_of_weights_are_the_same_through_both_engines(result):
    assert result.gradient_difference < 1e-8


def test_the_bundle_carries_the_model(result, tmp_path):
    fb.save(result.bundle, tmp_path / "charges.ffb")
    model = fb.load(tmp_path / "charges.ffb").models["espaloma-charge"]
    assert fb.fingerprint(model.weights) == model.sha256
    assert model.weights["gnn.sages.0.w_self"].shape == (128, 128)
    assert result.bundle.table("electrostatics").model == "espaloma-charge"


def test_charges_of_the_batch_are_those_of_the_package(result):
    """Its own function charges one molecule at a time, in float32."""
    from openff.toolkit import Molecule

    with BlockLogs():
        expected = [expaloma.charges_for_rdkit_mol(Molecule.from_smiles(smiles).to_rdkit()) for smiles in SMILES]
    np.testing.assert_allclose(result.charges["pretrained"], np.concatenate(expected), atol=2e-6)


def test_gradients_of_weights_are_finite_differences_of_the_loss():
    batch = load_batch(("CCO",), n_conformers=2)
    bundle = pretrained_charges.electrostatics(batch)
    with jax.enable_x64(True):
        model, charges = pretrained_charges.charge_model(), pretrained_charges.charge_function(batch)
        of_charges = pretrained_charges.loss_function(bundle, Data.of(bundle, batch.positions).to("jax"), "torch")

        def loss(model):
            return of_charges(charges(model))

        rng = np.random.default_rng(0)
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), model)
        up, down = (
            loss(jax.tree.map(lambda a, b, step=step: a + step * b, model, direction)) for step in (1e-8, -1e-8)
        )
        products = jax.tree.map(lambda a, b: (a * b).sum(), jax.grad(loss)(model), direction)
        assert float(sum(jax.tree.leaves(products))) == pytest.approx(float(up - down) / 2e-8, rel=1e-5)


def test_what_is_printed(result, capsys):
    pretrained_charges.show(result)
    assert result.bundle.models["espaloma-charge"].sha256 in capsys.readouterr().out
