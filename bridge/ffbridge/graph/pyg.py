"""PyTorch Geometric graphs, read and written by PyG's public interface, without copying fields.

PyG keeps source and destination ids as one array ``edge_index (2, n_edges) int64``. Reading takes its two rows as they
lie; writing makes it, which is a copy of the structure, and the only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from typing import Any

from ffbridge.errors import MissingDependencyError, UnsupportedError

from .model import EdgeSet, EdgeType, Graph, NodeSet

__all__ = ["read", "write"]

Array = Any

HOMOGENEOUS_NODES = "_N"
HOMOGENEOUS_EDGES = ("_N", "_E", "_N")
"""The types of a graph that has no names for them; DGL's, so that it becomes a homogeneous DGL graph."""

_OF_NODES = frozenset({"batch", "num_nodes", "ptr"})
_OF_EDGES = frozenset({"adj_t", "edge_index"})
"""What PyG itself keeps among the fields."""


def read(graph: Any) -> Graph:
    """Return a PyG graph as a Graph whose fields, source and destination ids alias the graph's tensors.

    Args:
        graph: ``torch_geometric.data.HeteroData``, ``Data`` (types ``_N`` and ``_E``; PyG's own rules say which fields
            are the nodes' and which the edges'), or a ``Batch`` of either.

    Raises:
        UnsupportedError: another kind of PyG graph; edges as ``adj_t``; a field that has not one row for each node or
            edge, or belongs to the graph as a whole; a batch whose edges are not in the order of its graphs.
    """
    from torch_geometric.data import Data, HeteroData
    from torch_geometric.data.hypergraph_data import HyperGraphData

    if isinstance(graph, HeteroData):
        return _read_heterogeneous(graph)
    if isinstance(graph, Data) and not isinstance(graph, HyperGraphData):
        return _read_homogeneous(graph)
    raise UnsupportedError(f"read_graph: got {type(graph).__qualname__} of PyG, expected Data, HeteroData or a Batch")


def write(graph: Graph) -> Any:
    """Return a Graph as a PyG ``HeteroData``, or a ``Batch`` of them, whose fields alias the arrays where they can.

    A graph of one node and one edge type is a ``HeteroData`` too: ``Data`` has one name space for the fields of nodes
    and of edges, and guesses from name and shape whose they are. PyG's own ``to_homogeneous()`` makes one of it. Ids
    become int64, which PyG's layers require.

    Raises:
        MissingDependencyError: PyG is not installed.
        UnsupportedError: a field has a name that PyG keeps for itself.
    """
    batch_class, hetero_class = _import_pyg()
    graph = graph.to("torch")
    batched = graph.n_graphs != 1
    written = batch_class(_base_cls=hetero_class) if batched else hetero_class()
    for node_type, nodes in graph.nodes.items():
        store = written[node_type]
        store["num_nodes"] = nodes.count
        _assign(store, nodes.fields, f"nodes/{node_type}", _OF_NODES)
        if batched:
            store["batch"], store["ptr"] = _batch_vectors(nodes.batch_sizes)
    for edge_type, edges in graph.edges.items():
        store = written[edge_type]
        store["edge_index"] = _edge_index(edges)
        _assign(store, edges.fields, f"edges/{':'.join(edge_type)}", _OF_EDGES)
    if batched:
        written._num_graphs = graph.n_graphs
    return written


def _read_heterogeneous(graph: Any) -> Graph:
    _check_level(f"{key!r}" for key in graph._global_store if key not in _OF_NODES)
    nodes = {
        node_type: _node_set(store, [key for key in store if key not in _OF_NODES], f"nodes/{node_type}")
        for node_type, store in graph.node_items()
    }
    edges = {
        edge_type: _edge_set(store, [key for key in store if key not in _OF_EDGES], edge_type, _pointers(graph, source))
        for edge_type, store in graph.edge_items()
        for source in [edge_type[0]]
    }
    return Graph(nodes=nodes, edges=edges)


def _read_homogeneous(graph: Any) -> Graph:
    node_fields = [key for key in graph.node_attrs() if key not in _OF_NODES]
    edge_fields = [key for key in graph.edge_attrs() if key not in _OF_EDGES]
    known = {*node_fields, *edge_fields, *_OF_NODES, *_OF_EDGES}
    _check_level(f"{key!r}" for key in graph.keys() if key not in known)  # noqa: SIM118  (Data is no mapping)
    store = graph.stores[0]
    edges = {}
    if "edge_index" in store or "adj_t" in store:
        edges[HOMOGENEOUS_EDGES] = _edge_set(store, edge_fields, HOMOGENEOUS_EDGES, store.get("ptr"))
    return Graph(nodes={HOMOGENEOUS_NODES: _node_set(store, node_fields, f"nodes/{HOMOGENEOUS_NODES}")}, edges=edges)


