"""Bundles from espaloma's graphs: espaloma's own energies, gradients that reach the graph, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError, GraphError, UnsupportedError
from ffbridge.producers.espaloma import espaloma_graph, from_espaloma
from ffbridge.units import COULOMB_CONSTANT, KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR
from tests.bridge.producers.espaloma_data import MOLECULES, NAMES, figures, load_graph, parameter_gradients

dgl = pytest.importorskip("dgl", reason="the graphs are DGL's")
torch = pytest.importorskip("torch", reason="DGL runs on it")

TRAINABLE = [("n2", "k"), ("n2", "eq"), ("n3", "k"), ("n3", "eq"), ("n4", "k"), ("n4_improper", "k"), ("n1", "q")]


def energies(bundle, x, engine="numpy"):
    return np.asarray(fb.potential(bundle, engine)(x))


def trainable(name):
    """A graph whose parameters are leaves, in double precision; the dihedral k of both signs."""
    graph = load_graph(name)
    for node_type, field in TRAINABLE:
        graph.nodes[node_type].data[field] = graph.nodes[node_type].data[field].double().requires_grad_()
    return graph


def dihedrals(x, atoms):
    """Dihedral angles by their textbook formula, (conformers, torsions)."""
    first, second, third = (x[:, atoms[:, i + 1]] - x[:, atoms[:, i]] for i in range(3))
    left, right = np.cross(first, second), np.cross(second, third)
    sine = np.sum(np.cross(left, right) * second / np.linalg.norm(second, axis=-1, keepdims=True), axis=-1)
    return np.arctan2(sine, np.sum(left * right, axis=-1))


def torsion_energy(x, atoms, k, phases, periodicity):
    """espaloma's formula over all listed nodes, with one half of each, in its unit; the angle has the other sign."""
    cosine = np.cos(-periodicity * dihedrals(x, atoms)[..., None] - phases)
    return 0.5 * np.sum(np.maximum(k, 0) * (cosine + 1) - np.maximum(-k, 0) * (cosine - 1), axis=(1, 2))


@pytest.mark.parametrize("engine", ["numpy", "torch"])
@pytest.mark.parametrize(("what", "charges"), [("bonded", None), ("bonded_and_coulomb", "q")])
@pytest.mark.parametrize("name", NAMES)
def test_energy_and_gradient_are_espalomas_own(name, what, charges, engine):
    x, energy, gradient = figures(name, what)
    bundle = from_espaloma(load_graph(name), charges=charges)
    found = fb.potential(bundle, engine).value_and_grad(fb.to(x, engine))
    assert np.asarray(found.energy)[:, 0] == pytest.approx(energy, rel=1e-9)
    assert np.linalg.norm(-np.asarray(found.forces) - gradient) < 1e-9 * np.linalg.norm(gradient)


@pytest.mark.parametrize("name", ["caffeine", "glycine_zwitterion"])
def test_what_a_bundle_holds(name):
    graph = load_graph(name)
    bundle = from_espaloma(graph)
    assert sorted(bundle.bonds.tolist()) == sorted(sorted(bond) for bond in MOLECULES[name]["bonds"])
    assert len(bundle.terms["bonds"]) * 2 == graph.num_nodes("n2")
    assert len(bundle.terms["angles"]) * 2 == graph.num_nodes("n3")
    assert len(bundle.terms["proper_torsions"]) * 2 == graph.num_nodes("n4") * 6
    assert len(bundle.terms["improper_torsions"]) == graph.num_nodes("n4_improper") * 6
    assert {term.mapping.kind for term in bundle.terms.values()} == {"identity"}
    assert {str(array.dtype) for array in bundle.arrays().values()} == {"torch.float64", "torch.int32"}
    assert bool((bundle.table("proper_torsions").column("k") >= 0).all())
    assert bundle.provenance["impropers"] == "espaloma"
    n_atoms = graph.num_nodes("n1")
    n_pairs = n_atoms * (n_atoms - 1) // 2 - graph.num_nodes("nonbonded") // 2
    assert tuple(bundle.exceptions.pairs.shape) == (n_pairs, 2)
    assert int((bundle.exceptions.kept_charge == 0.8333333333333334).sum()) == graph.num_nodes("onefour") // 2


