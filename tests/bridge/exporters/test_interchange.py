"""Interchange to bundle and back: energies and forces of OpenMM, files of GROMACS and AMBER parsed by OpenMM."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import ffbridge as fb
from tests.bridge.drugs import NAMES, drug, water_box

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
app = pytest.importorskip("openmm.app", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402

TEN = (*NAMES, "DrugBank_2238", "DrugBank_3787")
PEPTIDE = {"ff14sb_off_impropers_0.0.4.offxml": 12, "openff-2.3.0.offxml": 12}
"""Force fields, and how many rows of impropers they give the dipeptide."""

TOLERANCE = 1e-9


def openmm(interchange, x):
    """Energies [kJ/mol] by force, and all forces, of the System that Interchange makes, constrained bonds included."""
    system = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
    for number, force in enumerate(system.getForces()):
        force.setForceGroup(number)
    reference = Reference(system)
    kinds = [type(force).__name__ for force in system.getForces()]
    energies = {kind: reference(x, groups={number})[0] for number, kind in enumerate(kinds) if "Motion" not in kind}
    return energies, reference(x)[1]


def assert_same(found, expected, x):
    """OpenMM has the same energies and forces of both."""
    (mine, my_forces), (theirs, their_forces) = openmm(found, x), openmm(expected, x)
    assert set(mine) == set(theirs)
    for kind, energy in theirs.items():
        assert mine[kind] == pytest.approx(energy, rel=TOLERANCE, abs=TOLERANCE), kind
    assert relative(my_forces, their_forces) < TOLERANCE


@cache
def dipeptide(force_field):
    """ACE-ALA-NME, of openff-toolkit's own files."""
    import openff.toolkit as toolkit

    from ffbridge.producers import openff

    path = Path(toolkit.__file__).parent / "data" / "proteins" / "MainChain_ALA.sdf"
    molecule = toolkit.Molecule.from_file(str(path))
    return molecule, openff.parametrize([molecule], force_field=toolkit.ForceField(force_field))


def in_box(interchange):
    """The Interchange in a box of 6 nm: GROMACS' files need one."""
    from openff.interchange import Interchange
    from openff.units import Quantity

    boxed = Interchange(topology=interchange.topology, collections={}, positions=interchange.positions)
    boxed.collections.update(interchange.collections)
    boxed.box = Quantity(6.0 * np.eye(3), "nanometer")
    return boxed


@pytest.mark.parametrize("name", TEN)
def test_drugs_come_back(name):
    interchange, bundle, x = drug(name)
    back = fb.to_interchange(bundle, interchange.topology, positions=x[0])
    assert_same(back, interchange, x[0])
    np.testing.assert_array_equal(back.positions.m_as("nanometer"), x[0])
    # Nothing is lost but the ids of the force field: the bundle of the result is the same bundle.
    assert fb.from_interchange(back).content_hash == bundle.content_hash


@pytest.mark.parametrize("combine", [True, False])
def test_the_driver_of_interchange_has_the_same_energies(combine):
    from openff.interchange.drivers import get_openmm_energies

    interchange, bundle, _ = drug(NAMES[4])
    back = fb.to_interchange(bundle, interchange.topology)
    reports = [get_openmm_energies(each, combine_nonbonded_forces=combine).energies for each in (back, interchange)]
    mine, theirs = ({name: energy.m_as("kilojoule / mole") for name, energy in report.items()} for report in reports)
    assert mine == pytest.approx(theirs, rel=TOLERANCE)
    assert len(theirs) == (4 if combine else 5)


def test_bonded_terms_alone_go_out():
    interchange, bundle, x = drug(NAMES[0])
    names = [name for name in bundle.terms if name not in ("vdw", "electrostatics")]
    terms = {name: bundle.terms[name] for name in names}
    tables = {term.table: bundle.tables[term.table] for term in terms.values()}
    part = replace(bundle, terms=terms, tables=tables, exceptions=None, models={})
    back = fb.to_interchange(part, interchange.topology)
    assert "vdW" not in back.collections
    energies, forces = openmm(back, x[0])
    expected = fb.potential(part, "numpy").value_and_grad(x[0])
    assert sum(energies.values()) == pytest.approx(expected.energy[0], rel=TOLERANCE)
    assert relative(forces, expected.forces) < TOLERANCE


@pytest.mark.parametrize("force_field", PEPTIDE)
def test_a_capped_peptide_comes_back(force_field):
    molecule, interchange = dipeptide(force_field)
    bundle = fb.from_interchange(interchange)
    assert len(bundle.terms["improper_torsions"]) == PEPTIDE[force_field]
    back = fb.to_interchange(bundle, molecule)
    x = molecule.conformers[0].m_as("nanometer")
    x = x + np.random.default_rng(5).normal(scale=0.005, size=x.shape)
    assert_same(back, interchange, x)
    assert fb.from_interchange(back).content_hash == bundle.content_hash
    # Constraints, for those who want them: the System of the result has those of the original.
    systems = [each.to_openmm_system() for each in (back, interchange)]
    assert _constraints(systems[0]) == _constraints(systems[1])
    assert bool(_constraints(systems[0])) == ("2.3.0" in force_field)


