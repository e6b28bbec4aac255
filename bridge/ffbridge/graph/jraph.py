"""jraph graphs (JAX), read and written as ``jraph.GraphsTuple``, without copying fields or structure."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

import numpy as np

from ffbridge.errors import MissingDependencyError, UnsupportedError

from .model import EdgeSet, Graph, NodeSet

__all__ = ["read", "write"]

Array = Any

NODES = "_N"
EDGES = ("_N", "_E", "_N")
"""The types of a graph that has no names for them; DGL's, so that it becomes a homogeneous DGL graph."""


def read(graph: Any) -> Graph:
    """Return a jraph graph as a Graph that holds its very arrays, of JAX or NumPy.

    Args:
        graph: ``jraph.GraphsTuple`` whose nodes and edges are None, one array (it becomes the field ``features``), or
            a dict of arrays. Its only node type is named ``_N``, its edge type ``_E``.

    Raises:
        UnsupportedError: features nested deeper, or with another number of rows than nodes or edges; ``globals``; a
            kind of object that is no GraphsTuple.
    """
    if not hasattr(graph, "n_node"):
        raise UnsupportedError(f"read_graph: got {type(graph).__qualname__} of jraph, expected a jraph.GraphsTuple")
    if graph.globals is not None:
        raise UnsupportedError(
            "read_graph: the GraphsTuple has globals, and a Graph holds fields of nodes and edges only; take them off "
            "with graph._replace(globals=None)"
        )
    n_nodes, n_edges = int(graph.n_node.sum()), int(graph.n_edge.sum())
    no_ids = np.zeros(0, dtype=np.int32)
    edges = EdgeSet(
        src=no_ids if graph.senders is None else graph.senders,
        dst=no_ids if graph.receivers is None else graph.receivers,
        fields=_fields(graph.edges, n_edges, "edges"),
        batch_sizes=graph.n_edge,
    )
    if edges.count != n_edges:
        raise UnsupportedError(
            f"read_graph: the GraphsTuple has {edges.count} senders, and n_edge adds up to {n_edges}"
        )
    nodes = NodeSet(count=n_nodes, fields=_fields(graph.nodes, n_nodes, "nodes"), batch_sizes=graph.n_node)
    return Graph(nodes={NODES: nodes}, edges={EDGES: edges})


def write(graph: Graph) -> Any:
    """Return a Graph as a ``jraph.GraphsTuple`` with dicts of fields, whose arrays alias the given where they can.

    A GraphsTuple has one set of nodes and one of edges, without names: those of the types are not kept. Sets without
    fields are None, as jraph's documentation asks.

    Args:
        graph: one node type, and one edge type.

    Raises:
        MissingDependencyError: jraph is not installed.
        UnsupportedError: the graph has several node or edge types, or none.
        ExchangeError: float64 while JAX's x64 is off.
    """
    graphs_tuple = _import_jraph()
    if len(graph.nodes) != 1 or len(graph.edges) != 1:
        raise UnsupportedError(
            f"write_graph: jraph holds graphs of one node type and one edge type; this one has the node types "
            f"{', '.join(graph.nodes) or 'none'} and {len(graph.edges)} edge types. Take a part, such as "
            'fb.Graph(nodes={"n1": graph.nodes["n1"]}, edges={e: graph.edges[e] for e in [("n1", …, "n1")]}), or use '
            'the arrays of graph.to("jax") as they are'
        )
    graph = graph.to("jax")
    ((nodes,), (edges,)) = graph.nodes.values(), graph.edges.values()
    return graphs_tuple(
        nodes=dict(nodes.fields) or None,
        edges=dict(edges.fields) or None,
        senders=edges.src,
        receivers=edges.dst,
        globals=None,
        n_node=nodes.batch_sizes,
        n_edge=edges.batch_sizes,
    )


def _fields(features: Any, count: int, where: str) -> dict[str, Array]:
    """Return the fields that a GraphsTuple has as nodes or edges."""
    if features is None:
        return {}
    named = dict(features) if isinstance(features, MappingABC) else {"features": features}
    for name, value in named.items():
        shape = getattr(value, "shape", None)
        if not isinstance(name, str) or shape is None or shape[:1] != (count,):
            what = type(value).__qualname__ if shape is None else f"shape {tuple(shape)}"
            raise UnsupportedError(
                f"read_graph: {where}/{name} of the GraphsTuple: got {what}, expected an array with {count} rows under "
                "a text as name; flatten nested features into one dict"
            )
    return named


def _import_jraph() -> Any:
    try:
        from jraph import GraphsTuple
    except ImportError as error:
        raise MissingDependencyError(
            f'writing a jraph graph needs jraph, which cannot be imported ({error}); pip install "ffbridge[jraph]"'
        ) from error
    return GraphsTuple
