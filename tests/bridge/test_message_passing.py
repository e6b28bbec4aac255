"""One message-passing layer on a DGL graph: the same features and gradients by DGL, by PyG, by jraph in JAX.

The layer is GraphSAGE with the mean: ``relu(W_self h_v + W_neigh mean_{u→v} h_u + b)``, of Hamilton et al., 2017.
The graphs are espaloma's, of real molecules; the features are the atoms', the edges the bonds'.
"""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb

torch = pytest.importorskip("torch", reason="DGL and PyG run on it")
dgl = pytest.importorskip("dgl", reason="the graphs are DGL's")
toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")

CAFFEINE, IBUPROFEN, WATER = "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O", "O"
TOLERANCE = 1e-12
BONDED = ("n1", "n1_neighbors_n1", "n1")
N_OUT = 16


@pytest.fixture(scope="module")
def graph():
    """Three molecules in one batch, and random weights, float64."""
    molecules = [toolkit.Molecule.from_smiles(smiles) for smiles in (CAFFEINE, IBUPROFEN, WATER)]
    return fb.espaloma_graph(molecules, dtype="float64")


@pytest.fixture(scope="module")
def weights(graph):
    rng = np.random.default_rng(0)
    n_in = graph.nodes["n1"].data["h0"].shape[1]
    return {
        "self": rng.normal(size=(N_OUT, n_in)),
        "neigh": rng.normal(size=(N_OUT, n_in)),
        "bias": rng.normal(size=N_OUT),
    }


@pytest.fixture(scope="module")
def by_dgl(graph, weights):
    """Features after the layer, and the gradients of their weighted sum with respect to features and weights."""
    graph = graph.local_var()
    h, parameters = leaves(graph.nodes["n1"].data["h0"], weights)
    graph.nodes["n1"].data["h"] = h
    graph.update_all(dgl.function.copy_u("h", "m"), dgl.function.mean("m", "mean"), etype=BONDED[1])
    mean = graph.nodes["n1"].data["mean"]
    out = (h @ parameters["self"].T + mean @ parameters["neigh"].T + parameters["bias"]).relu()
    return torch_result(out, h, parameters)


def leaves(features, weights):
    h = features.detach().clone().requires_grad_()
    return h, {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}


def torch_result(out, h, parameters):
    (out * torch.as_tensor(cotangent(out.shape))).sum().backward()
    gradients = {"h": h.grad, **{name: value.grad for name, value in parameters.items()}}
    return {"out": out.detach().numpy(), **{name: value.numpy() for name, value in gradients.items()}}


def cotangent(shape):
    return np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.abs(value).max() > 0.1, name
        np.testing.assert_allclose(found[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def test_pyg(graph, weights, by_dgl):
    layers = pytest.importorskip("torch_geometric.nn", reason="PyG is not installed")
    data = fb.write_graph(fb.read_graph(graph), "pyg")
    h, parameters = leaves(data["n1"].h0, weights)
    layer = layers.SAGEConv(h.shape[1], N_OUT, aggr="mean").double()
    named = {"lin_r.weight": "self", "lin_l.weight": "neigh", "lin_l.bias": "bias"}
    by_layer = {key: parameters[name] for key, name in named.items()}
    out = torch.func.functional_call(layer, by_layer, (h, data[BONDED].edge_index), strict=True).relu()
    assert_same(torch_result(out, h, parameters), by_dgl)


def test_jraph(graph, weights, by_dgl):
    jraph = pytest.importorskip("jraph", reason="jraph is not installed")
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        read = fb.read_graph(graph).to("jax")
        atoms = fb.Graph(nodes={"n1": read.nodes["n1"]}, edges={BONDED: read.edges[BONDED]})
        written = fb.write_graph(atoms, "jraph")
        n_atoms = written.nodes["h0"].shape[0]

        def layer(h, parameters):
            def update(nodes, _, received, __):
                own, mean = nodes @ parameters["self"].T, received @ parameters["neigh"].T
                return jax.nn.relu(own + mean + parameters["bias"])

            network = jraph.GraphNetwork(
                update_edge_fn=lambda _, senders, __, ___: senders,
                update_node_fn=update,
                aggregate_edges_for_nodes_fn=lambda *args: jraph.segment_mean(args[0], args[1], n_atoms),
            )
            return network(written._replace(nodes=h, edges=None)).nodes

        @jax.jit
        def loss(h, parameters):
            out = layer(h, parameters)
            return (out * cotangent((n_atoms, N_OUT))).sum(), out

        parameters = {name: jnp.asarray(value) for name, value in weights.items()}
        (_, out), (dh, d) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(written.nodes["h0"], parameters)
    assert_same({"out": out, "h": dh, **d}, by_dgl)


def test_named_arrays_of_jax_are_enough(graph, weights, by_dgl):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with jax.enable_x64(True):
        read = fb.read_graph(graph).to("jax")
        h, edges = read.node_field("n1", "h0"), read.edges[BONDED]
        ones = jax.numpy.ones(edges.count)
        total, degree = (jax.ops.segment_sum(values, edges.dst, num_segments=len(h)) for values in (h[edges.src], ones))
        mean = total / jax.numpy.maximum(degree, 1)[:, None]
        out = jax.nn.relu(h @ weights["self"].T + mean @ weights["neigh"].T + weights["bias"])
    np.testing.assert_allclose(out, by_dgl["out"], rtol=TOLERANCE, atol=TOLERANCE)