def _constraints(system):
    return [str(system.getConstraintParameters(row)) for row in range(system.getNumConstraints())]


def test_a_periodic_box_of_water_comes_back():
    interchange, bundle, x = water_box()
    back = fb.to_interchange(bundle, interchange.topology)
    np.testing.assert_array_equal(back.box.m_as("nanometer"), bundle.box[0])
    assert_same(back, interchange, x)
    assert fb.from_interchange(back).content_hash == bundle.content_hash


def gromacs(interchange, folder, name):
    """The lines of the topology file, in order; and OpenMM's energy and forces of what its parser reads."""
    interchange.to_top(folder / f"{name}.top")
    interchange.to_gro(folder / f"{name}.gro", decimal=9)
    with warnings.catch_warnings():
        # OpenMM's parsers leave their files open.
        warnings.simplefilter("ignore", ResourceWarning)
        system = app.GromacsTopFile(str(folder / f"{name}.top")).createSystem(nonbondedMethod=app.NoCutoff)
        x = app.GromacsGroFile(str(folder / f"{name}.gro")).positions._value
    # The pairs stand in the order of a set.
    lines = sorted(folder.joinpath(f"{name}.top").read_text(encoding="utf-8").splitlines())
    return lines, np.array(x), Reference(system)(x)


@pytest.mark.parametrize("name", [*NAMES[:3], *PEPTIDE])
def test_files_of_gromacs_are_the_same(name, tmp_path):
    interchange = drug(name).interchange if name in NAMES else dipeptide(name)[1]
    boxed = in_box(interchange)
    bundle = fb.from_interchange(boxed)
    lines, x, (energy, forces) = gromacs(boxed, tmp_path, "original")
    back = fb.to_interchange(bundle, boxed.topology)
    found, _, (same_energy, same_forces) = gromacs(back, tmp_path, "back")
    assert found == lines
    assert same_energy == pytest.approx(energy, rel=TOLERANCE)
    assert relative(same_forces, forces) < TOLERANCE
    # The file has the energy of the bundle; it has the scale of 1-4 charges in six digits.
    expected = fb.potential(fb.from_interchange(interchange), "numpy")(x)[0]
    assert energy == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [NAMES[0], *PEPTIDE])
def test_files_of_amber_have_the_energy(name, tmp_path):
    interchange = drug(name).interchange if name in NAMES else dipeptide(name)[1]
    bundle = fb.from_interchange(interchange)
    fb.to_interchange(bundle, interchange.topology).to_prmtop(tmp_path / "back.prmtop")
    x = interchange.positions.m_as("nanometer")
    energy, forces = Reference(app.AmberPrmtopFile(str(tmp_path / "back.prmtop")).createSystem())(x)
    expected = fb.potential(bundle, "numpy").value_and_grad(x)
    # The file has eight digits, and AMBER's Coulomb constant differs in the fifth: a large energy of charges tells.
    assert energy == pytest.approx(expected.energy[0], abs=2e-5 * _coulomb(bundle, x))
    assert relative(forces, expected.forces) < 2e-5


def _coulomb(bundle, x):
    return 1 + abs(fb.potential(bundle, "numpy").by_term(x)["electrostatics"][0])


@pytest.fixture(scope="module")
def espaloma():
    """Parameters that espaloma wrote on its own graph, Lennard-Jones of OpenFF; and the molecule."""
    pytest.importorskip("dgl", reason="espaloma's graphs are DGL's")
    from ffbridge.producers import openff
    from tests.bridge.producers.espaloma_data import figures, load_graph, molecule

    made, found = molecule("acetaminophen"), fb.from_espaloma(load_graph("acetaminophen"))
    openff_bundle = fb.from_interchange(openff.parametrize([made]))
    charges = dict(zip(map(tuple, found.exceptions.pairs.tolist()), found.exceptions.kept_charge.tolist(), strict=True))
    exceptions = openff_bundle.exceptions
    assert {tuple(pair) for pair in exceptions.pairs.tolist()} == set(charges)
    kept = np.array([charges[tuple(pair)] for pair in exceptions.pairs.tolist()])
    bundle = replace(
        found,
        terms={**found.terms, "vdw": openff_bundle.terms["vdw"]},
        tables={**found.tables, "vdw": openff_bundle.tables["vdw"]},
        exceptions=replace(exceptions, kept_charge=kept),
    )
    return bundle, made, figures("acetaminophen", "bonded")[0]


