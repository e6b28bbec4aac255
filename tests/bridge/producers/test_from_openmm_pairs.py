"""Custom forces of pairs and of their exceptions: what `to_openmm` writes is read back, and what others write."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from tests.bridge.bundles import table, term

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402

N = 24
BOX = np.array([[1.6, 0, 0], [0.3, 1.5, 0], [-0.4, 0.5, 1.7]])
CUT = {"method": "cutoff", "cutoff": 0.7}
SWITCHED = {**CUT, "periodic": True, "switch_distance": 0.55}
EXPONENTS = {"repulsion_exponent": 16.766538967, "attraction_exponent": 4.4270817}
DOUBLE = {"mixing_rule": "lorentz_berthelot", **EXPONENTS}
TIMEMACHINE = {"method": "timemachine", "cutoff": 0.7, "beta": 2.0}

VALUES = {
    "lennard_jones": ((0.2, 0.1), (0.3, 0.9)),
    "double_exponential": ((0.25, 0.1), (0.35, 0.9)),
    "buckingham": ((2e4, 30.0, 1e-4), (9e4, 40.0, 9e-4)),
    "coulomb": ((-0.5,), (0.5,)),
}
TERMS = [
    ("double_exponential", {"method": "no_cutoff", **DOUBLE}),
    ("double_exponential", {"method": "no_cutoff", **DOUBLE, "mixing_rule": "geometric"}),
    ("double_exponential", {**CUT, "periodic": False, **DOUBLE}),
    ("double_exponential", {**SWITCHED, **DOUBLE}),
    ("buckingham", {"method": "no_cutoff", "mixing_rule": "buckingham"}),
    ("buckingham", {**SWITCHED, "mixing_rule": "buckingham"}),
    ("lennard_jones", {**SWITCHED, "mixing_rule": "geometric"}),
    ("coulomb", {**CUT, "periodic": False, "coulomb_constant": 120.0}),
    ("coulomb", {**SWITCHED, "coulomb_constant": 120.0}),
    ("coulomb", {**TIMEMACHINE, "periodic": False, "coulomb_constant": 120.0}),
    ("coulomb", {**TIMEMACHINE, "periodic": True, "coulomb_constant": 138.9}),
]


@pytest.fixture
def x():
    """On a grid with noise; moved by whole boxes, so that images matter."""
    rng = np.random.default_rng(5)
    grid = np.argwhere(np.ones((3, 3, 3)))[:N] / 3 + rng.uniform(-0.05, 0.05, size=(N, 3))
    return (grid + rng.integers(-1, 2, size=(N, 3))) @ BOX


def make(form, settings, *, overrides=False):
    """Atoms of four types, or all different; neighbors and distant atoms are exceptions, as they have no cutoff."""
    rng = np.random.default_rng(6)
    values = rng.uniform(*VALUES[form], size=(4 if overrides else N, len(VALUES[form][0])))
    if form in ("double_exponential", "buckingham") and not overrides:
        # Atoms without this interaction, by either of two columns.
        values[7], values[8, -1] = 0.0, 0.0
    name = "electrostatics" if form == "coulomb" else "vdw"
    whole = term(form, np.arange(N)[:, None], table_name=name, **settings)
    tables = {name: table(form, values)}
    if overrides:
        own = fb.Overrides("vdw_overrides", np.array([[0, 0], [1, 3]], dtype=np.int32))
        whole = replace(whole, mapping=fb.Select(np.arange(N, dtype=np.int32) % 4), overrides=own)
        tables["vdw_overrides"] = table(form, rng.uniform(*VALUES[form], size=(2, len(VALUES[form][0]))))
    pairs = np.array([[0, 1], [0, 2], [1, 5], [1, 7], [3, 22]], dtype=np.int32)
    return fb.Bundle(
        system_offsets=np.array([0, N], dtype=np.int32),
        atomic_numbers=np.full(N, 6, dtype=np.int32),
        terms={name: whole},
        tables=tables,
        exceptions=fb.Exceptions(pairs, np.array([0, 0.8, 0.5, 1, 1]), np.array([0, 0.5, 1, 1, 0.3])),
        box=BOX[None] if settings.get("periodic") else None,
    )


def assert_same(system, bundle, x):
    """OpenMM's energy and forces of a System are those of its bundle, and those of an array engine without a box."""
    energy, forces = Reference(system)(x)
    again, again_forces = Reference(fb.to_openmm(bundle))(x)
    assert again == pytest.approx(energy, rel=1e-12)
    assert relative(again_forces, forces) <= 1e-12
    if bundle.box is not None:
        return
    found = fb.potential(bundle, "numpy").value_and_grad(x)
    assert float(found.energy[0]) == pytest.approx(energy, rel=1e-10)
    assert relative(found.forces, forces) <= 1e-10


