"""OpenMM's forces of several coordinates and harmonic impropers: into bundles and out again, and what is refused."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from ffbridge.producers.openmm import from_openmm

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative  # noqa: E402
from tests.spec.load import arrays_of, load, to_numpy  # noqa: E402

VECTORS = ("class_ii", "cmap", "harmonic_improper")
CHAIN = np.array([[0.0, 0, 0], [0.13, 0.02, -0.01], [0.2, 0.15, 0.03], [0.31, 0.13, 0.17], [0.5, 0.2, 0.1]])
TURNED = {
    "charmm": "k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0);pi = 3.141592653589793;",
    "amber": "k*min(dtheta, 2*3.141592653589793-dtheta)^2; dtheta = abs(theta-theta0)",
    "gromacs": (
        "0.5*k*(thetap-theta0)^2; thetap = step(-(theta-theta0+pi))*2*pi+theta+step(theta-theta0-pi)*(-2*pi); "
        "pi = 3.141592653589793"
    ),
}
PLAIN = "k*(theta-theta0)^2"
TRUNCATED = "k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0);pi = 3.141593;"


def bundle_of(name):
    vector = load("energy")[name]
    return fb.Bundle.from_parts(vector["document"], arrays_of(vector)), to_numpy(vector["positions"])


def system_of(force):
    system = openmm.System()
    for _ in range(len(CHAIN)):
        system.addParticle(1)
    system.addForce(force)
    return system


def impropers(expression, *angles):
    force = openmm.CustomTorsionForce(expression)
    force.addPerTorsionParameter("k")
    force.addPerTorsionParameter("theta0")
    for angle in angles:
        force.addTorsion(0, 1, 2, 3, [83.68, angle])
    return force


def compound(expression, n_atoms, names, rows):
    force = openmm.CustomCompoundBondForce(n_atoms, expression)
    for name in names:
        force.addPerBondParameter(name)
    for atoms, values in rows:
        force.addBond(atoms, values)
    return force


def check(system, x=CHAIN, tolerance=1e-11, **options):
    """The bundle of a System has its energy and forces in NumPy, and in OpenMM when it has gone back."""
    bundle = from_openmm(system, **options)
    energy, forces = Reference(system)(x)
    found = fb.potential(bundle, "numpy").value_and_grad(x)
    again = Reference(fb.to_openmm(bundle))(x)
    for other, other_forces in ((found.energy[0], found.forces), again):
        assert other == pytest.approx(energy, rel=tolerance)
        assert relative(other_forces, forces) <= tolerance
    return bundle


@pytest.mark.parametrize("name", VECTORS)
def test_openmm_has_the_energies_of_the_standard_and_gives_the_bundle_back(name):
    bundle, x = bundle_of(name)
    U, in_openmm = fb.potential(bundle, engine="numpy"), fb.potential(bundle, engine="openmm")
    expected, forces = U.by_term(x), U.value_and_grad(x).forces
    for term, energy in in_openmm.by_term(x).items():
        np.testing.assert_allclose(energy, expected[term], rtol=1e-12, err_msg=term)
    assert relative(in_openmm.value_and_grad(x).forces, forces) <= 1e-12
    changed = {table: values.values * 1.01 for table, values in bundle.tables.items()}
    np.testing.assert_allclose(in_openmm(x, changed), U(x, changed), rtol=1e-12)
    again = from_openmm(fb.to_openmm(bundle))
    assert [term.form for term in again.terms.values()] == [term.form for term in bundle.terms.values()]
    found = fb.potential(again, engine="numpy")
    np.testing.assert_allclose(found(x), U(x), rtol=1e-13)
    np.testing.assert_allclose(found.value_and_grad(x).forces, forces, rtol=0, atol=1e-13 * abs(forces).max())


def test_openmm_has_the_limits_of_the_standard():
    bundle, x = bundle_of("undirected_couplings")
    expected, found = (fb.potential(bundle, engine=engine).value_and_grad(x) for engine in ("numpy", "openmm"))
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=1e-10)


@pytest.mark.parametrize("merge", [False, True])
def test_maps_stand_once_each(merge):
    grids, random = {6: 3, 24: 1}, np.random.default_rng(2)
    force = openmm.CMAPTorsionForce()
    for size, count in grids.items():
        for _ in range(count):
            force.addMap(size, random.normal(scale=8, size=size**2).tolist())
    force.setMapParameters(1, *force.getMapParameters(0))
    for number in (3, 0, 1, 0):
        force.addTorsion(number, 0, 1, 2, 3, 1, 2, 3, 4)
    bundle = check(system_of(force), merge=merge)
    assert {name: term.settings["size"] for name, term in bundle.terms.items()} == {"cmap": 6, "cmap_2": 24}
    assert bundle.terms["cmap"].mapping.index.tolist() == ([0, 0, 0] if merge else [0, 1, 0])
    assert len(bundle.tables["cmap"]) == (1 if merge else 2)
    exported = fb.to_openmm(bundle).getForce(0)
    assert (exported.getNumMaps(), exported.getNumTorsions()) == (1 if merge else 2, 3)


def test_a_small_map_is_refused():
    force = openmm.CMAPTorsionForce()
    force.addMap(3, [0.0] * 9)
    force.addTorsion(0, 0, 1, 2, 3, 1, 2, 3, 4)
    with pytest.raises(
        UnsupportedError, match=r"force 0 \(CMAPTorsionForce\): map 0 has the size 3.* at least 4 points"
    ):
        from_openmm(system_of(force))


def test_a_periodic_map_is_refused():
    force = openmm.CMAPTorsionForce()
    force.setUsesPeriodicBoundaryConditions(True)
    with pytest.raises(UnsupportedError, match="it uses periodic boundary conditions"):
        from_openmm(system_of(force))


@pytest.mark.parametrize("program", TURNED)
@pytest.mark.parametrize("angle", [0.0, pi, -3.0, 2.5, 6.0])
def test_impropers_of_each_program_turn_the_difference(program, angle):
    x = np.stack([CHAIN, CHAIN * [1, 1, -1], CHAIN @ np.diag([1, -1, 1]) + [0, 0, 0.05]])
    for each in (*x, CHAIN[[1, 0, 2, 3, 4]]):
        bundle = check(system_of(impropers(TURNED[program], angle, 0.5)), each)
    factor = 1 if program == "gromacs" else 2
    assert bundle.tables["harmonic_impropers"].values.tolist() == [[factor * 83.68, angle], [factor * 83.68, 0.5]]


@pytest.mark.parametrize("expression", [PLAIN, TRUNCATED, "25*" + PLAIN])
def test_impropers_about_0_need_no_turn(expression):
    bundle = check(system_of(impropers(expression, 0.0, 0.0)))
    assert bundle.terms["harmonic_impropers"].form == "harmonic_improper"


@pytest.mark.parametrize("expression", [PLAIN, TRUNCATED])
def test_other_impropers_are_refused_where_the_difference_is_not_turned(expression):
    with pytest.raises(UnsupportedError) as error:
        from_openmm(system_of(impropers(expression, 0.0, pi)))
    message = str(error.value)
    assert "force 0 (CustomTorsionForce): its expression 'k*" in message
    assert "the torsion of atoms [0, 1, 2, 3] about 3.14159 rad is no harmonic improper" in message
    assert "write k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0); pi = 3.141592653589793" in message


def test_an_angle_beyond_what_an_expression_turns_is_refused():
    with pytest.raises(UnsupportedError, match="about 6.5 rad"):
        from_openmm(system_of(impropers(TURNED["charmm"], 6.5)))


def test_a_square_of_a_parameter_that_is_no_angle_is_refused():
    force = openmm.CustomTorsionForce("k*(theta-2)^2")
    force.addPerTorsionParameter("k")
    with pytest.raises(UnsupportedError, match="none of the standard's forms of this kind"):
        from_openmm(system_of(force))


def test_an_improper_with_global_parameters_is_refused():
    force = openmm.CustomTorsionForce(PLAIN)
    force.addPerTorsionParameter("k")
    force.addGlobalParameter("theta0", 0)
    with pytest.raises(UnsupportedError, match=r"global parameters \(theta0\)"):
        from_openmm(system_of(force))


COMPOUND = [
    # Atoms in another order, and parameters in another order than the form's.
    ("2*c*(angle(p3,p1,p2)-a)*(distance(p1,p3)-b)", 3, ("a", "b", "c"), (1.9, 0.15, 800.0), "bond_angle"),
    ("c*(x-a)*(y-b); x=distance(p1,p2); y=distance(p2,p3)", 3, ("a", "b", "c"), (0.1, 0.2, -90.0), "bond_bond"),
    (
        "(distance(p3,p4)-r0)*(a*cos(x)+b*(2*cos(x)^2-1)+c*cos(3*x)); x=dihedral(p4,p3,p2,p1)",
        4,
        ("r0", "a", "b", "c"),
        (0.12, 20.0, -7.0, 3.0),
        "end_bond_torsion",
    ),
    (
        "k*cos(dihedral(p1,p2,p3,p4))*(angle(p1,p2,p3)-a)*(b-angle(p2,p3,p4))",
        4,
        ("a", "b", "k"),
        (1.9, 2.0, 30.0),
        "angle_angle_torsion",
    ),
    ("k*(angle(p2,p1,p3)-a)*(angle(p2,p1,p4)-b)", 4, ("a", "b", "k"), (1.9, 2.0, 30.0), "angle_angle"),
    ("0.5*k*(angle(p1,p2,p3)-t)^2", 3, ("k", "t"), (300.0, 1.9), "harmonic_angle"),
]


@pytest.mark.parametrize(("expression", "n_atoms", "names", "values", "form"), COMPOUND)
def test_compound_forces_are_known_by_value(expression, n_atoms, names, values, form):
    """`check` tells whether atoms and parameters are in the form's order."""
    rows = [([4, 1, 2, 0][:n_atoms], values), ([0, 2, 3, 4][:n_atoms], [value * 1.1 for value in values])]
    (term,) = check(system_of(compound(expression, n_atoms, names, rows))).terms.values()
    assert (term.form, len(term)) == (form, 2)


def test_other_compound_forces_are_refused():
    force = compound("k*(distance(p1,p2)-a)*(distance(p2,p3)-a)", 3, ("k", "a"), [([0, 1, 2], (1, 1))])
    with pytest.raises(
        UnsupportedError, match=r"force 0 \(CustomCompoundBondForce\): .*: harmonic_angle, quartic_angle, bond_bond"
    ):
        from_openmm(system_of(force))
    force = compound("k*max(0, distance(p1,p2)-a)", 2, ("k", "a"), [([0, 1], (1, 1))])
    with pytest.raises(UnsupportedError, match=r"has max\(\)"):
        from_openmm(system_of(force))
