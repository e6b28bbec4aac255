"""Nonbonded forces of `from_openmm`: methods with all their settings, exceptions, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm import to_openmm
from ffbridge.producers.openmm import from_openmm

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402
from tests.bridge.producers.openmm_systems import check_array_engine, check_forces  # noqa: E402

N_ATOMS = 6
BOX = ([3, 0, 0], [0.4, 3.1, 0], [-0.5, 0.6, 3.2])


def nonbonded(method="NoCutoff"):
    """A force for atoms in a row; all pairs of neighbors are left out, all next ones keep a part."""
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(getattr(force, method))
    rng = np.random.default_rng(3)
    q, sigma, epsilon = rng.uniform(-0.5, 0.5, N_ATOMS), rng.uniform(0.2, 0.4, N_ATOMS), rng.uniform(0.1, 1, N_ATOMS)
    for row in zip(q, sigma, epsilon, strict=True):
        force.addParticle(*row)
    for i in range(N_ATOMS - 1):
        force.addException(i, i + 1, 0, 1, 0)
    for i in range(N_ATOMS - 2):
        depth = 0.5 * np.sqrt(epsilon[i] * epsilon[i + 2])
        # The higher atom first: OpenMM allows either order.
        force.addException(i + 2, i, q[i] * q[i + 2] / 1.2, (sigma[i] + sigma[i + 2]) / 2, depth)
    return force


def system_of(*forces, box=BOX):
    system = openmm.System()
    for _ in range(N_ATOMS):
        system.addParticle(1)
    system.setDefaultPeriodicBoxVectors(*box)
    for force in forces:
        system.addForce(force)
    return system


@pytest.fixture
def x():
    return np.cumsum(np.random.default_rng(4).uniform(0.05, 0.2, (N_ATOMS, 3)), axis=0)


def test_exceptions_become_fractions(x):
    system = system_of(nonbonded())
    bundle = from_openmm(system)
    found = bundle.exceptions
    kept = {tuple(pair): row for pair, *row in zip(found.pairs.tolist(), found.kept_charge, found.kept_lj, strict=True)}
    assert len(kept) == 9
    for (i, j), fractions in kept.items():
        assert i < j
        np.testing.assert_allclose(fractions, (0, 0) if j == i + 1 else (1 / 1.2, 0.5), rtol=1e-14)
    check_forces(system, bundle, x)


@pytest.mark.parametrize("dispersion", [False, True])
@pytest.mark.parametrize("switch", [False, True])
@pytest.mark.parametrize("method", ["CutoffNonPeriodic", "CutoffPeriodic", "PME"])
def test_settings_of_cutoffs(method, switch, dispersion, x):
    force = nonbonded(method)
    force.setCutoffDistance(0.6)
    force.setUseSwitchingFunction(switch)
    force.setSwitchingDistance(0.3)
    force.setUseDispersionCorrection(dispersion)
    force.setReactionFieldDielectric(33.0)
    force.setEwaldErrorTolerance(2e-4)
    system = system_of(force)
    bundle = from_openmm(system)
    check_forces(system, bundle, x)
    periodic = method != "CutoffNonPeriodic"
    expected = {"method": "cutoff", "mixing_rule": "lorentz_berthelot", "cutoff": 0.6, "periodic": periodic}
    expected |= {"switch_distance": 0.3} if switch else {}
    assert bundle.terms["vdw"].settings == expected | {"dispersion_correction": dispersion and periodic}
    coulomb = dict(bundle.terms["electrostatics"].settings)
    assert coulomb.pop("coulomb_constant") == pytest.approx(138.93545764438198, rel=1e-15)
    if method == "PME":
        assert coulomb == {"method": "pme", "cutoff": 0.6, "tolerance": 2e-4}
    else:
        field = {"method": "reaction_field", "cutoff": 0.6, "periodic": periodic, "dielectric": 33.0}
        assert coulomb == field
    assert (bundle.box is not None) == periodic


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("method", ["Ewald", "PME", "LJPME"])
def test_settings_of_lattice_sums(method, explicit, x):
    force = nonbonded(method)
    force.setCutoffDistance(0.7)
    force.setEwaldErrorTolerance(1e-3)
    if explicit:
        force.setPMEParameters(3.1, 24, 27, 30)
        force.setLJPMEParameters(2.9, 20, 21, 22)
    box = np.diag(np.diag(BOX)).tolist() if method == "Ewald" else BOX
    system = system_of(force, box=box)
    bundle = from_openmm(system)
    check_forces(system, bundle, x)
    np.testing.assert_array_equal(bundle.box[0], box)
    coulomb, vdw = bundle.terms["electrostatics"].settings, bundle.terms["vdw"].settings
    assert coulomb["method"] == ("ewald" if method == "Ewald" else "pme")
    assert coulomb.get("grid") == ([24, 27, 30] if explicit and method != "Ewald" else None)
    assert coulomb.get("beta") == (3.1 if explicit and method != "Ewald" else None)
    assert vdw.get("grid") == ([20, 21, 22] if explicit and method == "LJPME" else None)
    assert vdw["method"] == ("ljpme" if method == "LJPME" else "cutoff")


def test_exceptions_across_the_box_are_at_the_nearest_image(x):
    """Where the source has it so as well; see `provenance` for the rest."""
    force = nonbonded("CutoffPeriodic")
    force.setCutoffDistance(0.6)
    force.setExceptionsUsePeriodicBoundaryConditions(True)
    system = system_of(force)
    x[3:] -= BOX[2]
    check_forces(system, from_openmm(system), x)


def without(force, atom, *, charge):
    """Take the depth of an atom away, and its charge if asked, from its exceptions as well."""
    before, sigma, _ = force.getParticleParameters(atom)
    force.setParticleParameters(atom, 0 if charge else before, sigma, 0)
    for number in range(force.getNumExceptions()):
        i, j, product, width, depth = force.getExceptionParameters(number)
        if atom in (i, j):
            force.setExceptionParameters(number, i, j, 0 * product if charge else product, width, 0 * depth)


def test_open_fractions_are_those_of_most_pairs():
    force = nonbonded()
    without(force, 1, charge=False)
    without(force, 2, charge=True)
    bundle = from_openmm(system_of(force))
    found = bundle.exceptions
    kept = {tuple(pair): row for pair, *row in zip(found.pairs.tolist(), found.kept_charge, found.kept_lj, strict=True)}
    # Atom 2 has neither charge nor depth: nothing is known. Atom 1 has a charge: its pairs are like others that keep
    # the same part of theirs.
    assert kept[0, 2] == kept[2, 4] == [0, 0]
    assert kept[0, 1] == kept[4, 5] == [0, 0]
    np.testing.assert_allclose(kept[1, 3], (1 / 1.2, 0.5), rtol=1e-9)
    assert any("fractions of exceptions are open" in text for text in bundle.provenance["conversions"])


OWN = {
    "a charge product of atoms without charge": lambda f: f.setParticleParameters(0, 0, 0.3, 1),
    "another sigma, of fewer atoms": lambda f: f.setExceptionParameters(0, 0, 1, 0, 0.5, 2),
    "other sigmas, of the pairs of an atom": lambda f: f.setParticleParameters(0, 0.1, 0.9, 1),
    "a depth of atoms without one": lambda f: f.setParticleParameters(0, 0.1, f.getParticleParameters(0)[1], 0),
}
"""Exceptions that are no fractions of their pairs' energies."""


