"""DGL graphs become named arrays and come back unchanged, sharing their memory."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError, GraphError, MissingDependencyError, UnknownNameError, UnsupportedError

dgl = pytest.importorskip("dgl", reason="the graphs are DGL's")
torch = pytest.importorskip("torch", reason="DGL runs on it")


def homogeneous(id_dtype=torch.int64):
    """A loop, parallel edges whose ids are not sorted, and two isolated nodes."""
    src, dst = (torch.tensor(ids, dtype=id_dtype) for ids in ([3, 0, 1, 1, 1, 3], [0, 1, 1, 2, 2, 0]))
    graph = dgl.graph((src, dst), num_nodes=6)
    graph.ndata["x"] = torch.arange(24.0, dtype=torch.float64).reshape(6, 4)
    graph.ndata["half"] = torch.ones(6, 2, 3, dtype=torch.bfloat16)
    graph.ndata["flag"] = torch.tensor([True, False] * 3)
    graph.edata["w"] = torch.arange(6, dtype=torch.int16)
    return graph


def heterogeneous(id_dtype=torch.int64):
    """A node type without nodes, an edge type without edges, a relation between two types in both directions."""

    def ids(*numbers):
        return torch.tensor(numbers, dtype=id_dtype)

    graph = dgl.heterograph(
        {
            ("atom", "in", "bond"): (ids(0, 1, 1, 2), ids(0, 0, 1, 1)),
            ("bond", "has", "atom"): (ids(1, 0, 1, 0), ids(2, 1, 1, 0)),
            ("atom", "near", "atom"): (ids(), ids()),
            ("ring", "of", "atom"): (ids(), ids()),
        },
        num_nodes_dict={"atom": 5, "bond": 2, "ring": 0},
    )
    graph.nodes["atom"].data["q"] = torch.linspace(-1, 1, 5)
    graph.nodes["bond"].data["k"] = torch.rand(2, 1)
    graph.nodes["ring"].data["size"] = torch.zeros(0, 3, dtype=torch.int64)
    graph.edges["has"].data["w"] = torch.rand(4)
    return graph


def batched(id_dtype=torch.int64):
    other = dgl.remove_nodes(heterogeneous(id_dtype), torch.tensor([0], dtype=id_dtype), "bond")
    return dgl.batch([heterogeneous(id_dtype), other, heterogeneous(id_dtype)])


def empty(id_dtype=torch.int64):
    return dgl.graph(([], []), num_nodes=0, idtype=id_dtype)


def without_edges(id_dtype=torch.int64):
    return dgl.graph(([], []), num_nodes=3, idtype=id_dtype)


GRAPHS = [homogeneous, heterogeneous, batched, empty, without_edges]


def fields(graph):
    """Every field of a DGL graph, by type and name."""
    nodes = {(kind, name): field for kind in graph.ntypes for name, field in graph.nodes[kind].data.items()}
    edges = {(kind, name): field for kind in graph.canonical_etypes for name, field in graph.edges[kind].data.items()}
    return nodes | edges


def assert_same(found, expected):
    assert found.ntypes == expected.ntypes
    assert found.canonical_etypes == expected.canonical_etypes
    assert found.idtype == expected.idtype
    assert found.batch_size == expected.batch_size
    assert found.is_homogeneous == expected.is_homogeneous
    for kind in expected.ntypes:
        assert found.num_nodes(kind) == expected.num_nodes(kind)
        assert torch.equal(found.batch_num_nodes(kind), expected.batch_num_nodes(kind))
    for kind in expected.canonical_etypes:
        assert torch.equal(found.batch_num_edges(kind), expected.batch_num_edges(kind))
        for mine, theirs in zip(
            found.edges(etype=kind, order="eid"), expected.edges(etype=kind, order="eid"), strict=True
        ):
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs)
    assert fields(found).keys() == fields(expected).keys()
    for key, field in fields(expected).items():
        assert fields(found)[key].dtype == field.dtype
        assert torch.equal(fields(found)[key], field)


@pytest.mark.parametrize("id_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("build", GRAPHS)
def test_round_trip_shares_memory(build, id_dtype):
    original = build(id_dtype)
    graph = fb.read_graph(original)
    back = fb.write_graph(graph, "dgl")
    assert_same(back, original)
    for key, field in fields(original).items():
        assert fields(back)[key].data_ptr() == field.data_ptr()
    for kind in original.canonical_etypes:
        read, there, again = (
            [ids.data_ptr() for ids in edges]
            for edges in (
                (graph.edges[kind].src, graph.edges[kind].dst),
                original.edges(etype=kind, order="eid"),
                back.edges(etype=kind, order="eid"),
            )
        )
        assert read == there == again


@pytest.mark.parametrize("build", GRAPHS)
def test_round_trip_through_numpy_shares_memory(build):
    original = build()
    if build is homogeneous:
        del original.ndata["half"]  # NumPy has no bfloat16 of its own.
    graph = fb.read_graph(original).to("numpy")
    assert all(isinstance(array, np.ndarray) for array in graph.arrays().values())
    assert [crossing.path for crossing in graph.report if not crossing.zero_copy] == []
    assert [crossing.path for crossing in graph.report] == list(graph.arrays())
    back = fb.write_graph(graph, "dgl")
    assert_same(back, original)
    for key, field in fields(original).items():
        assert fields(back)[key].data_ptr() == field.data_ptr() or not field.numel()


def test_what_is_read():
    graph = fb.read_graph(batched())
    assert graph.n_graphs == 3
    assert graph.nodes["atom"].count == 15
    assert graph.nodes["bond"].batch_sizes.tolist() == [2, 1, 2]
    assert graph.edges["bond", "has", "atom"].batch_sizes.tolist() == [4, 2, 4]
    assert graph.edges["atom", "near", "atom"].count == 0
    assert graph.nodes["ring"].fields["size"].shape == (0, 3)
    assert "3 graphs" in repr(graph)
    assert set(fb.read_graph(homogeneous()).nodes) == {"_N"}
    assert fb.read_graph(graph) is graph


def test_a_view_of_another_graph_is_read():
    part = dgl.node_subgraph(homogeneous(), [1, 2, 3])
    assert torch.equal(fb.read_graph(part).nodes["_N"].fields["x"], homogeneous().ndata["x"][1:4])


def test_a_gradient_stays_in_torch():
    leaf = torch.rand(6, 1, requires_grad=True)
    original = homogeneous()
    original.ndata["k"] = leaf * 2
    back = fb.write_graph(fb.read_graph(original).to("torch"), "dgl")
    back.ndata["k"].sum().backward()
    assert torch.equal(leaf.grad, torch.full((6, 1), 2.0))


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_a_gradient_does_not_leave_torch(backend):
    pytest.importorskip(backend, reason="the target")
    original = homogeneous()
    del original.ndata["half"], original.ndata["x"]
    original.ndata["k"] = torch.rand(6, 1, requires_grad=True)
    with pytest.raises(ExchangeError, match=r"^nodes/_N/k: .*requires grad.*detach"):
        fb.read_graph(original).to(backend)


class TestJaxWithoutX64:
    """Most users of JAX have no 64-bit types."""

    @pytest.fixture(autouse=True)
    def _jax(self):
        jax = pytest.importorskip("jax", reason="the target")
        assert not jax.config.jax_enable_x64

    def test_ids_that_fit_go_over_as_int32_and_the_report_says_so(self):
        original = batched()
        graph = fb.read_graph(original).to("jax")
        assert {str(part.src.dtype) for part in graph.edges.values()} == {"int32"}
        report = {crossing.path: crossing for crossing in graph.report}
        assert "every value fits in int32" in report["structure/bond:has:atom/src"].reason
        assert not report["structure/bond:has:atom/src"].zero_copy
        assert_same(fb.write_graph(graph, "dgl"), as_int32(original))

    def test_values_that_do_not_fit_are_refused(self):
        original = heterogeneous()
        original.nodes["atom"].data["tag"] = torch.tensor([0, 1, 2**31, 3, 4])
        with pytest.raises(
            ExchangeError, match=r"^nodes/atom/tag: int64 values from 0 to 2147483648 do not fit in int32"
        ):
            fb.read_graph(original).to("jax")
        original.nodes["atom"].data["tag"] = torch.tensor([0, 1, 2**31 - 1, -(2**31), 4])
        tags = fb.read_graph(original).to("jax").nodes["atom"].fields["tag"]
        assert tags.tolist() == [0, 1, 2**31 - 1, -(2**31), 4]

    def test_float64_needs_the_cast_that_is_asked_for(self):
        graph = fb.read_graph(homogeneous())
        with pytest.raises(ExchangeError, match=r"^nodes/_N/x: .*jax_enable_x64"):
            graph.to("jax")
        assert str(graph.to("jax", dtype="float32").nodes["_N"].fields["x"].dtype) == "float32"


def as_int32(graph):
    converted = graph.int()
    for field_of in (converted.nodes[kind].data for kind in converted.ntypes):
        for name, field in field_of.items():
            field_of[name] = field.int() if field.dtype == torch.int64 else field
    return converted


def test_jax_with_x64_keeps_int64():
    jax = pytest.importorskip("jax", reason="the target")
    with jax.enable_x64(True):
        graph = fb.read_graph(heterogeneous()).to("jax")
        assert {str(part.src.dtype) for part in graph.edges.values()} == {"int64"}
        assert_same(fb.write_graph(graph, "dgl"), heterogeneous_like(graph))


def heterogeneous_like(graph):
    """The same graph with the random fields that `graph` has."""
    expected = heterogeneous()
    expected.nodes["bond"].data["k"] = torch.from_numpy(np.array(graph.nodes["bond"].fields["k"]))
    expected.edges["has"].data["w"] = torch.from_numpy(np.array(graph.edges["bond", "has", "atom"].fields["w"]))
    return expected


def test_what_is_not_understood_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="block"):
        fb.read_graph(dgl.to_block(homogeneous()))
    with pytest.raises(UnsupportedError, match=r"sparse formats csr.*formats"):
        fb.read_graph(homogeneous().formats(["csr"]))
    with pytest.raises(UnsupportedError, match=r"builtins\.dict, expected a graph of one of: .*dgl"):
        fb.read_graph({})
    with pytest.raises(UnknownNameError, match=r"'networkx'; known: .*dgl"):
        fb.write_graph(fb.read_graph(homogeneous()), "networkx")
    nodes = {"a": fb.read_graph(homogeneous()).nodes["_N"]}
    with pytest.raises(UnsupportedError, match="no edge type"):
        fb.write_graph(fb.Graph(nodes=nodes, edges={}), "dgl")


@pytest.mark.parametrize("wrong", [-1, 3])
def test_ids_that_name_no_node_do_not_reach_dgl(wrong):
    graph = fb.read_graph(dgl.heterograph({("a", "to", "b"): ([0, 1], [1, 2]), ("b", "to", "a"): ([0], [1])}))
    edges = dict(graph.edges)
    edges["a", "to", "b"] = replace(edges["a", "to", "b"], dst=torch.tensor([1, wrong]))
    with pytest.raises(GraphError, match=rf"structure/a:to:b/dst: node {wrong}, but there are 3 of type b"):
        fb.write_graph(replace(graph, edges=edges), "dgl")


def test_ids_of_two_types_do_not_reach_dgl():
    graph = fb.read_graph(homogeneous())
    ((edge_type, edges),) = graph.edges.items()
    mixed = replace(graph, edges={edge_type: replace(edges, src=edges.src.int())})
    with pytest.raises(GraphError, match="int32 and int64; .*cast them"):
        fb.write_graph(mixed, "dgl")


def test_what_is_missing_is_named():
    graph = fb.read_graph(heterogeneous())
    with pytest.raises(GraphError, match="no node type 'n2'; it has: atom, bond, ring"):
        graph.node_field("n2", "k")
    with pytest.raises(GraphError, match="nodes/bond has no field 'eq'; it has: k"):
        graph.node_field("bond", "eq")


def test_a_missing_library_is_named(monkeypatch):
    graph = fb.read_graph(homogeneous())
    monkeypatch.setitem(sys.modules, "dgl", None)
    with pytest.raises(MissingDependencyError, match=r"ffbridge\[dgl\]"):
        fb.write_graph(graph, "dgl")


def test_graphs_are_immutable():
    graph = fb.read_graph(heterogeneous())
    with pytest.raises(TypeError):
        graph.nodes["atom"] = graph.nodes["bond"]
    with pytest.raises(TypeError):
        graph.nodes["atom"].fields["q"] = None


def test_fields_without_a_row_for_each_do_not_reach_dgl():
    graph = fb.read_graph(dgl.graph(([0, 1], [1, 2])))
    (name, nodes), (edge_type, edges) = *graph.nodes.items(), *graph.edges.items()
    for wrong in (torch.zeros(2), torch.zeros(())):
        with pytest.raises(GraphError, match="nodes/_N/x: shape .*, expected 3 rows on cpu"):
            fb.write_graph(replace(graph, nodes={name: replace(nodes, fields={"x": wrong})}), "dgl")
        with pytest.raises(GraphError, match=r"edges/_N:_E:_N/x: .*, expected 2 rows on cpu"):
            fb.write_graph(replace(graph, edges={edge_type: replace(edges, fields={"x": torch.zeros(5)})}), "dgl")


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_header_that_is_not_known_is_no_obstacle(monkeypatch, backend):
    """Where DGL's pickled graphs look otherwise, its public function makes the same graph."""
    from ffbridge.graph import dgl as writer

    graph = fb.read_graph(heterogeneous()).to(backend)
    usual = fb.write_graph(graph, "dgl")
    monkeypatch.setattr(writer, "_known", lambda *_: None)
    other = fb.write_graph(graph, "dgl")
    assert other.canonical_etypes == usual.canonical_etypes
    assert other.formats() == usual.formats()
    for edge_type in usual.canonical_etypes:
        for one, two in zip(usual.edges(etype=edge_type), other.edges(etype=edge_type), strict=True):
            assert torch.equal(one, two)
        assert torch.equal(usual.in_degrees(etype=edge_type), other.in_degrees(etype=edge_type))


