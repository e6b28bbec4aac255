"""A graph neural network in PyTorch and DGL, trained through energies and forces that JAX evaluates.

As in espaloma (Y. Wang et al., Chem. Sci. 13, 12016 (2022)): messages pass along the bonds of a DGL graph, Janossy
pooling makes parameters of bonds, angles and torsions from the embeddings of their atoms, charges come from
electronegativity and hardness by equilibration and keep each molecule's total. Lennard-Jones parameters are OpenFF's.
The network writes onto the graph, `ffbridge.from_espaloma` makes tables of it, and the engine ``jax`` evaluates them
as a function that PyTorch differentiates, twice for losses of forces. The data are energies and forces of OpenFF 2.3.0.

    python examples/espaloma_training.py --steps 300
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

import dgl
import numpy as np
import torch
from conformers import Batch, Data, load_batch
from dgl import function as fn
from numpy.typing import NDArray
from torch import Tensor, nn

import ffbridge as fb
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

__all__ = ["Network", "Training", "load_problem", "main", "new_network", "show", "train"]

SMILES = ("CCO", "CC(N)=O", "COC(C)=O", "NCCO", "Oc1ccccc1")

ORDERS = {
    "n2": ((0, 1), (1, 0)),
    "n3": ((0, 1, 2), (2, 1, 0)),
    "n4": ((0, 1, 2, 3), (3, 2, 1, 0)),
    "n4_improper": ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)),
}
"""The orders of an interaction's atoms that mean the same, by node type; the center of impropers is first."""

OUTPUTS = {"n2": 2, "n3": 2, "n4": 6, "n4_improper": 6}
"""k and eq of bonds and angles, k of six periodicities of torsions."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Training:
    """What training did.

    Attributes:
        losses: at every evaluation, the start first and the end last.
        force_errors: root mean square errors of forces before and after training [kJ/mol/nm].
        gradient_differences: before and after training, the largest difference between the derivatives of the loss by
            the weights through the engine ``jax`` and through the engine ``torch``, relative to the largest derivative
            of that weight array.
        bundle: with the trained parameters, and the network's fingerprint.
    """

    losses: Floats
    force_errors: tuple[float, float]
    gradient_differences: tuple[float, float]
    bundle: fb.Bundle


class Pooling(nn.Module):
    """Janossy pooling: one network over the embeddings of an interaction's atoms, summed over equivalent orders."""

    def __init__(self, width: int, orders: tuple[tuple[int, ...], ...], n_outputs: int) -> None:
        super().__init__()
        self.orders = orders
        self.network = nn.Sequential(nn.Linear(len(orders[0]) * width, width), nn.SiLU(), nn.Linear(width, n_outputs))
        nn.init.normal_(self.network[-1].weight, std=0.01)
        nn.init.zeros_(self.network[-1].bias)

    def forward(self, atoms: list[Tensor]) -> Tensor:
        """Return ``(n_nodes, n_outputs)`` for the embeddings of each atom of the nodes, ``(n_nodes, width)`` each."""
        return sum(self.network(torch.cat([atoms[i] for i in order], dim=1)) for order in self.orders)