@pytest.mark.parametrize(
    ("form", "settings", "overrides"),
    # Charges have no overrides.
    [(*each, False) for each in TERMS] + [(*each, True) for each in TERMS if each[0] != "coulomb"],
)
def test_what_to_openmm_writes_is_read_back(x, form, settings, overrides):
    bundle = make(form, settings, overrides=overrides)
    system = fb.to_openmm(bundle)
    found = fb.from_openmm(system)
    (name, whole), (found_name, found_term) = *bundle.terms.items(), *found.terms.items()
    assert (found_name, found_term.form, found_term.settings) == (name, form, whole.settings)
    assert {tuple(force["terms"]) for force in found.provenance["forces"]} == {(name,)}
    np.testing.assert_allclose(found.parameters(name), bundle.parameters(name), rtol=1e-14)
    kept = "kept_charge" if form == "coulomb" else "kept_lj"
    assert found.exceptions.pairs.tolist() == bundle.exceptions.pairs.tolist()
    open_pair = 3 if form in ("double_exponential", "buckingham") and not overrides else None
    for pair, (one, other) in enumerate(
        zip(getattr(found.exceptions, kept), getattr(bundle.exceptions, kept), strict=True)
    ):
        # An atom without this interaction leaves the fraction open.
        assert pair == open_pair or one == pytest.approx(other, rel=1e-13)
    assert_same(system, found, x)


@pytest.mark.parametrize("names", [("double_exponential", "coulomb"), ("coulomb", "buckingham")])
def test_two_terms_each_have_their_exceptions(x, names):
    settings = dict(TERMS[3:6:2]) | {"coulomb": TERMS[-1][1]}
    one, other = (make(name, settings[name]) for name in names)
    bundle = replace(one, terms={**one.terms, **other.terms}, tables={**one.tables, **other.tables})
    system = fb.to_openmm(bundle)
    found = fb.from_openmm(system)
    assert list(found.terms) == list(bundle.terms)
    assert_same(system, found, x)


def test_two_equal_terms_each_have_their_exceptions(x):
    one = make(*TERMS[0])
    terms = {"vdw": one.terms["vdw"], "vdw_2": replace(one.terms["vdw"], table="vdw_2")}
    bundle = replace(one, terms=terms, tables={"vdw": one.tables["vdw"], "vdw_2": one.tables["vdw"]})
    system = fb.to_openmm(bundle)
    assert_same(system, fb.from_openmm(system), x)


def test_an_exception_without_energy_may_have_any_size(x):
    system = fb.to_openmm(make(*TERMS[0]))
    system.getForce(1).setBondParameters(0, 0, 2, [1.01, 0.0])
    bundle = fb.from_openmm(system)
    assert bundle.exceptions.kept_lj[1] == 0
    assert_same(system, bundle, x)


def test_exceptions_that_are_not_at_the_nearest_image_are_pairs_of_their_own(x):
    """In a periodic force the standard's exceptions are; its pairs of `lennard_jones_pair` never are."""
    system = fb.to_openmm(make(*TERMS[6]))
    system.getForce(1).setUsesPeriodicBoundaryConditions(False)
    bundle = fb.from_openmm(system)
    assert list(bundle.terms) == ["vdw", "vdw_pairs"]
    assert_same(system, bundle, x)


UNITS = {"1": 1.0, "2^(1/6)": 2 ** (1 / 6), "2": 2.0}
GLOBAL = (
    "scale*sqrt(depth1*depth2)*(b*exp(a*(1-d))-a*exp(b*(1-d)))/(a-b); d=r/(unit*(size1+size2)/2); unit={unit}",
    {"b": 4.25, "scale": 0.5, "a": 12.1596},
)


def global_force(unit, n_atoms=N):
    text, defaults = GLOBAL
    force = openmm.CustomNonbondedForce(text.format(unit=unit))
    for name, default in defaults.items():
        force.addGlobalParameter(name, default)
    force.addPerParticleParameter("depth")
    force.addPerParticleParameter("size")
    for depth, size in np.random.default_rng(2).uniform((0.1, 0.2), (0.9, 0.3), size=(n_atoms, 2)).tolist():
        force.addParticle([depth, size / UNITS[unit]])
    return force


def system_of(*forces):
    system = openmm.System()
    for _ in range(N):
        system.addParticle(1)
    for force in forces:
        system.addForce(force)
    return system


