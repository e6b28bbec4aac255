"""Custom forces of `from_openmm`: expressions that are forms of the standard, in whatever words, and others."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm import to_openmm
from ffbridge.producers.openmm import from_openmm

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402

X = np.array([[0.0, 0.0, 0.0], [0.13, 0.02, -0.01], [0.2, 0.15, 0.03], [0.31, 0.13, 0.17], [0.5, 0.2, 0.1]])

BONDED = [
    ("Bond", "k*(r-length)^2", ("length", "k"), (0.1, 300.0), "harmonic_bond"),
    ("Bond", "0.5*b*(r0-r)*(r0-r)", ("r0", "b"), (0.1, 300.0), "harmonic_bond"),
    ("Bond", "D*x^2; x=1-exp(-a*(r-r0))", ("r0", "D", "a"), (0.12, 300.0, 20.0), "morse"),
    ("Bond", "3*eps*((sigma/r)^12-(sigma/r)^6)", ("sigma", "eps"), (0.1, -0.3), "lennard_jones_pair"),
    ("Bond", "138.25*qq/r", ("qq",), (0.3,), "coulomb_pair"),
    ("Bond", "-q/r", ("q",), (0.3,), "coulomb_pair"),
    ("Bond", "a*(r-b)^4-c*(b-r)^3+d*(r-b)^2", ("a", "b", "c", "d"), (9e4, 0.1, -6e4, 900.0), "quartic_bond"),
    ("Angle", "2*(a*x+b*x*x+k4*x^3)*x; x=theta-t", ("a", "b", "t", "k4"), (40.0, 3.0, 1.9, -2.0), "quartic_angle"),
    ("Angle", "(k/2)*dtheta^2; dtheta=theta-theta0", ("theta0", "k"), (1.9, 300.0), "harmonic_angle"),
    ("Torsion", "k*(1+cos(n*theta-phase))", ("n", "k", "phase"), (3.0, 5.0, 0.4), "periodic_torsion"),
    ("Torsion", "2*k*cos((n*theta-phase)/2)^2", ("n", "k", "phase"), (2.0, 5.0, 0.4), "periodic_torsion"),
    (
        "Torsion",
        "a0-a1*x+a2*x^2-a3*x^3+a4*x^4-a5*x^5; x=cos(theta)",
        ("a5", "a0", "a1", "a2", "a3", "a4"),
        (1.1, 2.0, -3.0, 0.5, 4.0, -0.7),
        "ryckaert_bellemans",
    ),
]


def system_of(*forces):
    system = openmm.System()
    for _ in range(len(X)):
        system.addParticle(1)
    for force in forces:
        system.addForce(force)
    return system


def bonded(kind, expression, names, values=None):
    force = getattr(openmm, f"Custom{kind}Force")(expression)
    for name in names:
        getattr(force, f"addPer{kind}Parameter")(name)
    n_atoms = {"Bond": 2, "Angle": 3, "Torsion": 4}[kind]
    for start in range(len(X) - n_atoms + 1) if values is not None else ():
        getattr(force, f"add{kind}")(*range(start, start + n_atoms), values)
    return force


def pairs(expression, names, rows, *, excluded=()):
    force = openmm.CustomNonbondedForce(expression)
    for name in names:
        force.addPerParticleParameter(name)
    for row in rows:
        force.addParticle(row)
    for pair in excluded:
        force.addExclusion(*pair)
    return force


def check(system, bundle):
    energy, forces = Reference(system)(X)
    again, again_forces = Reference(to_openmm(bundle))(X)
    found = fb.potential(bundle, "numpy").value_and_grad(X)
    for other, other_forces in ((again, again_forces), (found.energy[0], found.forces)):
        assert other == pytest.approx(energy, rel=1e-9)
        assert relative(other_forces, forces) <= 1e-9


@pytest.mark.parametrize(("kind", "expression", "names", "values", "form"), BONDED)
def test_expressions_of_bonded_forms(kind, expression, names, values, form):
    system = system_of(bonded(kind, expression, names, values))
    bundle = from_openmm(system)
    assert [term.form for term in bundle.terms.values()] == [form]
    check(system, bundle)


def test_factors_go_into_the_parameters():
    (table,) = from_openmm(system_of(bonded("Bond", "k*(r-l)^2", ("k", "l"), (300.0, 0.1)))).tables.values()
    assert table.values[0].tolist() == [600.0, 0.1]


def test_custom_forces_without_interactions_are_no_terms():
    assert not from_openmm(system_of(bonded("Bond", "k*(r-l)^2", ("k", "l")))).terms


@pytest.mark.parametrize(
    ("expression", "form", "settings"),
    [
        (
            "4*e*((s/r)^12-(s/r)^6); s=(sigma1+sigma2)/2; e=sqrt(eps1*eps2)",
            "lennard_jones",
            {"mixing_rule": "lorentz_berthelot"},
        ),
        (
            "4*sqrt(eps1*eps2)*x*(x-1); x=(sigma1*sigma2)^3/r^6",
            "lennard_jones",
            {"mixing_rule": "geometric"},
        ),
        (
            "6*e*((s/r)^12-(s/r)^6); s=0.5*(sigma1+sigma2); e=sqrt(eps1*eps2)",
            "lennard_jones",
            {"mixing_rule": "lorentz_berthelot"},
        ),
    ],
)
def test_expressions_of_lennard_jones(expression, form, settings):
    rows = np.random.default_rng(1).uniform(0.1, 0.4, (len(X), 2)).tolist()
    system = system_of(pairs(expression, ("eps", "sigma"), rows, excluded=[(1, 0), (2, 3)]))
    bundle = from_openmm(system)
    (term,) = bundle.terms.values()
    assert (term.form, term.settings) == (form, {"method": "no_cutoff"} | settings)
    assert bundle.exceptions.pairs.tolist() == [[0, 1], [2, 3]]
    check(system, bundle)


def test_expressions_of_coulomb_have_their_own_constant():
    rows = np.random.default_rng(1).uniform(-1, 1, (len(X), 1)).tolist()
    system = system_of(pairs("138.25*q1*q2/r", ("q",), rows))
    bundle = from_openmm(system)
    assert bundle.terms["electrostatics"].settings["coulomb_constant"] == pytest.approx(138.25, rel=1e-14)
    check(system, bundle)


def test_expressions_of_buckingham():
    energy = "sqrt(A1*A2)*exp(-b*r)-sqrt(C1*C2)/r^6; b=2/(1/B1+1/B2)"
    rows = np.random.default_rng(1).uniform((1e4, 20, 1e-4), (2e4, 30, 2e-4), (len(X), 3))[:, [2, 0, 1]].tolist()
    system = system_of(pairs(energy, ("C", "A", "B"), rows))
    bundle = from_openmm(system)
    assert bundle.terms["vdw"].form == "buckingham"
    check(system, bundle)


def test_a_switched_cutoff_is_kept():
    rows = np.random.default_rng(1).uniform(0.1, 0.4, (len(X), 2)).tolist()
    force = pairs("4*sqrt(e1*e2)*((s/r)^12-(s/r)^6); s=(s1+s2)/2", ("s", "e"), rows)
    force.setNonbondedMethod(force.CutoffNonPeriodic)
    force.setCutoffDistance(0.5)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(0.2)
    system = system_of(force)
    bundle = from_openmm(system)
    settings = {"method": "cutoff", "periodic": False, "cutoff": 0.5, "switch_distance": 0.2}
    assert bundle.terms["vdw"].settings == settings | {"mixing_rule": "lorentz_berthelot"}
    check(system, bundle)


def test_a_custom_force_takes_the_part_of_lennard_jones_beside_a_nonbonded_force():
    """As force fields with mixing rules of their own do: the NonbondedForce has the charges and no depths."""
    rng = np.random.default_rng(1)
    charges = openmm.NonbondedForce()
    for charge in rng.uniform(-1, 1, len(X)):
        charges.addParticle(charge, 1, 0)
    depths = pairs(
        "4*sqrt(e1*e2)*((s/r)^12-(s/r)^6); s=sqrt(s1*s2)",
        ("s", "e"),
        rng.uniform(0.1, 0.4, (len(X), 2)).tolist(),
        # One more than the charges' exceptions, which have no part in it.
        excluded=[(0, 1), (1, 2), (2, 3)],
    )
    charges.addException(0, 1, 0, 1, 0)
    charges.addException(1, 2, 0, 1, 0)
    system = system_of(charges, depths)
    bundle = from_openmm(system)
    assert sorted(bundle.terms) == ["electrostatics", "vdw"]
    assert bundle.terms["vdw"].settings["mixing_rule"] == "geometric"
    assert "force 0 (NonbondedForce) has no depth other than 0: no term" in bundle.provenance["conversions"]
    check(system, bundle)


REFUSED = [
    (lambda: bonded("Bond", "k*(r-l)^4", ("k", "l")), "is none of the standard's forms of this kind"),
    (lambda: bonded("Bond", "k*(r-0.1)^2", ("k",)), r"of the parameters k is none .*: harmonic_bond, morse, quartic_"),
    (lambda: bonded("Bond", "k*max(0, r-l)^2", ("k", "l")), r"has max\(\), and no form of the standard does"),
    (lambda: bonded("Bond", "step(r-l)*k*(r-l)^2", ("k", "l")), r"has step\(\)"),
    (lambda: bonded("Angle", "k*(cos(theta)-cos(t))^2", ("k", "t")), "harmonic_angle, quartic_angle$"),
    (lambda: bonded("Torsion", "k*(theta-t)^4", ("k", "t")), "periodic_torsion, ryckaert_bellemans$"),
    (lambda: bonded("Torsion", "k*(1-cos(n*theta-t))", ("k", "n", "t")), "is none of the standard's forms"),
    (lambda: pairs("s1*s2*e1*e2*exp(-r)", ("s", "e"), []), "lennard_jones, coulomb, buckingham, double_exponential$"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_other_expressions_are_refused(make, message):
    force = make()
    with pytest.raises(UnsupportedError, match=message) as error:
        from_openmm(system_of(force))
    assert f"force 0 ({type(force).__name__}): its expression {force.getEnergyFunction()!r}" in str(error.value)


def test_global_parameters_are_refused():
    force = bonded("Bond", "scale*k*(r-l)^2", ("k", "l"))
    force.addGlobalParameter("scale", 1)
    with pytest.raises(UnsupportedError, match=r"it has global parameters \(scale\)"):
        from_openmm(system_of(force))


LENNARD_JONES = "4*sqrt(e1*e2)*((s/r)^12-(s/r)^6); s=(s1+s2)/2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.addInteractionGroup([0], [1]), "interaction groups"),
        (lambda f: f.addComputedValue("c", "s"), "computed values"),
        (lambda f: f.addTabulatedFunction("t", openmm.Discrete1DFunction([1, 2])), "tabulated functions"),
        (
            lambda f: (f.setNonbondedMethod(f.CutoffPeriodic), f.setUseLongRangeCorrection(True)),
            "long range correction is integrated numerically",
        ),
    ],
)
def test_features_of_custom_nonbonded_forces_are_refused(change, message):
    force = pairs(LENNARD_JONES, ("s", "e"), [[0.1, 0.1]] * len(X))
    change(force)
    with pytest.raises(UnsupportedError, match=message):
        from_openmm(system_of(force))
