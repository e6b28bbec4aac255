"""Linear mixtures, Urey-Bradley terms, phases and periodicities of graphs, against espaloma's own figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.producers.espaloma import from_espaloma
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR
from tests.bridge.producers.espaloma_data import figures, form_figures, load_graph

torch = pytest.importorskip("torch", reason="DGL runs on it")
pytest.importorskip("dgl", reason="the graphs are DGL's")

NAMES = ("caffeine", "glycine_zwitterion")
FIELDS = {
    "mixture": ("n2/coefficients", "n3/coefficients"),
    "original": ("n2/coefficients", "n3/coefficients"),
    "urey_bradley": ("n3/coefficients_urey_bradley",),
    "phases": tuple(f"{node}/{field}" for node in ("n4", "n4_improper") for field in ("k", "phases", "periodicity")),
}
TERMS = {"mixture": ("n2", "n3"), "original": ("n2", "n3"), "urey_bradley": ("n3",), "phases": ("n4", "n4_improper")}


def graph_with(name, what, stored):
    """The graph with the fields of a set of figures, and those of them that have derivatives, as leaves."""
    graph = load_graph(name)
    leaves = {}
    for path in FIELDS[what]:
        node_type, field = path.split("/")
        value = torch.from_numpy(stored[path])
        if field != "periodicity":
            value = leaves[path] = value.clone().requires_grad_()
        graph.nodes[node_type].data[field] = value
    return graph, leaves


@pytest.mark.parametrize("what", ["original", "urey_bradley", "phases"])
@pytest.mark.parametrize("name", NAMES)
def test_energies_and_gradients_are_espalomas_own(name, what):
    """`original` is espaloma's energy after its own LinearMixtureToOriginal."""
    x = figures(name, "bonded")[0]
    stored, energy, gradient = form_figures(name, what)
    graph, leaves = graph_with(name, what, stored)
    bundle = from_espaloma(graph, terms=TERMS[what], charges=None)
    if what == "urey_bradley":
        bundle = only(bundle, "urey_bradley")
    positions = torch.tensor(x, requires_grad=True)
    found = fb.potential(bundle, "torch")(positions)[:, 0]
    assert found.detach().numpy() == pytest.approx(energy, rel=1e-12)
    dx, *others = torch.autograd.grad(found.sum(), [positions, *leaves.values()])
    assert np.linalg.norm(dx.numpy() - gradient) < 1e-11 * np.linalg.norm(gradient)
    for path, derivative in zip(leaves, others, strict=True):
        expected = stored[f"{what}/{path}"] * KJ_PER_MOL_PER_HARTREE
        assert np.abs(derivative.numpy() - expected).max() < 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("name", NAMES)
def test_a_linear_mixture_is_espalomas_but_for_a_constant(name):
    x = figures(name, "bonded")[0]
    stored, energy, gradient = form_figures(name, "mixture")
    graph, _ = graph_with(name, "mixture", stored)
    found = fb.potential(only(from_espaloma(graph), "bonds", "angles").snapshot()).value_and_grad(x)
    constant = 0.0
    for path, anchors in (("n2/coefficients", (1.5, 6.0)), ("n3/coefficients", (0.0, math.pi))):
        k1, k2 = stored[path].T
        # One half for either direction.
        constant += 0.5 * np.sum(k1 * k2 / (k1 + k2) / 2) * (anchors[1] - anchors[0]) ** 2 * KJ_PER_MOL_PER_HARTREE
    assert constant > 1e4
    assert np.asarray(found.energy)[:, 0] + constant == pytest.approx(energy, rel=1e-6)
    # The 1e-7 in espaloma's divisor: relative to a k of at least 0.04 hartree.
    assert np.linalg.norm(-np.asarray(found.forces) - gradient) < 5e-6 * np.linalg.norm(gradient)


def only(bundle, *names):
    from dataclasses import replace

    return replace(
        bundle, terms={name: bundle.term(name) for name in names}, tables={name: bundle.table(name) for name in names}
    )