def _check_level(names: Iterable[str]) -> None:
    if found := sorted(names):
        raise UnsupportedError(
            f"read_graph: {', '.join(found)} of the PyG graph belongs neither to its nodes nor to its edges, and a "
            "Graph holds fields of these only; delete it, or keep it on a node type with one node for each graph"
        )


def _node_set(store: Any, names: Iterable[str], path: str) -> NodeSet:
    import torch

    count = store.num_nodes
    if count is None:
        raise UnsupportedError(f"read_graph: {path}: the number of nodes is unknown to PyG; set num_nodes")
    fields = _fields(store, names, count, path)
    pointers = store.get("ptr")
    if pointers is None and "batch" in store:
        raise UnsupportedError(
            f"read_graph: {path} has a batch vector without ptr, which does not say how many graphs there are; "
            "make the batch with torch_geometric.data.Batch.from_data_list"
        )
    return NodeSet(
        count=int(count), fields=fields, batch_sizes=torch.tensor([count]) if pointers is None else pointers.diff()
    )


def _edge_set(store: Any, names: Iterable[str], edge_type: EdgeType, pointers: Array | None) -> EdgeSet:
    import torch

    path = f"edges/{':'.join(edge_type)}"
    if "edge_index" not in store:
        raise UnsupportedError(
            f"read_graph: {path} has no edge_index (a sparse adj_t is not read); "
            "torch_geometric.utils.to_edge_index gives it"
        )
    src, dst = store["edge_index"]
    count = int(src.shape[0])
    sizes = torch.tensor([count]) if pointers is None else _edges_of_graphs(src, pointers, path)
    return EdgeSet(src=src, dst=dst, fields=_fields(store, names, count, path), batch_sizes=sizes)


def _fields(store: Any, names: Iterable[str], count: int, path: str) -> dict[str, Array]:
    import torch

    fields = {name: store[name] for name in names}
    for name, value in fields.items():
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] != count:
            what = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__qualname__
            raise UnsupportedError(
                f"read_graph: {path}/{name}: got {what}, expected a tensor with {count} rows; "
                "delete the field, or make it one"
            )
    return fields


def _pointers(graph: Any, node_type: str) -> Array | None:
    return graph[node_type].get("ptr")


def _edges_of_graphs(src: Array, pointers: Array, path: str) -> Array:
    """Return how many of the edges belong to each graph of a batch; an edge belongs where its source does."""
    import torch

    owner = torch.bucketize(src, pointers[1:], right=True)
    if bool((owner.diff() < 0).any()):
        raise UnsupportedError(
            f"read_graph: {path}: the edges of the batch are not in the order of its graphs; sort them by the batch "
            "vector of their sources"
        )
    return torch.bincount(owner, minlength=len(pointers) - 1)


def _batch_vectors(sizes: Array) -> tuple[Array, Array]:
    """Return the graph of each node, and where each graph begins, for these numbers of nodes."""
    import torch

    sizes = sizes.long()
    graphs = torch.arange(len(sizes), device=sizes.device)
    return torch.repeat_interleave(graphs, sizes), torch.nn.functional.pad(sizes.cumsum(0), (1, 0))


def _edge_index(edges: EdgeSet) -> Array:
    import torch

    return torch.stack([edges.src, edges.dst]).long()


def _assign(store: Any, fields: MappingABC[str, Array], path: str, reserved: frozenset[str]) -> None:
    if taken := sorted(reserved & fields.keys()):
        raise UnsupportedError(
            f"write_graph: {path} has a field {taken[0]!r}, a name that PyG keeps for itself; rename the field"
        )
    for name, value in fields.items():
        store[name] = value


def _import_pyg() -> tuple[Any, Any]:
    try:
        from torch_geometric.data import Batch, HeteroData
    except ImportError as error:
        raise MissingDependencyError(
            f"writing a PyG graph needs torch_geometric, which cannot be imported ({error}); "
            'pip install "ffbridge[pyg]"'
        ) from error
    return Batch, HeteroData