@pytest.mark.parametrize("unit", UNITS)
def test_global_parameters_are_taken_at_their_defaults(x, unit):
    system = system_of(global_force(unit))
    bundle = fb.from_openmm(system)
    settings = bundle.term("vdw").settings
    assert (settings["repulsion_exponent"], settings["attraction_exponent"]) == (12.1596, 4.25)
    assert bundle.provenance["conversions"][-1] == (
        "force 0 (CustomNonbondedForce) has global parameters, taken at their defaults: b = 4.25, scale = 0.5, "
        "a = 12.1596"
    )
    assert_same(system, bundle, x)


def test_other_values_of_global_parameters_are_other_energies(x):
    """The defaults, and nothing else, are what is read."""
    force = global_force("1")
    force.setGlobalParameterDefaultValue(1, 0.75)
    half, more = (fb.from_openmm(system_of(each)) for each in (global_force("1"), force))
    ratio = fb.potential(more, "numpy")(x)[0] / fb.potential(half, "numpy")(x)[0]
    assert float(ratio) == pytest.approx(1.5, rel=1e-12)


class TestRefusals:
    def changed(self, form, settings, change):
        system = fb.to_openmm(make(form, settings))
        change(system.getForce(1))
        return system

    @pytest.mark.parametrize(("form", "settings"), [TERMS[0], TERMS[4], TERMS[-1]])
    def test_exceptions_that_are_no_exclusions(self, form, settings):
        system = self.changed(form, settings, lambda bonds: bonds.setBondParameters(0, 9, 12, *bonds_values(bonds)))
        with pytest.raises(UnsupportedError, match=r"force 1 \(CustomBondForce '\w+'\): it has the energy of pairs of"):
            fb.from_openmm(system)
        with pytest.raises(UnsupportedError, match=r"and the pair \[9, 12\] is no exclusion of it; the standard has"):
            fb.from_openmm(system)

    def test_an_exception_that_is_there_twice(self):
        system = self.changed(*TERMS[0], lambda bonds: bonds.addBond(0, 2, *bonds_values(bonds)))
        with pytest.raises(UnsupportedError, match=r"the pair \[0, 2\] is no exclusion of it"):
            fb.from_openmm(system)

    @pytest.mark.parametrize(("form", "settings"), [TERMS[0], TERMS[4]])
    def test_exceptions_with_parameters_of_their_own(self, form, settings):
        system = self.changed(
            form, settings, lambda bonds: bonds.setBondParameters(0, 0, 2, [1.01, *bonds_values(bonds)[0][1:]])
        )
        with pytest.raises(
            UnsupportedError,
            match=r"the pair \[0, 2\] has no fraction of the mixed parameters; the standard has pairs with parameters",
        ):
            fb.from_openmm(system)

    @pytest.mark.parametrize("expression", ["a*exp(-b*r)-c/r^8", "step(0.7-r)*(a*exp(-b*r)-c/r^6)"])
    def test_exceptions_of_another_formula(self, expression):
        system = self.changed(*TERMS[4], lambda bonds: bonds.setEnergyFunction(expression))
        with pytest.raises(UnsupportedError, match=r"force 1 \(CustomBondForce 'vdw'\): its expression"):
            fb.from_openmm(system)

    def test_screened_exceptions_without_a_cutoff(self):
        def unend(bonds):
            bonds.setEnergyFunction(bonds.getEnergyFunction().replace("step(0.7-r)*", ""))

        with pytest.raises(UnsupportedError, match=r"force 1 .*its expression 'strength\*erfc\(2\.0\*r\).* is none of"):
            fb.from_openmm(self.changed(*TERMS[-2], unend))

    def test_a_method_with_another_cutoff_than_the_forces(self):
        def longer(force):
            force.setCutoffDistance(0.71)

        system = fb.to_openmm(make(*TERMS[-2]))
        longer(system.getForce(0))
        with pytest.raises(UnsupportedError, match=r"force 0 .*its expression 'strength\*erfc\(2\.0\*r\).* is none of"):
            fb.from_openmm(system)

    def test_global_parameters_of_bonds(self):
        force = openmm.CustomBondForce("scale*k*(r-l)^2")
        force.addGlobalParameter("scale", 1)
        force.addPerBondParameter("k")
        force.addPerBondParameter("l")
        with pytest.raises(UnsupportedError, match=r"it has global parameters \(scale\)"):
            fb.from_openmm(system_of(force))


def bonds_values(bonds):
    """The parameters of the first bond, as a list of one argument."""
    return [list(bonds.getBondParameters(0)[2])]
