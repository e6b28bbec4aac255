"""`to_openmm` gives the energies and forces of the bundle: against Interchange's own System and the array engines."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.exporters.openmm import to_openmm
from ffbridge.exporters.openmm.nonbonded import OPENMM_COULOMB_CONSTANT
from ffbridge.separate import separate
from tests.bridge import drugs
from tests.bridge.bundles import random_bundle, table, term, zigzag
from tests.bridge.samples import bundle as vector

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402

TOLERANCE = 1e-9


@pytest.fixture
def bundle():
    """One system with every form and every kind of mapping."""
    return separate(random_bundle(np.random.default_rng(11)))[0]


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12))[:6]


def with_settings(bundle, name, **settings):
    whole = bundle.terms[name]
    return replace(bundle, terms={**bundle.terms, name: replace(whole, settings={**whole.settings, **settings})})


@pytest.mark.parametrize("name", drugs.NAMES)
def test_each_force_of_a_drug_has_the_energy_and_forces_of_its_term(name):
    _, bundle, x = drugs.drug(name)
    reference = Reference(to_openmm(bundle, split_nonbonded=True))
    for group, term_name in enumerate(bundle.terms):
        only = replace(bundle, terms={term_name: bundle.terms[term_name]}, tables={term_name: bundle.tables[term_name]})
        expected = fb.potential(only, "numpy").value_and_grad(x[0])
        energy, forces = reference(x[0], 1 << group)
        assert energy == pytest.approx(expected.energy[0], rel=TOLERANCE)
        assert relative(forces, expected.forces) <= TOLERANCE


@pytest.mark.parametrize("name", drugs.NAMES)
def test_a_drug_equals_the_system_that_interchange_makes(name):
    interchange, bundle, x = drugs.drug(name)
    own = Reference(interchange.to_openmm_system(combine_nonbonded_forces=True))
    ours = Reference(to_openmm(bundle))
    for conformer in x:
        (energy, forces), (expected, expected_forces) = ours(conformer), own(conformer)
        assert energy == pytest.approx(expected, rel=TOLERANCE)
        assert relative(forces, expected_forces) <= TOLERANCE


@pytest.mark.parametrize("split", [False, True])
def test_a_periodic_box_of_water_equals_the_system_that_interchange_makes(split):
    """PME, a switched cutoff and the correction for dispersion."""
    interchange, bundle, x = drugs.water_box()
    assert bundle.terms["vdw"].settings["dispersion_correction"]
    own = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
    energy, forces = Reference(to_openmm(bundle, split_nonbonded=split))(x)
    expected, expected_forces = Reference(own)(x)
    assert energy == pytest.approx(expected, rel=TOLERANCE)
    assert relative(forces, expected_forces) <= TOLERANCE


def test_forces_are_named_and_grouped_by_term(bundle):
    def listed(system):
        return [(force.getName(), force.getForceGroup()) for force in system.getForces()]

    assert listed(to_openmm(bundle)) == [
        ("bonds", 0),
        ("angles", 1),
        ("torsions", 2),
        ("vdw + electrostatics", 3),
    ]
    assert listed(to_openmm(bundle, split_nonbonded=True))[3:] == [("vdw", 3), ("electrostatics", 4)]


def test_the_reference_platform_has_the_constant():
    system = openmm.System()
    force = openmm.NonbondedForce()
    for _ in range(2):
        system.addParticle(0)
        force.addParticle(1, 1, 0)
    system.addForce(force)
    assert Reference(system)([[0, 0, 0], [1, 0, 0]])[0] == OPENMM_COULOMB_CONSTANT


@pytest.mark.parametrize("constant", [138.935456, 332.06371, 1.0])
def test_other_coulomb_constants_keep_their_energy(bundle, x, constant):
    other = with_settings(bundle, "electrostatics", coulomb_constant=constant)
    system = to_openmm(other, split_nonbonded=True)
    energy, _ = Reference(system)(x, 1 << 4)
    expected = fb.potential(other, "numpy")
    assert energy == pytest.approx(expected.by_term(x)["electrostatics"][0], rel=1e-12)
    assert relative(Reference(system)(x)[1], expected.value_and_grad(x).forces) <= 1e-12
    assert energy != pytest.approx(Reference(to_openmm(bundle, split_nonbonded=True))(x, 1 << 4)[0], rel=1e-9)


def test_charges_are_not_touched_where_the_constant_is_openmms(bundle):
    system = to_openmm(bundle)
    force = system.getForces()[-1]
    charges = [force.getParticleParameters(atom)[0]._value for atom in range(6)]
    assert charges == bundle.parameters("electrostatics")[:, 0].tolist()


def test_masses_are_kept(bundle):
    masses = np.linspace(1, 12, 6)
    system = to_openmm(replace(bundle, masses=masses))
    assert [system.getParticleMass(atom)._value for atom in range(6)] == masses.tolist()


def test_masses_that_are_not_stated_are_those_of_the_elements(bundle):
    numbers = np.array([0, 1, 6, 7, 8, 17], dtype=np.int32)
    system = to_openmm(replace(bundle, atomic_numbers=numbers))
    masses = [system.getParticleMass(atom)._value for atom in range(6)]
    np.testing.assert_allclose(masses, [0, 1.008, 12.011, 14.007, 15.999, 35.45], atol=0.005)


class TestConstraints:
    pairs, lengths = np.array([[0, 1], [3, 2]], dtype=np.int32), np.array([0.11, 0.12])

    def constrained(self, bundle, **parts):
        return replace(bundle, constraints=fb.Constraints(self.pairs, self.lengths), **parts)

    def test_by_option(self, bundle, x):
        assert to_openmm(self.constrained(bundle)).getNumConstraints() == 0
        system = to_openmm(self.constrained(bundle), constraints=True)
        found = [system.getConstraintParameters(row) for row in range(2)]
        assert [(i, j, length._value) for i, j, length in found] == [(0, 1, 0.11), (3, 2, 0.12)]
        np.testing.assert_array_equal(Reference(system)(x)[1], Reference(to_openmm(bundle))(x)[1])

    def test_a_massless_particle_is_refused(self, bundle):
        masses = np.array([1, 1, 1, 0, 1, 1.0])
        with pytest.raises(fb.errors.UnsupportedError, match=r"constraints/pairs/1: atoms \[3, 2\].*no mass"):
            to_openmm(self.constrained(bundle, masses=masses), constraints=True)


def test_virtual_sites_are_placed_as_the_standard_says():
    """Hydrogen peroxide with a virtual site, of the vectors of the standard."""
    bundle = separate(vector())[0]
    term, (geometry,) = bundle.term("lone_pairs"), bundle.parameters("lone_pairs")
    site, *parents = term.indices[0]
    origin, along, other = (np.array(term.settings[f"{name}_weights"]) for name in ("origin", "x", "y"))
    x = np.random.default_rng(3).normal(size=(bundle.n_atoms, 3))
    context = Reference(to_openmm(bundle)).context
    context.setPositions(x)
    context.computeVirtualSites()
    placed = context.getState(positions=True).getPositions(asNumpy=True)._value
    origin, along, other = (weights @ x[parents] for weights in (origin, along, other))
    ez = np.cross(along, other) / np.linalg.norm(np.cross(along, other))
    ex = along / np.linalg.norm(along)
    frame = np.stack([ex, np.cross(ez, ex), ez])
    np.testing.assert_allclose(placed[site], origin + geometry @ frame, atol=1e-14)


def test_a_virtual_site_with_a_mass_is_refused():
    bundle = separate(vector())[0]
    with pytest.raises(fb.errors.UnsupportedError, match="virtual site 4 has the mass 1 Da"):
        to_openmm(replace(bundle, masses=np.ones(bundle.n_atoms)))


def test_present_values_are_exported_from_any_framework(bundle, x):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    on_torch = bundle.to("torch")
    values = on_torch.tables["coulomb"].values.clone().requires_grad_()
    tracked = on_torch.replace_table("coulomb", values)
    assert isinstance(tracked.tables["coulomb"].values, torch.Tensor)
    assert Reference(to_openmm(tracked))(x)[0] == Reference(to_openmm(bundle))(x)[0]


def test_systems_of_a_batch_are_exported_one_by_one():
    whole, x = random_bundle(np.random.default_rng(11)), zigzag(np.random.default_rng(12))
    expected = fb.potential(whole, "numpy")(x)
    for each, part, energy in zip(separate(whole), (x[:6], x[6:]), expected, strict=True):
        assert Reference(to_openmm(each))(part)[0] == pytest.approx(energy, rel=1e-13)


class TestRefusals:
    def test_several_systems(self):
        with pytest.raises(fb.errors.UnsupportedError, match=r"2 systems.*fb\.separate\(bundle\)"):
            to_openmm(random_bundle(np.random.default_rng(11)))

    def test_an_invalid_bundle(self, bundle):
        with pytest.raises(fb.errors.ValidationError, match="I-3"):
            to_openmm(replace(bundle, bonds=np.array([[0, 99]], dtype=np.int32)))

    def test_a_form_without_a_force(self, bundle, monkeypatch):
        from ffbridge.exporters.openmm.bonded import BONDED_FORCES

        monkeypatch.delitem(BONDED_FORCES, "harmonic_angle")
        with pytest.raises(
            fb.errors.UnsupportedError, match="terms/angles: the form 'harmonic_angle' has no exact OpenMM"
        ):
            to_openmm(bundle)

    def test_more_terms_than_force_groups(self, bundle):
        bond = bundle.terms["bonds"]
        terms = {f"bonds{number}": bond for number in range(33)}
        many = replace(bundle, terms=terms, tables={"harmonic_bond": bundle.tables["harmonic_bond"]})
        with pytest.raises(fb.errors.UnsupportedError, match="33 terms, and OpenMM has 32 force groups"):
            to_openmm(many)

    def test_without_openmm(self, bundle, monkeypatch):
        monkeypatch.setitem(sys.modules, "openmm", None)
        with pytest.raises(fb.errors.MissingDependencyError, match=r"pip install \"ffbridge\[openmm\]\""):
            to_openmm(bundle)


def test_terms_over_some_atoms_leave_the_others_alone():
    """Two Lennard-Jones terms and a Coulomb term over different atoms: a force for each."""
    atoms = np.arange(6)[:, None]
    no_cutoff = {"method": "no_cutoff"}
    lj = {**no_cutoff, "mixing_rule": "lorentz_berthelot"}
    rng = np.random.default_rng(4)
    bundle = fb.Bundle(
        system_offsets=np.array([0, 6], dtype=np.int32),
        atomic_numbers=np.full(6, 6, dtype=np.int32),
        terms={
            "first": term("lennard_jones", atoms[:3], table_name="first", **lj),
            "second": term("lennard_jones", atoms[4:1:-1], table_name="second", **lj),
            "charges": term("coulomb", atoms[1:], table_name="charges", coulomb_constant=100.0, **no_cutoff),
        },
        tables={
            "first": table("lennard_jones", rng.uniform(0.1, 0.3, size=(3, 2))),
            "second": table("lennard_jones", rng.uniform(0.1, 0.3, size=(3, 2))),
            "charges": table("coulomb", rng.normal(size=(5, 1))),
        },
        exceptions=fb.Exceptions(np.array([[1, 2], [2, 3], [0, 5]], dtype=np.int32), *rng.uniform(size=(2, 3))),
    )
    x = zigzag(rng)[:6]
    system = to_openmm(bundle)
    assert [force.getName() for force in system.getForces()] == ["first", "second", "charges"]
    expected = fb.potential(bundle, "numpy")
    for group, energy in enumerate(expected.by_term(x).values()):
        assert Reference(system)(x, 1 << group)[0] == pytest.approx(energy[0], rel=1e-13)
    assert relative(Reference(system)(x)[1], expected.value_and_grad(x).forces) <= 1e-13