def test_attributes_that_are_not_known_are_no_obstacle(monkeypatch):
    """Where DGL's graphs keep their structure or fields otherwise, its constructor makes the same graph."""
    from ffbridge.graph import dgl as writer

    graph = fb.read_graph(heterogeneous())
    types = tuple(sorted(graph.nodes)), tuple(sorted(graph.edges))
    usual = fb.write_graph(graph, "dgl")
    assert writer._known(*types) is not None
    monkeypatch.setattr(writer, "_OWN", writer._OWN | {"_frames_of_later"})
    monkeypatch.setattr(writer, "_known", writer._known.__wrapped__)
    assert writer._known(*types) is None
    assert_same(fb.write_graph(graph, "dgl"), usual)


@pytest.mark.parametrize("build", [*GRAPHS, lambda: dgl.heterograph({("a", "to", "b"): ([0, 1], [1, 2])})])
def test_what_follows_from_the_types_is_as_dgl_has_it(build):
    """The attributes that no public method shows either, such as the maps of source and destination types."""
    from ffbridge.graph import dgl as writer

    original = build()
    written = fb.write_graph(fb.read_graph(original), "dgl")
    assert vars(written).keys() == vars(original).keys()
    for name in vars(original).keys() - writer._OWN:
        assert vars(written)[name] == vars(original)[name], name


