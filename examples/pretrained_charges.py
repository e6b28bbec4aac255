"""A pretrained charge model in JAX, fine-tuned through energies that PyTorch evaluates.

The model is espaloma-charge 0.0.8 (Y. Wang et al., J. Phys. Chem. A 128, 4160 (2024)) in Equinox, with its published
weights, as the package ``expaloma`` ships them: a graph neural network that predicts electronegativity and hardness of
every atom, and charges from them by equilibration, so that each molecule keeps its total charge. Its charges are a
table of a bundle, the engine ``torch`` evaluates the bundle, and JAX differentiates through both down to the weights.
The data are electrostatic energies and forces of the charges that OpenFF 2.3.0 assigns (NAGL's AM1-BCC model), so that
the right charges are known and the fit can be judged by them. It need not find all of them: bonded neighbors do not
interact, so some combinations of charges change no energy.

    python examples/pretrained_charges.py --steps 200
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox
import expaloma
import jax
import jax.numpy as jnp
import numpy as np
import optax
from conformers import Batch, Data, load_batch
from expaloma.featurize import from_rdkit_mol
from numpy.typing import NDArray
from rdkit.rdBase import BlockLogs

import ffbridge as fb

__all__ = ["Training", "charge_function", "charge_model", "electrostatics", "loss_function", "main", "show", "train"]

SMILES = ("CC(=O)Nc1ccc(O)cc1", "CCO", "CC(=O)[O-]", "NCCS", "FCCCl")
LEARNING_RATE, LAST_LEARNING_RATE = 3e-4, 3e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Training:
    """What fine-tuning did.

    Attributes:
        losses: before every step and at the end, ``(steps + 1,)``.
        charges: of the pretrained and of the fine-tuned model, and the answer, ``(n_atoms,)`` [e] each.
        gradient_difference: largest difference between the derivatives of the first loss by the weights through the
            engine ``torch`` and through the engine ``jax``, relative to the largest derivative of that weight array.
        bundle: with the charges of the fine-tuned model, and its fingerprint and weights.
    """

    losses: Floats
    charges: dict[str, Floats]
    gradient_difference: float
    bundle: fb.Bundle


def charge_model() -> Any:
    """Return the pretrained model, its weights widened to float64: needs JAX's x64 on."""
    with jax.enable_x64(False):
        model = expaloma.load_eqx(expaloma.bundled_eqx_path())
    return jax.tree.map(lambda leaf: leaf.astype("float64"), model)


def electrostatics(batch: Batch) -> fb.Bundle:
    """Return a bundle of the batch's electrostatics alone, with a charge of its own for every atom."""
    term, table = batch.bundle.term("electrostatics"), batch.bundle.table("electrostatics")
    charges = replace(table, values=batch.bundle.parameters("electrostatics"), keys=None)
    alone = replace(term, mapping=fb.Identity())
    return replace(batch.bundle, terms={"electrostatics": alone}, tables={"electrostatics": charges}, models={})


def charge_function(batch: Batch) -> Callable[[Any], jax.Array]:
    """Return the charges of all atoms of a batch, ``(n_atoms, 1)`` [e], as a function of the model."""
    with BlockLogs():
        graphs = [from_rdkit_mol(molecule.to_rdkit()) for molecule in batch.molecules]
    starts = batch.bundle.system_offsets[:-1]
    senders, receivers = (
        jnp.concatenate([getattr(graph, name) + start for graph, start in zip(graphs, starts, strict=True)])
        for name in ("senders", "receivers")
    )
    features, formal = (
        jnp.concatenate([getattr(graph, name) for graph in graphs]).astype("float64") for name in ("h0", "q_ref")
    )
    molecule_of_atom = jnp.repeat(jnp.arange(len(graphs)), np.diff(batch.bundle.system_offsets))

    def charges(model: Any) -> jax.Array:
        return model(features, senders, receivers, molecule_of_atom, len(graphs), 0.0, q_ref=formal)

    return charges


