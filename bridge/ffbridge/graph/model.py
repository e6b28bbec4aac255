"""Graphs as plain named arrays: node and edge types, their fields, structure as source and destination ids."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ffbridge.copying import Traits, received, traits
from ffbridge.errors import GraphError

from .crossing import Crossing, cross

__all__ = ["EdgeSet", "EdgeType", "Graph", "NodeSet"]

Array = Any
EdgeType = tuple[str, str, str]
"""Source node type, relation, destination node type."""

_NO_FIELDS: MappingABC[str, Array] = MappingProxyType({})


def _fixed(fields: MappingABC[str, Array]) -> MappingABC[str, Array]:
    """Return the fields as they are now, unchangeable."""
    return MappingProxyType(dict(fields)) if fields else _NO_FIELDS


@dataclass(frozen=True, eq=False)
class NodeSet:
    """The nodes of one type.

    Attributes:
        count: how many nodes there are, isolated ones included.
        fields: arrays by name, one row per node: ``(count, ...)``.
        batch_sizes: ``(n_graphs,)`` integers: how many of the nodes belong to each graph of the batch, in order.
    """

    count: int
    fields: MappingABC[str, Array]
    batch_sizes: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", _fixed(self.fields))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same nodes again: in a deep copy, or in another process."""
        return NodeSet, (self.count, dict(self.fields), self.batch_sizes)


@dataclass(frozen=True, eq=False)
class EdgeSet:
    """The edges of one type. Edge i leads from ``src[i]`` to ``dst[i]``; loops and parallel edges are allowed.

    Attributes:
        src: ``(n_edges,)`` integers, ids of source nodes.
        dst: ``(n_edges,)`` integers, ids of destination nodes.
        fields: arrays by name, one row per edge: ``(n_edges, ...)``.
        batch_sizes: ``(n_graphs,)`` integers: how many of the edges belong to each graph of the batch, in order.
    """

    src: Array
    dst: Array
    fields: MappingABC[str, Array]
    batch_sizes: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", _fixed(self.fields))

    @property
    def count(self) -> int:
        """How many edges there are."""
        return int(self.src.shape[0])

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same edges again: in a deep copy, or in another process."""
        return EdgeSet, (self.src, self.dst, dict(self.fields), self.batch_sizes)


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph, or a batch of graphs, with typed nodes and edges. Immutable; its arrays are read-only by contract.

    Attributes:
        nodes: the nodes by type.
        edges: the edges by (source type, relation, destination type).
        report: how each array came from the last framework, if it came by :meth:`to`.
    """

    nodes: MappingABC[str, NodeSet]
    edges: MappingABC[EdgeType, EdgeSet]
    report: tuple[Crossing, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "edges", MappingProxyType(dict(self.edges)))

    @property
    def n_graphs(self) -> int:
        """How many graphs the batch holds; 1 for a graph that is no batch."""
        return next((int(nodes.batch_sizes.shape[0]) for nodes in self.nodes.values()), 1)

    def node_set(self, node_type: str) -> NodeSet:
        """Return the nodes of a type.

        Raises:
            GraphError: the graph has no such node type.
        """
        try:
            return self.nodes[node_type]
        except KeyError:
            raise GraphError(
                f"the graph has no node type {node_type!r}; it has: {', '.join(sorted(self.nodes)) or 'none'}"
            ) from None

    def node_field(self, node_type: str, name: str) -> Array:
        """Return a field of the nodes of a type.

        Raises:
            GraphError: the graph has no such node type, or its nodes no such field.
        """
        fields = self.node_set(node_type).fields
        try:
            return fields[name]
        except KeyError:
            raise GraphError(
                f"nodes/{node_type} has no field {name!r}; it has: {', '.join(sorted(fields)) or 'none'}"
            ) from None

    def arrays(self) -> dict[str, Array]:
        """Return every array under its path, such as ``nodes/n2/k`` or ``structure/n1:n1_in_g:g/src``."""
        found: dict[str, Array] = {}
        self._map(lambda path, array: found.setdefault(path, array))
        return found

    def to(self, backend: str, *, device: Any = None, dtype: str | None = None) -> Graph:
        """Return the graph with its arrays in another framework, aliased where layout and alignment allow it.

        The attribute ``report`` of the result tells how each array crossed. Where the target has no 64-bit types (JAX
        with x64 off), int64 goes over as int32 if every value fits, which is checked; the report says so.

        Args:
            backend: name of the backend, such as ``jax``.
            device: where the arrays go; where they are if None.
            dtype: floating-point type to cast floating-point fields to, such as ``float32``.

        Raises:
            ExchangeError: an array cannot cross as asked: float64 into JAX while x64 is off, an integer that does not
                fit, a tensor that requires grad into another framework. The message begins with the array's path.
        """
        report: list[Crossing] = []
        # Relations share arrays, above all a relation and its reverse: each crosses once.
        crossed: dict[int, tuple[Array, Crossing]] = {}

        def move(path: str, array: Array) -> Array:
            found = crossed.get(id(array))
            if found is None:
                found = crossed[id(array)] = cross(path, array, backend, device=device, dtype=dtype)
            moved, crossing = found
            report.append(crossing if crossing.path == path else replace(crossing, path=path))
            return moved

        return replace(self._map(move), report=tuple(report))

    def _map(self, function: Callable[[str, Array], Array]) -> Graph:
        """Return the graph with each array replaced by ``function(path, array)``."""

        def fields(path: str, named: MappingABC[str, Array]) -> dict[str, Array]:
            return {name: function(f"{path}/{name}", array) for name, array in named.items()}

        nodes = {
            node_type: replace(
                part,
                fields=fields(f"nodes/{node_type}", part.fields),
                batch_sizes=function(f"batch_sizes/{node_type}", part.batch_sizes),
            )
            for node_type, part in self.nodes.items()
        }
        edges = {}
        for edge_type, part in self.edges.items():
            name = ":".join(edge_type)
            edges[edge_type] = EdgeSet(
                src=function(f"structure/{name}/src", part.src),
                dst=function(f"structure/{name}/dst", part.dst),
                fields=fields(f"edges/{name}", part.fields),
                batch_sizes=function(f"batch_sizes/{name}", part.batch_sizes),
            )
        return Graph(nodes=nodes, edges=edges)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same graph again: in a deep copy, or in another process."""
        return _copied, (dict(self.nodes), dict(self.edges), self.report, traits(self.arrays()))

    def __repr__(self) -> str:
        """Return one line: how many nodes and edges of each type, and how many graphs."""
        nodes = ", ".join(f"{name}: {part.count}" for name, part in self.nodes.items())
        edges = sum(part.count for part in self.edges.values())
        return f"Graph({self.n_graphs} graphs; nodes {nodes}; {edges} edges of {len(self.edges)} types)"


def _copied(
    nodes: MappingABC[str, NodeSet],
    edges: MappingABC[EdgeType, EdgeSet],
    report: tuple[Crossing, ...],
    sent: MappingABC[str, Traits],
) -> Graph:
    graph = Graph(nodes=nodes, edges=edges)
    arrays = received(graph.arrays(), sent)
    return replace(graph._map(lambda path, array: arrays[path]), report=report)
