"""DGL graphs, read and written without copying fields or structure.

Reading uses DGL's public interface; writing calls what reads pickled graphs (``dgl.heterograph_index``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Mapping as MappingABC
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ffbridge.errors import ExchangeError, GraphError, MissingDependencyError, UnsupportedError
from ffbridge.exchange import share

from .model import EdgeSet, EdgeType, Graph, NodeSet

__all__ = ["read", "write"]

_ORDINARY = frozenset(np.dtype(name) for name in ("int32", "int64", "float32", "float64"))

_OWN = frozenset({"_graph", "_node_frames", "_edge_frames", "_batch_num_nodes", "_batch_num_edges"})
"""The attributes of a DGL graph that are its own: structure, fields and batch sizes; the others follow from types."""


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
        GraphError: an id names no node, or ids are of several types.
        ExchangeError: an array cannot go to PyTorch. The message begins with its path.
    """
    dgl = _import_dgl()
    if not graph.edges:
        raise UnsupportedError(
            "write_graph: the graph has no edge type, and DGL holds none such; add an edge type with zero edges"
        )
    # In the order that DGL gives them.
    nodes = {node_type: graph.nodes[node_type] for node_type in sorted(graph.nodes)}
    edges = {edge_type: graph.edges[edge_type] for edge_type in sorted(graph.edges)}
    ids = _ids(graph)
    device = next(iter(ids.values())).device
    frames = [
        [_frame(dgl, kind, name, part, device) for name, part in parts.items()]
        for kind, parts in (("nodes", nodes), ("edges", edges))
    ]
    written = _assembled(dgl, nodes, edges, ids, frames)
    # A graph that is no batch counts as a batch of one, and DGL keeps that count itself as the graph changes.
    if graph.n_graphs != 1:
        for parts, assign in ((nodes, written.set_batch_num_nodes), (edges, written.set_batch_num_edges)):
            assign({each: _tensor(part.batch_sizes, "batch_sizes", each).long() for each, part in parts.items()})
    return written


def _is_ordinary(array: Any) -> bool:
    """Whether an array has nothing that `share` would have to look at: dozens of them are in a small graph."""
    return type(array) is np.ndarray and array.flags.carray and array.dtype in _ORDINARY


def _tensor(array: Any, *path: str | EdgeType) -> Any:
    """Return an array as a tensor; its path is joined only for the message of an error."""
    if _is_ordinary(array):
        import torch

        return torch.from_numpy(array)
    try:
        return share(array, "torch").array
    except ExchangeError as error:
        raise ExchangeError(f"{_joined(*path)}: {error}") from error


def _ids(graph: Graph) -> dict[int, Any]:
    """Return the ids of the edges' ends as tensors, by the identity of the arrays that they were.

    Relations share arrays, above all a relation and its reverse: each crosses once.

    Raises:
        GraphError: an id names no node, or not all are int32, or all int64.
    """
    import torch

    # Of each node type, the arrays of ids of its nodes, with one place where each stands.
    named: dict[str, dict[int, tuple[EdgeType, str]]] = {node_type: {} for node_type in graph.nodes}
    arrays: dict[int, Any] = {}
    for edge_type, edges in graph.edges.items():
        for node_type, end, ids in ((edge_type[0], "src", edges.src), (edge_type[2], "dst", edges.dst)):
            arrays[id(ids)] = ids
            named[node_type].setdefault(id(ids), (edge_type, end))
    tensors = {key: torch.from_numpy(ids) for key, ids in arrays.items() if _is_ordinary(ids)}
    if len(tensors) < len(arrays):
        places = {key: place for each in named.values() for key, place in each.items()}
        tensors |= {key: _tensor(ids, "structure", *places[key]) for key, ids in arrays.items() if key not in tensors}
    dtypes = {ids.dtype for ids in tensors.values()}
    names = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
    if names not in (["int32"], ["int64"]):
        raise GraphError(
            f"write_graph: ids of nodes are {' and '.join(names)}; DGL takes all int32 or all int64: cast them"
        )
    for node_type, each in named.items():
        _check_ids(node_type, graph.nodes[node_type].count, each.values(), [tensors[key] for key in each])
    return tensors


def _joined(*path: str | EdgeType) -> str:
    return "/".join(name if isinstance(name, str) else ":".join(name) for name in path)


def _frame(dgl: Any, kind: str, name: str | EdgeType, part: NodeSet | EdgeSet, device: Any) -> Any:
    """Return the fields of a type as DGL keeps them.

    Raises:
        GraphError: a field has no row for each node or edge, or is elsewhere than the structure.
    """
    if not part.fields:
        return dgl.frame.Frame(num_rows=part.count)
    fields = {each: _tensor(array, kind, name, each) for each, array in part.fields.items()}
    for each, field in fields.items():
        if not field.ndim or len(field) != part.count or field.device != device:
            raise GraphError(
                f"write_graph: {_joined(kind, name, each)}: shape {tuple(field.shape)} on {field.device}, expected "
                f"{part.count} rows on {device}, where the structure is"
            )
    return dgl.frame.Frame(fields, num_rows=part.count)