def test_elements_are_read_from_the_features_or_given():
    graph = load_graph("ethanol")
    assert from_espaloma(graph).atomic_numbers.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    features = graph.nodes["n1"].data.pop("h0")
    with pytest.raises(GraphError, match="pass elements="):
        from_espaloma(graph)
    assert from_espaloma(graph, elements=[1] * 9).atomic_numbers.tolist() == [1] * 9
    with pytest.raises(GraphError, match=r"elements: got shape \(8,\), expected \(9,\)"):
        from_espaloma(graph, elements=[1] * 8)
    features[3, 50] = 0.5
    graph.nodes["n1"].data["h0"] = features
    with pytest.raises(GraphError, match="h0: expected exactly one 1"):
        from_espaloma(graph)


def test_a_batch_becomes_systems():
    names = ["ethanol", "caffeine", "butane"]
    positions, expected, _ = zip(*(figures(name, "bonded_and_coulomb") for name in names), strict=True)
    bundle = from_espaloma(dgl.batch([load_graph(name) for name in names]))
    assert bundle.n_systems == 3
    assert bundle.system_offsets.tolist() == [0, 9, 33, 47]
    assert energies(bundle, np.concatenate(positions, axis=1)) == pytest.approx(np.stack(expected, axis=1), rel=1e-9)


def test_gradients_of_parameters_are_espalomas_own():
    """Every node of every type, both directions included, against espaloma's automatic derivatives."""
    graph = trainable("glycine_zwitterion")
    x = figures("glycine_zwitterion", "bonded")[0]
    fb.potential(from_espaloma(graph), "torch")(torch.from_numpy(x)).sum().backward()
    for (node_type, field), expected in parameter_gradients("glycine_zwitterion").items():
        found = graph.nodes[node_type].data[field].grad.numpy()
        assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()


def test_gradients_reach_every_field_of_the_graph():
    """Against central differences of the energy of changed graphs; both directions change together."""
    graph = trainable("glycine_zwitterion")
    x = figures("glycine_zwitterion", "bonded")[0][:1]
    fb.potential(from_espaloma(graph), "torch")(torch.from_numpy(x)).sum().backward()
    gradients = {key: graph.nodes[key[0]].data[key[1]].grad.numpy() for key in TRAINABLE}
    generator = np.random.default_rng(5)
    for node_type, field in TRAINABLE:
        values = graph.nodes[node_type].data[field].detach()
        rows = graph.nodes[node_type].data["idxs"].tolist()
        for row in generator.choice(len(rows), 4, replace=False):
            same = {row} | ({rows.index(rows[row][::-1])} if node_type in ("n2", "n3", "n4") else set())
            column = int(generator.integers(values.shape[1]))
            step = 1e-5 * max(1.0, float(values.abs().max()))
            ends = []
            for sign in (1, -1):
                changed = values.clone()
                changed[list(same), column] += sign * step
                with graph.local_scope():
                    graph.nodes[node_type].data[field] = changed
                    ends.append(energies(from_espaloma(detached(graph)), x).sum())
            expected = (ends[0] - ends[1]) / (2 * step)
            found = [gradients[node_type, field][node, column] for node in same]
            assert sum(found) == pytest.approx(expected, rel=1e-6, abs=1e-6)
            # espaloma's energy is one half of each direction, so each gets one half of the gradient.
            assert found == pytest.approx([sum(found) / len(found)] * len(found), rel=1e-12)


def detached(graph):
    for node_type, field in TRAINABLE:
        graph.nodes[node_type].data[field] = graph.nodes[node_type].data[field].detach()
    return graph


def test_a_negative_k_is_a_phase_of_pi():
    graph = load_graph("butane")
    graph.nodes["n4"].data["k"] = torch.zeros(graph.num_nodes("n4"), 6)
    graph.nodes["n4"].data["k"][:, 2] = -0.25
    table = from_espaloma(graph, terms=["n4"], charges=None).table("proper_torsions")
    third = table.values[2::6]
    assert third[:, 0].numpy() == pytest.approx(0.25 * KJ_PER_MOL_PER_HARTREE)
    assert set(third[:, 1].tolist()) == {math.pi}
    assert set(third[:, 2].tolist()) == {3.0}
    assert set(table.values[0::6, 1].tolist()) == {0.0}


