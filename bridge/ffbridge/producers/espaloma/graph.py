"""The graph that espaloma's models run on, built from molecules by array operations.

Its nodes are atoms (``n1``) and interactions: bonds (``n2``), angles (``n3``), proper and improper torsions (``n4``,
``n4_improper``), 1-4 pairs (``onefour``), pairs farther apart (``nonbonded``), and one node ``g`` per molecule. Its
edges say which atoms and smaller interactions an interaction is made of. Bonds, angles and proper torsions are listed
first all in one direction, then all in the other; pairs too stand in both directions.

Source: Y. Wang et al., Chem. Sci. 13, 12016 (2022); espaloma, ``graphs/utils/read_heterogeneous_graph.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.graph import EdgeSet, EdgeType, Graph, NodeSet, write_graph
from ffbridge.producers.connectivity import (
    Neighbors,
    angles,
    cyclic_impropers,
    impropers,
    one_four_and_farther_pairs,
    proper_torsions,
)

from .atom_features import atom_features

__all__ = ["espaloma_arrays", "espaloma_graph"]

Indices = NDArray[np.int64]

_IMPROPERS = {"espaloma": impropers, "smirnoff": cyclic_impropers}
_PATHS = ("n1", "n2", "n3", "n4")


def espaloma_graph(
    molecules: Any | Sequence[Any],
    *,
    impropers: Literal["espaloma", "smirnoff"] = "espaloma",
    library: str = "dgl",
    id_dtype: Literal["int32", "int64"] = "int64",
    dtype: str = "float32",
) -> Any:
    """Return the graph that espaloma builds for a molecule, or for several molecules as one batch.

    Args:
        molecules: an OpenFF ``Molecule``, or a sequence of them, with all hydrogens as atoms.
        impropers: ``espaloma``: six orderings per center, the center second; ``smirnoff``: three cyclic ones, the
            center first.
        library: the graph library wanted, as :func:`ffbridge.write_graph` knows them.
        id_dtype: integer type of node ids in the graph's structure; the field ``idxs`` is int64 always.
        dtype: floating-point type of the fields ``h0`` and ``sum_q``.

    Returns:
        For ``dgl``, a ``dgl.DGLGraph``. A batch equals ``dgl.batch`` of the single graphs: the field ``idxs`` counts
        atoms within each molecule.

    Raises:
        UnsupportedError: an object is not an OpenFF molecule, or an atom has no place in espaloma's features.
        MissingDependencyError: the graph library is not installed.
    """
    return write_graph(espaloma_arrays(molecules, impropers=impropers, id_dtype=id_dtype, dtype=dtype), library)


def espaloma_arrays(
    molecules: Any | Sequence[Any],
    *,
    impropers: Literal["espaloma", "smirnoff"] = "espaloma",
    id_dtype: Literal["int32", "int64"] = "int64",
    dtype: str = "float32",
) -> Graph:
    """Return the graph of :func:`espaloma_graph` as NumPy arrays; no graph library is needed.

    Args:
        molecules: an OpenFF ``Molecule``, or a sequence of them, with all hydrogens as atoms.
        impropers: the orderings of improper torsions, ``espaloma`` or ``smirnoff``.
        id_dtype: integer type of node ids in the graph's structure.
        dtype: floating-point type of the fields ``h0`` and ``sum_q``.

    Raises:
        UnsupportedError: an object is not an OpenFF molecule, or an atom has no place in espaloma's features.
    """
    batch = list(molecules) if isinstance(molecules, Sequence) else [molecules]
    if not batch:
        raise GraphError("espaloma_graph: got no molecule, expected at least one")
    if impropers not in _IMPROPERS:
        raise UnsupportedError(f"espaloma_graph: impropers={impropers!r}, expected one of: {', '.join(_IMPROPERS)}")
    sizes = np.array([_size(molecule) for molecule in batch])
    starts = sizes.cumsum() - sizes
    molecule_of_atom = np.arange(len(batch)).repeat(sizes)
    bonds = np.concatenate([_bonds(molecule) + start for molecule, start in zip(batch, starts, strict=True)])
    indices = _indices(bonds, molecule_of_atom, scheme=impropers)
    features = [atom_features(molecule, dtype=dtype) for molecule in batch]
    owners = {name: molecule_of_atom[rows[:, 0]] for name, rows in indices.items()}
    fields = {
        name: {"idxs": rows if len(batch) == 1 else rows - starts[owners[name], None]} for name, rows in indices.items()
    }
    fields["n1"]["h0"] = np.concatenate([found.rows for found in features])
    fields["g"] = {"sum_q": np.array([[found.total_charge] for found in features], dtype=dtype)}
    owners["g"] = np.arange(len(batch))
    nodes = {
        name: NodeSet(count=len(owner), fields=fields[name], batch_sizes=np.bincount(owner, minlength=len(batch)))
        for name, owner in owners.items()
    }
    edges = {
        edge_type: EdgeSet(src=src, dst=dst, fields={}, batch_sizes=nodes[counted].batch_sizes)
        for edge_type, (src, dst, counted) in _relations(indices, owners, id_dtype).items()
    }
    return Graph(nodes=nodes, edges=edges)


def _size(molecule: Any) -> int:
    if not hasattr(type(molecule), "to_rdkit"):
        raise UnsupportedError(
            f"espaloma_graph: got {type(molecule).__module__}.{type(molecule).__qualname__}, expected an OpenFF "
            "Molecule (openff.toolkit.Molecule.from_rdkit, from_smiles or from_file make one)"
        )
    return int(molecule.n_atoms)


def _bonds(molecule: Any) -> Indices:
    ends = [index for bond in molecule.bonds for index in (bond.atom1_index, bond.atom2_index)]
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


def _indices(bonds: Indices, molecule_of_atom: Indices, *, scheme: str) -> dict[str, Indices]:
    """Return the atoms of the nodes of every type, numbered over all molecules, ``(n_nodes, arity)``."""
    neighbors = Neighbors.from_bonds(bonds, len(molecule_of_atom))
    one_molecule = not molecule_of_atom.any()

    def both_directions(rows: Indices) -> Indices:
        doubled = np.concatenate([rows, rows[:, ::-1]])
        if one_molecule:
            return doubled
        # Molecule by molecule, as batches are; within a molecule the order stays.
        return doubled[np.argsort(molecule_of_atom[doubled[:, 0]], kind="stable")]

    one_four, farther = one_four_and_farther_pairs(neighbors, molecule_of_atom)
    return {
        "n1": np.arange(len(molecule_of_atom)).reshape(-1, 1),
        "n2": both_directions(bonds),
        "n3": both_directions(angles(neighbors)),
        "n4": both_directions(proper_torsions(neighbors)),
        "n4_improper": _IMPROPERS[scheme](neighbors),
        "nonbonded": farther,
        "onefour": one_four,
    }


def _relations(
    indices: dict[str, Indices], owners: dict[str, Indices], id_dtype: str
) -> dict[EdgeType, tuple[NDArray[Any], NDArray[Any], str]]:
    """Return source and destination ids of every edge type, and the node type that has one node for each of its edges.

    Each relation but that of neighbors has its reverse.
    """
    columns = {name: rows.T.copy() for name, rows in indices.items()}
    # Arrays that relations share: the atoms of nodes by their position, and the ids of all nodes of a type.
    atoms = {name: list(of_nodes.astype(id_dtype, copy=False)) for name, of_nodes in columns.items()}
    all_of = {name: np.arange(len(rows), dtype=id_dtype) for name, rows in indices.items()}
    edges: dict[EdgeType, tuple[NDArray[Any], NDArray[Any], str]] = {
        ("n1", "n1_neighbors_n1", "n1"): (*atoms["n2"], "n2")
    }

    def link(small: str, big: str, position: int, parts: NDArray[Any]) -> None:
        wholes = all_of[big]
        is_part, has_part = _part_types(small, big, position)
        edges[is_part] = (parts, wholes, big)
        edges[has_part] = (wholes, parts, big)

    for big, of_big in atoms.items():
        if big != "n1":
            for position, parts in enumerate(of_big):
                link("n1", big, position, parts)
    for small in _PATHS[1:-1]:
        lookup = _Lookup(columns[small], len(indices["n1"]))
        for big in _PATHS[_PATHS.index(small) + 1 :]:
            for position, parts in enumerate(lookup.parts_of(columns[big]).astype(id_dtype, copy=False)):
                link(small, big, position, parts)
    for name in atoms:
        molecules = owners[name].astype(id_dtype, copy=False)
        in_molecule, has_node = _molecule_types(name)
        edges[in_molecule] = (all_of[name], molecules, name)
        edges[has_node] = (molecules, all_of[name], name)
    return edges


@cache
def _part_types(small: str, big: str, position: int) -> tuple[EdgeType, EdgeType]:
    return (small, f"{small}_as_{position}_in_{big}", big), (big, f"{big}_has_{position}_{small}", small)


@cache
def _molecule_types(name: str) -> tuple[EdgeType, EdgeType]:
    return (name, f"{name}_in_g", "g"), ("g", f"g_has_{name}", name)


class _Lookup:
    """From the atoms of a node to its id, by one number per node: the atoms as digits to the base n_atoms."""

    def __init__(self, columns: Indices, n_atoms: int) -> None:
        self.arity = len(columns)
        self.n_atoms = n_atoms
        (keys,) = self._keys(columns)
        self.order = keys.argsort()
        self.keys = keys[self.order]

    def parts_of(self, columns: Indices) -> Indices:
        """Return the ids of the nodes that begin at each position of larger ones, ``(n_positions, n_larger)``."""
        found: Indices = self.order[self.keys.searchsorted(self._keys(columns))]
        return found

    def _keys(self, columns: Indices) -> Indices:
        n_positions = len(columns) - self.arity + 1
        keys = columns[:n_positions]
        for shift in range(1, self.arity):
            keys = keys * self.n_atoms + columns[shift : shift + n_positions]
        return keys
