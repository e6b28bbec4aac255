"""Bundles of Garnet's parameters against its own OpenMM Systems, and gradients that reach its weights."""

from __future__ import annotations

import copy
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.producers.garnet.impropers import entries, quartets

torch = pytest.importorskip("torch", reason="Garnet runs on it")
garnet = pytest.importorskip("garnetff.garnetff", reason="garnetff is not installed, or OpenMM or igraph is missing")
toolkit = pytest.importorskip("openff.toolkit", reason="molecules are OpenFF's")

from tests.bridge.producers.openmm_systems import check_forces  # noqa: E402

# Ten molecules of MiniDrugBank, among those of `drugs.py`; DrugBank_5779 has a linear angle.
NAMES = (
    "DrugBank_2148 DrugBank_6344 DrugBank_2141 DrugBank_2642 DrugBank_3787 DrugBank_5779 DrugBank_891 "
    "DrugBank_2033 DrugBank_1391 DrugBank_152"
).split()

FORCES = {
    "bonds": "HarmonicBondForce",
    "angles": "HarmonicAngleForce",
    "proper_torsions": "PeriodicTorsionForce",
    "improper_torsions": "PeriodicTorsionForce",
    "vdw": "CustomNonbondedForce",
    "electrostatics": "NonbondedForce",
}


@pytest.fixture(scope="module")
def model():
    """The pretrained network in double precision, so that the order of its operations makes no difference."""
    return copy.deepcopy(garnet.garnet).double()


@contextmanager
def written(monkeypatch, digits):
    """Garnet writes its files with so many decimals, or with all; it makes its tensors in double precision."""
    with monkeypatch.context() as patch:
        patch.setattr(
            garnet,
            "format_parameter",
            lambda value: repr(float(value) if digits is None else round(float(value), digits)),
        )
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def own_system(model, topology, monkeypatch, *, digits=None):
    with written(monkeypatch, digits):
        return model.topology_to_openmm_system(topology, removeCMMotion=False)[0]


def openmm_energies(system, x):
    """Energy by force [kJ/mol], and forces, on OpenMM's reference platform."""
    import openmm

    for group, force in enumerate(system.getForces()):
        force.setForceGroup(group)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(x)
    by_force = {
        force.getName(): context.getState(getEnergy=True, groups={group}).getPotentialEnergy()._value
        for group, force in enumerate(system.getForces())
    }
    return by_force, np.asarray(context.getState(getForces=True).getForces(asNumpy=True)._value)


def assert_same_energies(bundle, system, x):
    expected, forces = openmm_energies(system, x)
    potential = fb.potential(bundle.snapshot())
    found = dict.fromkeys(expected, 0.0)
    for name, energy in potential.by_term(x).items():
        found[FORCES[name]] += float(energy[0])
    assert found == pytest.approx(expected, abs=1e-8)
    assert sum(found.values()) == pytest.approx(sum(expected.values()), abs=1e-8)
    # OpenMM's angles go through acos, which loses digits where they are near π.
    assert np.abs(potential.value_and_grad(x).forces - forces).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_energies_are_those_of_its_own_system(name, model, minidrugbank, monkeypatch):
    molecule = minidrugbank[name]
    system = own_system(model, toolkit.Topology.from_molecules([molecule]), monkeypatch)
    x = molecule.conformers[0].m_as("nm") + np.random.default_rng(5).normal(scale=0.003, size=(molecule.n_atoms, 3))
    assert_same_energies(fb.from_garnet(molecule, model), system, x)


def test_its_files_hold_four_decimals(model, minidrugbank, monkeypatch):
    """As the package writes them: the same parameters, rounded."""
    molecule = minidrugbank["DrugBank_2148"]
    x = molecule.conformers[0].m_as("nm")
    system = own_system(model, toolkit.Topology.from_molecules([molecule]), monkeypatch, digits=4)
    bundle = fb.from_garnet(molecule, model).snapshot()
    for name, table in bundle.tables.items():
        sigma = 2 ** (1 / 6) if name == "vdw" else 1.0
        unit = np.where(np.array(table.columns) == "r_min", sigma, 1.0)
        bundle = bundle.replace_table(name, np.round(table.values / unit, 4) * unit)
    # The settings too: the exponents, and the fraction of charges that is kept.
    vdw = bundle.term("vdw")
    exponents = {name: round(vdw.settings[name], 4) for name in ("repulsion_exponent", "attraction_exponent")}
    kept = replace(bundle.exceptions, kept_charge=np.round(bundle.exceptions.kept_charge, 4))
    bundle = replace(
        bundle, terms={**bundle.terms, "vdw": replace(vdw, settings={**vdw.settings, **exponents})}, exceptions=kept
    )
    assert_same_energies(bundle, system, x)