@pytest.mark.parametrize("method", ["NoCutoff", "CutoffNonPeriodic", "PME"])
@pytest.mark.parametrize("name", OWN)
def test_exceptions_with_parameters_of_their_own(name, method, x):
    force = nonbonded(method)
    force.setCutoffDistance(0.6)
    OWN[name](force)
    system = system_of(force)
    bundle = from_openmm(system)
    own = [bundle.terms[term] for term in ("vdw_pairs", "electrostatics_pairs") if term in bundle.terms]
    assert own
    kept = dict(zip(map(tuple, bundle.exceptions.pairs.tolist()), bundle.exceptions.kept_lj, strict=True))
    for term in own:
        fractions = kept if term.form == "lennard_jones_pair" else kept_charge(bundle)
        assert all(fractions[tuple(pair)] == 0 for pair in term.indices.tolist())
    check_forces(system, bundle, x)
    if method == "NoCutoff":
        check_array_engine(system, bundle, x)


def kept_charge(bundle):
    return dict(zip(map(tuple, bundle.exceptions.pairs.tolist()), bundle.exceptions.kept_charge, strict=True))


def test_they_are_exceptions_of_one_force_again_without_periodic_boundaries():
    """And read back, they are what they were; a periodic force has its exceptions at the nearest image."""
    force = nonbonded()
    OWN["other sigmas, of the pairs of an atom"](force)
    OWN["a charge product of atoms without charge"](force)
    system = system_of(force)
    bundle = from_openmm(system)
    again = to_openmm(bundle)
    assert [each.getName() for each in again.getForces()] == ["vdw + electrostatics + vdw_pairs + electrostatics_pairs"]
    np.testing.assert_allclose(sorted(exceptions(again.getForce(0))), sorted(exceptions(force)), rtol=1e-14)
    split = to_openmm(bundle, split_nonbonded=True)
    assert [type(each).__name__ for each in split.getForces()] == ["NonbondedForce"] * 2 + ["CustomBondForce"] * 2
    for other in (again, split):
        back = from_openmm(other)
        assert list(back.terms) == list(bundle.terms)
        for name in ("vdw_pairs", "electrostatics_pairs"):
            assert back.terms[name].settings == pytest.approx(bundle.terms[name].settings)
            np.testing.assert_array_equal(back.terms[name].indices, bundle.terms[name].indices)
            np.testing.assert_allclose(back.parameters(name), bundle.parameters(name), rtol=1e-14)
    periodic = nonbonded("CutoffPeriodic")
    OWN["other sigmas, of the pairs of an atom"](periodic)
    again = to_openmm(from_openmm(system_of(periodic)))
    assert [each.getName() for each in again.getForces()] == ["vdw + electrostatics", "vdw_pairs"]


