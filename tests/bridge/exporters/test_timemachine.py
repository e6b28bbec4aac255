"""timemachine's parameters and objects: against its own figures, its formulas, and itself where it is installed."""

from __future__ import annotations

from dataclasses import replace
from math import erfc

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.registry import get_engine
from tests.bridge import timemachine_data as data
from tests.bridge.timemachine_data import MOLECULES, relative

PROGRAM_COLUMNS = {"HarmonicBond": "bond", "HarmonicAngle": "angle", "Nonbonded": "nonbonded_pairs"}


@pytest.fixture(scope="module")
def program():
    """The program, or a skip."""
    try:
        return get_engine("timemachine").framework
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def awkward():
    """Ethanol-sized chains with what tells conventions apart, and their positions.

    Phases that are not 0 or π, charge and Lennard-Jones fractions that differ, an atom without attraction, exceptions
    and pairs beyond the cutoff, two rows for one torsion, and a Coulomb constant that is not timemachine's.
    """
    rng = np.random.default_rng(4)
    n = 8
    atoms = np.arange(n, dtype=np.int32)
    torsions = np.array([[0, 1, 2, 3], [0, 1, 2, 3], [2, 3, 4, 5], [3, 1, 5, 0]], dtype=np.int32)
    epsilon = rng.uniform(0.2, 0.8, size=n)
    epsilon[2] = 0
    tables = {
        "bonds": data.table("harmonic_bond", rng.uniform((1e4, 0.1), (2e5, 0.3), size=(2, 2))),
        "angles": data.table("harmonic_angle", rng.uniform((100, 1.5), (900, 2.2), size=(n - 2, 2))),
        "torsions": data.table("periodic_torsion", [[3, 0.7, 1], [-2, -1.9, 3], [4, 2.2, 2], [1.5, 0.4, 2]]),
        "vdw": data.table("lennard_jones", np.column_stack([rng.uniform(0.2, 0.3, size=n), epsilon])),
        "electrostatics": data.table("coulomb", rng.normal(scale=0.4, size=(n, 1))),
    }
    select = fb.Select(rng.integers(0, 2, size=n - 1).astype(np.int32))
    terms = {
        "bonds": fb.Term("harmonic_bond", np.stack([atoms[:-1], atoms[1:]], axis=1), "bonds", select),
        "angles": fb.Term("harmonic_angle", np.stack([atoms[:-2], atoms[1:-1], atoms[2:]], 1), "angles", fb.Identity()),
        "torsions": fb.Term("periodic_torsion", torsions, "torsions", fb.Identity()),
        "vdw": fb.Term("lennard_jones", atoms[:, None], "vdw", fb.Identity(), data.VDW | {"cutoff": 1.3}),
        "electrostatics": fb.Term(
            "coulomb", atoms[:, None], "electrostatics", fb.Identity(), data.COULOMB | {"coulomb_constant": 140.0}
        ),
    }
    bundle = fb.Bundle(
        system_offsets=np.array([0, n], dtype=np.int32),
        atomic_numbers=np.full(n, 6, dtype=np.int32),
        tables=tables,
        terms=terms,
        exceptions=fb.Exceptions(
            np.array([[0, 1], [0, 3], [0, 6], [1, 2], [1, 7], [2, 5]], dtype=np.int32),
            np.array([0, 0.8333, 0.6, 0, 0.7, 0]),
            np.array([0, 0.5, 0.3, 0, 0.4, 0.9]),
        ),
    )
    x = np.column_stack([0.27 * np.arange(n), 0.1 * (np.arange(n) % 2), 0.03 * np.arange(n) ** 1.5])
    return bundle, x + rng.normal(scale=0.02, size=(3, n, 3))


def dihedral(a, b, c, d):
    """As ``signed_torsion_angle`` of its ``potentials/bonded.py``."""
    rij, rkj, rkl = b - a, b - c, d - c
    n1, n2 = np.cross(rij, rkj), np.cross(rkj, rkl)
    return np.arctan2(np.cross(n1, n2) @ (rkj / np.linalg.norm(rkj)), n1 @ n2)