@pytest.mark.parametrize("name", NAMES[:3])
def test_its_own_system_comes_in_through_from_openmm(name, minidrugbank, model, monkeypatch):
    """Its double exponential has global parameters; the energy of each force is the same on the way out."""
    molecule = minidrugbank[name]
    system = own_system(model, toolkit.Topology.from_molecules([molecule]), monkeypatch)
    x = molecule.conformers[0].m_as("nm") + np.random.default_rng(5).normal(scale=0.003, size=(molecule.n_atoms, 3))
    bundle = fb.from_openmm(system)
    assert bundle.term("vdw").form == "double_exponential"
    assert check_forces(system, bundle, x, split_nonbonded=True).max() <= 1e-12
    (note,) = (each for each in bundle.provenance["conversions"] if "global parameters" in each)
    alpha, beta = (bundle.term("vdw").settings[f"{kind}_exponent"] for kind in ("repulsion", "attraction"))
    assert note.endswith(f"taken at their defaults: alpha = {alpha!r}, beta = {beta!r}")


def mixture():
    """Amides, water and ions, with copies whose atoms are in another order: OpenMM lists impropers by index."""
    made = [toolkit.Molecule.from_smiles(smiles) for smiles in ("CC(=O)NC", "O", "[Na+]", "NC(N)=[NH2+]", "[Cl-]")]
    for molecule in made:
        molecule.generate_conformers(n_conformers=1)
    generator = np.random.default_rng(3)
    copies = []
    for place in (0, 1, 2, 0, 3, 1, 0, 4, 3):
        order = generator.permutation(made[place].n_atoms)
        copies.append(made[place].remap({i: int(j) for i, j in enumerate(order)}))
    shifts = np.arange(len(copies))[:, None, None] * np.array([0.7, 0.1, 0.05])
    positions = [each.conformers[0].m_as("nm") + shift for each, shift in zip(copies, shifts, strict=True)]
    x = np.concatenate(positions) + generator.normal(scale=0.003, size=(sum(map(len, positions)), 3))
    return copies, x


def test_a_topology_is_one_system_whose_equal_molecules_share_parameters(model, monkeypatch):
    molecules, x = mixture()
    topology = toolkit.Topology.from_molecules(molecules)
    with written(monkeypatch, None):
        # Garnet's features, of which thirds of charges are some, are of torch's default dtype.
        bundle = fb.from_garnet(topology, model)
    assert bundle.n_systems == 1
    assert bundle.term("bonds").mapping.kind == "select"
    assert len(bundle.table("bonds")) == 11 + 2 + 9
    assert len(bundle.table("electrostatics")) == 12 + 3 + 1 + 10 + 1
    assert_same_energies(bundle, own_system(model, topology, monkeypatch), x)


def test_a_sequence_is_one_system_each(model):
    molecules, x = mixture()
    together = fb.from_garnet(molecules, model)
    alone = [fb.from_garnet(molecule, model) for molecule in molecules]
    expected = fb.concatenate(alone)
    assert together.n_systems == len(molecules)
    assert together.system_names == expected.system_names
    for name in expected.terms:
        assert torch.equal(together.term(name).indices, expected.term(name).indices)
        torch.testing.assert_close(together.parameters(name), expected.parameters(name), rtol=1e-12, atol=1e-14)
    assert fb.potential(together.snapshot())(x) == pytest.approx(fb.potential(expected.snapshot())(x), abs=1e-9)


def test_what_a_bundle_says(minidrugbank):
    bundle = fb.from_garnet(minidrugbank["DrugBank_2148"])
    assert bundle.models["garnet"].version == "0.1.0"
    assert bundle.models["garnet"].sha256 == fb.fingerprint(garnet.garnet)
    assert {table.model for table in bundle.tables.values()} == {"garnet"}
    assert not any(table.values.requires_grad for table in bundle.tables.values())
    assert {term.mapping.kind for term in bundle.terms.values()} == {"identity"}
    assert {str(array.dtype) for array in bundle.arrays().values()} == {"torch.float64", "torch.int32"}
    fb.validate(bundle)
    total = minidrugbank["DrugBank_2148"].total_charge.m
    assert float(bundle.table("electrostatics").values.sum()) == pytest.approx(total, abs=1e-6)
    assert fb.from_garnet(minidrugbank["DrugBank_2148"], dtype="float32").table("vdw").values.dtype == torch.float32


