"""Graphs of DGL become those of PyG and jraph and come back unchanged; what a library cannot hold is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError, MissingDependencyError, UnsupportedError

torch = pytest.importorskip("torch", reason="DGL and PyG run on it")
dgl = pytest.importorskip("dgl", reason="the graphs begin as DGL's")

from tests.bridge.test_graph import (  # noqa: E402  (its graphs are DGL's)
    GRAPHS,
    assert_same,
    batched,
    empty,
    heterogeneous,
    homogeneous,
    without_edges,
)


@pytest.fixture(scope="module")
def pyg():
    return pytest.importorskip("torch_geometric.data", reason="PyG is not installed")


@pytest.fixture(scope="module")
def jraph():
    return pytest.importorskip("jraph", reason="jraph is not installed")


@pytest.fixture
def x64():
    jax = pytest.importorskip("jax", reason="jraph runs on it")
    with jax.enable_x64(True):
        yield


class TestPyG:
    @pytest.mark.parametrize("build", GRAPHS)
    def test_round_trip_shares_fields(self, pyg, build):
        original = build()
        written = fb.write_graph(fb.read_graph(original), "pyg")
        assert written.validate()
        graph = fb.read_graph(written)
        assert_same(fb.write_graph(graph, "dgl"), original)
        for name, node_type in [(name, kind) for kind in original.ntypes for name in original.nodes[kind].data]:
            if original.num_nodes(node_type):
                assert written[node_type][name].data_ptr() == original.nodes[node_type].data[name].data_ptr()

    def test_ids_of_32_bits_become_those_that_layers_require(self, pyg):
        written = fb.write_graph(fb.read_graph(heterogeneous(torch.int32)), "pyg")
        assert written["atom", "in", "bond"].edge_index.tolist() == [[0, 1, 1, 2], [0, 0, 1, 1]]
        assert written["atom", "in", "bond"].edge_index.dtype == torch.int64

    def test_a_batch_is_as_pyg_makes_it(self, pyg):
        graphs = dgl.unbatch(batched())
        written = fb.write_graph(fb.read_graph(dgl.batch(graphs)), "pyg")
        expected = pyg.Batch.from_data_list([fb.write_graph(fb.read_graph(graph), "pyg") for graph in graphs])
        assert type(written) is type(expected)
        assert written.num_graphs == expected.num_graphs == 3
        assert written.node_types == expected.node_types
        assert written.edge_types == expected.edge_types
        for store in expected.stores:
            mine = next(other for other in written.stores if other._key == store._key)
            assert set(mine.keys()) == set(store.keys())
            for name, value in store.items():
                assert torch.equal(torch.as_tensor(mine[name]), torch.as_tensor(value)), (store._key, name)
        assert_same(fb.write_graph(fb.read_graph(expected), "dgl"), dgl.batch(graphs))

    def test_data_is_a_homogeneous_graph(self, pyg):
        molecules = [
            pyg.Data(x=torch.rand(n, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]), edge_attr=torch.rand(3, 1))
            for n in (3, 4)
        ]
        graph = fb.read_graph(pyg.Batch.from_data_list(molecules))
        back = dgl.unbatch(fb.write_graph(graph, "dgl"))
        for mine, given in zip(back, molecules, strict=True):
            assert mine.is_homogeneous
            assert torch.equal(mine.ndata["x"], given.x)
            assert torch.equal(mine.edata["edge_attr"], given.edge_attr)
            assert torch.equal(torch.stack(mine.edges(order="eid")), given.edge_index)

    def test_data_without_edges_has_no_edge_type(self, pyg):
        graph = fb.read_graph(pyg.Data(pos=torch.rand(5, 3)))
        assert graph.nodes["_N"].count == 5
        assert not graph.edges

    def test_a_gradient_passes(self, pyg):
        graph = homogeneous()
        graph.ndata["x"].requires_grad_()
        fb.write_graph(fb.read_graph(graph), "pyg")["_N"].x.sum().backward()
        assert torch.equal(graph.ndata["x"].grad, torch.ones(6, 4, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda g: setattr(g, "y", torch.ones(1)), r"'y' of the PyG graph belongs neither to its nodes"),
            (lambda g: g["atom"].update({"name": ["C"] * 5}), r"nodes/atom/name: got list, expected a tensor with 5"),
            (lambda g: g["atom"].update({"z": torch.ones(4)}), r"nodes/atom/z: got shape \(4,\), expected .* 5 rows"),
            (lambda g: g["bond", "has", "atom"].pop("edge_index"), r"edges/bond:has:atom has no edge_index .*adj_t"),
            (lambda g: g["atom"].update({"batch": torch.zeros(5).long()}), "batch vector without ptr"),
        ],
    )
    def test_what_a_graph_cannot_hold_is_refused(self, pyg, change, message):
        data = fb.write_graph(fb.read_graph(heterogeneous()), "pyg")
        change(data)
        with pytest.raises(UnsupportedError, match=message):
            fb.read_graph(data)

    def test_edges_out_of_the_order_of_their_graphs_are_refused(self, pyg):
        data = fb.write_graph(fb.read_graph(batched()), "pyg")
        store = data["bond", "has", "atom"]
        store.edge_index = store.edge_index.flip(1)
        with pytest.raises(UnsupportedError, match=r"edges/bond:has:atom: .*not in the order of its graphs"):
            fb.read_graph(data)

    def test_other_kinds_are_refused(self, pyg):
        from torch_geometric.data import hypergraph_data

        with pytest.raises(UnsupportedError, match="HyperGraphData of PyG, expected Data, HeteroData"):
            fb.read_graph(hypergraph_data.HyperGraphData())

    def test_names_that_pyg_keeps_for_itself_are_refused(self, pyg):
        graph = homogeneous()
        graph.ndata["ptr"] = torch.ones(6)
        with pytest.raises(UnsupportedError, match=r"nodes/_N has a field 'ptr'.*rename"):
            fb.write_graph(fb.read_graph(graph), "pyg")


@pytest.mark.usefixtures("x64")
class TestJraph:
    @pytest.mark.parametrize("build", [homogeneous, empty, without_edges])
    @pytest.mark.parametrize("id_dtype", [torch.int32, torch.int64])
    def test_round_trip(self, jraph, build, id_dtype):
        original = build(id_dtype)
        assert_same(fb.write_graph(fb.read_graph(fb.write_graph(fb.read_graph(original), "jraph")), "dgl"), original)

    def test_a_batch_is_as_jraph_makes_it(self, jraph):
        graphs = [fb.write_graph(fb.read_graph(part), "jraph") for part in (homogeneous(), homogeneous())]
        expected = jraph.batch(graphs)
        written = fb.write_graph(fb.read_graph(dgl.batch([homogeneous(), homogeneous()])), "jraph")
        for name in ("senders", "receivers", "n_node", "n_edge"):
            assert np.array_equal(getattr(written, name), getattr(expected, name))
        for name in ("nodes", "edges"):
            mine, theirs = getattr(written, name), getattr(expected, name)
            assert mine.keys() == theirs.keys()
            assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
        assert fb.read_graph(expected).n_graphs == 2

    def test_bare_arrays_are_the_field_features(self, jraph):
        ids = np.array([0, 1])
        given = jraph.GraphsTuple(np.ones((3, 2)), None, ids, ids, None, np.array([3]), np.array([2]))
        graph = fb.read_graph(given)
        assert graph.node_field("_N", "features") is given.nodes
        assert not graph.edges["_N", "_E", "_N"].fields

    def test_no_senders_are_no_edges(self, jraph):
        given = jraph.GraphsTuple(np.ones((3, 2)), None, None, None, None, np.array([3]), np.array([0]))
        assert fb.read_graph(given).edges["_N", "_E", "_N"].count == 0

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"globals": np.ones(1)}, r"has globals.*_replace\(globals=None\)"),
            ({"nodes": {"x": {"y": np.ones(6)}}}, r"nodes/x of the GraphsTuple: got dict, expected an array with 6"),
            ({"edges": {"w": np.ones(5)}}, r"edges/w of the GraphsTuple: got shape \(5,\), expected .* 6 rows"),
            ({"senders": np.zeros(5, int), "edges": None}, r"has 5 senders, and n_edge adds up to 6"),
        ],
    )
    def test_what_a_graph_cannot_hold_is_refused(self, jraph, change, message):
        given = fb.write_graph(fb.read_graph(homogeneous()), "jraph")._replace(**change)
        with pytest.raises(UnsupportedError, match=message):
            fb.read_graph(given)

    def test_other_kinds_are_refused(self, jraph):
        other = type("Other", (), {"__module__": "jraph.other"})()
        with pytest.raises(UnsupportedError, match=r"got Other of jraph, expected a jraph\.GraphsTuple"):
            fb.read_graph(other)

    def test_heterogeneous_graphs_are_refused(self, jraph):
        with pytest.raises(UnsupportedError, match="node types atom, bond, ring and 4 edge types"):
            fb.write_graph(fb.read_graph(heterogeneous()), "jraph")


def test_float64_waits_for_x64(jraph):
    with pytest.raises(ExchangeError, match=r"nodes/_N/x: .*x64"):
        fb.write_graph(fb.read_graph(homogeneous()), "jraph")


@pytest.mark.parametrize(("library", "module"), [("pyg", "torch_geometric.data"), ("jraph", "jraph")])
def test_a_missing_library_is_named(library, module, monkeypatch):
    graph = fb.read_graph(homogeneous())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"ffbridge\[{library}\]"):
        fb.write_graph(graph, library)
