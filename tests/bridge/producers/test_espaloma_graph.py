"""The graph of a molecule against the graph that espaloma itself builds."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.producers.espaloma import espaloma_arrays, espaloma_graph
from tests.bridge.producers.espaloma_data import NAMES, load_graph, molecule

dgl = pytest.importorskip("dgl", reason="the graphs to compare with are DGL's")
torch = pytest.importorskip("torch", reason="DGL runs on it")
toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")

PARAMETERS = {"k", "eq", "q"}
PATHS = ("n2", "n3", "n4", "n4_improper", "nonbonded", "onefour")


def make(smiles):
    return toolkit.Molecule.from_smiles(smiles, allow_undefined_stereo=True)


def counts(graph):
    return {node_type: graph.num_nodes(node_type) for node_type in PATHS}


def assert_equal(found, expected, *, without=frozenset()):
    assert found.ntypes == expected.ntypes
    assert found.canonical_etypes == expected.canonical_etypes
    assert found.batch_size == expected.batch_size
    for node_type in expected.ntypes:
        assert found.num_nodes(node_type) == expected.num_nodes(node_type)
        assert torch.equal(found.batch_num_nodes(node_type), expected.batch_num_nodes(node_type))
        fields = expected.nodes[node_type].data
        assert set(found.nodes[node_type].data) == set(fields) - without
        for name in set(fields) - without:
            assert found.nodes[node_type].data[name].shape == fields[name].shape
            assert (found.nodes[node_type].data[name] == fields[name]).all(), (node_type, name)
    for edge_type in expected.canonical_etypes:
        assert torch.equal(found.batch_num_edges(edge_type), expected.batch_num_edges(edge_type))
        for mine, theirs in zip(found.edges(etype=edge_type), expected.edges(etype=edge_type), strict=True):
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs), edge_type


@pytest.mark.parametrize("name", NAMES)
def test_equals_espalomas_own(name):
    expected = load_graph(name)
    found = espaloma_graph(molecule(name))
    assert_equal(found, expected, without=PARAMETERS)
    assert found.nodes["n1"].data["h0"].dtype == expected.nodes["n1"].data["h0"].dtype == torch.float32
    # espaloma leaves an empty field floating point.
    assert {found.nodes[node_type].data["idxs"].dtype for node_type in ("n1", *PATHS)} == {torch.int64}


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("[Na+]", {"n2": 0, "n3": 0, "n4": 0, "n4_improper": 0, "nonbonded": 0, "onefour": 0}),
        ("O", {"n2": 4, "n3": 2, "n4": 0, "n4_improper": 0, "nonbonded": 0, "onefour": 0}),
        ("C", {"n2": 8, "n3": 12, "n4": 0, "n4_improper": 0, "nonbonded": 0, "onefour": 0}),
        ("FB(F)F", {"n2": 6, "n3": 6, "n4": 0, "n4_improper": 6, "nonbonded": 0, "onefour": 0}),
        # No torsion and no 1-4 pair lies within a three-membered ring.
        ("C1CC1", {"n2": 18, "n3": 36, "n4": 48, "n4_improper": 0, "nonbonded": 0, "onefour": 24}),
    ],
)
def test_counts_of_small_molecules(smiles, expected):
    assert counts(espaloma_graph(make(smiles))) == expected


def test_the_diagonal_of_a_four_membered_ring_is_no_one_four_pair():
    graph = espaloma_graph(make("C1CCC1"))
    pairs = set(map(tuple, graph.nodes["onefour"].data["idxs"].tolist()))
    assert not pairs & {(0, 2), (2, 0), (1, 3), (3, 1)}
    torsions = set(map(tuple, graph.nodes["n4"].data["idxs"].tolist()))
    assert {(0, 1, 2, 3), (3, 2, 1, 0)} <= torsions


def test_smirnoff_impropers_list_the_center_first():
    found = espaloma_arrays(make("CC(=O)O"), impropers="smirnoff").nodes["n4_improper"].fields["idxs"]
    assert len(found) == 3
    assert set(found[:, 0].tolist()) == {1}
    around = [tuple(row[1:]) for row in found.tolist()]
    assert around == [around[0], (*around[0][1:], around[0][0]), (around[0][2], *around[0][:2])]


def test_total_charge():
    for smiles, charge in (("CC(=O)[O-]", -1.0), ("[NH3+]CC[NH3+]", 2.0), ("[NH3+]CC(=O)[O-]", 0.0)):
        assert espaloma_graph(make(smiles)).nodes["g"].data["sum_q"].tolist() == [[charge]]


def test_molecules_at_once_equal_a_batch_of_graphs():
    molecules = [molecule("caffeine"), make("[Cl-]"), molecule("ethanol"), make("C"), molecule("glycine_zwitterion")]
    assert_equal(espaloma_graph(molecules), dgl.batch([espaloma_graph(one) for one in molecules]))


@pytest.mark.filterwarnings("ignore:RDKit Molecule passed to from_rdkit consists of more than one molecule")
def test_a_molecule_of_two_parts():
    graph = espaloma_graph(make("[Na+].CC(=O)[O-]"))
    assert graph.batch_size == 1
    pairs = graph.nodes["nonbonded"].data["idxs"].tolist()
    assert [0, 1] in pairs
    assert [1, 0] in pairs
    assert [0, 0] not in pairs


@pytest.mark.parametrize("id_dtype", ["int32", "int64"])
def test_integer_type_of_the_structure(id_dtype):
    graph = espaloma_graph(make("CC"), id_dtype=id_dtype, dtype="float64")
    assert graph.idtype == getattr(torch, id_dtype)
    assert graph.nodes["n2"].data["idxs"].dtype == torch.int64
    assert graph.nodes["n1"].data["h0"].dtype == torch.float64


def test_arrays_need_no_graph_library():
    graph = espaloma_arrays(make("CCO"))
    assert isinstance(graph.nodes["n4"].fields["idxs"], np.ndarray)


def test_refusals():
    with pytest.raises(UnsupportedError, match=r"got builtins\.str, expected an OpenFF Molecule"):
        espaloma_graph("CCO")
    with pytest.raises(UnsupportedError, match="expected one of: espaloma, smirnoff"):
        espaloma_graph(make("C"), impropers="amber")
    with pytest.raises(GraphError, match="at least one"):
        espaloma_graph([])


def test_fields_share_no_memory_with_the_structure():
    graph = espaloma_arrays(make("CCO"))
    structure = [ids for part in graph.edges.values() for ids in (part.src, part.dst)]
    for part in graph.nodes.values():
        for field in part.fields.values():
            assert not any(np.shares_memory(field, ids) for ids in structure)


@pytest.mark.parametrize("smiles", ["[He]", "[H][H]"])
@pytest.mark.parametrize("impropers", ["espaloma", "smirnoff"])
def test_molecules_of_one_or_two_atoms(smiles, impropers):
    one = espaloma_graph(make(smiles), impropers=impropers)
    assert [one.num_nodes(node_type) for node_type in PATHS] == [2 * (one.num_nodes("n1") - 1), 0, 0, 0, 0, 0]
    assert_equal(
        espaloma_graph([make(smiles), make("C"), make(smiles)]), dgl.batch([one, espaloma_graph(make("C")), one])
    )


def test_the_total_charge_is_that_of_all_atoms_of_the_batch():
    graph = espaloma_graph([make("CC(=O)[O-]"), make("[NH3+]CC[NH3+]")])
    assert graph.nodes["g"].data["sum_q"].tolist() == [[-1.0], [2.0]]