class TestGraphsOfTheSameTypes:
    @pytest.fixture
    def graphs(self):
        return [fb.write_graph(fb.read_graph(build()), "dgl") for build in (heterogeneous, batched, heterogeneous)]

    def test_share_no_fields(self, graphs):
        one, batch, other = graphs
        one.nodes["bond"].data["new"] = torch.ones(2)
        one.edges["near"].data["new"] = torch.ones(0)
        batch.nodes["atom"].data["q"] = torch.zeros(15)
        assert "new" not in {name for graph in (batch, other) for _, name in fields(graph)}
        assert torch.equal(other.nodes["atom"].data["q"], torch.linspace(-1, 1, 5))

    def test_share_no_sizes(self, graphs):
        one, batch, other = graphs
        assert [graph.batch_size for graph in graphs] == [1, 3, 1]
        one.set_batch_num_nodes({"atom": torch.tensor([2, 3]), "bond": torch.tensor([1, 1]), "ring": torch.zeros(2)})
        other.add_nodes(1, ntype="ring")
        assert [graph.batch_size for graph in graphs] == [2, 3, 1]
        assert [graph.num_nodes("ring") for graph in graphs] == [0, 0, 1]
        assert batch.batch_num_nodes("atom").tolist() == [5, 5, 5]
        assert fb.write_graph(fb.read_graph(heterogeneous()), "dgl").batch_size == 1

    def test_share_no_lists_of_types(self, graphs):
        expected = heterogeneous()
        graphs[0].ntypes.clear()
        graphs[0].canonical_etypes.pop()
        for graph in (graphs[2], fb.write_graph(fb.read_graph(expected), "dgl")):
            assert graph.ntypes == expected.ntypes
            assert graph.canonical_etypes == expected.canonical_etypes


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_a_written_graph_is_as_any_of_dgl(backend):
    original = batched()
    written = fb.write_graph(fb.read_graph(original).to(backend), "dgl")
    assert_same(pickle.loads(pickle.dumps(written)), original)
    assert_same(copy.deepcopy(written), original)
    assert_same(written.clone(), original)
    assert_same(written.to("cpu"), original)
    assert_same(dgl.batch([written, written]), dgl.batch([original, original]))
    for mine, theirs in zip(dgl.unbatch(written), dgl.unbatch(original), strict=True):
        assert_same(mine, theirs)
    relations = [("atom", "in", "bond"), ("bond", "has", "atom")]
    assert_same(written.edge_type_subgraph(relations), original.edge_type_subgraph(relations))
    assert_same(dgl.remove_nodes(written, 0, "atom"), dgl.remove_nodes(original, 0, "atom"))
    with written.local_scope():
        written.update_all(dgl.function.copy_u("q", "m"), dgl.function.sum("m", "sum"), etype="in")
        assert "sum" in written.nodes["bond"].data
    assert_same(written, original)


