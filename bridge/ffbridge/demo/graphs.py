"""The second road of the demo: parameters of a bundle on the nodes of an espaloma graph, in espaloma's conventions.

espaloma's models have no phases: a torsion k (1 + cos(n φ - π)) is a node with negative k, whose energy is
|k| (1 - cos n φ). A force field's own negative k has the same forces that way, but an energy that is lower by 2 |k|: a
constant that espaloma's form cannot express, and that `ParametrizedGraph.offset` states. Each improper node counts one
half of its k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.producers.espaloma import espaloma_graph
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

__all__ = ["ParametrizedGraph", "parametrized_graph"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_N_PERIODICITIES = 6


@dataclass(frozen=True, eq=False)
class ParametrizedGraph:
    """An espaloma graph with parameters.

    Attributes:
        graph: the ``dgl.DGLGraph``.
        offset: energy of the graph minus that of the bundle [kJ/mol], by term: a constant.
    """

    graph: Any
    offset: dict[str, float]


def parametrized_graph(molecule: Any, bundle: Bundle) -> ParametrizedGraph:
    """Return the graph of a molecule, float64, with the parameters of the molecule's bundle on its nodes.

    Args:
        molecule: the ``openff.toolkit.Molecule``.
        bundle: what :func:`ffbridge.from_interchange` returns for it.
    """
    graph = espaloma_graph(molecule, impropers="smirnoff", dtype="float64")
    offset: dict[str, float] = {}
    for node_type, term, unit in (("n2", "bonds", NM_PER_BOHR), ("n3", "angles", 1.0)):
        atoms = bundle.terms[term].indices
        rows = _find(_one_direction(_atoms(graph, node_type)), _one_direction(atoms), bundle.n_atoms)
        k, eq = bundle.parameters(term)[rows].T
        _write(graph, node_type, k=(k * (unit**2 / KJ_PER_MOL_PER_HARTREE))[:, None], eq=(eq / unit)[:, None])
    if "proper_torsions" in bundle.terms:
        quartets = _one_direction(_atoms(graph, "n4"))
        atoms = _one_direction(bundle.terms["proper_torsions"].indices)
        # Every quartet stands twice, and its energy is counted once.
        offset["proper_torsions"] = _write_torsions(graph, "n4", quartets, bundle, "proper_torsions", atoms, 0.5)
    if "improper_torsions" in bundle.terms:
        # An improper about the same central bond has the same cosine from either side: center and last atom tell it.
        nodes, atoms = _atoms(graph, "n4_improper"), bundle.terms["improper_torsions"].indices
        offset["improper_torsions"] = _write_torsions(
            graph, "n4_improper", nodes[:, [0, 3]], bundle, "improper_torsions", atoms[:, [0, 3]], 0.5, scale=2.0
        )
    _write(graph, "n1", q=bundle.parameters("electrostatics"))
    return ParametrizedGraph(graph=graph, offset=offset)


def _write_torsions(
    graph: Any,
    node_type: str,
    nodes: Ints,
    bundle: Bundle,
    term: str,
    atoms: Ints,
    count: float,
    *,
    scale: float = 1.0,
) -> float:
    """Write k of every periodicity, and return by how much the graph's constant part exceeds the bundle's [kJ/mol].

    Args:
        graph: to be written to.
        node_type: of the torsions.
        nodes: ``(n_nodes, m)``, what identifies a node.
        bundle: with the parameters.
        term: which of its terms.
        atoms: ``(n_terms, m)``, what identifies an interaction.
        count: how much of a node's energy counts.
        scale: a node's k over that of the interaction.
    """
    k, phase, periodicity = bundle.parameters(term).T
    sign = np.where(np.isclose(phase, 0, atol=1e-9), 1.0, np.where(np.isclose(phase, np.pi, atol=1e-9), -1.0, 0.0))
    if not sign.all() or periodicity.max() > _N_PERIODICITIES:
        row = int((sign == 0).argmax())
        raise UnsupportedError(
            f"terms/{term}: espaloma's graphs have phases 0 and π and periodicities up to {_N_PERIODICITIES}; got "
            f"phase {phase[row]} and periodicities up to {int(periodicity.max())}"
        )
    # One interaction of a node per periodicity; several would add up.
    unique, of_term = np.unique(atoms, axis=0, return_inverse=True)
    by_quartet = np.zeros((len(unique), _N_PERIODICITIES))
    np.add.at(by_quartet, (of_term.reshape(-1), periodicity.astype(int) - 1), sign * k)
    rows = _find_or_none(nodes, unique, bundle.n_atoms)
    values = np.where(rows[:, None] >= 0, by_quartet[rows], 0.0)
    _write(graph, node_type, k=values * (scale / KJ_PER_MOL_PER_HARTREE))
    return float(count * scale * np.abs(values).sum() - k.sum())


def _atoms(graph: Any, node_type: str) -> Ints:
    atoms: Ints = graph.nodes[node_type].data["idxs"].numpy()
    return atoms


def _write(graph: Any, node_type: str, **fields: Floats) -> None:
    import torch

    for name, values in fields.items():
        graph.nodes[node_type].data[name] = torch.from_numpy(np.ascontiguousarray(values))


def _one_direction(atoms: Ints) -> Ints:
    return np.where((atoms[:, 0] < atoms[:, -1])[:, None], atoms, atoms[:, ::-1])


def _find_or_none(wanted: Ints, among: Ints, n_atoms: int) -> Ints:
    """Return the row of each wanted tuple among others, or -1."""
    weights = n_atoms ** np.arange(wanted.shape[1])
    keys = among @ weights
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys[order], wanted @ weights), len(keys) - 1)
    rows = order[place]
    return np.where(keys[rows] == wanted @ weights, rows, -1)


def _find(wanted: Ints, among: Ints, n_atoms: int) -> Ints:
    rows = _find_or_none(wanted, among, n_atoms)
    if (rows < 0).any():
        raise BundleError(f"the bundle has no parameters for the atoms {wanted[int((rows < 0).argmax())].tolist()}")
    return rows