def _check_ids(node_type: str, count: int, places: Collection[tuple[EdgeType, str]], named: list[Any]) -> None:
    """Raise GraphError for ids, by their places, that name no node of a type; all at once, as it is fastest."""
    import torch

    together = torch.cat(named) if named else torch.zeros(0)
    if not together.numel():
        return
    least, greatest = torch.aminmax(together)
    if least.item() < 0 or greatest.item() >= count:
        wrong = [ids[(ids < 0) | (ids >= count)] for ids in named]
        place, found = next((place, ids) for place, ids in zip(places, wrong, strict=True) if len(ids))
        raise GraphError(
            f"write_graph: {_joined('structure', *place)}: node {found[0].item()}, but there are {count} of type "
            f"{node_type}"
        )


def _assembled(
    dgl: Any,
    nodes: MappingABC[str, NodeSet],
    edges: MappingABC[EdgeType, EdgeSet],
    ids: MappingABC[int, Any],
    frames: list[list[Any]],
) -> Any:
    """Return the graph with its fields as ``dgl.heterograph`` makes it, by what is known of graphs of its types.

    It is made as a pickled graph is read, by its attributes; those that follow from the types are worked out once.
    """
    known = _known(tuple(nodes), tuple(edges))
    if known is None:
        ends = {edge_type: (ids[id(part.src)], ids[id(part.dst)]) for edge_type, part in edges.items()}
        structure = dgl.heterograph(ends, num_nodes_dict={name: part.count for name, part in nodes.items()})._graph
        return dgl.DGLGraph(structure, list(nodes), [each for _, each, _ in edges], *frames)
    # Copied: whoever changes a graph's list of types shall not change those of the next graph.
    attributes = {name: copy(attribute) for name, attribute in known.attributes.items()}
    attributes |= dict.fromkeys(_OWN) | {"_graph": _structure(dgl, known, nodes, edges, ids)}
    attributes["_node_frames"], attributes["_edge_frames"] = frames
    written = dgl.DGLGraph.__new__(dgl.DGLGraph)
    written.__setstate__(attributes)
    return written


def _structure(
    dgl: Any,
    known: _Known,
    nodes: MappingABC[str, NodeSet],
    edges: MappingABC[EdgeType, EdgeSet],
    ids: MappingABC[int, Any],
) -> Any:
    """Return the index of relations that ``dgl.heterograph`` makes, in one call of DGL's library for all relations.

    It is the call that reads a pickled graph: a state has a header, which says the node and edge types and the numbers
    of nodes, and an array of ids for either end of each relation. For the 63 relations of a small molecule that takes
    0.2 ms; with a call for each it takes 0.7, and by ``dgl.heterograph`` 5.6.
    """
    index, as_object = dgl.heterograph_index, dgl._ffi.object_generic.convert_to_object
    given = {key: as_object(dgl.utils.F.to_dgl_nd(found)) for key, found in ids.items()}
    arrays = [given[id(end)] for part in edges.values() for end in (part.src, part.dst)]
    state = index.HeteroPickleStates.__new__(index.HeteroPickleStates)
    meta = bytearray(known.before + _packed(part.count for part in nodes.values()) + known.after)
    state.__init_handle_by_constructor__(index._CAPI_DGLCreateHeteroPickleStates, known.version, meta, arrays)
    unpickled = index.HeteroGraphIndex.__new__(index.HeteroGraphIndex)
    unpickled.__setstate__(state)
    return unpickled


class _Known(NamedTuple):
    """What graphs of some types share.

    Attributes:
        attributes: those of a DGL graph that follow from its types, by name.
        version: of the header of pickled graphs.
        before: the bytes of that header before the numbers of nodes.
        after: the bytes of that header after the numbers of nodes.
    """

    attributes: MappingABC[str, Any]
    version: int
    before: bytes
    after: bytes


@lru_cache(maxsize=256)
def _known(node_types: tuple[str, ...], edge_types: tuple[EdgeType, ...]) -> _Known | None:
    """Return what graphs of these types, sorted, share; None if DGL's graphs are not as they are known here."""
    import dgl
    import torch

    none = torch.zeros(0, dtype=torch.int64)
    counts = {node_type: 2**40 + place for place, node_type in enumerate(node_types)}
    graph = dgl.heterograph(dict.fromkeys(edge_types, (none, none)), num_nodes_dict=counts)
    state = graph._graph.__getstate__()
    before, *after = bytes(state.meta).split(_packed(counts.values()))
    if len(after) != 1 or not vars(graph).keys() >= _OWN:
        return None
    attributes = {name: attribute for name, attribute in vars(graph).items() if name not in _OWN}
    return _Known(attributes, state.version, before, after[0])


def _packed(counts: Iterable[int]) -> bytes:
    return np.fromiter(counts, dtype="<i8").tobytes()


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
