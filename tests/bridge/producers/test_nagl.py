"""NAGL's charges against openff-nagl's own, gradients that reach its weights, and charges put into other bundles."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, MissingDependencyError, UnsupportedError
from tests.bridge.drugs import drug

torch = pytest.importorskip("torch", reason="NAGL runs on it")
pytest.importorskip("dgl", reason="NAGL's gradients need it")
nagl = pytest.importorskip("openff.nagl", reason="openff-nagl is not installed")
toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")

# The first two are in the lookup table of the published model.
SMILES = ("CCO", "O", "CC(=O)Nc1ccc(O)cc1", "[NH3+]CC(=O)[O-]", "NC(N)=[NH2+]", "CS(=O)(=O)c1ccc(Cl)nc1")


@pytest.fixture(scope="module")
def published():
    from ffbridge.producers.openff.nagl import nagl_model

    return nagl_model("openff-gnn-am1bcc-1.0.0.pt")


def copied(published):
    """A model with the same weights, which does not change with the first."""
    tables = list(published.lookup_tables.values())
    made = nagl.GNNModel(published.config, chemical_domain=published.chemical_domain, lookup_tables=tables).eval()
    made.load_state_dict(published.state_dict())
    return made


@pytest.fixture(scope="module")
def molecules():
    return [toolkit.Molecule.from_smiles(smiles) for smiles in SMILES]


def charges_of(bundle):
    return bundle.parameters("electrostatics").detach().numpy()[:, 0]


@pytest.mark.parametrize("lookup", [True, False])
def test_charges_are_nagls_own(molecules, published, lookup):
    bundle = fb.from_nagl(molecules, lookup_table=lookup)
    expected = [published.compute_property(molecule, check_lookup_table=lookup) for molecule in molecules]
    assert np.abs(charges_of(bundle) - np.concatenate(expected)).max() < 2e-7
    offsets = bundle.system_offsets.tolist()
    for molecule, start, end in zip(molecules, offsets[:-1], offsets[1:], strict=True):
        total = float(bundle.table("electrostatics").values[start:end].sum())
        assert total == pytest.approx(molecule.total_charge.m, abs=1e-14)


def test_the_lookup_table_may_be_left_out(molecules):
    """Ethanol and water are in it, the others are not."""
    differences = charges_of(fb.from_nagl(molecules)) - charges_of(fb.from_nagl(molecules, lookup_table=False))
    known = sum(molecule.n_atoms for molecule in molecules[:2])
    assert np.abs(differences[:known]).max() > 0.05
    assert np.abs(differences[known:]).max() < 1e-7


def test_what_a_bundle_says(molecules, published):
    bundle = fb.from_nagl(molecules)
    assert bundle.n_systems == len(molecules)
    assert bundle.models["openff-gnn-am1bcc"].version == "1.0.0"
    assert bundle.models["openff-gnn-am1bcc"].sha256 == fb.fingerprint(published)
    assert bundle.table("electrostatics").model == "openff-gnn-am1bcc"
    assert not bundle.table("electrostatics").values.requires_grad
    assert {str(array.dtype) for array in bundle.arrays().values()} == {"torch.float64", "torch.int32"}
    fb.validate(bundle)
    assert fb.from_nagl(molecules[0], dtype="float32").table("electrostatics").values.dtype == torch.float32


def test_energies_are_those_of_the_same_charges_in_openff():
    """The charges that OpenFF 2.3.0 takes are these, so the electrostatics is that of its Interchange."""
    chosen = drug("DrugBank_2148")
    molecule = next(chosen.interchange.topology.molecules)
    expected = fb.potential(chosen.bundle).by_term(chosen.x)["electrostatics"]
    found = fb.potential(fb.from_nagl(molecule).snapshot())(chosen.x)
    assert found == pytest.approx(expected, abs=2e-4)
    assert np.abs(expected).max() > 100


def test_gradients_reach_the_weights(molecules, published, monkeypatch):
    """In double precision, into which NAGL's features are cast here, against central differences."""
    from openff.nagl.molecule._base import NAGLMoleculeBase
    from openff.nagl.molecule._utils import FEATURE

    monkeypatch.setattr(NAGLMoleculeBase, "atom_features", property(lambda self: self.graph.ndata[FEATURE].double()))
    trained, molecules = copied(published).double(), molecules[1:4]
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(2, sum(each.n_atoms for each in molecules), 3)))
    charges = fb.nagl_charges(molecules, trained, lookup_table=False)
    potential = fb.potential(fb.from_nagl(molecules, trained, lookup_table=False), "torch")

    def loss():
        return potential(x, {"electrostatics": charges.values()}).pow(2).sum() * 1e-4

    loss().backward()
    for name, weight in list(trained.named_parameters())[::4]:
        flat, gradient = weight.data.view(-1), weight.grad.view(-1)
        place = int(gradient.abs().argmax())
        step = 1e-5 * max(1e-2, abs(float(flat[place])))
        ends = []
        for sign in (1, -1):
            flat[place] += sign * step
            with torch.no_grad():
                ends.append(float(loss()))
            flat[place] -= sign * step
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient[place]), rel=1e-4), name
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in trained.parameters())


