"""The network of espaloma_training.py as ``ffbridge fit`` takes it: a module that returns the bundle of molecules.

    ffbridge fit examples/fit/espaloma.toml

The settings name :func:`make`, which is given the mapped SMILES of the molecules that the fit learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import dgl
from espaloma_training import Network
from openff.toolkit import Molecule
from torch import nn

import ffbridge as fb
from ffbridge.producers.openff import load_force_field, parametrize

__all__ = ["Espaloma", "make"]


class Espaloma(nn.Module):
    """A network whose forward pass makes a bundle: the network's bonded parameters and charges, OpenFF's Lennard-Jones.

    Args:
        network: writes parameters onto a graph.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, smiles: Sequence[str]) -> fb.Bundle:
        """Return the bundle of molecules, atoms in the order of the map numbers; its tables carry gradients."""
        graph, openff = _molecules(tuple(smiles))
        self.network(graph)
        made = fb.from_espaloma(graph)
        return replace(
            made,
            terms={**made.terms, "vdw": openff.term("vdw")},
            tables={**made.tables, "vdw": openff.table("vdw")},
            system_names=tuple(smiles),
        )


def make(smiles: Sequence[str], *, width: int = 32, depth: int = 3) -> Espaloma:
    """Return a network that gives every bond and every angle nearly the mean of OpenFF's parameters."""
    openff = _molecules(tuple(smiles))[1]
    means = {name: openff.parameters(name).mean(0) for name in ("bonds", "angles")}
    return Espaloma(Network(means, width=width, depth=depth)).double()


@cache
def _molecules(smiles: tuple[str, ...]) -> tuple[dgl.DGLGraph, fb.Bundle]:
    """Return molecules as one graph, and as a bundle of OpenFF 2.3.0 in PyTorch."""
    force_field = load_force_field()
    molecules = [Molecule.from_mapped_smiles(each, allow_undefined_stereo=True) for each in smiles]
    bundles = [
        fb.from_interchange(parametrize([each], force_field=force_field), force_field=force_field) for each in molecules
    ]
    graph = fb.espaloma_graph(molecules, impropers="smirnoff", dtype="float64")
    return graph, fb.concatenate(bundles).to("torch")
