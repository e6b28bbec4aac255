"""Custom nonbonded forces with tables of types: Lennard-Jones with pairs of types that are not mixed, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402
from tests.bridge.producers.openmm_systems import check_array_engine, check_forces  # noqa: E402

SIGMA, EPSILON = np.array([0.3, 0.25, 0.2, 0.0]), np.array([0.5, 0.4, 0.3, 0.0])
"""Of four types, the last without interactions; a fifth is of no atom."""
TYPES = [2, 0, 1, 0, 3, 2]
X = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 0.33, 0], [0.3, 0.3, 0.1], [0.1, 0.1, 0.4], [0.4, 0.1, 0.4]])

CHARMM = ("acoef(type1, type2)/r^12 - bcoef(type1, type2)/r^6;", 1)
ROOTS = ("(a/r6)^2-b/r6; r6=r^6; a=acoef(type1,type2); b=bcoef(type1,type2)", 2)


def coefficients(own=(), *, geometric=False, of_types=(SIGMA, EPSILON)):
    """A and B of each pair of types; `own` are pairs that are not mixed, with their sigma and epsilon."""
    sigma, epsilon = of_types
    sigma = np.sqrt(np.outer(sigma, sigma)) if geometric else (sigma[:, None] + sigma) / 2
    epsilon = np.sqrt(np.outer(epsilon, epsilon))
    for (first, second), (s, e) in dict(own).items():
        sigma[first, second] = sigma[second, first] = s
        epsilon[first, second] = epsilon[second, first] = e
    pad = ((0, 1), (0, 1))
    return [np.pad(4 * epsilon * sigma**power, pad, constant_values=7.0) for power in (12, 6)]


def force_of(a, b, expression=CHARMM, *, types=TYPES, name="acoef"):
    text, power = expression
    force = openmm.CustomNonbondedForce(text.replace("acoef", name))
    force.addPerParticleParameter("type")
    for function, table in ((name, a ** (1 / power)), ("bcoef", b)):
        force.addTabulatedFunction(function, openmm.Discrete2DFunction(*table.shape, table.T.reshape(-1).tolist()))
    for each in types:
        force.addParticle([each])
    force.addExclusion(3, 1)
    return force


def system_of(*forces):
    system = openmm.System()
    for _ in TYPES:
        system.addParticle(1)
    for force in forces:
        system.addForce(force)
    return system


OWN = {(0, 2): (0.31, 0.9), (0, 3): (0.2, 0.1)}


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("geometric", [False, True])
@pytest.mark.parametrize("expression", [CHARMM, ROOTS])
def test_types_share_parameters_and_pairs_that_are_not_mixed_are_overrides(expression, geometric, merge):
    system = system_of(force_of(*coefficients(OWN, geometric=geometric), expression))
    bundle = fb.from_openmm(system, merge=merge)
    term = bundle.terms["vdw"]
    assert term.settings["mixing_rule"] == ("geometric" if geometric else "lorentz_berthelot")
    assert term.mapping.index.tolist() == TYPES
    assert term.overrides.pairs.tolist() == [[0, 2], [0, 3]]
    np.testing.assert_allclose(bundle.tables["vdw_overrides"].values, list(OWN.values()), rtol=1e-13)
    check_forces(system, bundle, X)
    check_forces(system, bundle, X, split_nonbonded=True)
    check_array_engine(system, bundle, X)


def test_a_type_that_is_not_mixed_with_itself():
    """What the type has is its pair with itself, so that its pairs with others are overrides."""
    system = system_of(force_of(*coefficients({(1, 1): (0.27, 0.45)})))
    bundle = fb.from_openmm(system)
    assert bundle.terms["vdw"].overrides.pairs.tolist() == [[0, 1], [1, 2]]
    check_forces(system, bundle, X)
    check_array_engine(system, bundle, X)


@pytest.mark.parametrize("power", [6, 12])
def test_one_coefficient_that_differs_is_enough(power):
    sigma, epsilon = (SIGMA[0] + SIGMA[1]) / 2, np.sqrt(EPSILON[0] * EPSILON[1])
    system = system_of(force_of(*coefficients({(0, 1): (1.1 * sigma, epsilon / 1.1**power)})))
    bundle = fb.from_openmm(system)
    assert bundle.terms["vdw"].overrides.pairs.tolist() == [[0, 1]]
    check_forces(system, bundle, X)


def test_types_of_equal_parameters_are_not_merged_where_their_pairs_differ():
    of_types = SIGMA[[0, 1, 1, 3]], EPSILON[[0, 1, 1, 3]]
    system = system_of(force_of(*coefficients({(0, 2): (0.31, 0.9)}, of_types=of_types)))
    bundle = fb.from_openmm(system, merge=True)
    assert len(bundle.tables["vdw"]) == 4
    check_forces(system, bundle, X)
    mixed = fb.from_openmm(system_of(force_of(*coefficients(of_types=of_types))), merge=True)
    assert len(mixed.tables["vdw"]) == 3


def test_types_that_are_all_mixed_have_no_overrides():
    system = system_of(force_of(*coefficients()))
    bundle = fb.from_openmm(system)
    assert bundle.terms["vdw"].overrides is None
    assert list(bundle.tables) == ["vdw"]
    np.testing.assert_allclose(bundle.tables["vdw"].values, np.stack([SIGMA, EPSILON], axis=1), rtol=1e-14)
    assert [force.getName() for force in fb.to_openmm(bundle).getForces()] == ["vdw"]
    check_forces(system, bundle, X)


def test_what_to_openmm_makes_of_overrides_is_read_back():
    """Also where a force has more types than its particles, as those of one part of a System may be."""
    bundle = fb.from_openmm(system_of(force_of(*coefficients(OWN))))
    exported = fb.to_openmm(bundle)
    again = fb.from_openmm(exported)
    whole, found = (each.terms["vdw"] for each in (bundle, again))
    assert found.settings == whole.settings
    np.testing.assert_allclose(again.parameters("vdw"), bundle.parameters("vdw"), rtol=1e-15)
    np.testing.assert_array_equal(
        np.sort(again.tables["vdw_overrides"].values, axis=0), np.sort(bundle.tables["vdw_overrides"].values, axis=0)
    )
    energy, forces = Reference(exported)(X)
    (again_energy,), again_forces = fb.potential(again, "numpy").energy_and_forces(X)
    assert again_energy == pytest.approx(energy, rel=1e-13)
    assert relative(again_forces, forces) <= 1e-13
    force = exported.getForce(0)
    for atom in (1, 3):
        *values, _ = force.getParticleParameters(atom)
        force.setParticleParameters(atom, [*values, 0])
    check_forces(exported, fb.from_openmm(exported), X)


def test_factors_go_into_the_overrides_as_well():
    exported = fb.to_openmm(fb.from_openmm(system_of(force_of(*coefficients(OWN)))))
    force = exported.getForce(0)
    force.setEnergyFunction(force.getEnergyFunction().replace("4*epsilon", "6*epsilon"))
    bundle = fb.from_openmm(exported)
    check_forces(exported, bundle, X)
    check_array_engine(exported, bundle, X)


def not_symmetric():
    a, b = coefficients()
    a[0, 1] *= 2
    return force_of(a, b)


def repulsive():
    a, b = coefficients()
    b[1, 2] = b[2, 1] = 0
    return force_of(a, b)


def continuous():
    force = openmm.CustomNonbondedForce("table(r)*q1*q2")
    force.addPerParticleParameter("q")
    force.addTabulatedFunction("table", openmm.Continuous1DFunction([1, 2, 3], 0, 1))
    for _ in TYPES:
        force.addParticle([1])
    return force


REFUSED = [
    (not_symmetric, "a table of its types is not symmetric; pairs of the standard have no order"),
    (repulsive, r"its types 1 and 2 have A = [\d.e-]+ and B = 0; in Lennard-Jones both are positive, or both 0"),
    (continuous, r"its expression 'table\(r\)\*q1\*q2' uses tabulated functions, and is not A/r\^12 - B/r\^6"),
    (
        lambda: force_of(*coefficients(), ("acoef(type1,type2)/r^9-bcoef(type1,type2)/r^6", 1)),
        "its expression .* uses tabulated functions, and is not",
    ),
    (
        lambda: force_of(*coefficients(), types=[0, 1, 2, 3, 4, 5]),
        "a particle has the type 5, and its tables have 5 types",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_other_tables_are_refused(make, message):
    with pytest.raises(UnsupportedError, match=rf"force 0 \(CustomNonbondedForce\): {message}"):
        fb.from_openmm(system_of(make()))


def test_types_whose_particles_differ_are_refused():
    exported = fb.to_openmm(fb.from_openmm(system_of(force_of(*coefficients(OWN)))))
    force = exported.getForce(0)
    sigma, epsilon, kind = force.getParticleParameters(1)
    force.setParticleParameters(1, [1.1 * sigma, epsilon, kind])
    with pytest.raises(UnsupportedError, match="particles of one of its types have different parameters"):
        fb.from_openmm(exported)


def test_global_parameters_are_refused():
    force = force_of(*coefficients(), ("scale*(acoef(type1,type2)/r^12-bcoef(type1,type2)/r^6)", 1))
    force.addGlobalParameter("scale", 1)
    with pytest.raises(UnsupportedError, match=r"it has global parameters \(scale\)"):
        fb.from_openmm(system_of(force))


def test_a_long_range_correction_of_overrides_is_refused_on_the_way_out():
    bundle = fb.from_openmm(system_of(force_of(*coefficients(OWN))))
    settings = {"method": "cutoff", "cutoff": 0.5, "periodic": True, "dispersion_correction": True}
    whole = bundle.terms["vdw"]
    corrected = replace(
        bundle,
        terms={"vdw": replace(whole, settings={"mixing_rule": "lorentz_berthelot", **settings})},
        box=2 * np.eye(3)[None],
    )
    with pytest.raises(UnsupportedError, match="dispersion_correction: .* or overrides OpenMM integrates it numeric"):
        fb.to_openmm(corrected)


def test_tables_of_bonded_forces_are_refused():
    force = openmm.CustomCompoundBondForce(2, "table(distance(p1,p2))")
    force.addTabulatedFunction("table", openmm.Continuous1DFunction([1, 2, 3], 0, 1))
    force.addBond([0, 1])
    with pytest.raises(UnsupportedError, match="uses tabulated functions, and no form of the standard does"):
        fb.from_openmm(system_of(force))
