"""NAGL's resonance forms with shared paths: the same forms and the same charges, to the last bit."""

from __future__ import annotations

import pytest

from ffbridge.producers.openff.nagl import cached_nagl
from ffbridge.producers.openff.resonance import shared_resonance_paths

toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")
resonance = pytest.importorskip("openff.nagl.utils.resonance", reason="the enumeration is NAGL's")

# a guanidinium, a zwitterion, a nitro group on a ring, a phenolate that a carbonyl conjugates with, two carboxylates
SMILES = (
    "NC(=[NH2+])NCC",
    "[NH3+]CC(=O)[O-]",
    "O=[N+]([O-])c1ccccc1",
    "[O-]c1ccc(C=O)cc1",
    "[O-]C(=O)/C=C/C(=O)[O-]",
)
MODEL = "openff-gnn-am1bcc-1.0.0.pt"


def molecule(smiles):
    return toolkit.Molecule.from_smiles(smiles)


def forms(smiles):
    """Formal charges and bond orders of every resonance form, rearrangements of bonds included."""
    found = resonance.enumerate_resonance_forms(
        molecule(smiles), lowest_energy_only=False, include_all_transfer_pathways=True, as_dicts=True
    )
    return sorted(map(described, found))


def described(form):
    """A form as text; the two atoms of a bond, and the bonds, are in no order."""
    bonds = sorted((sorted(pair), bond["bond_order"]) for pair, bond in form["bonds"].items())
    atoms = [(atom["formal_charge"].m, atom.get("bond_orders")) for _, atom in sorted(form["atoms"].items())]
    return repr([atoms, bonds])


@pytest.mark.parametrize("smiles", SMILES)
def test_forms_are_the_same(smiles):
    expected = forms(smiles)
    with shared_resonance_paths():
        assert forms(smiles) == expected
    assert len(expected) > 1


@pytest.mark.parametrize("smiles", SMILES)
def test_charges_are_the_same(smiles):
    shared, own = molecule(smiles), molecule(smiles)
    with cached_nagl():
        own.assign_partial_charges(MODEL)
        with shared_resonance_paths():
            shared.assign_partial_charges(MODEL)
    assert (shared.partial_charges.m == own.partial_charges.m).all()


def test_paths_are_searched_once(monkeypatch):
    searched = []
    search = resonance.nx.all_simple_paths
    monkeypatch.setattr(
        resonance.nx,
        "all_simple_paths",
        lambda graph, *ends, **rest: searched.append(ends) or search(graph, *ends, **rest),
    )
    forms(SMILES[3])
    before = len(searched)
    searched.clear()
    with shared_resonance_paths():
        forms(SMILES[3])
    assert len(searched) == len({frozenset(ends) for ends in searched}) < before


def test_the_class_comes_back_after_an_error():
    original = resonance.FragmentEnumerator
    with pytest.raises(ValueError, match="met"), shared_resonance_paths():
        raise ValueError("met")
    assert resonance.FragmentEnumerator is original
