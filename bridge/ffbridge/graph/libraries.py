"""Which graph libraries can be read and written: a table, so that a library is added without touching its callers."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

from ffbridge.errors import UnknownNameError, UnsupportedError

from .model import Graph

__all__ = ["GRAPH_LIBRARIES", "IMPORTED_AS", "GraphLibrary", "library_of", "read_graph", "write_graph"]

GRAPH_LIBRARIES: dict[str, str] = {
    "dgl": "ffbridge.graph.dgl",
    "jraph": "ffbridge.graph.jraph",
    "pyg": "ffbridge.graph.pyg",
}
"""By the library's name, the module of ffbridge that speaks with it (see :class:`GraphLibrary`)."""

IMPORTED_AS: dict[str, str] = {"torch_geometric": "pyg"}
"""By import name, the names of libraries that are imported under another one than they are called by."""


class GraphLibrary(Protocol):
    """What a module in :data:`GRAPH_LIBRARIES` offers. Importing the module must not import the library."""

    def read(self, graph: Any) -> Graph:
        """Return the library's graph as a Graph, without copying its arrays."""

    def write(self, graph: Graph) -> Any:
        """Return a Graph as the library's own graph, aliasing its arrays where the library allows it."""


def read_graph(graph: Any) -> Graph:
    """Return a graph of a graph library as plain named arrays, which alias the graph's own.

    Every node type, edge type and field is kept, with isolated nodes, the order of edges and the sizes of a batch.
    Writing into the arrays writes into the graph.

    Args:
        graph: a DGL graph (homogeneous, heterogeneous or batched), ``Data``, ``HeteroData`` or ``Batch`` of PyG, or a
            ``GraphsTuple`` of jraph.

    Raises:
        UnsupportedError: the object is of a library or kind that is not understood.
    """
    return graph if isinstance(graph, Graph) else _library(library_of(graph)).read(graph)


def library_of(graph: Any) -> str:
    """Return the name of the library that a graph is of, as :func:`write_graph` takes it.

    Raises:
        UnsupportedError: the object is of a library that is not understood.
    """
    # Classes that a library makes while it runs, as PyG does for batches, show it in their bases only.
    packages = [each.__module__.partition(".")[0] for each in type(graph).__mro__]
    names = [IMPORTED_AS.get(package, package) for package in packages]
    library = next((name for name in names if name in GRAPH_LIBRARIES), None)
    if library is None:
        raise UnsupportedError(
            f"read_graph: got {type(graph).__module__}.{type(graph).__qualname__}, expected a graph of one of: "
            f"{', '.join(sorted(GRAPH_LIBRARIES))}"
        )
    return library


def write_graph(graph: Graph, library: str) -> Any:
    """Return a graph as a graph of a graph library, whose fields alias the arrays where layout and alignment allow it.

    Args:
        graph: the graph, with arrays of any framework: they cross to the library's own.
        library: name of the library: ``dgl``, ``jraph`` or ``pyg``.

    Raises:
        UnknownNameError: the library is not known.
        MissingDependencyError: the library is not installed.
        ExchangeError: an array cannot cross to the library's framework.
        UnsupportedError: the library cannot hold such a graph.
    """
    if library not in GRAPH_LIBRARIES:
        raise UnknownNameError(
            f"write_graph: unknown graph library {library!r}; known: {', '.join(sorted(GRAPH_LIBRARIES))}"
        )
    return _library(library).write(graph)


def _library(name: str) -> GraphLibrary:
    return cast(GraphLibrary, importlib.import_module(GRAPH_LIBRARIES[name]))