def pair_energy(r, p, q, beta, cutoff):
    """Electrostatics and Lennard-Jones of two atoms, as in its ``potentials/nonbonded.py``."""
    switch = np.cos(np.pi * (r / 1.2) ** 8 / 2) ** 3 if r < 1.2 else 0
    sixth = ((p[1] + q[1]) / r) ** 6
    within = r < cutoff
    return np.array([p[0] * q[0] * erfc(beta * r) / r * switch, 4 * p[2] * q[2] * (sixth**2 - sixth)]) * within


def by_its_formulas(potential, x):
    """The energy of one of its potentials, written from its source with loops."""
    given, params = potential.arguments, potential.params
    if potential.kind == "HarmonicBond":
        rows = zip(given["idxs"], params, strict=True)
        return sum(k / 2 * (np.linalg.norm(x[i] - x[j]) - r0) ** 2 for (i, j), (k, r0) in rows)
    if potential.kind == "HarmonicAngle":
        energy = 0.0
        for (i, j, k), (force, angle, epsilon) in zip(given["idxs"], params, strict=True):
            u, v = np.append(x[i] - x[j], epsilon), np.append(x[k] - x[j], epsilon)
            cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
            energy += force / 2 * (np.arccos(cosine) - angle) ** 2
        return energy
    if potential.kind == "PeriodicTorsion":
        rows = zip(given["idxs"], params, strict=True)
        return sum(k * (1 + np.cos(n * dihedral(*x[idxs]) - phase)) for idxs, (k, phase, n) in rows)
    if potential.kind == "Nonbonded":
        removed = {
            tuple(pair): part
            for pair, part in zip(given["exclusion_idxs"].tolist(), given["scale_factors"], strict=True)
        }
        pairs = {(i, j): 1 - removed.get((i, j), np.zeros(2)) for i in range(len(x)) for j in range(i + 1, len(x))}
    else:
        pairs = {tuple(pair): part for pair, part in zip(given["idxs"].tolist(), given["rescale_mask"], strict=True)}
    return sum(
        part @ pair_energy(np.linalg.norm(x[i] - x[j]), params[i], params[j], given["beta"], given["cutoff"])
        for (i, j), part in pairs.items()
    )


@pytest.mark.parametrize("name", MOLECULES)
def test_parameters_are_those_of_its_figures(name):
    figures = data.load(name)
    found = fb.timemachine_parameters(data.bundle(figures))
    kinds = [each.kind for each in found]
    assert kinds == [
        "HarmonicBond",
        "HarmonicAngle",
        "PeriodicTorsion",
        "PeriodicTorsion",
        "Nonbonded",
        "NonbondedPairList",
    ]
    assert [each.terms for each in found[:4]] == [("bonds",), ("angles",), ("proper_torsions",), ("improper_torsions",)]
    for each in (*found[:2], *found[4:]):
        expected = figures[f"timemachine/{PROGRAM_COLUMNS.get(each.kind, 'nonbonded_pairs')}/params"]
        np.testing.assert_allclose(each.params, expected, rtol=1e-15)
        assert each.terms == ("vdw", "electrostatics") or each in found[:2]
    torsions, expected = np.concatenate([each.params for each in found[2:4]]), figures["timemachine/torsion/params"]
    np.testing.assert_array_equal(torsions[:, [0, 2]], expected[:, [0, 2]])
    np.testing.assert_allclose(np.cos(torsions[:, 1] - expected[:, 1]), 1)
    for each, source in zip(found, ("Bonds", "Angles", "ProperTorsions", "ImproperTorsions"), strict=False):
        np.testing.assert_array_equal(each.arguments["idxs"], figures[f"{source}/idx"])


@pytest.mark.parametrize("name", MOLECULES)
def test_fractions_are_removed_in_one_potential_and_kept_in_the_other(name):
    figures = data.load(name)
    *_, all_pairs, some_pairs = fb.timemachine_parameters(data.bundle(figures))
    np.testing.assert_array_equal(all_pairs.arguments["scale_factors"], 1)
    kept = dict(zip(map(tuple, figures["pairs/idx"].tolist()), figures["pairs/kept_charge_lj"].tolist(), strict=True))
    scaled = {pair: fractions for pair, fractions in kept.items() if fractions != [1, 1]}
    pairs, masks = some_pairs.arguments["idxs"].tolist(), some_pairs.arguments["rescale_mask"].tolist()
    assert dict(zip(map(tuple, pairs), masks, strict=True)) == scaled
    n_atoms = all_pairs.arguments["num_atoms"]
    excluded = set(map(tuple, all_pairs.arguments["exclusion_idxs"].tolist()))
    everything = {(i, j) for i in range(n_atoms) for j in range(i + 1, n_atoms)}
    assert excluded == everything - {pair for pair in kept if pair not in scaled}