@pytest.mark.parametrize("id_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.parametrize("writable", [True, False])
def test_ids_of_numpy_are_aliased_and_kept(build, id_dtype, writable):
    original = build(id_dtype)
    arrays = fb.read_graph(original)
    edges = {
        kind: replace(part, src=part.src.numpy().copy(), dst=part.dst.numpy().copy())
        for kind, part in arrays.edges.items()
    }
    next(iter(edges.values())).src.flags.writeable = writable
    graph = fb.write_graph(replace(arrays, edges=edges), "dgl")
    for kind, part in edges.items():
        for mine, given in zip(graph.edges(etype=kind, order="eid"), (part.src, part.dst), strict=True):
            assert mine.data_ptr() == given.ctypes.data or not len(given)
    del edges, part, mine, given
    gc.collect()
    assert_same(graph, original)


def test_ids_of_numpy_that_name_no_node_do_not_reach_dgl():
    graph = fb.read_graph(dgl.heterograph({("a", "to", "b"): ([0, 1], [1, 2])})).to("numpy")
    ((edge_type, edges),) = graph.edges.items()
    for wrong in (-1, 3):
        beyond = replace(graph, edges={edge_type: replace(edges, dst=np.array([1, wrong]))})
        with pytest.raises(GraphError, match=rf"structure/a:to:b/dst: node {wrong}, but there are 3 of type b"):
            fb.write_graph(beyond, "dgl")
    for ids, message in ((np.array([1.0, 2.0]), "float64 and int64"), (np.array([1, 2], dtype="int32"), "int32 and")):
        with pytest.raises(GraphError, match=rf"ids of nodes are {message}.*cast them"):
            fb.write_graph(replace(graph, edges={edge_type: replace(edges, dst=ids)}), "dgl")
    text = replace(graph, edges={edge_type: replace(edges, dst=np.array(["1", "2"]))})
    with pytest.raises(ExchangeError, match=r"^structure/a:to:b/dst: "):
        fb.write_graph(text, "dgl")