def test_training_through_a_force_field_in_another_framework(published):
    """NAGL's weights, charges in OpenFF's bundle, energies and forces in JAX: as with the torch engine."""
    pytest.importorskip("jax", reason="the engine")
    chosen = drug("DrugBank_2148")
    molecule = next(chosen.interchange.topology.molecules)
    gradients = []
    for engine in ("torch", "jax"):
        trained = copied(published)
        charges = fb.nagl_charges(molecule, trained, lookup_table=False)
        bundle = charges.into(chosen.bundle.to("torch"))
        potential = fb.potential(bundle, engine, host="torch")
        energy = potential(torch.tensor(chosen.x), {"electrostatics": charges.values()}).sum()
        assert energy.item() == pytest.approx(float(fb.potential(chosen.bundle)(chosen.x).sum()), abs=1e-2)
        energy.backward()
        gradients.append([weight.grad for weight in trained.parameters()])
    assert max(float(gradient.abs().max()) for gradient in gradients[0]) > 1e-3
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


class TestInto:
    """Charges in place of those that a bundle has."""

    def test_equal_molecules_of_a_topology_share_rows(self, published):
        ethanol, ion = toolkit.Molecule.from_smiles("CCO"), toolkit.Molecule.from_smiles("CC(=O)[O-]")
        opposite = ethanol.remap({i: ethanol.n_atoms - 1 - i for i in range(ethanol.n_atoms)})
        topology = toolkit.Topology.from_molecules([ethanol, ion, opposite])
        bundle = fb.from_nagl(topology)
        assert bundle.n_systems == 1
        assert bundle.term("electrostatics").mapping.kind == "select"
        assert len(bundle.table("electrostatics")) == ethanol.n_atoms + ion.n_atoms
        expected = [published.compute_property(molecule) for molecule in (ethanol, ion, opposite)]
        assert np.abs(charges_of(bundle) - np.concatenate(expected)).max() < 2e-7

    @pytest.mark.filterwarnings("ignore:RDKit Molecule passed to from_rdkit consists of more than one molecule")
    def test_a_molecule_of_several_parts(self, published):
        molecule = toolkit.Molecule.from_smiles("CC(=O)[O-].C[NH3+].O")
        order = np.random.default_rng(4).permutation(molecule.n_atoms)
        mixed = molecule.remap({i: int(j) for i, j in enumerate(order)})
        straight, found = (charges_of(fb.from_nagl(each, lookup_table=False)) for each in (molecule, mixed))
        assert found[order] == pytest.approx(straight, abs=2e-7)
        parts = [toolkit.Molecule.from_smiles(smiles) for smiles in ("CC(=O)[O-]", "C[NH3+]", "O")]
        expected = np.concatenate([published.compute_property(part, check_lookup_table=False) for part in parts])
        assert np.sort(straight) == pytest.approx(np.sort(expected), abs=2e-7)

    def test_everything_else_stays(self):
        chosen = drug("DrugBank_2148")
        molecule = next(chosen.interchange.topology.molecules)
        bundle = fb.nagl_charges(molecule).into(chosen.bundle)
        fb.validate(bundle)
        assert set(bundle.terms) == set(chosen.bundle.terms)
        assert bundle.term("electrostatics").settings == chosen.bundle.term("electrostatics").settings
        assert bundle.table("bonds") is chosen.bundle.table("bonds")
        difference = charges_of(bundle) - chosen.bundle.parameters("electrostatics")[:, 0]
        assert np.abs(difference).max() < 2e-7
        assert bundle.table("electrostatics").keys is None

    def test_other_atoms(self):
        chosen = drug("DrugBank_2148")
        charges = fb.nagl_charges(toolkit.Molecule.from_smiles("CCO"))
        with pytest.raises(BundleError, match=r"the bundle has 13 atoms, and the molecules 9; expected the same atoms"):
            charges.into(chosen.bundle)
        other = fb.from_nagl(toolkit.Molecule.from_smiles("CCN").remap({i: 9 - i for i in range(10)}))
        with pytest.raises(BundleError, match=r"atomic_numbers\[0\] is 1 in the bundle, and 6 in the molecules"):
            fb.nagl_charges(toolkit.Molecule.from_smiles("CCN")).into(other)

    def test_no_electrostatics(self):
        from dataclasses import replace

        bundle = fb.from_nagl(toolkit.Molecule.from_smiles("CCO"))
        with pytest.raises(BundleError, match="expected a bundle with one coulomb term, got 0"):
            fb.nagl_charges(toolkit.Molecule.from_smiles("CCO")).into(replace(bundle, terms={}))