def exceptions(force):
    rows = [force.getExceptionParameters(number) for number in range(force.getNumExceptions())]
    # Where a depth is 0, sigma does not matter.
    return [
        (*sorted((i, j)), charge._value, depth._value and sigma._value, depth._value)
        for i, j, charge, sigma, depth in rows
    ]


@pytest.mark.parametrize(
    ("pairs", "epsilon"),
    [([[4, 2]], 0.5), ([[0, 5]], 0.5), ([[1, 0], [0, 1]], 0.5), ([[1, 0]], -0.5)],
    ids=["not left out", "no exception", "twice", "a negative depth"],
)
def test_other_pairs_are_a_force_of_their_own(pairs, epsilon, x):
    """As exceptions they would take the place of what the pair keeps, or be refused by OpenMM."""
    system = system_of(nonbonded())
    bundle = from_openmm(system)
    added = fb.Term("lennard_jones_pair", np.array(pairs, dtype=np.int32), "added", fb.Identity())
    table = fb.Table(np.array([[0.3, epsilon]] * len(pairs)), ("sigma", "epsilon"), ("nm", "kJ/mol"))
    more = replace(bundle, terms={**bundle.terms, "added": added}, tables={**bundle.tables, "added": table})
    exported = to_openmm(more)
    assert [force.getName() for force in exported.getForces()] == ["vdw + electrostatics", "added"]
    found, forces = Reference(exported)(x)
    expected = fb.potential(more, "numpy").value_and_grad(x)
    assert found == pytest.approx(expected.energy[0], rel=1e-12)
    assert relative(forces, expected.forces) <= 1e-12
    assert found != pytest.approx(fb.potential(bundle, "numpy")(x)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.setIncludeDirectSpace(False), "leaves out the direct space"),
        (lambda f: (f.addGlobalParameter("g", 1), f.addParticleParameterOffset("g", 0, 1, 0, 0)), "parameter offsets"),
    ],
)
def test_what_the_standard_has_not_is_refused(change, message):
    force = nonbonded()
    change(force)
    with pytest.raises(UnsupportedError, match=rf"force 0 \(NonbondedForce\): .*{message}"):
        from_openmm(system_of(force))


def test_ljpme_with_a_switch_is_refused():
    force = nonbonded("LJPME")
    force.setUseSwitchingFunction(True)
    with pytest.raises(UnsupportedError, match="its method is LJPME and it has a switching function"):
        from_openmm(system_of(force))


def test_sigmas_of_few_digits_are_fractions_within_the_tolerance(x):
    force = nonbonded()
    i, j, product, sigma, depth = force.getExceptionParameters(5)
    force.setExceptionParameters(5, i, j, product, sigma * (1 + 1e-9), depth)
    system = system_of(force)
    exact, rounded = from_openmm(system), from_openmm(system, exception_tolerance=1e-8)
    assert exact.terms["vdw_pairs"].indices.tolist() == [[0, 2]]
    assert "vdw_pairs" not in rounded.terms
    assert any("1 exceptions have parameters of their own" in text for text in exact.provenance["conversions"])
    for bundle in (exact, rounded):
        check_forces(system, bundle, x)


def test_equal_rows_are_merged_on_request(x):
    force = nonbonded()
    first = force.getParticleParameters(5)
    force.setParticleParameters(0, *first)
    for number in range(force.getNumExceptions()):
        i, j, *_ = force.getExceptionParameters(number)
        force.setExceptionParameters(number, i, j, 0, 1, 0)
    system = system_of(force)
    whole, merged = from_openmm(system), from_openmm(system, merge=True)
    assert [len(whole.tables[name]) for name in ("vdw", "electrostatics")] == [6, 6]
    assert [len(merged.tables[name]) for name in ("vdw", "electrostatics")] == [5, 5]
    assert merged.terms["vdw"].mapping.index.tolist() == [0, 1, 2, 3, 4, 0]
    for name in whole.terms:
        np.testing.assert_array_equal(merged.parameters(name), whole.parameters(name))
    check_forces(system, merged, x)


def test_forces_that_keep_different_fractions_are_refused():
    other = nonbonded()
    i, j, *_ = other.getExceptionParameters(0)
    charges = [other.getParticleParameters(atom)[0]._value for atom in (i, j)]
    other.setExceptionParameters(0, i, j, 0.25 * charges[0] * charges[1], 1, 0)
    with pytest.raises(
        UnsupportedError, match=r"keeps 0\.25 of the pair \[0, 1\], and force 0 .* keeps 0; .*kept_charge"
    ):
        from_openmm(system_of(nonbonded(), other))
