"""`from_openmm` on real structures under OpenMM's own force fields: the energies and forces of every force."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest

from ffbridge.errors import BundleError, MissingDependencyError, UnsupportedError, ValidationError
from ffbridge.exporters.openmm import to_openmm
from ffbridge.producers.openmm import from_openmm
from ffbridge.producers.openmm.found import plain_getter

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
from openmm import app  # noqa: E402

from tests.bridge.exporters.openmm_reference import Reference  # noqa: E402
from tests.bridge.producers.openmm_systems import (  # noqa: E402
    check_array_engine,
    check_forces,
    parametrize,
    structure,
)

AMBER14 = ("amber14-all.xml", "amber14/tip3p.xml")
IN_WATER = {"nonbondedMethod": app.PME, "nonbondedCutoff": 0.9, "constraints": app.HBonds}


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("name", ["alanine dipeptide", "villin"])
def test_a_peptide_in_vacuum(name, merge):
    topology, x = structure(name)
    system = parametrize(name, *AMBER14)
    bundle = from_openmm(system, topology, merge=merge)
    check_forces(system, bundle, x)
    check_array_engine(system, bundle, x)


@pytest.mark.parametrize("file", ["amber99sbildn.xml", "amberfb15.xml"])
def test_other_force_fields(file):
    topology, x = structure("villin")
    system = parametrize("villin", file)
    check_array_engine(system, from_openmm(system, topology), x)


def test_a_protein_in_water():
    topology, x = structure("test")
    system = parametrize("test", *AMBER14, switchDistance=0.8, **IN_WATER)
    bundle = from_openmm(system, topology, merge=True)
    check_forces(system, bundle, x)
    assert bundle.terms["electrostatics"].settings["method"] == "pme"
    assert bundle.terms["vdw"].settings["switch_distance"] == 0.8
    assert len(bundle.constraints.lengths) == system.getNumConstraints()
    assert len(bundle.tables["vdw"]) < 20


@pytest.mark.parametrize("method", ["CutoffNonPeriodic", "CutoffPeriodic", "Ewald", "PME", "LJPME"])
def test_a_box_of_water(method):
    topology, x = structure("tip3p")
    options = {"nonbondedMethod": getattr(app, method), "nonbondedCutoff": 0.8, "ewaldErrorTolerance": 1e-3}
    system = parametrize("tip3p", "tip3p.xml", flexibleConstraints=True, **options)
    check_forces(system, from_openmm(system, topology), x)


def test_what_the_topology_says():
    topology, _ = structure("alanine dipeptide")
    system = parametrize("alanine dipeptide", *AMBER14)
    bundle = from_openmm(system, topology)
    assert bundle.atomic_numbers.tolist() == [atom.element.atomic_number for atom in topology.atoms()]
    assert {frozenset(pair) for pair in bundle.bonds.tolist()} == {
        frozenset((bond[0].index, bond[1].index)) for bond in topology.bonds()
    }
    bonds = {frozenset(pair) for pair in bundle.bonds.tolist()}
    steps = bundle.terms["proper_torsions"].indices
    assert all(frozenset(pair) in bonds for row in steps.tolist() for pair in pairwise(row))
    # Improper torsions in amber14: one for each of the four trigonal centers.
    assert len(bundle.terms["improper_torsions"]) == 4


def test_without_a_topology_nothing_is_guessed():
    _, x = structure("alanine dipeptide")
    system = parametrize("alanine dipeptide", *AMBER14)
    bundle = from_openmm(system)
    assert not bundle.atomic_numbers.any()
    assert bundle.bonds is None
    assert sorted(bundle.terms) == ["angles", "bonds", "electrostatics", "torsions", "vdw"]
    assert bundle.masses.tolist() == [system.getParticleMass(atom)._value for atom in range(len(x))]
    check_forces(system, bundle, x)


def test_a_topology_of_another_system_is_refused():
    system = parametrize("alanine dipeptide", *AMBER14)
    with pytest.raises(BundleError, match="has 582 atoms and the System 22 particles"):
        from_openmm(system, structure("villin")[0])


def test_the_system_is_not_changed():
    system = parametrize("alanine dipeptide", *AMBER14)
    before = openmm.XmlSerializer.serialize(system)
    from_openmm(system, structure("alanine dipeptide")[0], merge=True)
    assert openmm.XmlSerializer.serialize(system) == before


def test_bonds_of_a_three_membered_ring_are_no_urey_bradley_terms():
    topology = app.Topology()
    residue = topology.addResidue("TRI", topology.addChain())
    atoms = [topology.addAtom(name, app.Element.getBySymbol("C"), residue) for name in "ABCD"]
    system, force = openmm.System(), openmm.HarmonicBondForce()
    for _ in atoms:
        system.addParticle(12)
    for i, j in [(0, 1), (1, 2), (0, 2), (2, 3)]:
        topology.addBond(atoms[i], atoms[j])
        force.addBond(i, j, 0.15, 100)
    force.addBond(3, 0, 0.25, 50)
    system.addForce(force)
    terms = from_openmm(system, topology).terms
    assert terms["bonds"].indices.tolist() == [[0, 1], [1, 2], [0, 2], [2, 3]]
    assert terms["urey_bradley"].indices.tolist() == [[3, 0]]


def test_virtual_sites_are_where_openmm_has_them():
    topology, x = structure("tip4pew")
    system = parametrize("tip4pew", "tip4pew.xml", nonbondedMethod=app.PME, nonbondedCutoff=0.8)
    bundle = from_openmm(system, topology)
    check_forces(system, bundle, x)
    assert len(bundle.virtual_sites["out_of_plane_sites"]) == system.getNumParticles() // 4


def test_every_kind_of_site_that_the_standard_has():
    rng = np.random.default_rng(5)
    system = openmm.System()
    for mass in (1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0):
        system.addParticle(mass)
    frame = ([0.5, 0.2, 0.3], [-1, 0.7, 0.3], [-1, 0, 1])
    system.setVirtualSite(4, openmm.TwoParticleAverageSite(0, 2, 0.3, 0.7))
    system.setVirtualSite(5, openmm.ThreeParticleAverageSite(2, 0, 1, 0.2, 0.7, 0.1))
    system.setVirtualSite(6, openmm.OutOfPlaneSite(1, 2, 0, 0.4, -0.2, 0.0))
    system.setVirtualSite(7, openmm.OutOfPlaneSite(1, 2, 0, -0.34, -0.34, -6.4))
    system.setVirtualSite(8, openmm.LocalCoordinatesSite([0, 1, 2], *frame, openmm.Vec3(0.1, -0.2, 0.3)))
    axes = ([0.6, 0.4], [2, -2], [-1, 1])
    system.setVirtualSite(9, openmm.LocalCoordinatesSite([1, 2], *axes, openmm.Vec3(0.25, 0, 0)))
    axes = ([1, 0, 0, 0], [-1, 0.25, 0.25, 0.5], [-1, 1, 0, 0])
    system.setVirtualSite(10, openmm.LocalCoordinatesSite([3, 1, 2, 0], *axes, openmm.Vec3(0.25, 0.1, -0.2)))
    again = to_openmm(from_openmm(system))
    for atom in range(4, 11):
        assert type(again.getVirtualSite(atom)).__name__ in (
            type(system.getVirtualSite(atom)).__name__,
            "ThreeParticleAverageSite",
        )
    x = rng.normal(size=(11, 3))
    for atom, (found, expected) in enumerate(zip(placed(again, x), placed(system, x), strict=True)):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14, err_msg=str(atom))


def placed(system, x):
    context = Reference(system).context
    context.setPositions(x)
    context.computeVirtualSites()
    return context.getState(positions=True).getPositions(asNumpy=True)._value


def test_parents_without_weight_are_left_out():
    system = particles(5)
    axes = ([0, -1, 1, 0], [0, -1, 0, 1])
    place = openmm.Vec3(0.1, 0.2, 0.3)
    system.setVirtualSite(4, openmm.LocalCoordinatesSite([0, 1, 2, 3], [0, 1, 0, 0], *axes, place))
    x = np.random.default_rng(5).normal(size=(5, 3))
    bundle = from_openmm(system)
    assert bundle.term("local_coordinates_3_sites").indices.tolist() == [[4, 1, 2, 3]]
    np.testing.assert_allclose(placed(to_openmm(bundle), x), placed(system, x), rtol=1e-12)
    system.setVirtualSite(4, openmm.LocalCoordinatesSite([0, 1], [0, 1], [0, 0], [0, 0], openmm.Vec3(0, 0, 0)))
    bundle = from_openmm(system)
    assert bundle.term("two_particle_sites").indices.tolist() == [[4, 0, 1]]
    np.testing.assert_allclose(placed(to_openmm(bundle), x), placed(system, x), rtol=1e-12)


def particles(n):
    """A System of particles, the last without mass."""
    system = openmm.System()
    for mass in [1] * (n - 1) + [0]:
        system.addParticle(mass)
    return system


def test_frames_are_terms():
    """Sites of one frame are a term; their rows are merged on request."""
    system = openmm.System()
    for mass in (1, 1, 1, 0, 0, 0):
        system.addParticle(mass)
    here, there = ([1, 0, 0], [-1, 1, 0], [-1, 0, 1]), ([0, 1, 0], [1, -1, 0], [0, -1, 1])
    for site, frame in ((3, here), (4, there), (5, here)):
        system.setVirtualSite(site, openmm.LocalCoordinatesSite([0, 1, 2], *frame, openmm.Vec3(0.1, 0.02, 0)))
    terms = from_openmm(system, merge=True).terms
    assert {name: term.indices[:, 0].tolist() for name, term in terms.items()} == {
        "local_coordinates_3_sites": [3, 5],
        "local_coordinates_3_sites_2": [4],
    }
    assert terms["local_coordinates_3_sites"].settings["x_weights"] == [-1, 1, 0]
    assert terms["local_coordinates_3_sites"].mapping.index.tolist() == [0, 0]


def local(*weights, place=(0.1, 0, 0)):
    """Local coordinates of as many parents as there are weights."""
    n = len(weights[0])
    return openmm.LocalCoordinatesSite(list(range(n)), *weights, openmm.Vec3(*place))


@pytest.mark.parametrize(
    ("n_parents", "site", "message"),
    [
        (
            5,
            lambda: local([0.2] * 5, [-1, 1, 0, 0, 0], [-1, 0, 1, 0, 0]),
            "particle 5 is a LocalCoordinatesSite with 5 parents that have a weight; the standard has",
        ),
        (
            2,
            lambda: local([1, 0], [-1, 1], [-1, 1], place=(0.1, 0.2, 0)),
            r"particle 2 is a LocalCoordinatesSite of two parents at the local position \[0.1, 0.2, 0.0\] nm: they",
        ),
        (
            2,
            lambda: openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5000005),
            r"particle 2 is a TwoParticleAverageSite with the weights \[0.5, 0.5000005\], which sum to 1.0000005: Op",
        ),
        (
            2,
            lambda: local([1, 0], [-1, 1.0000005], [-1, 1]),
            "particle 2 is a LocalCoordinatesSite with the weights .* Make them sum to 0 in the System",
        ),
        (
            3,
            lambda: openmm.ThreeParticleAverageSite(0, 1, 2, 0.5, 0.3, 0.2000005),
            "particle 3 is a ThreeParticleAverageSite with the weights .* Make them sum to 1 in the System",
        ),
    ],
)
def test_sites_that_the_standard_does_not_place_are_refused(n_parents, site, message):
    system = particles(n_parents + 1)
    system.setVirtualSite(n_parents, site())
    with pytest.raises(UnsupportedError, match=message):
        from_openmm(system)


def test_a_site_on_a_site_is_refused():
    system = openmm.System()
    for mass in (1, 1, 0, 0):
        system.addParticle(mass)
    system.setVirtualSite(2, openmm.TwoParticleAverageSite(0, 1, 0.3, 0.7))
    system.setVirtualSite(3, openmm.TwoParticleAverageSite(0, 2, 0.3, 0.7))
    with pytest.raises(ValidationError, match=r"two_particle_sites/indices\[1\]: a parent must not be a virtual site"):
        from_openmm(system)


def test_other_virtual_sites_are_refused():
    system = openmm.System()
    for mass in (1, 0):
        system.addParticle(mass)
    axes = [openmm.Vec3(*row) for row in np.eye(3)]
    system.setVirtualSite(1, openmm.SymmetrySite(0, *axes, openmm.Vec3(0.1, 0, 0), False))
    # OpenMM's Python interface does not tell its class.
    with pytest.raises(
        UnsupportedError, match="particle 1 is a virtual site of the class VirtualSite; the standard has"
    ):
        from_openmm(system)


def test_values_that_the_standard_does_not_allow_are_faults():
    system = openmm.System()
    for _ in range(4):
        system.addParticle(1)
    force = openmm.PeriodicTorsionForce()
    force.addTorsion(0, 1, 2, 3, 0, 0.0, 1.0)
    system.addForce(force)
    with pytest.raises(ValidationError, match="T-7"):
        from_openmm(system)


def test_several_forces_of_a_kind_are_several_terms():
    system = openmm.System()
    for _ in range(3):
        system.addParticle(1)
    for length in (0.1, 0.2, 0.3):
        force = openmm.HarmonicBondForce()
        force.addBond(0, 1, length, 100)
        system.addForce(force)
    bundle = from_openmm(system)
    assert [(name, bundle.tables[name].column("length")[0]) for name in bundle.terms] == [
        ("bonds", 0.1),
        ("bonds_2", 0.2),
        ("bonds_3", 0.3),
    ]
    assert [each["terms"] for each in bundle.provenance["forces"]] == [["bonds"], ["bonds_2"], ["bonds_3"]]


def test_forces_without_energy_are_listed_and_left_out():
    system = openmm.System()
    system.addParticle(1)
    for force in (openmm.CMMotionRemover(), openmm.MonteCarloBarostat(1, 300), openmm.AndersenThermostat(300, 1)):
        system.addForce(force)
    system.addForce(openmm.HarmonicBondForce())
    bundle = from_openmm(system)
    assert not bundle.terms
    assert [each["force"] for each in bundle.provenance["forces"]] == [
        "CMMotionRemover",
        "MonteCarloBarostat",
        "AndersenThermostat",
        "HarmonicBondForce",
    ]


def test_a_force_that_is_not_known_is_refused_by_its_name():
    system = openmm.System()
    system.addParticle(1)
    system.addForce(openmm.CMMotionRemover())
    force = openmm.GBSAOBCForce()
    force.setName("implicit water")
    system.addForce(force)
    with pytest.raises(UnsupportedError, match=r"force 1 \(GBSAOBCForce 'implicit water'\): .* of a GBSAOBCForce"):
        from_openmm(system)


def test_periodic_bonded_forces_are_refused():
    system = openmm.System()
    force = openmm.HarmonicAngleForce()
    force.setUsesPeriodicBoundaryConditions(True)
    system.addForce(force)
    with pytest.raises(UnsupportedError, match=r"force 0 \(HarmonicAngleForce\): it uses periodic boundary conditions"):
        from_openmm(system)


def test_openmm_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(MissingDependencyError, match="from_openmm needs the package 'openmm'"):
        from_openmm(None)


def test_numbers_are_read_without_their_units():
    """Getters beneath OpenMM's Python layer give what its quantities hold; other getters are called as they are."""
    system = parametrize("alanine dipeptide", *AMBER14)
    nonbonded = next(force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    for get in (nonbonded.getParticleParameters, nonbonded.getExceptionParameters):
        plain = plain_getter(get)(3)
        assert all(type(value) in (int, float) for value in plain)
        assert plain == [getattr(value, "_value", value) for value in get(3)]
    mass = plain_getter(system.getParticleMass)
    assert mass(0) == system.getParticleMass(0).value_in_unit(openmm.unit.dalton)

    class Derived(openmm.NonbondedForce):
        def getParticleParameters(self, index):
            return [1.0, 2.0, 3.0]

    derived = Derived()
    derived.addParticle(0.1, 0.2, 0.3)
    assert plain_getter(derived.getParticleParameters)(0) == [1.0, 2.0, 3.0]
