"""Bundles onto espaloma's graphs: fields given back as they were, espaloma's own reference values, and refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, GraphError, UnsupportedError
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR
from tests.bridge.drugs import NAMES as DRUGS
from tests.bridge.drugs import drug
from tests.bridge.producers.espaloma_data import FOLDER, NAMES, figures, load_graph, molecule

dgl = pytest.importorskip("dgl", reason="the graphs are DGL's")
torch = pytest.importorskip("torch", reason="DGL runs on it")

PARAMETERS = ("k", "eq", "q", "phases", "periodicity", "coefficients_urey_bradley")


def double(graph):
    for node_type in graph.ntypes:
        for name in set(PARAMETERS) & set(graph.nodes[node_type].data):
            graph.nodes[node_type].data[name] = graph.nodes[node_type].data[name].double()
    return graph


def without_parameters(graph):
    blank = graph.local_var()
    for node_type in graph.ntypes:
        for name in set(PARAMETERS) & set(graph.nodes[node_type].data):
            del blank.nodes[node_type].data[name]
    return blank


def fields(graph):
    return {
        (node_type, name): field for node_type in graph.ntypes for name, field in graph.nodes[node_type].data.items()
    }


def assert_same_fields(found, expected):
    assert set(fields(found)) == set(fields(expected))
    for key, field in fields(expected).items():
        assert fields(found)[key].shape == field.shape, key
        if field.is_floating_point():
            torch.testing.assert_close(fields(found)[key], field, rtol=1e-14, atol=0, msg=str(key))


def assert_same_bundles(found, expected):
    assert set(found.terms) == set(expected.terms)
    for name in expected.terms:
        assert torch.equal(found.term(name).indices, expected.term(name).indices)
        torch.testing.assert_close(found.table(name).values, expected.table(name).values, rtol=1e-14, atol=1e-15)


def only(bundle, *names):
    return replace(
        bundle, terms={name: bundle.term(name) for name in names}, tables={name: bundle.table(name) for name in names}
    )


@pytest.mark.parametrize("names", [[name] for name in NAMES] + [list(NAMES)], ids=lambda names: "+".join(names))
def test_there_and_back(names):
    graph = double(dgl.batch([load_graph(name) for name in names]) if len(names) > 1 else load_graph(names[0]))
    bundle = fb.from_espaloma(graph)
    blank = without_parameters(graph)
    written = fb.to_espaloma(bundle, blank)
    assert_same_fields(written, graph)
    assert written.batch_size == graph.batch_size
    assert_same_bundles(fb.from_espaloma(written), bundle)
    assert not set(PARAMETERS) & set(blank.nodes["n2"].data)


def test_a_single_periodicity_more_than_six_or_phases_in_between():
    """What a signed k cannot say is said by phases and periodicity."""
    graph = double(load_graph("caffeine"))
    generator = torch.Generator().manual_seed(4)
    for node_type in ("n4", "n4_improper"):
        nodes = graph.num_nodes(node_type)
        half = nodes // 2 if node_type == "n4" else nodes
        made = {
            "k": torch.rand(half, 3, generator=generator, dtype=torch.float64) + 0.1,
            "phases": 6 * torch.rand(half, 3, generator=generator, dtype=torch.float64) - 3,
            "periodicity": torch.randint(1, 9, (half, 3), generator=generator).double(),
        }
        for name, field in made.items():
            graph.nodes[node_type].data[name] = torch.cat([field] * (nodes // half))
    bundle = fb.from_espaloma(graph, terms=["n4", "n4_improper"], charges=None)
    assert_same_bundles(
        fb.from_espaloma(fb.to_espaloma(bundle, without_parameters(graph)), terms=["n4", "n4_improper"], charges=None),
        bundle,
    )
    assert_same_fields(fb.to_espaloma(bundle, graph), graph)


def test_phases_of_a_graph_are_written_again():
    """A graph with phases keeps them: espaloma would read those that are there."""
    graph = double(load_graph("butane"))
    k = torch.full((graph.num_nodes("n4"), 2), 0.01, dtype=torch.float64)
    graph.nodes["n4"].data.update(
        k=k,
        phases=torch.tensor([[0.0, math.pi]], dtype=torch.float64).expand_as(k),
        periodicity=torch.tensor([[1.0, 2]]).expand_as(k),
    )
    bundle = fb.from_espaloma(graph, terms=["n4"], charges=None)
    graph.nodes["n4"].data["k"] = 2 * k
    written = fb.to_espaloma(bundle, graph)
    torch.testing.assert_close(written.nodes["n4"].data["k"], k, rtol=1e-15, atol=0)
    assert set(written.nodes["n4"].data["phases"][:, 1].tolist()) == {math.pi}
    plain = fb.to_espaloma(bundle, without_parameters(graph)).nodes["n4"].data
    assert "phases" not in plain
    assert plain["k"][0].tolist() == pytest.approx([0.01, -0.01, 0, 0, 0, 0], rel=1e-15)


@pytest.mark.parametrize("name", ["caffeine", "glycine_zwitterion"])
def test_urey_bradley_terms(name):
    graph = double(load_graph(name))
    with np.load(FOLDER / f"{name}.forms.npz") as stored:
        field = torch.from_numpy(stored["n3/coefficients_urey_bradley"])
    graph.nodes["n3"].data["coefficients_urey_bradley"] = field
    bundle = fb.from_espaloma(graph)
    written = fb.to_espaloma(bundle, without_parameters(graph))
    torch.testing.assert_close(written.nodes["n3"].data["coefficients_urey_bradley"], field, rtol=1e-14, atol=0)
    assert_same_bundles(fb.from_espaloma(written), bundle)


def test_two_angles_across_a_ring_of_four():
    graph = fb.espaloma_graph(toolkit().Molecule.from_smiles("C1CCC1"), dtype="float64")
    angles = graph.num_nodes("n3") // 2
    generator = torch.Generator().manual_seed(6)
    field = torch.randn(angles, 2, generator=generator, dtype=torch.float64).repeat(2, 1)
    ones = torch.ones(2 * angles, 1, dtype=torch.float64)
    graph.nodes["n3"].data.update(k=ones, eq=ones, coefficients_urey_bradley=field)
    bundle = fb.from_espaloma(graph, terms=["n3"], charges=None)
    written = fb.to_espaloma(bundle, without_parameters(graph))
    torch.testing.assert_close(written.nodes["n3"].data["coefficients_urey_bradley"], field, rtol=1e-14, atol=0)


def test_values_keep_their_gradient():
    """A loss of the fields reaches the tables: d(k in hartree/bohr²)/d(k in kJ/mol/nm²), on both nodes of a bond."""
    graph = load_graph("ethanol")
    bundle = fb.from_espaloma(double(graph))
    leaves = {name: bundle.table(name).values.clone().requires_grad_() for name in bundle.tables}
    for name, values in leaves.items():
        bundle = bundle.replace_table(name, values)
    written = fb.to_espaloma(bundle, without_parameters(graph))
    sum(written.nodes[node_type].data["k"].sum() for node_type in ("n2", "n4")).backward()
    unit = KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2
    torch.testing.assert_close(leaves["bonds"].grad[:, 0], torch.full((8,), 2 / unit, dtype=torch.float64))
    torsions = leaves["proper_torsions"]
    sign = torch.where(torsions[:, 1] > 1, -2.0, 2.0).double() / KJ_PER_MOL_PER_HARTREE
    torch.testing.assert_close(torsions.grad[:, 0], sign)
    assert leaves["bonds"].grad[:, 1].abs().max() == 0


def test_graphs_of_other_kinds_and_types():
    graph = double(load_graph("ethanol"))
    bundle = fb.from_espaloma(graph).to("numpy")
    plain = fb.read_graph(without_parameters(graph)).to("numpy")
    written = fb.to_espaloma(bundle, plain, dtype="float32")
    assert isinstance(written, fb.Graph)
    assert written.node_field("n2", "k").dtype == np.float32
    into_torch = fb.to_espaloma(bundle, without_parameters(graph))
    torch.testing.assert_close(into_torch.nodes["n2"].data["k"], graph.nodes["n2"].data["k"], rtol=1e-14, atol=0)


def test_mixture_coefficients_make_way():
    """espaloma would read the coefficients that the graph had, instead of k and eq."""
    graph = double(load_graph("ethanol"))
    bundle = fb.from_espaloma(graph, terms=["n2"], charges=None)
    graph.nodes["n2"].data["coefficients"] = torch.ones(16, 2, dtype=torch.float64)
    assert "coefficients" not in fb.to_espaloma(bundle, graph).nodes["n2"].data


def toolkit():
    return pytest.importorskip("openff.toolkit", reason="the OpenFF packages are not installed")


class TestReferenceValues:
    """SMIRNOFF parameters as the fields that espaloma is trained against."""

    def test_espalomas_own_assignment(self):
        """Against espaloma's LegacyForceField; its k of bonds and angles is twice the force field's."""
        openff = pytest.importorskip("ffbridge.producers.openff")
        pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
        bundle = fb.from_interchange(openff.parametrize([molecule("caffeine")]))
        graph = without_parameters(load_graph("caffeine"))
        written = fb.to_espaloma(bundle, graph, terms=["bonds", "angles", "proper_torsions"], suffix="_ref")
        with np.load(FOLDER / "caffeine.legacy.npz") as legacy:
            for node_type in ("n2", "n3"):
                data = written.nodes[node_type].data
                assert data["k_ref"].numpy() == pytest.approx(legacy[f"{node_type}/k"] / 2, rel=1e-13)
                assert data["eq_ref"].numpy() == pytest.approx(legacy[f"{node_type}/eq"], rel=1e-13)
            signed = np.zeros((graph.num_nodes("n4"), 6))
            rows, places = np.nonzero(legacy["n4/k"])
            columns = legacy["n4/periodicity"][rows, places].astype(int) - 1
            signed[rows, columns] = legacy["n4/k"][rows, places] * np.cos(legacy["n4/phases"][rows, places])
            assert written.nodes["n4"].data["k_ref"].numpy() == pytest.approx(signed, rel=1e-13, abs=1e-18)
            # The same fields read back, with the columns that espaloma leaves unused.
            for name in ("k", "phases", "periodicity"):
                graph.nodes["n4"].data[f"{name}_legacy"] = torch.from_numpy(legacy[f"n4/{name}"])
        x = figures("caffeine", "bonded")[0]
        read = fb.from_espaloma(graph, terms=["n4"], charges=None, suffix="_legacy")
        expected = fb.potential(only(bundle, "proper_torsions"), "numpy")(x)
        assert fb.potential(read.to("numpy"), "numpy")(x) == pytest.approx(expected, rel=1e-12)

    def test_a_batch_of_drugs_keeps_its_energy(self):
        """But for the constants 2|k| of torsions with a negative k, which are left out on request."""
        toolkit()
        drugs = [drug(name) for name in DRUGS]
        bundle, x = fb.concatenate([each.bundle for each in drugs]), np.concatenate([each.x for each in drugs], axis=1)
        graph = fb.espaloma_graph([next(each.interchange.topology.molecules) for each in drugs], impropers="smirnoff")
        chosen = [name for name in bundle.terms if name != "vdw"]
        with pytest.raises(UnsupportedError, match=r"a torsion with the negative k -\d.*pass drop_constants=True"):
            fb.to_espaloma(bundle, graph, terms=chosen)
        written = fb.to_espaloma(bundle, graph, terms=chosen, drop_constants=True)
        read = fb.from_espaloma(written, dtype="float64").to("numpy")
        found = fb.potential(read, "numpy").value_and_grad(x)
        expected = fb.potential(only(bundle, *chosen), "numpy").value_and_grad(x)
        # The Coulomb constants are the same; 5/6 is written with ten digits by the force field.
        scale = np.linalg.norm(expected.forces)
        assert np.linalg.norm(found.forces - expected.forces) < 1e-10 * scale
        constants = np.zeros(len(drugs))
        for name in ("proper_torsions", "improper_torsions"):
            k, first = bundle.parameters(name)[:, 0], bundle.term(name).indices[:, 0]
            systems = np.searchsorted(bundle.system_offsets, first, side="right") - 1
            constants += np.bincount(systems, -2 * np.minimum(k, 0), minlength=len(drugs))
        assert constants.max() > 1
        assert found.energy - expected.energy == pytest.approx(np.tile(constants, (5, 1)), abs=1e-6)


def test_torsions_of_one_term_are_told_apart():
    """As OpenMM's force has them: proper and improper torsions in one term."""
    graph = double(load_graph("caffeine"))
    bundle = fb.from_espaloma(graph, terms=["n4", "n4_improper"], charges=None)
    parts = [bundle.term(name) for name in bundle.terms]
    term = replace(parts[0], indices=torch.cat([part.indices for part in parts]), table="all")
    values = torch.cat([bundle.table(name).values for name in bundle.tables])
    merged = replace(
        bundle, terms={"all": term}, tables={"all": replace(bundle.table("proper_torsions"), values=values)}
    )
    written = fb.to_espaloma(merged, without_parameters(graph))
    for node_type in ("n4", "n4_improper"):
        expected = graph.nodes[node_type].data["k"]
        torch.testing.assert_close(written.nodes[node_type].data["k"], expected, rtol=1e-14, atol=0)


