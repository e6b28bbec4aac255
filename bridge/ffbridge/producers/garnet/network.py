"""Garnet's network: from graphs to force-field parameters, as tensors that its weights have gradients through.

Garnet itself evaluates its network while it writes a file of OpenMM, in numbers of four decimals, and its charges leave
the automatic differentiation half-way. The same formulas stand here on tensors, with its own layers and transforms.
Source: ``garnetff/garnetff.py`` of garnetff 1.0.0, ``Model.data_to_xml``; A. Blanco-González, T. K. Schulze, E. Rovers,
J. G. Greener, Chem. Sci. (2026), doi:10.1039/d6sc02874h.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .graphs import Graphs

__all__ = ["Parameters", "evaluate"]

Tensor = Any

_ORDERS = {
    "bond": ((0, 1), (1, 0)),
    "angle": ((0, 1, 2), (2, 1, 0)),
    "proper": ((0, 1, 2, 3), (3, 2, 1, 0)),
    "improper": ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)),
}
"""The orders of an interaction's atoms over whose embeddings it pools."""


class Parameters(NamedTuple):
    """What the network says of the graphs, in nm, kJ/mol, rad and e.

    Attributes:
        charge, sigma, epsilon: ``(n_atoms,)`` each.
        bonds, angles: ``(n, 2)``: k, and length or angle.
        propers: ``(n, 6)``, k of periodicities 1 to 6.
        impropers: ``(n, 2)``, k of periodicities 1 and 2.
    """

    charge: Tensor
    sigma: Tensor
    epsilon: Tensor
    bonds: Tensor
    angles: Tensor
    propers: Tensor
    impropers: Tensor


def evaluate(garnet: Any, model: Any, graphs: Graphs) -> Parameters:
    """Return the parameters of graphs, in the dtype and on the device of the model's weights.

    Args:
        garnet: the module ``garnetff.garnetff``.
        model: a ``garnetff.Model``.
        graphs: the graphs of one or many systems.
    """
    import torch

    weight = next(model.parameters())
    rows, edges = graphs.edges()
    x = torch.cat(rows).to(weight)
    edge_index = torch.from_numpy(edges).to(weight.device)
    embeddings = model.atom_embed(SimpleNamespace(x=x, edge_index=edge_index))

    def features(name: str) -> Tensor:
        atoms = [embeddings[torch.from_numpy(atoms).to(weight.device)] for atoms in graphs.paths[name].T]
        pool = getattr(model, f"{name}_pool")
        pooled = sum(pool(torch.cat([atoms[place] for place in order], dim=1)) for order in _ORDERS[name])
        return getattr(model, f"{name}_features")(pooled)

    atoms, bonds, angles = model.atom_features(embeddings), features("bond"), features("angle")
    return Parameters(
        charge=_equilibrate(atoms[:, 0], atoms[:, 1], graphs),
        sigma=garnet.transform_σ(atoms[:, 2]),
        epsilon=garnet.transform_ϵ(atoms[:, 3]),
        bonds=torch.stack([garnet.transform_bond_k(bonds), garnet.transform_bond_r0(bonds)], dim=1),
        angles=torch.stack([garnet.transform_angle_k(angles), garnet.transform_angle_θ0(angles)], dim=1),
        propers=features("proper"),
        impropers=features("improper"),
    )


def _equilibrate(electronegativity: Tensor, hardness: Tensor, graphs: Graphs) -> Tensor:
    """Return the charges that minimize Σ e q + s q²/2 under each molecule's total charge: q = (λ - e)/s."""
    import torch

    def per_molecule(values: Tensor) -> Tensor:
        return torch.zeros(len(graphs.charges)).to(values).index_add(0, molecule, values)

    molecule = torch.from_numpy(graphs.molecule).to(hardness.device)
    total = torch.from_numpy(np.ascontiguousarray(graphs.charges)).to(hardness)
    softness = 1 / hardness
    level = (total + per_molecule(electronegativity * softness)) / per_molecule(softness)
    return softness * (level[molecule] - electronegativity)