class Network(nn.Module):
    """From a graph with the field ``h0`` to one with parameters, in espaloma's units (bohr, hartree, rad, e).

    Args:
        means: k and eq of the bonds and of the angles of a reference, in the bundle's units: the network starts there.
        width: of the embeddings.
        depth: rounds of messages.
    """

    def __init__(self, means: Mapping[str, Tensor], *, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Linear(114, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.neighbors = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.pooling = nn.ModuleDict(
            {node_type: Pooling(width, orders, OUTPUTS[node_type]) for node_type, orders in ORDERS.items()}
        )
        self.charges = nn.Linear(width, 2)
        for name, length in (("bonds", NM_PER_BOHR), ("angles", 1.0)):
            units = torch.tensor([KJ_PER_MOL_PER_HARTREE / length**2, length], dtype=torch.float64)
            self.register_buffer(name, means[name] / units)

    def forward(self, graph: dgl.DGLGraph) -> None:
        """Write ``k`` and ``eq`` of bonds and angles, ``k`` of six periodicities of torsions, and ``q`` of atoms."""
        atoms = graph.nodes["n1"].data
        # The mass, in column 102, is the one feature that is far from 1.
        scale = torch.ones(114).index_fill(0, torch.tensor(102), 0.05)
        atoms["h"] = torch.tanh(self.embedding(atoms["h0"] * scale))
        for own, neighbors in zip(self.own, self.neighbors, strict=True):
            graph.update_all(fn.copy_u("h", "message"), fn.mean("message", "mean"), etype="n1_neighbors_n1")
            atoms["h"] = nn.functional.silu(own(atoms["h"]) + neighbors(atoms["mean"]))
        for node_type, pooling in self.pooling.items():
            if graph.num_nodes(node_type):
                self.write(graph, node_type, pooling(embeddings(graph, node_type)))
        atoms["q"] = self.equilibrate(graph, *self.charges(atoms["h"]).split(1, dim=1))

    def write(self, graph: dgl.DGLGraph, node_type: str, outputs: Tensor) -> None:
        """Write outputs of about 1 as parameters: around the means for bonds and angles, around 0 for torsions."""
        data = graph.nodes[node_type].data
        if node_type in ("n2", "n3"):
            k, eq = self.bonds if node_type == "n2" else self.angles
            data["k"], data["eq"] = k * torch.exp(outputs[:, :1]), eq * (1 + 0.2 * outputs[:, 1:])
        else:
            data["k"] = outputs * (10 / KJ_PER_MOL_PER_HARTREE)

    @staticmethod
    def equilibrate(graph: dgl.DGLGraph, electronegativity: Tensor, log_hardness: Tensor) -> Tensor:
        """Return the charges that minimize Σ e q + s q²/2 under each molecule's total charge, ``(n_atoms, 1)``."""
        softness = torch.exp(-log_hardness)
        with graph.local_scope():
            graph.nodes["n1"].data.update(softness=softness, pull=electronegativity * softness)
            sums = [dgl.readout_nodes(graph, name, ntype="n1") for name in ("softness", "pull")]
            level = (graph.nodes["g"].data["sum_q"] + sums[1]) / sums[0]
            return softness * (dgl.broadcast_nodes(graph, level, ntype="n1") - electronegativity)


def embeddings(graph: dgl.DGLGraph, node_type: str) -> list[Tensor]:
    """Return the embedding of each atom of an interaction, ``(n_nodes, width)`` each, along the edges to its node."""
    with graph.local_scope():
        for place in range(len(ORDERS[node_type][0])):
            copy = fn.copy_u("h", "message"), fn.sum("message", f"h{place}")
            graph.update_all(*copy, etype=f"n1_as_{place}_in_{node_type}")
        data = graph.nodes[node_type].data
        return [data[f"h{place}"] for place in range(len(ORDERS[node_type][0]))]


@dataclass(frozen=True, eq=False)
class Problem:
    """The molecules as a graph, and what the network's energies and forces are compared with."""

    batch: Batch
    graph: dgl.DGLGraph
    data: Data

    def bundle(self, network: Network) -> fb.Bundle:
        """Return the bundle of the network's parameters, which carry gradients, with OpenFF's Lennard-Jones term."""
        network(self.graph)
        made, openff = fb.from_espaloma(self.graph), self.batch.bundle.to("torch")
        return replace(
            made,
            terms={**made.terms, "vdw": openff.term("vdw")},
            tables={**made.tables, "vdw": openff.table("vdw")},
        )

    def loss(self, network: Network, U: fb.Potential) -> Tensor:
        """Return the loss of the network's parameters."""
        tables = {name: table.values for name, table in self.bundle(network).tables.items()}
        x = self.data.x.clone().requires_grad_()
        energies = U(x, tables)
        (gradient,) = torch.autograd.grad(energies.sum(), x, create_graph=True)
        return self.data.loss(energies, -gradient)


def load_problem(smiles: tuple[str, ...], *, n_conformers: int, seed: int) -> Problem:
    """Return molecules as one graph, with energies and forces of OpenFF."""
    batch = load_batch(smiles, n_conformers=n_conformers, seed=seed)
    graph = fb.espaloma_graph(batch.molecules, impropers="smirnoff", dtype="float64")
    return Problem(batch, graph, Data.of(batch.bundle, batch.positions).to("torch"))


def new_network(problem: Problem, *, seed: int) -> Network:
    """Return a network, in float64, that gives every bond and every angle nearly the mean of OpenFF's parameters."""
    torch.manual_seed(seed)
    openff = problem.batch.bundle
    return Network({name: torch.tensor(openff.parameters(name).mean(0)) for name in ("bonds", "angles")}).double()


def train(*, smiles: tuple[str, ...] = SMILES, n_conformers: int = 8, steps: int = 300, seed: int = 0) -> Training:
    """Return what training on energies and forces of OpenFF gives."""
    problem = load_problem(smiles, n_conformers=n_conformers, seed=seed)
    network = new_network(problem, seed=seed)
    # The structure never changes, so a potential is made once, and the tables are given at each call.
    start = problem.bundle(network).snapshot()
    U, other = (fb.potential(start, engine, host="torch") for engine in ("jax", "torch"))
    differences = [gradient_difference(problem, network, U, other)]
    losses = descend(problem, network, U, steps)
    differences.append(gradient_difference(problem, network, U, other))
    record = fb.Model(version="1", framework="torch", sha256=fb.fingerprint(network))
    trained = problem.bundle(network).snapshot()
    trained = trained.with_model("espaloma-style", record, tables=trained.tables.keys() - {"vdw"})
    errors = [force_error(bundle, problem.data) for bundle in (start, trained)]
    return Training(np.array(losses), tuple(errors), tuple(differences), trained)


def descend(problem: Problem, network: Network, U: fb.Potential, steps: int) -> list[float]:
    """Train the network by L-BFGS; return the loss at every evaluation, those of line searches included."""
    options = {"history_size": 50, "line_search_fn": "strong_wolfe", "tolerance_grad": 0, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=steps, **options)
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem.loss(network, U)
        loss.backward()
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    return [*losses, problem.loss(network, U).item()]


def gradient_difference(problem: Problem, network: Network, *potentials: fb.Potential) -> float:
    """Return the largest difference of the weights' gradients, relative to the largest of each weight array.

    Weights that molecules have no use for, such as those for impropers where there are none, are left out.
    """
    one, other = (
        torch.autograd.grad(problem.loss(network, U), list(network.parameters()), materialize_grads=True)
        for U in potentials
    )
    used = [(a, b) for a, b in zip(one, other, strict=True) if a.any() or b.any()]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in used)


def force_error(bundle: fb.Bundle, data: Data) -> float:
    """Return the root mean square error of a bundle's forces [kJ/mol/nm]."""
    forces = fb.potential(bundle, "numpy").value_and_grad(data.x).forces
    return float(((forces - data.forces.numpy()) ** 2).mean() ** 0.5)


def show(result: Training) -> None:
    """Print what was found."""
    print(f"evaluation{'loss':>12}")
    for step in np.unique(np.linspace(0, len(result.losses) - 1, 11).astype(int)):
        print(f"{step:10}{result.losses[step]:12.3e}")
    print(f"loss: {result.losses[0] / result.losses[-1]:.0f} times less")
    before, after = result.force_errors
    print(f"root mean square error of forces: {before:.1f} -> {after:.1f} kJ/mol/nm")
    before, after = result.gradient_differences
    print(f"gradients of weights, engine jax against torch: {before:.1e} relative before training, {after:.1e} after")
    print(f"fingerprint of the trained network: {result.bundle.models['espaloma-style'].sha256}")


def main() -> None:
    """Train and print what changed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    # Work on graphs this small takes less time than threads take to meet, where other programs run as well.
    torch.set_num_threads(1)
    show(train(steps=parser.parse_args().steps))


if __name__ == "__main__":
    main()