def loss_function(bundle: fb.Bundle, data: Data, engine: str) -> Callable[[jax.Array], jax.Array]:
    """Return the loss of charges ``(n_atoms, 1)`` [e] as a function that JAX differentiates through the engine."""
    U = fb.potential(bundle, engine, host="jax")

    def loss(charges: jax.Array) -> jax.Array:
        energies, pullback = jax.vjp(lambda x: U(x, {"electrostatics": charges}), data.x)
        (gradient,) = pullback(jnp.ones_like(energies))
        return data.loss(energies, -gradient)

    return loss


def train(*, smiles: tuple[str, ...] = SMILES, n_conformers: int = 8, steps: int = 200, seed: int = 0) -> Training:
    """Return what fine-tuning the pretrained model on electrostatic energies and forces gives."""
    batch = load_batch(smiles, n_conformers=n_conformers, seed=seed)
    bundle = electrostatics(batch)
    with jax.enable_x64(True):
        pretrained, charges = charge_model(), charge_function(batch)
        data = Data.of(bundle, batch.positions).to("jax")
        losses_of = {engine: loss_function(bundle, data, engine) for engine in ("torch", "jax")}
        through = {
            engine: jax.jit(jax.value_and_grad(lambda model, loss=loss: loss(charges(model))))
            for engine, loss in losses_of.items()
        }
        difference = gradient_difference(*(through[engine](pretrained)[1] for engine in through))
        tuned, losses = descend(through["torch"], pretrained, steps)
        before, after = (np.asarray(charges(model)) for model in (pretrained, tuned))
        record = fb.Model(
            version="0.0.8, fine-tuned", framework="jax", sha256=fb.fingerprint(tuned), weights=fb.named_weights(tuned)
        )
        made = bundle.replace_table("electrostatics", after)
        made = made.with_model("espaloma-charge", record, tables=["electrostatics"]).snapshot()
    answer = bundle.table("electrostatics").values
    return Training(
        losses=losses,
        charges={"pretrained": before[:, 0], "fine-tuned": after[:, 0], "answer": answer[:, 0]},
        gradient_difference=difference,
        bundle=made,
    )


def descend(value_and_grad: Callable[[Any], Any], model: Any, steps: int) -> tuple[Any, Floats]:
    """Return the model that Adam finds, and the loss before every step and at the end."""
    adam = optax.adam(optax.exponential_decay(LEARNING_RATE, max(steps, 1), LAST_LEARNING_RATE / LEARNING_RATE))

    @jax.jit
    def step(model: Any, state: Any) -> tuple[Any, Any, jax.Array]:
        value, gradient = value_and_grad(model)
        updates, state = adam.update(gradient, state)
        return equinox.apply_updates(model, updates), state, value

    state = adam.init(model)
    losses = []
    for _ in range(steps):
        model, state, value = step(model, state)
        losses.append(float(value))
    losses.append(float(value_and_grad(model)[0]))
    return model, np.array(losses)


def gradient_difference(one: Any, other: Any) -> float:
    """Return the largest difference of two gradients, relative to the largest derivative of each weight array."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


def show(result: Training) -> None:
    """Print what was found."""
    print(f"{'step':>6}{'loss':>12}")
    for step in np.unique(np.linspace(0, len(result.losses) - 1, 11).astype(int)):
        print(f"{step:6}{result.losses[step]:12.3e}")
    print(f"loss: {result.losses[0] / result.losses[-1]:.0f} times less")
    for name in ("pretrained", "fine-tuned"):
        deviation = result.charges[name] - result.charges["answer"]
        print(f"charges, {name}: root mean square deviation from the answer {np.sqrt((deviation**2).mean()):.4f} e")
    print(f"gradients of weights, engine torch against engine jax: {result.gradient_difference:.1e} relative")
    model = result.bundle.models["espaloma-charge"]
    print(f"fingerprint of the fine-tuned model: {model.sha256} ({len(model.weights)} arrays, carried by the bundle)")


def main() -> None:
    """Fine-tune and print what changed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    show(train(steps=parser.parse_args().steps))


if __name__ == "__main__":
    main()