class TestRefusals:
    def test_the_lookup_table_has_no_gradient(self, molecules, published):
        model = copied(published)
        with pytest.raises(
            UnsupportedError, match="12 of the charges are of the model's lookup table, .*lookup_table=Fa"
        ):
            fb.nagl_charges(molecules[:2] + molecules[5:], model)
        fb.from_nagl(molecules[:2], model.requires_grad_(False))

    def test_outside_the_domain(self):
        silane = toolkit.Molecule.from_smiles("C[SiH3]")
        with pytest.raises(
            UnsupportedError, match=r"outside the model's chemical domain: .*element 14\. Pass check_domain"
        ):
            fb.from_nagl(silane)

    def test_a_box(self):
        topology = toolkit.Topology.from_molecules([toolkit.Molecule.from_smiles("CCO")])
        topology.box_vectors = toolkit.Quantity(np.eye(3) * 3, "nanometer")
        with pytest.raises(
            UnsupportedError, match=r"from_nagl: the topology has a box.*nagl_charges\(…\)\.into\(bundle\)"
        ):
            fb.from_nagl(topology)

    def test_other_objects(self, molecules):
        with pytest.raises(UnsupportedError, match=r"nagl_charges: got builtins\.str, expected an OpenFF Molecule"):
            fb.from_nagl(["CCO"])
        with pytest.raises(
            UnsupportedError, match=r"got a model of type torch\.nn\..*Linear, expected an openff\.nagl"
        ):
            fb.from_nagl(molecules[0], torch.nn.Linear(2, 2))
        with pytest.raises(UnsupportedError, match="the NAGL model 'openff-gnn-am1bcc-9.pt' cannot be read: "):
            fb.from_nagl(molecules[0], "openff-gnn-am1bcc-9.pt")
        with pytest.raises(UnsupportedError, match="readout='dipole', expected one of the model's: am1bcc_charges"):
            fb.from_nagl(molecules[0], readout="dipole")

    def test_missing_packages(self, molecules, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "openff.nagl", None)
            with pytest.raises(
                MissingDependencyError, match=r"NAGL cannot be imported .*pip install 'ffbridge\[openff,dgl"
            ):
                fb.from_nagl(molecules[0])
        from openff.nagl.molecule._dgl import DGLMolecule
        from openff.utilities.exceptions import MissingOptionalDependencyError

        def without_dgl(*args, **kwargs):
            raise MissingOptionalDependencyError("dgl")

        monkeypatch.setattr(DGLMolecule, "from_openff", without_dgl)
        with pytest.raises(MissingDependencyError, match=r"NAGL needs DGL for gradients and batches .*\[openff,dgl\]"):
            fb.from_nagl(molecules[2])
