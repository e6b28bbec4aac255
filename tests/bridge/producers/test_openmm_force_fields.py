"""Systems of OpenMM's own force fields on real structures: through a bundle, and its file, back to OpenMM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb

pytest.importorskip("openmm", reason="OpenMM is not installed")
from openmm import app

from tests.bridge.producers.openmm_systems import (
    JAC_BOX,
    check_array_engine,
    check_forces,
    force_field,
    in_water,
    parametrize,
    structure,
)

AMBER14 = ("amber14-all.xml", "amber14/tip3p.xml")
CHARMM36 = ("charmm36.xml", "charmm36/water.xml")
CHARMM36_2024 = ("charmm36_2024.xml", "charmm36_2024/water.xml")

IN_VACUUM = [
    ("alanine dipeptide", AMBER14),
    ("alanine dipeptide of one residue", CHARMM36),
    ("villin", AMBER14),
    ("villin with salt", CHARMM36),
]


def through_a_file(system, topology, folder, **options):
    """The bundle of a System, saved and loaded."""
    bundle = fb.from_openmm(system, topology, **options)
    fb.save(bundle, folder / "system.ffb")
    return fb.load(folder / "system.ffb")


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("name", "files"), IN_VACUUM)
def test_peptides_in_vacuum(name, files, merge, tmp_path):
    topology, x = structure(name)
    system = parametrize(name, *files)
    bundle = through_a_file(system, topology, tmp_path, merge=merge)
    for split in (False, True):
        check_forces(system, bundle, x, split_nonbonded=split)
    check_array_engine(system, bundle, x)


@pytest.mark.parametrize("engine", ["torch", "jax"])
@pytest.mark.parametrize(("name", "files"), [IN_VACUUM[1], IN_VACUUM[3]])
def test_other_engines_have_them_as_well(name, files, engine):
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    topology, x = structure(name)
    system = parametrize(name, *files)
    bundle = fb.from_openmm(system, topology)
    if engine == "jax":
        import jax

        with jax.enable_x64(True):
            check_array_engine(system, bundle, x, engine=engine)
    else:
        check_array_engine(system, bundle, x, engine=engine)


def test_charmm36_has_urey_bradley_terms_impropers_and_maps():
    topology, _ = structure("villin")
    bundle = fb.from_openmm(parametrize("villin", *CHARMM36), topology)
    assert bundle.terms["harmonic_impropers"].form == "harmonic_improper"
    assert bundle.terms["cmap"].settings == {"size": 24}
    n_maps, n_residues = len(bundle.tables["cmap"]), topology.getNumResidues()
    assert 2 <= n_maps < len(bundle.terms["cmap"]) == n_residues - 2
    assert len(bundle.terms["bonds"]) == topology.getNumBonds()
    outer = bundle.terms["urey_bradley"].indices
    angles = {frozenset(row[[0, 2]].tolist()) for row in bundle.terms["angles"].indices}
    assert len(outer) > 500
    assert {frozenset(pair) for pair in outer.tolist()} <= angles


def test_charmm36_is_one_nonbonded_force_where_no_pair_of_its_types_is_special():
    """OpenMM has it as a NonbondedForce without depths, a table of types and a force for 1-4 pairs."""
    topology, _ = structure("villin")
    bundle = fb.from_openmm(parametrize("villin", *CHARMM36), topology)
    assert bundle.terms["vdw"].overrides is None
    assert len(bundle.tables["vdw"]) == 25
    again = fb.to_openmm(bundle)
    assert [type(force).__name__ for force in again.getForces()].count("CustomNonbondedForce") == 0
    assert "vdw + electrostatics + vdw_pairs" in [force.getName() for force in again.getForces()]
    assert "force 4 (NonbondedForce) has no depth other than 0: no term" in bundle.provenance["conversions"]


@pytest.mark.parametrize("merge", [False, True])
def test_pairs_of_types_that_are_not_mixed_are_overrides(merge):
    """Sodium with chloride and with carboxylate (NBFIX), by the numbers in OpenMM's file."""
    topology, _ = structure("villin with salt")
    bundle = fb.from_openmm(parametrize("villin with salt", *CHARMM36), topology, merge=merge)
    overrides = bundle.terms["vdw"].overrides
    expected = {(11, 17): [0.3323943117381606, 0.35093300000000005], (8, 11): [0.2877602859593296, 0.31388368000000005]}
    found = dict(zip(elements_of(bundle), bundle.tables[overrides.table].values, strict=True))
    assert set(found) == set(expected)
    for pair, values in expected.items():
        np.testing.assert_allclose(found[pair], values, rtol=1e-13)