def test_a_mixture_is_read_before_k_and_eq_and_by_its_suffix():
    graph = load_graph("ethanol")
    graph.nodes["n2"].data["coefficients_ref"] = torch.tensor([[0.2, 0.1]], dtype=torch.float64).repeat(16, 1)
    for name in ("k", "eq"):
        graph.nodes["n2"].data[f"{name}_ref"] = graph.nodes["n2"].data[name]
    table = from_espaloma(graph, terms=["n2"], charges=None, suffix="_ref").table("bonds")
    assert table.column("k").tolist() == pytest.approx([0.3 * KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2] * 8, rel=1e-14)
    eq = (0.2 * 1.5 + 0.1 * 6.0) / (0.3 + 1e-7)
    assert table.column("length").tolist() == pytest.approx([eq * NM_PER_BOHR] * 8, rel=1e-14)
    plain = from_espaloma(graph, terms=["n2"], charges=None).table("bonds")
    assert plain.column("k").tolist() != table.column("k").tolist()


def test_urey_bradley_terms_of_one_angle():
    """k1 r² + k2 (r - 12 bohr)² in hartree, from both directions of the one angle of water."""
    toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")
    graph = fb.espaloma_graph(toolkit.Molecule.from_mapped_smiles("[O:1]([H:2])[H:3]"))
    for field, value in (("k", [[0.0]]), ("eq", [[0.0]]), ("coefficients_urey_bradley", [[0.3, -0.05]])):
        graph.nodes["n3"].data[field] = torch.tensor(value, dtype=torch.float64).repeat(2, 1)
    bundle = from_espaloma(graph, terms=["n3"], charges=None)
    assert bundle.term("urey_bradley").indices.tolist() == [[1, 2], [1, 2]]
    x = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0]], dtype=torch.float64)
    r = math.sqrt(0.05) / NM_PER_BOHR
    expected = (0.3 * r**2 - 0.05 * (r - 12) ** 2) * KJ_PER_MOL_PER_HARTREE
    assert fb.potential(bundle, "torch")(x).item() == pytest.approx(expected, rel=1e-13)


def test_columns_that_a_quartet_does_not_use_are_no_interactions():
    graph = load_graph("butane")
    nodes = graph.num_nodes("n4")
    k = torch.zeros(nodes, 3, dtype=torch.float64)
    k[:, 0] = 0.01
    graph.nodes["n4"].data.update(k_ref=k, phases_ref=torch.zeros_like(k), periodicity_ref=torch.zeros_like(k))
    graph.nodes["n4"].data["periodicity_ref"][:, 0] = 3
    bundle = from_espaloma(graph, terms=["n4"], charges=None, suffix="_ref")
    assert len(bundle.term("proper_torsions")) == nodes // 2
    assert set(bundle.table("proper_torsions").column("periodicity").tolist()) == {3.0}
    fb.validate(bundle)
    graph.nodes["n4"].data["k_ref"][:, 2] = 0.5
    with pytest.raises(
        GraphError, match="nodes/n4/periodicity_ref is 0 where k_ref is not, as in interaction 0: a con"
    ):
        from_espaloma(graph, terms=["n4"], charges=None, suffix="_ref")


class TestLeftOut:
    """Class II couplings of espaloma depend on the batch; they are refused, or left out by name."""

    @pytest.fixture
    def graph(self):
        graph = load_graph("glycine_zwitterion")
        graph.nodes["n3"].data["k_bond_bond"] = torch.ones(graph.num_nodes("n3"), 1)
        graph.nodes["n4"].data["k_angle_torsion"] = torch.ones(graph.num_nodes("n4"), 1)
        return graph

    def test_only_those_named(self, graph):
        with pytest.raises(UnsupportedError, match=r"n4/k_angle_torsion .*leave_out=\('k_angle_torsion',\) to do"):
            from_espaloma(graph, leave_out=["k_bond_bond"])
        bundle = from_espaloma(graph, leave_out=["k_bond_bond", "k_angle_torsion", "u0"])
        assert bundle.provenance["left_out"] == ["n3/k_bond_bond", "n4/k_angle_torsion"]
        x, energy, _ = figures("glycine_zwitterion", "bonded_and_coulomb")
        assert np.asarray(fb.potential(bundle, "numpy")(x))[:, 0] == pytest.approx(energy, rel=1e-9)

    def test_names_that_are_never_refused(self, graph):
        with pytest.raises(UnsupportedError, match="leave_out has 'k', expected some of: k3, k4, k_angle_angle, "):
            from_espaloma(graph, leave_out=["k"])


def test_a_mixture_without_an_equilibrium():
    graph = load_graph("ethanol")
    graph.nodes["n2"].data["coefficients"] = torch.tensor([[-1e-7, 0.0]], dtype=torch.float64).repeat(16, 1)
    with pytest.raises(GraphError, match="nodes/n2/coefficients has a row whose sum is -1e-07, by which eq is divided"):
        from_espaloma(graph)