@pytest.mark.parametrize("n_columns", [1, 4])
def test_phases_and_periodicities_of_the_graph(n_columns):
    """Against espaloma's formula, evaluated here over the listed nodes."""
    graph = load_graph("caffeine")
    x = figures("caffeine", "bonded")[0]
    generator = torch.Generator().manual_seed(3)
    expected = np.zeros(len(x))
    for node_type in ("n4", "n4_improper"):
        nodes = graph.num_nodes(node_type)
        fields = {
            "k": torch.randn(nodes, n_columns, generator=generator, dtype=torch.float64),
            "phases": 3 * torch.rand(nodes, n_columns, generator=generator, dtype=torch.float64),
            "periodicity": torch.randint(1, 5, (nodes, n_columns), generator=generator).double(),
        }
        if node_type == "n4":
            fields = {name: torch.cat([field[: nodes // 2]] * 2) for name, field in fields.items()}
        graph.nodes[node_type].data.update(fields)
        atoms = graph.nodes[node_type].data["idxs"].numpy()
        k, phases, periodicity = (fields[name].numpy()[None] for name in ("k", "phases", "periodicity"))
        expected += torsion_energy(x, atoms, k, phases, periodicity) * KJ_PER_MOL_PER_HARTREE
    bundle = from_espaloma(graph, terms=["n4", "n4_improper"], charges=None)
    assert energies(bundle, x)[:, 0] == pytest.approx(expected, rel=1e-12)
    del graph.nodes["n4"].data["phases"]
    with pytest.raises(GraphError, match="nodes/n4 has periodicity alone of phases and periodicity"):
        from_espaloma(graph)


def test_cyclic_impropers_are_recognised():
    made = espaloma_graph(molecule_of("CN1C=NC2=C1C(=O)N(C(=O)N2C)C"), impropers="smirnoff")
    made.nodes["n4_improper"].data["k"] = torch.ones(made.num_nodes("n4_improper"), 6)
    bundle = from_espaloma(made, terms=["n4_improper"], charges=None)
    assert bundle.provenance["impropers"] == "smirnoff"
    assert len(bundle.term("improper_torsions")) * 2 == load_graph("caffeine").num_nodes("n4_improper") * 6


def test_reference_values_by_their_suffix():
    graph = load_graph("ethanol")
    for node_type in ("n2", "n3", "n4"):
        for name in ("k", "eq"):
            if name in graph.nodes[node_type].data:
                graph.nodes[node_type].data[f"{name}_ref"] = graph.nodes[node_type].data.pop(name)
    graph.nodes["n2"].data["coefficients"] = torch.zeros(16, 2)
    x, energy, _ = figures("ethanol", "bonded_and_coulomb")
    assert energies(from_espaloma(graph, suffix="_ref"), x)[:, 0] == pytest.approx(energy, rel=1e-9)
    with pytest.raises(GraphError, match="nodes/n3/k: the graph has no such parameters, only eq_ref, idxs, k_ref"):
        from_espaloma(graph, terms=["n3"])


def test_single_precision_on_request():
    bundle = from_espaloma(load_graph("ethanol"), dtype="float32")
    assert {str(array.dtype) for array in bundle.arrays().values()} == {"torch.float32", "torch.int32"}


def test_a_graph_of_another_framework():
    bundle = from_espaloma(fb.read_graph(load_graph("ethanol")).to("numpy"))
    x, energy, _ = figures("ethanol", "bonded_and_coulomb")
    assert isinstance(bundle.table("bonds").values, np.ndarray)
    assert energies(bundle, x)[:, 0] == pytest.approx(energy, rel=1e-9)


def test_jax_without_x64_needs_single_precision():
    jax = pytest.importorskip("jax", reason="the graph's framework")
    assert not jax.config.jax_enable_x64
    graph = fb.read_graph(load_graph("ethanol")).to("jax", dtype="float32")
    with pytest.raises(ExchangeError, match=r"^nodes/n2/k: .*jax_enable_x64"):
        from_espaloma(graph)
    x, energy, _ = figures("ethanol", "bonded_and_coulomb")
    bundle = from_espaloma(graph, dtype="float32").to("numpy")
    assert energies(bundle, x.astype("float32"))[:, 0] == pytest.approx(energy, rel=1e-5)


def test_ions_of_one_atom():
    """espaloma lists such an atom as a pair with itself, which is no interaction."""
    graph = espaloma_graph(molecule_of("[Cl-]"))
    graph.nodes["n1"].data["q"] = torch.full((1, 1), -1.0)
    bundle = from_espaloma(graph)
    assert list(bundle.terms) == ["electrostatics"]
    assert energies(bundle, np.zeros((1, 1, 3))).tolist() == [[0.0]]
    with_self_pair = dgl.add_nodes(graph, 1, {"idxs": torch.zeros(1, 2, dtype=torch.int64)}, ntype="nonbonded")
    assert tuple(from_espaloma(with_self_pair).exceptions.pairs.shape) == (0, 2)


def test_charges_of_two_ions_at_a_known_distance():
    graph = espaloma_graph([molecule_of("[Na+]")])
    pair = dgl.heterograph(
        {
            ("n1", "near", "n1"): ([0, 1], [1, 0]),
            ("nonbonded", "of", "nonbonded"): ([], []),
            ("onefour", "of", "onefour"): ([], []),
            ("n2", "of", "n2"): ([], []),
        },
        num_nodes_dict={"n1": 2, "nonbonded": 2, "onefour": 0, "n2": 0},
    )
    features = graph.nodes["n1"].data["h0"]
    pair.nodes["n1"].data.update({"h0": torch.cat([features] * 2), "idxs": torch.tensor([[0], [1]])})
    pair.nodes["n1"].data["q"] = torch.tensor([[1.0], [-0.5]])
    pair.nodes["nonbonded"].data["idxs"] = torch.tensor([[0, 1], [1, 0]])
    for name in ("onefour", "n2"):
        pair.nodes[name].data["idxs"] = torch.zeros(0, 2, dtype=torch.int64)
    x = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.4]]])
    assert energies(from_espaloma(pair, terms=[]), x)[0, 0] == pytest.approx(-0.5 * COULOMB_CONSTANT / 0.4, rel=1e-14)