def test_a_machine_learned_force_field_goes_into_openff(espaloma, tmp_path):
    bundle, molecule, conformers = espaloma
    # espaloma lists impropers with the center at the second place, in six orders.
    impropers = bundle.terms["improper_torsions"].indices
    assert len(impropers)
    x = np.asarray(conformers[0])
    interchange = fb.to_interchange(bundle, molecule, positions=x)
    expected = fb.potential(bundle, "numpy").value_and_grad(x)
    energies, forces = openmm(interchange, x)
    assert sum(energies.values()) == pytest.approx(expected.energy[0], rel=TOLERANCE)
    assert relative(forces, expected.forces) < TOLERANCE
    # One row for each interaction, as the network made them.
    assert len(interchange["Bonds"].potentials) == len(bundle.terms["bonds"])
    _, rounded, (energy, _) = gromacs(in_box(interchange), tmp_path, "espaloma")
    assert energy == pytest.approx(fb.potential(bundle, "numpy")(rounded)[0], rel=1e-5)
    interchange.to_prmtop(tmp_path / "espaloma.prmtop")
    energy, _ = Reference(app.AmberPrmtopFile(str(tmp_path / "espaloma.prmtop")).createSystem())(x)
    assert energy == pytest.approx(expected.energy[0], abs=2e-5 * _coulomb(bundle, x))


def test_an_amber_system_of_openmm_goes_into_openff(tmp_path):
    """AMBER's impropers have the center at the third place; parameters have no keys."""
    import openff.toolkit as toolkit

    path = Path(toolkit.__file__).parent / "data" / "proteins" / "MainChain_ALA_ALA.pdb"
    pdb = app.PDBFile(str(path))
    system = app.ForceField("amber14-all.xml").createSystem(pdb.topology, removeCMMotion=False)
    bundle = fb.from_openmm(system, pdb.topology)
    assert len(bundle.terms["improper_torsions"])
    x = np.array(pdb.positions._value)
    x += np.random.default_rng(12).normal(scale=0.004, size=x.shape)
    interchange = fb.to_interchange(bundle, toolkit.Topology.from_pdb(str(path)), positions=x)
    energy, forces = Reference(system)(x)
    energies, same_forces = openmm(interchange, x)
    assert sum(energies.values()) == pytest.approx(energy, rel=TOLERANCE)
    assert relative(same_forces, forces) < TOLERANCE
    _, rounded, (from_file, _) = gromacs(in_box(interchange), tmp_path, "amber")
    assert from_file == pytest.approx(Reference(system)(rounded)[0], rel=1e-5)


def test_ryckaert_bellemans_torsions_go_both_ways(tmp_path):
    _, bundle, x = drug(NAMES[2])
    names = tuple(f"c{power}" for power in range(6))
    old = bundle.terms["proper_torsions"]
    rows = np.unique(old.indices, axis=0)
    values = np.random.default_rng(11).normal(scale=3.0, size=(2, 6))
    table = fb.Table(values, names, ("kJ/mol",) * 6)
    index = (np.arange(len(rows)) % 2).astype(np.int32)
    term = fb.Term("ryckaert_bellemans", rows, "rb_torsions", fb.Select(index))
    terms = {name: term for name, term in bundle.terms.items() if name != "proper_torsions"}
    tables = {name: table for name, table in bundle.tables.items() if name != "proper_torsions"}
    made = replace(bundle, terms={**terms, "rb_torsions": term}, tables={**tables, "rb_torsions": table})
    interchange = fb.to_interchange(made, drug(NAMES[2]).interchange.topology, positions=x[0])
    assert len(interchange["RBTorsions"].potentials) == 2
    expected = fb.potential(made, "numpy").value_and_grad(x[0])
    energies, forces = openmm(interchange, x[0])
    assert sum(energies.values()) == pytest.approx(expected.energy[0], rel=TOLERANCE)
    assert relative(forces, expected.forces) < TOLERANCE
    again = fb.from_interchange(interchange)
    assert fb.potential(again, "numpy")(x[0])[0] == pytest.approx(expected.energy[0], rel=1e-12)
    _, rounded, (energy, _) = gromacs(in_box(interchange), tmp_path, "rb")
    assert energy == pytest.approx(fb.potential(made, "numpy")(rounded)[0], rel=1e-5)


@pytest.mark.slow
def test_a_protein_comes_back():
    """Lysozyme of phage T4, 2,634 atoms, of openff-toolkit's own files, with library charges of ff14SB."""
    import openff.toolkit as toolkit

    from ffbridge.producers import openff

    path = Path(toolkit.__file__).parent / "data" / "proteins" / "T4-protein.sdf"
    molecule = toolkit.Molecule.from_file(str(path))
    interchange = openff.parametrize([molecule], force_field=toolkit.ForceField(next(iter(PEPTIDE))))
    bundle = fb.from_interchange(interchange)
    x = molecule.conformers[0].m_as("nanometer")
    energies, _ = openmm(interchange, x)
    by_term = {name: energy[0] for name, energy in fb.potential(bundle, "numpy").by_term(x).items()}
    groups = {
        "HarmonicBondForce": ("bonds",),
        "HarmonicAngleForce": ("angles",),
        "PeriodicTorsionForce": ("proper_torsions", "improper_torsions"),
        "NonbondedForce": ("vdw", "electrostatics"),
    }
    for kind, names in groups.items():
        assert sum(by_term[name] for name in names) == pytest.approx(energies[kind], rel=1e-11), kind
    back = fb.to_interchange(bundle, molecule)
    assert_same(back, interchange, x)
    assert fb.from_interchange(back).content_hash == bundle.content_hash