def test_gradients_reach_the_weights(model):
    """Of a loss of energies and forces through JAX, against central differences in some of each layer's weights."""
    molecule = toolkit.Molecule.from_smiles("NC(=O)COP(=O)(O)O")
    molecule.generate_conformers(n_conformers=1)
    trained = copy.deepcopy(model)
    generator = np.random.default_rng(8)
    x = torch.tensor(molecule.conformers[0].m_as("nm") + generator.normal(scale=0.005, size=(4, molecule.n_atoms, 3)))

    def loss():
        bundle = fb.from_garnet(molecule, trained)
        return 1e-3 * fb.potential(bundle, "torch")(x).sin().sum() + 1e-2 * fb.potential(bundle, "torch")(x).sum()

    loss().backward()
    for name, weight in trained.named_parameters():
        flat, gradient = weight.data.view(-1), weight.grad.view(-1)
        place = int(gradient.abs().argmax())
        assert gradient[place] != 0, name
        step = 1e-6 * max(1.0, abs(float(flat[place])))
        ends = []
        for sign in (1, -1):
            flat[place] += sign * step
            with torch.no_grad():
                ends.append(float(loss()))
            flat[place] -= sign * step
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient[place]), rel=1e-5), name


def test_gradients_of_charges_go_through_the_whole_equilibration(model):
    """The charges of a molecule sum to a constant, so the gradient of their sum is 0; each one alone has its own."""
    molecule = toolkit.Molecule.from_smiles("CC(=O)[O-]")
    trained = copy.deepcopy(model)
    charges = fb.from_garnet(molecule, trained).table("electrostatics").values
    weights = trained.atom_features.dense_2.weight
    (of_sum,) = torch.autograd.grad(charges.sum(), weights, retain_graph=True)
    (of_one,) = torch.autograd.grad(charges[3, 0], weights)
    assert of_sum.abs().max() < 1e-12 * of_one.abs().max()


class TestImpropers:
    """What OpenMM makes of entries by type; by hand."""

    def test_the_last_entry_that_fits_in_any_order(self):
        types = np.array([[0, 5, 6, 7], [0, 6, 5, 7], [0, 5, 6, 7], [1, 5, 6, 7], [0, 5, 5, 7]])
        assert entries(types).tolist() == [1, 1, 1, 3, 4]

    @pytest.mark.parametrize(
        ("elements", "wanted", "expected"),
        [
            # The two hydrogens are alike: by index.
            ([6, 8, 1, 1], [1, 1, 8], [2, 3, 0, 1]),
            # Carbon comes first, whatever the other is.
            ([6, 8, 6, 1], [8, 6, 1], [2, 1, 0, 3]),
            # Neither is carbon: the heavier comes first.
            ([6, 1, 8, 6], [1, 8, 6], [2, 1, 0, 3]),
            ([6, 6, 1, 8], [6, 1, 8], [1, 2, 0, 3]),
        ],
    )
    def test_order_of_the_atoms(self, elements, wanted, expected):
        masses = np.array([0.0, 1.008, 0, 0, 0, 0, 12.011, 14.007, 15.999])[elements]
        found = quartets(np.array([[0, 3, 1, 2]]), np.array(elements), np.array([wanted]), np.array(elements), masses)
        assert found.tolist() == [expected]


class TestRefusals:
    @pytest.mark.parametrize(
        ("smiles", "message"),
        [
            (
                "[Fe+2]",
                "Garnet does not take this molecule: Atom 1 in molecule 1 has atomic number 26 but this element",
            ),
            ("[O-2]", "Garnet does not take this molecule: Atom 1 in molecule 1 has charge -2 but only"),
        ],
    )
    def test_what_garnet_does_not_know(self, smiles, message):
        with pytest.raises(UnsupportedError, match=message):
            fb.from_garnet(toolkit.Molecule.from_smiles(smiles))

    def test_a_box(self):
        topology = toolkit.Topology.from_molecules([toolkit.Molecule.from_smiles("O")])
        topology.box_vectors = toolkit.Quantity(np.eye(3) * 2, "nanometer")
        with pytest.raises(UnsupportedError, match=r"the topology has a box, .*topology\.box_vectors = None"):
            fb.from_garnet(topology)

    def test_other_objects(self):
        with pytest.raises(
            UnsupportedError, match=r"got builtins\.str, expected an OpenFF Molecule, a sequence of them"
        ):
            fb.from_garnet(["CCO"])
        with pytest.raises(UnsupportedError, match="got no molecule, expected at least one"):
            fb.from_garnet([])
        with pytest.raises(
            UnsupportedError, match=r"got a model of type torch\.nn.*Linear, expected a garnetff\.Model"
        ):
            fb.from_garnet(toolkit.Molecule.from_smiles("O"), torch.nn.Linear(2, 2))

    def test_a_missing_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "garnetff.garnetff", None)
        with pytest.raises(
            MissingDependencyError, match=r"from_garnet needs garnetff .*pip install 'ffbridge\[garnet\]'"
        ):
            fb.from_garnet(toolkit.Molecule.from_smiles("O"))