def molecule_of(smiles):
    toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")
    return toolkit.Molecule.from_smiles(smiles)


class TestRefusals:
    """Whatever has no exact counterpart, or is malformed, is named with its place in the graph."""

    @pytest.fixture
    def graph(self):
        return load_graph("glycine_zwitterion")

    @pytest.mark.parametrize(
        ("node_type", "field", "remedy"),
        [
            ("n2", "k3", "minimum over the conformers"),
            ("n3", "k4", "minimum over the conformers"),
            ("n3", "k_bond_bond", "minimum over the conformers"),
            ("n3", "k_bond_angle", "minimum over the conformers"),
            ("n4", "k_angle_torsion", "minimum over the conformers"),
            ("n4", "k_center_torsion", "minimum over the conformers"),
            ("g", "u0", "constant energy"),
        ],
    )
    def test_fields_that_change_the_energy(self, graph, node_type, field, remedy):
        graph.nodes[node_type].data[field] = torch.zeros(graph.num_nodes(node_type), 2)
        with pytest.raises(UnsupportedError, match=f"nodes/{node_type}/{field} cannot be converted: .*{remedy}"):
            from_espaloma(graph)

    def test_energies_are_data_and_are_left_alone(self, graph):
        graph.nodes["g"].data["u_ref"] = torch.zeros(1, 4)
        graph.nodes["n3"].data["u"] = torch.zeros(graph.num_nodes("n3"), 4)
        from_espaloma(graph)

    @pytest.mark.parametrize("node_type", ["n2", "n3", "n4", "n4_improper", "nonbonded", "onefour"])
    def test_missing_atoms(self, graph, node_type):
        del graph.nodes[node_type].data["idxs"]
        with pytest.raises(GraphError, match=f"nodes/{node_type} has no field 'idxs'"):
            from_espaloma(graph)

    @pytest.mark.parametrize(("node_type", "field"), TRAINABLE)
    def test_missing_parameters(self, graph, node_type, field):
        del graph.nodes[node_type].data[field]
        with pytest.raises(GraphError, match=f"nodes/{node_type}/{field}: the graph has no such parameters"):
            from_espaloma(graph)

    def test_a_graph_without_interaction_nodes(self):
        plain = dgl.graph(([0, 1], [1, 0]))
        with pytest.raises(GraphError, match="no node type 'n2'; it has: _N"):
            from_espaloma(plain)

    def test_directions_that_differ(self, graph):
        k = graph.nodes["n2"].data["k"]
        with graph.local_scope():
            graph.nodes["n2"].data["k"] = k * torch.linspace(1, 1 + 1e-7, len(k))[:, None]
            from_espaloma(graph)
        k[11] *= 1.01
        with pytest.raises(UnsupportedError, match=r"nodes/n2/k: nodes \d+ and \d+ are the two directions"):
            from_espaloma(graph)
        from_espaloma(graph, tolerance=0.1)

    def test_a_direction_that_is_missing(self, graph):
        atoms = graph.nodes["n3"].data["idxs"][5].tolist()
        with pytest.raises(
            GraphError, match=rf"nodes/n3/idxs lists the atoms \({', '.join(map(str, atoms))}\) 0 times"
        ):
            from_espaloma(dgl.remove_nodes(graph, [5], "n3"))

    def test_an_interaction_that_is_listed_twice(self, graph):
        graph.nodes["n4"].data["idxs"][1] = graph.nodes["n4"].data["idxs"][0]
        with pytest.raises(GraphError, match="expected each interaction once in each direction"):
            from_espaloma(graph)

    def test_an_atom_that_stands_twice(self, graph):
        graph.nodes["n3"].data["idxs"][4] = torch.tensor([2, 1, 2])
        with pytest.raises(GraphError, match=r"nodes/n3/idxs\[4\] is \(2, 1, 2\): an atom stands in it twice"):
            from_espaloma(graph)

    def test_a_pair_in_one_direction(self, graph):
        graph.nodes["nonbonded"].data["idxs"][0] = graph.nodes["nonbonded"].data["idxs"][1]
        with pytest.raises(GraphError, match="nodes/nonbonded/idxs lists the atoms .* expected each pair once"):
            from_espaloma(graph)

    def test_a_pair_of_two_kinds(self, graph):
        both = torch.cat([graph.nodes["onefour"].data["idxs"][:1], graph.nodes["onefour"].data["idxs"][:1].flip(1)])
        graph = dgl.add_nodes(graph, 2, {"idxs": both}, ntype="nonbonded")
        with pytest.raises(GraphError, match="nodes/nonbonded and nodes/onefour both list the atoms"):
            from_espaloma(graph)

    def test_an_atom_of_another_molecule(self, graph):
        graph.nodes["n2"].data["idxs"][3, 0] = 10
        with pytest.raises(GraphError, match=r"nodes/n2/idxs\[3\] is \[10, \d+\]; expected atoms of a molecule .* 10"):
            from_espaloma(dgl.batch([graph, load_graph("ethanol")]))

    @pytest.mark.parametrize(
        ("node_type", "field", "value", "fault"),
        [
            ("n2", "idxs", torch.zeros(18, 3), r"shape \(18, 3\), expected \(18, 2\)"),
            ("n2", "idxs", torch.zeros(18, 2), "got float32, expected integers"),
            ("n2", "k", torch.zeros(18, 2), r"shape \(18, 2\), expected \(18, 1\)"),
            ("n2", "k", torch.zeros(18, 1, dtype=torch.int32), "got int32, expected a floating-point type"),
            ("n2", "eq", torch.full((18, 1), math.nan), r"nodes/n2/eq\[0\] is not finite"),
            ("n1", "q", torch.tensor([[0.0]] * 9 + [[math.inf]]), r"nodes/n1/q\[9\] is not finite"),
        ],
    )
    def test_malformed_fields(self, graph, node_type, field, value, fault):
        graph.nodes[node_type].data[field] = value
        with pytest.raises(GraphError, match=fault):
            from_espaloma(graph)

    def test_unknown_terms(self, graph):
        with pytest.raises(UnsupportedError, match="terms has 'n5', expected some of: n2, n3, n4, n4_improper"):
            from_espaloma(graph, terms=["n2", "n5"])


def test_lengths_and_energies_are_converted_by_the_named_constants():
    graph = load_graph("ethanol")
    table = from_espaloma(graph).table("bonds").values.numpy()
    k, eq = (graph.nodes["n2"].data[name].double().numpy()[:8, 0] for name in ("k", "eq"))
    assert sorted(table[:, 0]) == pytest.approx(sorted(k * KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2), rel=1e-14)
    assert sorted(table[:, 1]) == pytest.approx(sorted(eq * NM_PER_BOHR), rel=1e-14)
