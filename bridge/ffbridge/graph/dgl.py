"""DGL graphs, read and written by DGL's public interface, without copying fields or structure."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

from ffbridge.errors import MissingDependencyError, UnsupportedError

from .model import EdgeSet, Graph, NodeSet

__all__ = ["read", "write"]


def read(graph: Any) -> Graph:
    """Return a DGL graph as a Graph whose arrays alias the graph's tensors.

    Args:
        graph: ``dgl.DGLGraph``, homogeneous (types ``_N`` and ``_E``), heterogeneous or batched.

    Raises:
        UnsupportedError: a message-flow block, or a graph that is restricted to sparse formats without COO.
    """
    if not hasattr(graph, "canonical_etypes"):
        raise UnsupportedError(f"read_graph: got {type(graph).__qualname__} of DGL, expected a dgl.DGLGraph")
    if graph.is_block:
        raise UnsupportedError(
            "read_graph: got a DGL block (message-flow graph), whose source and destination nodes are different sets; "
            "read the graph it was sampled from, or convert it with dgl.block_to_graph"
        )
    formats = graph.formats()
    if "coo" not in [*formats["created"], *formats["not created"]]:
        raise UnsupportedError(
            f"read_graph: the DGL graph is restricted to the sparse formats {', '.join(formats['created'])}, which do "
            "not list edges in the order of their ids; pass graph.formats(['coo', 'csr', 'csc'])"
        )
    nodes = {
        node_type: NodeSet(
            count=graph.num_nodes(node_type),
            fields=dict(graph.nodes[node_type].data),
            batch_sizes=graph.batch_num_nodes(node_type),
        )
        for node_type in graph.ntypes
    }
    return Graph(nodes=nodes, edges={edge_type: _edge_set(graph, edge_type) for edge_type in graph.canonical_etypes})


def _edge_set(graph: Any, edge_type: tuple[str, str, str]) -> EdgeSet:
    src, dst = graph.edges(etype=edge_type, order="eid")
    return EdgeSet(
        src=src, dst=dst, fields=dict(graph.edges[edge_type].data), batch_sizes=graph.batch_num_edges(edge_type)
    )


def write(graph: Graph) -> Any:
    """Return a Graph as a ``dgl.DGLGraph`` whose fields and structure alias the arrays where they can.

    Args:
        graph: at least one edge type; source and destination ids all int32 or all int64.

    Raises:
        MissingDependencyError: DGL is not installed, or runs on another framework than PyTorch.
        UnsupportedError: the graph has no edge type; DGL cannot hold it.
    """
    dgl = _import_dgl()
    if not graph.edges:
        raise UnsupportedError(
            "write_graph: the graph has no edge type, and DGL holds none such; add an edge type with zero edges"
        )
    graph = graph.to("torch")
    written = dgl.heterograph(
        {edge_type: (part.src, part.dst) for edge_type, part in graph.edges.items()},
        num_nodes_dict={node_type: part.count for node_type, part in graph.nodes.items()},
    )
    for node_type, part in graph.nodes.items():
        _assign(written.nodes[node_type].data, part.fields)
    for edge_type, edges in graph.edges.items():
        _assign(written.edges[edge_type].data, edges.fields)
    # A graph that is no batch counts as a batch of one, and DGL keeps that count itself as the graph changes.
    if graph.n_graphs != 1:
        written.set_batch_num_nodes({name: part.batch_sizes.long() for name, part in graph.nodes.items()})
        written.set_batch_num_edges({name: part.batch_sizes.long() for name, part in graph.edges.items()})
    return written


def _assign(data: MappingABC[str, Any], fields: MappingABC[str, Any]) -> None:
    data.update(fields)  # type: ignore[attr-defined]


def _import_dgl() -> Any:
    try:
        import dgl
    except ImportError as error:
        raise MissingDependencyError(
            f'writing a DGL graph needs dgl, which cannot be imported ({error}); pip install "ffbridge[dgl]"'
        ) from error
    if dgl.backend.backend_name != "pytorch":
        raise MissingDependencyError(
            f"DGL runs on {dgl.backend.backend_name} here, and ffbridge writes its graphs with PyTorch; "
            "set the environment variable DGLBACKEND=pytorch"
        )
    return dgl
