"""Graphs of graph libraries as plain named arrays, and back."""

from __future__ import annotations

from .crossing import Crossing
from .libraries import GRAPH_LIBRARIES, GraphLibrary, library_of, read_graph, write_graph
from .model import EdgeSet, EdgeType, Graph, NodeSet

__all__ = [
    "GRAPH_LIBRARIES",
    "Crossing",
    "EdgeSet",
    "EdgeType",
    "Graph",
    "GraphLibrary",
    "NodeSet",
    "library_of",
    "read_graph",
    "write_graph",
]
