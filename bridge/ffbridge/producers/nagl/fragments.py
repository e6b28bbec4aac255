"""Molecules as NAGL evaluates them: connected fragments, each of which its lookup table knows, or its network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.producers.openff.resonance import shared_resonance_paths

__all__ = ["Fragments", "distinct_molecules", "read_fragments"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fragments:
    """Fragments of molecules, with the rows of their atoms: numbered molecule by molecule.

    Attributes:
        graph: NAGL's batch of the fragments that the network reads; None if there are none.
        known: ``(n_known,)``, the charges of the other fragments, of a lookup table [e].
        order: ``(n_rows,)``: the charge of row i is entry ``order[i]`` of the network's charges, then the known ones.
    """

    graph: Any
    known: NDArray[np.float64]
    order: Indices


def distinct_molecules(topology: Any) -> tuple[list[Any], Indices]:
    """Return the distinct molecules of a topology, and for each atom of the topology its row among their atoms."""
    molecules = list(topology.molecules)
    starts = np.cumsum([0, *(molecule.n_atoms for molecule in molecules)])
    rows = np.empty(int(starts[-1]), dtype=np.int64)
    first = 0
    distinct = []
    for original, copies in sorted(topology.identical_molecule_groups.items()):
        distinct.append(molecules[original])
        for place, own in copies:
            rows[starts[place] + np.fromiter(own.values(), int)] = first + np.fromiter(own.keys(), int)
        first += molecules[original].n_atoms
    return distinct, rows


def read_fragments(
    model: Any, molecules: Sequence[Any], *, readout: str, lookup_table: bool, check_domain: bool
) -> Fragments:
    """Return the fragments of molecules, whose features are computed here, once.

    Raises:
        UnsupportedError: a fragment is outside the chemical domain of the model.
        MissingDependencyError: DGL is not installed.
    """
    graphs: list[Any] = []
    of_network: list[Indices] = []
    of_table: list[Indices] = []
    known: list[NDArray[np.float64]] = [np.empty(0)]
    start = 0
    with shared_resonance_paths():
        for molecule in molecules:
            for fragment, atoms in _split(molecule):
                if check_domain:
                    _check_domain(model, fragment)
                found = _look_up(model, fragment, readout) if lookup_table else None
                if found is None:
                    graphs.append(_graph(model, fragment))
                    of_network.append(start + atoms)
                else:
                    known.append(found)
                    of_table.append(start + atoms)
            start += molecule.n_atoms
    rows = np.concatenate([*of_network, *of_table])
    return Fragments(graph=_batch(graphs), known=np.concatenate(known), order=np.argsort(rows))


def _split(molecule: Any) -> list[tuple[Any, Indices]]:
    """Return the connected parts of a molecule, each with the atoms that it has of it."""
    import networkx as nx
    from openff.nagl.toolkits.openff import molecule_from_networkx

    graph = molecule.to_networkx()
    parts = [np.array(sorted(part)) for part in nx.connected_components(graph)]
    if len(parts) == 1:
        return [(molecule, parts[0])]
    return [(molecule_from_networkx(_part(graph, part)), part) for part in parts]


def _part(graph: Any, atoms: Indices) -> Any:
    """Return the subgraph of some atoms, numbered and listed in their order, which a molecule takes over."""
    import networkx as nx

    number = {int(atom): place for place, atom in enumerate(atoms)}
    part = nx.Graph()
    part.add_nodes_from((place, graph.nodes[atom]) for atom, place in number.items())
    part.add_edges_from((number[i], number[j], data) for i, j, data in graph.subgraph(number).edges(data=True))
    return part


def _check_domain(model: Any, fragment: Any) -> None:
    inside, reason = model.chemical_domain.check_molecule(fragment, return_error_message=True)
    if not inside:
        raise UnsupportedError(
            f"NAGL: {fragment.to_smiles()} is outside the model's chemical domain: {reason}. Pass check_domain=False "
            "to have its charges all the same"
        )


def _look_up(model: Any, fragment: Any, readout: str) -> NDArray[np.float64] | None:
    if readout not in model.lookup_tables:
        return None
    try:
        charges = model.lookup_tables[readout].lookup(fragment)
    except KeyError:
        return None
    return np.asarray(charges.numpy(), dtype=np.float64).reshape(-1)


def _graph(model: Any, fragment: Any) -> Any:
    from openff.nagl.molecule._dgl import DGLMolecule
    from openff.utilities.exceptions import MissingOptionalDependencyError

    try:
        return DGLMolecule.from_openff(
            fragment, atom_features=model.config.atom_features, bond_features=model.config.bond_features
        )
    except MissingOptionalDependencyError as error:
        # Without DGL, NAGL evaluates a copy of the weights: gradients would not come back.
        raise MissingDependencyError(
            f"NAGL needs DGL for gradients and batches ({error}); pip install 'ffbridge[openff,dgl]'"
        ) from error


def _batch(graphs: list[Any]) -> Any:
    from openff.nagl.molecule._dgl import DGLMoleculeBatch

    return DGLMoleculeBatch.from_dgl_molecules(graphs) if graphs else None