def elements_of(bundle):
    """The atomic numbers of the atoms of each override, sorted."""
    rows, numbers = bundle.terms["vdw"].mapping.index, bundle.atomic_numbers
    pairs = bundle.terms["vdw"].overrides.pairs
    return [tuple(sorted({int(number) for row in pair for number in numbers[rows == row]})) for pair in pairs]


def test_overrides_within_a_cutoff_go_to_openmm_and_come_back(tmp_path):
    topology, x = structure("villin with salt")
    options = {"nonbondedMethod": app.CutoffNonPeriodic, "nonbondedCutoff": 1.2, "switchDistance": 0.8}
    system = parametrize("villin with salt", *CHARMM36, **options)
    bundle = through_a_file(system, topology, tmp_path)
    for split in (False, True):
        check_forces(system, bundle, x, split_nonbonded=split)
    assert bundle.terms["vdw"].settings["switch_distance"] == 0.8
    again = fb.from_openmm(fb.to_openmm(bundle), topology)
    assert again.terms["vdw"].settings == bundle.terms["vdw"].settings
    assert sorted(elements_of(again)) == sorted(elements_of(bundle))
    np.testing.assert_allclose(again.parameters("vdw"), bundle.parameters("vdw"), rtol=1e-14)
    check_forces(system, replace(again, provenance=bundle.provenance), x)


@pytest.mark.parametrize("files", [AMBER14, CHARMM36], ids=["amber14", "charmm36"])
def test_a_box_of_water(files, tmp_path):
    topology, x = structure("tip3p")
    system = parametrize("tip3p", *files, nonbondedMethod=app.PME, nonbondedCutoff=0.9, flexibleConstraints=True)
    bundle = through_a_file(system, topology, tmp_path)
    for split in (False, True):
        check_forces(system, bundle, x, split_nonbonded=split)


@pytest.mark.slow
def test_charmm36_2024(tmp_path):
    """Its NBFIX of ammonium and carboxylate groups; OpenMM takes a minute to make the System."""
    topology, x = structure("villin")
    system = parametrize("villin", *CHARMM36_2024)
    bundle = through_a_file(system, topology, tmp_path)
    values = bundle.tables["vdw_overrides"].values
    assert len(values) > 10
    np.testing.assert_allclose(values, [[0.3240198637876414, 0.6481810960000001]] * len(values), rtol=1e-13)
    for split in (False, True):
        check_forces(system, bundle, x, split_nonbonded=split)
    check_array_engine(system, bundle, x)


@pytest.mark.slow
@pytest.mark.parametrize("files", [AMBER14, CHARMM36], ids=["amber14", "charmm36"])
def test_dhfr_in_water(files, tmp_path):
    topology, x = in_water("DHFR", *files, width=JAC_BOX)
    cutoffs = {"nonbondedCutoff": 0.9} if files is AMBER14 else {"nonbondedCutoff": 1.2, "switchDistance": 1.0}
    system = force_field(*files).createSystem(topology, nonbondedMethod=app.PME, constraints=app.HBonds, **cutoffs)
    assert system.getNumParticles() > 20_000
    bundle = through_a_file(system, topology, tmp_path)
    check_forces(system, bundle, x)
    assert (bundle.terms["vdw"].overrides is None) == (files is AMBER14)


@pytest.mark.slow
@pytest.mark.parametrize("files", [AMBER14, CHARMM36], ids=["amber14", "charmm36"])
def test_dhfr_in_vacuum(files, tmp_path):
    topology, x = structure("DHFR")
    system = parametrize("DHFR", *files)
    bundle = through_a_file(system, topology, tmp_path)
    for split in (False, True):
        check_forces(system, bundle, x, split_nonbonded=split)
    check_array_engine(system, bundle, x)