def test_impropers_that_are_paths_of_bonds_as_well():
    """In cyclopropene, some orderings around a carbon of the double bond follow bonds; they stay impropers."""
    graph = fb.espaloma_graph(toolkit().Molecule.from_smiles("C1C=C1"), dtype="float64")
    for node_type in ("n4", "n4_improper"):
        nodes = graph.num_nodes(node_type)
        k = torch.linspace(0.1, 0.2, nodes if node_type == "n4_improper" else nodes // 2, dtype=torch.float64)[:, None]
        graph.nodes[node_type].data["k"] = torch.cat([k] * (nodes // len(k)))
    bundle = fb.from_espaloma(graph, terms=["n4", "n4_improper"], charges=None)
    assert_same_fields(fb.to_espaloma(bundle, graph), graph)


def test_impropers_in_another_order_about_the_same_pair():
    """A dihedral keeps its value in reverse, and changes its sign where its middle atoms change places."""
    toolkit()
    graph = fb.espaloma_graph(molecule("caffeine"), impropers="smirnoff")
    graph.nodes["n4_improper"].data["k"] = torch.zeros(graph.num_nodes("n4_improper"), 6, dtype=torch.float64)
    bundle = fb.from_espaloma(graph, terms=["n4_improper"], charges=None)
    atoms = bundle.term("improper_torsions").indices[0:1]
    x = figures("caffeine", "bonded")[0]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [3, 1, 2, 0]):
        term = replace(bundle.term("improper_torsions"), indices=atoms[:, order])
        table = replace(bundle.table("improper_torsions"), values=torch.tensor([[3.0, 0.7, 2.0]], dtype=torch.float64))
        one = replace(bundle, terms={"improper_torsions": term}, tables={"improper_torsions": table})
        read = fb.from_espaloma(fb.to_espaloma(one, without_parameters(graph)), terms=["n4_improper"], charges=None)
        expected = fb.potential(one.to("numpy"), "numpy")(x)
        assert fb.potential(read.to("numpy"), "numpy")(x) == pytest.approx(expected, rel=1e-12), order


class TestRefusals:
    @pytest.fixture
    def graph(self):
        return double(load_graph("ethanol"))

    @pytest.fixture
    def bundle(self, graph):
        return fb.from_espaloma(graph)

    def changed(self, bundle, name, *, settings=None, form=None, values=None):
        term = bundle.term(name)
        term = replace(term, settings={**term.settings, **(settings or {})}, form=form or term.form)
        bundle = replace(bundle, terms={**bundle.terms, name: term})
        return bundle if values is None else bundle.replace_table(name, values)

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            (
                "bonds",
                {"form": "morse"},
                r"terms/bonds: espaloma's energy has no 'morse', only harmonic_bond, .*terms=\[",
            ),
            ("electrostatics", {"settings": {"method": "pme"}}, "without a cutoff .* the method is 'pme'"),
            (
                "electrostatics",
                {"settings": {"coulomb_constant": 138.9}},
                r"terms/electrostatics: the Coulomb constant 138\.9 .* is not espaloma's, 138\.935",
            ),
        ],
    )
    def test_what_espaloma_does_not_have(self, bundle, graph, name, change, message):
        with pytest.raises(UnsupportedError, match=message):
            fb.to_espaloma(self.changed(bundle, name, **change), graph)

    @pytest.mark.parametrize(
        ("part", "value"),
        [("box", torch.eye(3)[None]), ("constraints", fb.Constraints(torch.zeros(0, 2), torch.zeros(0)))],
    )
    def test_parts(self, bundle, graph, part, value):
        with pytest.raises(UnsupportedError, match=rf"^{part}: .*dataclasses\.replace\(bundle, {part}=None\)"):
            fb.to_espaloma(replace(bundle, **{part: value}), graph)

    def test_terms(self, bundle, graph):
        with pytest.raises(BundleError, match="the bundle has no term 'vdw'; it has: angles, bonds, elec"):
            fb.to_espaloma(bundle, graph, terms=["bonds", "vdw"])
        with pytest.raises(BundleError, match="terms is empty"):
            fb.to_espaloma(bundle, graph, terms=[])

    def test_negative_k(self, bundle, graph):
        values = bundle.table("proper_torsions").values.clone()
        values[2, 0] = -1.5
        with pytest.raises(
            UnsupportedError,
            match=r"terms/proper_torsions/indices\[2\], atoms \[.*\]: a torsion with the negative k -1\.5",
        ):
            fb.to_espaloma(bundle.replace_table("proper_torsions", values), graph)

    def test_other_molecules(self, bundle, graph):
        with pytest.raises(
            BundleError, match=r"the bundle has 1 systems of \[9\] atoms, and the graph 1 molecules of \[14"
        ):
            fb.to_espaloma(bundle, load_graph("butane"))
        numbers = bundle.atomic_numbers.clone()
        numbers[2] = 7
        with pytest.raises(BundleError, match=r"atomic_numbers\[2\] is 7, and 8 by the graph's field h0"):
            fb.to_espaloma(replace(bundle, atomic_numbers=numbers), graph)

    def test_a_bond_that_the_graph_lacks(self, bundle, graph):
        indices = bundle.term("bonds").indices.clone()
        indices[3] = torch.tensor([0, 2])
        terms = {**bundle.terms, "bonds": replace(bundle.term("bonds"), indices=indices)}
        with pytest.raises(
            GraphError, match=r"terms/bonds/indices\[3\], atoms \[0, 2\]: the graph has no node of type n2"
        ):
            fb.to_espaloma(replace(bundle, terms=terms), graph)

    def test_a_bond_that_stands_twice(self, bundle, graph):
        indices = bundle.term("bonds").indices.clone()
        indices[3] = indices[2].flip(0)
        terms = {**bundle.terms, "bonds": replace(bundle.term("bonds"), indices=indices)}
        with pytest.raises(
            GraphError, match=r"terms/bonds: [02] interactions of the atoms \[\d, \d\]; expected one for each"
        ):
            fb.to_espaloma(replace(bundle, terms=terms), graph)

    def test_a_torsion_that_the_graph_lacks(self, bundle, graph):
        indices = bundle.term("proper_torsions").indices.clone()
        indices[0] = torch.tensor([0, 1, 2, 4])
        terms = {**bundle.terms, "proper_torsions": replace(bundle.term("proper_torsions"), indices=indices)}
        with pytest.raises(
            GraphError, match=r"atoms \[0, 1, 2, 4\]: the graph has no node of type n4_improper .*smirnoff"
        ):
            fb.to_espaloma(replace(bundle, terms=terms), graph)

    def test_charges_that_are_missing(self, bundle, graph):
        term = bundle.term("electrostatics")
        fewer = replace(bundle.table("electrostatics"), values=bundle.table("electrostatics").values[:8])
        terms = {**bundle.terms, "electrostatics": replace(term, indices=term.indices[:8])}
        with pytest.raises(GraphError, match="terms/electrostatics: atom 8 has 0 charges, expected one"):
            fb.to_espaloma(replace(bundle, terms=terms, tables={**bundle.tables, "electrostatics": fewer}), graph)

    @pytest.mark.parametrize("without", [True, False])
    def test_exceptions_that_differ(self, bundle, graph, without):
        kept = torch.where(bundle.exceptions.kept_charge > 0, 0.5, 0.0).double()
        changed = None if without else replace(bundle.exceptions, kept_charge=kept)
        message = r"exceptions: atoms \[\d, \d\] keep " + (
            "1 of .* and 0 in" if without else r"0\.5 of .* and 0\.83333"
        )
        with pytest.raises(UnsupportedError, match=message):
            fb.to_espaloma(replace(bundle, exceptions=changed), graph)

    def test_urey_bradley_terms_with_another_length(self, graph):
        graph.nodes["n3"].data["coefficients_urey_bradley"] = torch.ones(graph.num_nodes("n3"), 2).double()
        bundle = fb.from_espaloma(graph)
        values = bundle.table("urey_bradley").values.clone()
        values[4, 1] = 0.25
        with pytest.raises(
            UnsupportedError, match=r"terms/urey_bradley/indices\[4\], .*the length 0\.25 nm; espaloma has"
        ):
            fb.to_espaloma(bundle.replace_table("urey_bradley", values), graph)
        indices = bundle.term("urey_bradley").indices.clone()
        indices[4] = indices[2]
        terms = {**bundle.terms, "urey_bradley": replace(bundle.term("urey_bradley"), indices=indices)}
        with pytest.raises(
            GraphError, match=r"terms/urey_bradley/indices\[4\], .*has one for another term of the same pair"
        ):
            fb.to_espaloma(replace(bundle, terms=terms), graph)