def test_its_formulas_give_the_energies_of_the_bundle(awkward):
    """Each term by itself, so that a wrong sign or fraction cannot hide."""
    bundle, x = awkward
    found = fb.timemachine_parameters(bundle)
    terms = fb.potential(bundle, engine="numpy").by_term(x)
    for potential in found[:3]:
        expected = terms[potential.terms[0]][:, 0]
        np.testing.assert_allclose([by_its_formulas(potential, each) for each in x], expected, rtol=1e-12)
    nonbonded = [sum(by_its_formulas(potential, each) for potential in found[3:]) for each in x]
    np.testing.assert_allclose(nonbonded, (terms["vdw"] + terms["electrostatics"])[:, 0], rtol=1e-12)


def test_a_phase_changes_its_sign(awkward):
    bundle, _ = awkward
    torsions = next(each for each in fb.timemachine_parameters(bundle) if each.kind == "PeriodicTorsion")
    np.testing.assert_array_equal(torsions.params, bundle.tables["torsions"].values * [1, -1, 1])


def test_one_nonbonded_form_alone(awkward):
    bundle, x = awkward
    for name, column in (("vdw", 0), ("electrostatics", slice(1, 3))):
        alone = replace(bundle, terms={name: bundle.terms[name]}, tables={name: bundle.tables[name]})
        found = fb.timemachine_parameters(alone)
        np.testing.assert_array_equal(found[0].params[:, column], 0)
        energy = sum(by_its_formulas(potential, x[0]) for potential in found)
        assert energy == pytest.approx(fb.potential(alone, engine="numpy")(x[0])[0], rel=1e-12)


def test_atoms_that_take_no_part_have_no_parameters(awkward):
    bundle, x = awkward
    term = bundle.terms["electrostatics"]
    some = replace(term, indices=term.indices[[5, 0, 3]], mapping=fb.Select(np.array([2, 0, 1], dtype=np.int32)))
    bundle = replace(bundle, terms={**bundle.terms, "electrostatics": some}, exceptions=None)
    *_, potential = fb.timemachine_parameters(bundle)
    assert potential.kind == "Nonbonded"
    assert potential.arguments["exclusion_idxs"].shape == potential.arguments["scale_factors"].shape == (0, 2)
    charges = bundle.tables["electrostatics"].values[:, 0] * np.sqrt(140.0)
    np.testing.assert_allclose(potential.params[:, 0], [charges[0], 0, 0, charges[1], 0, charges[2], 0, 0])
    terms = fb.potential(bundle, engine="numpy").by_term(x[0])
    assert by_its_formulas(potential, x[0]) == pytest.approx((terms["vdw"] + terms["electrostatics"])[0], rel=1e-12)


def test_bundles_without_terms_or_nonbonded_terms(awkward):
    bundle, _ = awkward
    assert fb.timemachine_parameters(replace(bundle, terms={}, tables={})) == ()
    alone = replace(bundle, terms={"bonds": bundle.terms["bonds"]}, tables={"bonds": bundle.tables["bonds"]})
    assert [each.kind for each in fb.timemachine_parameters(alone)] == ["HarmonicBond"]


TRICLINIC = np.array([[[9.0, 0, 0], [1.0, 9, 0], [0, 0, 9]]])
NO_CUTOFF = {"method": "no_cutoff", "cutoff": None, "beta": None, "periodic": None}
REFUSED = {
    "method": ("electrostatics", NO_CUTOFF, "method: 'no_cutoff'"),
    "cutoff": ("electrostatics", {"cutoff": 1.0}, "cutoff: 1.0; timemachine evaluates 1.2"),
    "switch": ("vdw", {"switch_distance": 1.0}, "switch_distance: 1.0; timemachine evaluates none"),
    "mixing": ("vdw", {"mixing_rule": "geometric"}, "mixing_rule: 'geometric'"),
    "dispersion": ("vdw", {"dispersion_correction": True}, "dispersion_correction: True"),
    "short": ("vdw", {"cutoff": 1.0}, "cutoff: 1.0; timemachine has one cutoff"),
    "periodic": ("electrostatics", {"periodic": True}, "periodic: differs from that of 'vdw'"),
}


