"""Nonbonded methods in OpenMM have the energies of the standard's formulas (spec/bundle.md, sections 5.3 and 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import erfc, pi

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.exporters.openmm import to_openmm
from tests.bridge.bundles import table, term

pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference

N = 24
BOX = np.array([[1.6, 0, 0], [0.3, 1.5, 0], [-0.4, 0.5, 1.7]])
CUTOFF, SWITCH, CONSTANT = 0.7, 0.55, 120.0


@pytest.fixture
def x():
    """On a grid with noise, so that no atoms are close; moved by whole boxes, so that images matter."""
    rng = np.random.default_rng(5)
    grid = np.argwhere(np.ones((3, 3, 3)))[:N] / 3 + rng.uniform(-0.05, 0.05, size=(N, 3))
    return (grid + rng.integers(-1, 2, size=(N, 3))) @ BOX


def make(lj=None, coulomb=None):
    rng = np.random.default_rng(6)
    atoms = np.arange(N)[:, None]
    terms, tables = {}, {}
    if lj is not None:
        terms["vdw"] = term("lennard_jones", atoms, **{"mixing_rule": "lorentz_berthelot", **lj})
        tables["lennard_jones"] = table("lennard_jones", rng.uniform((0.2, 0.1), (0.3, 0.9), size=(N, 2)))
    if coulomb is not None:
        terms["electrostatics"] = term("coulomb", atoms, coulomb_constant=CONSTANT, **coulomb)
        charges = rng.normal(scale=0.4, size=(N, 1))
        tables["coulomb"] = table("coulomb", charges - charges.mean())
    # Pairs of neighbors and of distant atoms: exceptions have no cutoff.
    pairs = np.array([[0, 1], [0, 2], [1, 5], [3, 22]], dtype=np.int32)
    return fb.Bundle(
        system_offsets=np.array([0, N], dtype=np.int32),
        atomic_numbers=np.full(N, 6, dtype=np.int32),
        terms=terms,
        tables=tables,
        exceptions=fb.Exceptions(pairs, np.array([0, 0.8, 0.5, 1]), np.array([0, 0.5, 1, 0.3])),
        box=BOX[None],
    )


@dataclass
class Sum:
    """Sums over pairs by the formulas of the standard, one pair at a time."""

    bundle: fb.Bundle
    x: np.ndarray

    def distance(self, i, j, periodic):
        between = self.x[i] - self.x[j]
        if periodic:
            for row in (2, 1, 0):
                between = between - BOX[row] * np.round(between[row] / BOX[row, row])
        return np.linalg.norm(between)

    def over_pairs(self, name, ordinary, excepted):
        """Sum `ordinary(r, u)` over pairs, and kept × `excepted(r, u)` over exceptions."""
        whole = self.bundle.terms[name]
        fractions = self.bundle.exceptions.kept_lj if name == "vdw" else self.bundle.exceptions.kept_charge
        kept = {tuple(pair): fraction for pair, fraction in zip(self.bundle.exceptions.pairs, fractions, strict=True)}
        p, total = self.bundle.parameters(name), 0.0
        for i, j in combinations(range(N), 2):
            r = self.distance(i, j, whole.settings.get("periodic", False))
            u = self.pair(whole, p[i], p[j])
            total += kept[i, j] * excepted(r, u) if (i, j) in kept else ordinary(r, u)
        return total

    def pair(self, whole, first, second):
        if whole.form == "coulomb":
            return lambda r: CONSTANT * first[0] * second[0] / r
        sigma = np.sqrt(first[0] * second[0])
        if whole.settings["mixing_rule"] == "lorentz_berthelot":
            sigma = (first[0] + second[0]) / 2
        epsilon = np.sqrt(first[1] * second[1])
        return lambda r: 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)


def switching(r):
    z = max((r - SWITCH) / (CUTOFF - SWITCH), 0)
    return 1 - 10 * z**3 + 15 * z**4 - 6 * z**5


def plain(r, u):
    return u(r)


def cut(r, u):
    return u(r) if r < CUTOFF else 0.0


def switched(r, u):
    return u(r) * switching(r) if r < CUTOFF else 0.0


def reaction_field(r, u):
    """78.3 is the dielectric; r u(r) is K q₁ q₂."""
    k, c = 77.3 / (157.6 * CUTOFF**3), 3 * 78.3 / (157.6 * CUTOFF)
    return r * u(r) * (1 / r + k * r**2 - c) if r < CUTOFF else 0.0


def timemachine(r, u):
    return u(r) * erfc(2.0 * r) * np.cos(pi / 2 * (r / CUTOFF) ** 8) ** 3 if r < CUTOFF else 0.0


RULES = ("lorentz_berthelot", "geometric")
CUT = {"method": "cutoff", "cutoff": CUTOFF}
LENNARD_JONES = [
    ({"method": "no_cutoff"}, plain),
    ({**CUT, "periodic": False}, cut),
    ({**CUT, "periodic": True}, cut),
    ({**CUT, "periodic": True, "switch_distance": SWITCH}, switched),
    ({**CUT, "periodic": False, "switch_distance": SWITCH, "dispersion_correction": True}, switched),
]
REACTION_FIELD = {"method": "reaction_field", "cutoff": CUTOFF, "dielectric": 78.3}
TIMEMACHINE = {"method": "timemachine", "cutoff": CUTOFF, "beta": 2.0}
COULOMB = [
    ({"method": "no_cutoff"}, plain, plain),
    ({**CUT, "periodic": False}, cut, plain),
    ({**CUT, "periodic": True, "switch_distance": SWITCH}, switched, plain),
    ({**REACTION_FIELD, "periodic": False}, reaction_field, plain),
    ({**REACTION_FIELD, "periodic": True}, reaction_field, plain),
    ({**TIMEMACHINE, "periodic": False}, timemachine, timemachine),
    ({**TIMEMACHINE, "periodic": True}, timemachine, timemachine),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("settings", "formula"), LENNARD_JONES)
def test_lennard_jones(x, settings, formula, rule):
    bundle = make({**settings, "mixing_rule": rule})
    expected = Sum(bundle, x).over_pairs("vdw", formula, plain)
    assert Reference(to_openmm(bundle))(x)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("settings", "formula", "excepted"), COULOMB)
def test_coulomb(x, settings, formula, excepted):
    bundle = make(None, settings)
    expected = Sum(bundle, x).over_pairs("electrostatics", formula, excepted)
    assert Reference(to_openmm(bundle))(x)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("coulomb", [settings for settings, *_ in COULOMB])
@pytest.mark.parametrize("lj", [settings for settings, _ in LENNARD_JONES])
def test_both_terms_have_the_sum_of_their_energies(x, lj, coulomb):
    """One force or two, as their methods allow; PME and the others are in the tests below."""
    both = Reference(to_openmm(make(lj, coulomb)))(x)
    apart = Reference(to_openmm(make(lj, coulomb), split_nonbonded=True))
    assert both[0] == pytest.approx(apart(x, 1)[0] + apart(x, 2)[0], rel=1e-12)
    np.testing.assert_allclose(both[1], apart(x, 1)[1] + apart(x, 2)[1], rtol=1e-9, atol=1e-9)
    bundle = make(lj, coulomb)
    alone = replace(
        bundle, terms={"vdw": bundle.terms["vdw"]}, tables={"lennard_jones": bundle.tables["lennard_jones"]}
    )
    assert apart(x, 1)[0] == pytest.approx(Reference(to_openmm(alone))(x)[0], rel=1e-14)


PME = {"method": "pme", "cutoff": CUTOFF, "tolerance": 1e-4}
EWALD = {"method": "ewald", "cutoff": CUTOFF, "tolerance": 1e-6}
LJPME = {"method": "ljpme", "cutoff": CUTOFF, "tolerance": 1e-6}
PERIODIC = {**CUT, "periodic": True}


@pytest.mark.parametrize(
    ("lj", "coulomb", "method"),
    [
        ({"method": "no_cutoff"}, {"method": "no_cutoff"}, "NoCutoff"),
        ({**CUT, "periodic": False}, {**REACTION_FIELD, "periodic": False}, "CutoffNonPeriodic"),
        (PERIODIC, {**REACTION_FIELD, "periodic": True}, "CutoffPeriodic"),
        (PERIODIC, PME, "PME"),
        ({**LJPME, "tolerance": 1e-4}, PME, "LJPME"),
    ],
)
def test_methods_that_openmm_has_for_both_are_one_force(lj, coulomb, method):
    system = to_openmm(make(lj, coulomb))
    assert system.getNumForces() == 1
    force = system.getForce(0)
    assert force.getNonbondedMethod() == getattr(force, method)
    assert to_openmm(make(lj, coulomb), split_nonbonded=True).getNumForces() == 2


@pytest.mark.parametrize(
    ("lj", "coulomb"),
    [
        ({"method": "no_cutoff"}, PME),
        ({**CUT, "periodic": False}, {"method": "no_cutoff"}),
        ({**CUT, "periodic": False}, {**REACTION_FIELD, "periodic": True}),
        ({**PERIODIC, "cutoff": 0.6}, PME),
        (LJPME, PME),
        (LJPME, {**PME, "tolerance": 1e-6, "cutoff": 0.65}),
    ],
)
def test_methods_that_openmm_does_not_have_for_both_are_two_forces(x, lj, coulomb):
    system = to_openmm(make(lj, coulomb))
    assert system.getNumForces() == 2
    separately = [Reference(to_openmm(make(*pair)))(x)[0] for pair in ((lj, None), (None, coulomb))]
    # Charges come after the Lennard-Jones parameters from the same generator.
    charges = make(lj, coulomb)
    only = replace(
        charges,
        terms={"electrostatics": charges.terms["electrostatics"]},
        tables={"coulomb": charges.tables["coulomb"]},
    )
    separately[1] = Reference(to_openmm(only))(x)[0]
    assert Reference(system)(x)[0] == pytest.approx(sum(separately), rel=1e-13)


def test_ewald_sums_and_a_cutoff_are_one_force(x):
    bundle = replace(make(PERIODIC, EWALD), box=1.7 * np.eye(3)[None])
    system = to_openmm(bundle)
    force = system.getForce(0)
    assert (system.getNumForces(), force.getNonbondedMethod()) == (1, force.Ewald)
    apart = Reference(to_openmm(bundle, split_nonbonded=True))
    assert Reference(system)(x)[0] == pytest.approx(apart(x, 1)[0] + apart(x, 2)[0], rel=1e-12)


def rock_salt():
    """Eight ions of charge ±1 at distances of 0.3 nm."""
    grid = np.argwhere(np.ones((2, 2, 2)))
    charges = np.where(grid.sum(axis=1) % 2, -1.0, 1.0)[:, None]
    return grid * 0.3, charges


@pytest.mark.parametrize("method", ["ewald", "pme"])
def test_lattice_sums_give_the_madelung_constant_of_rock_salt(method):
    x, charges = rock_salt()
    # Four cells along each axis, as the cutoff may be half of the box at most.
    cells = np.argwhere(np.ones((2, 2, 2))) * 0.6
    x, charges = (x[None] + cells[:, None]).reshape(-1, 3), np.tile(charges, (8, 1))
    settings = {"method": method, "cutoff": 0.59, "tolerance": 1e-6, "coulomb_constant": CONSTANT}
    bundle = fb.Bundle(
        system_offsets=np.array([0, 64], dtype=np.int32),
        atomic_numbers=np.full(64, 11, dtype=np.int32),
        terms={"electrostatics": term("coulomb", np.arange(64)[:, None], **settings)},
        tables={"coulomb": table("coulomb", charges)},
        box=1.2 * np.eye(3)[None],
    )
    energy, _ = Reference(to_openmm(bundle))(x)
    assert energy / 32 == pytest.approx(-1.747564594633 * CONSTANT / 0.3, rel=1e-5)


def test_exceptions_of_lattice_sums_take_the_place_of_the_nearest_image(x):
    whole = make(None, {**PME, "tolerance": 1e-7})
    without = replace(whole, exceptions=None)
    kept = whole.exceptions.kept_charge
    q = whole.parameters("electrostatics")[:, 0]
    pairs = whole.exceptions.pairs
    r = np.array([Sum(whole, x).distance(i, j, True) for i, j in pairs])
    missing = np.sum((1 - kept) * CONSTANT * np.prod(q[pairs], axis=1) / r)
    energy, expected = Reference(to_openmm(whole))(x)[0], Reference(to_openmm(without))(x)[0] - missing
    assert energy == pytest.approx(expected, rel=1e-7)


def test_ljpme_is_the_lattice_sum_of_lennard_jones(x):
    """Dispersion with geometric means over all images within 7 nm and the mean of those beyond; u(r) in its place below
    the cutoff, moved so that it meets the dispersion there, and in exceptions."""
    bundle = make(LJPME)
    p, kept = bundle.parameters("vdw"), bundle.exceptions.kept_lj
    strength = 4 * np.sqrt(np.outer(p[:, 1], p[:, 1])) * np.outer(p[:, 0], p[:, 0]) ** 3
    wrapped, reach, total = x @ np.linalg.inv(BOX) % 1.0 @ BOX, 7.0, 0.0
    for shift in (np.argwhere(np.ones((17, 17, 17))) - 8) @ BOX:
        r = np.linalg.norm(wrapped[:, None] - wrapped + shift, axis=2)
        near = (r > 0) & (r < reach)
        total -= 0.5 * np.sum(strength[near] / r[near] ** 6)
    total -= 0.5 * strength.sum() / np.linalg.det(BOX) * 4 * pi / (3 * reach**3)
    pairs = {tuple(pair): fraction for pair, fraction in zip(bundle.exceptions.pairs, kept, strict=True)}
    sums = Sum(bundle, x)
    for i, j in combinations(range(N), 2):
        r, u = sums.distance(i, j, True), sums.pair(bundle.terms["vdw"], p[i], p[j])
        if (i, j) in pairs:
            total += pairs[i, j] * u(r) + strength[i, j] / r**6
        elif r < CUTOFF:
            total += u(r) - u(CUTOFF) + strength[i, j] * (1 / r**6 - 1 / CUTOFF**6)
    assert Reference(to_openmm(bundle))(x)[0] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("switch", [{}, {"switch_distance": SWITCH}])
def test_the_dispersion_correction_is_that_of_the_standard(x, switch):
    settings = {**PERIODIC, **switch}
    corrected = make({**settings, "dispersion_correction": True})
    difference = Reference(to_openmm(corrected))(x)[0] - Reference(to_openmm(make(settings)))(x)[0]
    p = corrected.parameters("vdw")
    pair = Sum(corrected, x).pair
    # ∫ (1 - S) u r² dr by Simpson's rule below the cutoff, and in closed form beyond, where u is known.
    r = np.linspace(SWITCH, CUTOFF, 2001)
    weights = np.array([1, *([4, 2] * 999), 4, 1]) * (r[1] - r[0]) / 3
    inner = (1 - np.array([switching(each) for each in r])) * r**2 if switch else np.zeros(len(r))
    total = 0.0
    for i in range(N):
        for j in range(i, N):
            u = pair(corrected.terms["vdw"], p[i], p[j])
            sigma, epsilon = (p[i, 0] + p[j, 0]) / 2, np.sqrt(p[i, 1] * p[j, 1])
            tail = 4 * epsilon * (sigma**12 / (9 * CUTOFF**9) - sigma**6 / (3 * CUTOFF**3))
            total += np.sum(weights * inner * u(r)) + tail
    expected = 2 * pi * N**2 / np.prod(np.diagonal(BOX)) * total / (N * (N + 1) / 2)
    assert difference == pytest.approx(expected, rel=1e-9)


class TestNumericalChoices:
    """Splitting parameter and mesh of lattice sums, as a Context uses them."""

    def used(self, settings, lj=None):
        system = to_openmm(make(lj, settings))
        reference = Reference(system)
        force = system.getForce(0)
        read = force.getPMEParametersInContext if lj is None else force.getLJPMEParametersInContext
        return read(reference.context)

    def test_those_that_are_stated_are_used(self):
        beta, *grid = self.used({**PME, "beta": 3.25, "grid": [20, 24, 30]})
        assert (beta, grid) == (3.25, [20, 24, 30])

    def test_those_that_are_not_are_openmms(self):
        beta, *grid = self.used(PME)
        assert self.used({**PME, "beta": beta})[1:] == grid
        assert self.used({**PME, "grid": grid})[0] == pytest.approx(beta, rel=1e-14)

    def test_those_of_lennard_jones(self):
        both = {**LJPME, "tolerance": 1e-4, "beta": 3.5, "grid": [18, 20, 22]}
        assert self.used(PME, both) == [3.5, 18, 20, 22]
        beta, *grid = self.used(PME, {**LJPME, "tolerance": 1e-4})
        assert self.used(PME, {**LJPME, "tolerance": 1e-4, "beta": beta})[1:] == grid


class TestRefusals:
    def test_ewald_sums_in_a_box_that_is_not_rectangular(self):
        with pytest.raises(fb.errors.UnsupportedError, match="electrostatics/settings/method.*rectangular.*'pme'"):
            to_openmm(make(None, EWALD))

    def test_ljpme_with_geometric_mixing(self):
        with pytest.raises(fb.errors.UnsupportedError, match="terms/vdw/settings/mixing_rule.*ljpme.*'geometric'"):
            to_openmm(make({**LJPME, "mixing_rule": "geometric"}))

    def test_a_dispersion_correction_with_geometric_mixing(self):
        with pytest.raises(fb.errors.UnsupportedError, match="terms/vdw/settings/dispersion_correction.*numerically"):
            to_openmm(make({**PERIODIC, "dispersion_correction": True, "mixing_rule": "geometric"}))

    def test_a_dispersion_correction_over_some_atoms(self):
        bundle = make({**PERIODIC, "dispersion_correction": True})
        part = bundle.terms["vdw"]
        part = replace(part, indices=part.indices[1:], mapping=fb.Select(np.arange(1, N, dtype=np.int32)))
        with pytest.raises(fb.errors.UnsupportedError, match="the term has 23 of 24 atoms"):
            to_openmm(replace(bundle, terms={"vdw": part}))