def with_settings(bundle, changes):
    def changed(settings, change):
        return {key: value for key, value in {**settings, **change}.items() if value is not None}

    terms = {
        name: replace(term, settings=changed(term.settings, changes[name])) if name in changes else term
        for name, term in bundle.terms.items()
    }
    return replace(bundle, terms=terms)


@pytest.mark.parametrize("case", REFUSED)
def test_what_timemachine_does_not_evaluate_is_refused_by_name(awkward, case):
    term, change, message = REFUSED[case]
    bundle = replace(awkward[0], box=np.eye(3)[None] * 9.0)
    with pytest.raises(UnsupportedError, match=f"terms/{term}/settings/{message}"):
        fb.timemachine_parameters(with_settings(bundle, {term: change}))


def test_boxes_that_are_not_orthorhombic_are_refused(awkward):
    bundle = with_settings(awkward[0], {"vdw": {"periodic": True}, "electrostatics": {"periodic": True}})
    assert len(fb.timemachine_parameters(replace(bundle, box=np.eye(3)[None] * 9.0))) == 5
    with pytest.raises(UnsupportedError, match="orthorhombic"):
        fb.timemachine_parameters(replace(bundle, box=TRICLINIC))


def test_several_systems_and_several_terms_of_one_form_are_refused(awkward):
    bundle, _ = awkward
    with pytest.raises(UnsupportedError, match="2 systems, .* engine='timemachine'"):
        fb.timemachine_parameters(fb.concatenate([bundle, bundle]))
    twice = replace(bundle, terms={**bundle.terms, "more": bundle.terms["vdw"]})
    with pytest.raises(UnsupportedError, match="terms/more: a second term of the form 'lennard_jones' beside 'vdw'"):
        fb.timemachine_parameters(twice)


def test_the_program_is_asked_for_by_name_where_it_is_missing(awkward):
    try:
        get_engine("timemachine")
    except MissingDependencyError:
        with pytest.raises(MissingDependencyError, match="timemachine.* is not installed. Install it: "):
            fb.to_timemachine(awkward[0])
    else:
        pytest.skip("timemachine is installed")


@pytest.mark.parametrize("box", [None, 9.0])
def test_its_own_objects_give_energies_and_derivatives_of_the_bundle(program, awkward, box):
    bundle, x = awkward
    expected = fb.potential(bundle, engine="jax", host="numpy").value_and_grad(x)
    if box is not None:
        bundle = with_settings(bundle, {"vdw": {"periodic": True}, "electrostatics": {"periodic": True}})
        bundle = replace(bundle, box=np.eye(3)[None] * box)
    bound = fb.to_timemachine(bundle)
    assert {type(each).__module__ for each in bound} == {"timemachine.potentials.potential"}

    def energy(x):
        return sum(each(x, None if box is None else bundle.box[0]) for each in bound)

    with jax.enable_x64(True):
        energies, gradients = zip(*(jax.value_and_grad(energy)(jax.numpy.asarray(each)) for each in x), strict=True)
        assert relative(energies, expected.energy[:, 0]) < 1e-12
        assert relative(gradients, -expected.forces) < 1e-12


@pytest.mark.parametrize("name", MOLECULES)
def test_its_own_objects_give_its_figures(program, name):
    figures = data.load(name)
    bound = fb.to_timemachine(data.bundle(figures))
    with jax.enable_x64(True):
        for position, x in enumerate(figures["positions"]):
            energy = sum(float(each(jax.numpy.asarray(x), None)) for each in bound)
            expected = sum(figures[f"timemachine/{kind}/u"][position] for kind in data.TERMS)
            assert energy == pytest.approx(expected, rel=1e-12)
