"""The forms beside those of `random_bundle`, together in one batch: engines agree, to second order, and with OpenMM."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
import torch

import ffbridge as fb
from ffbridge.forms import forms
from tests.bridge import drugs
from tests.bridge.bundles import random_bundle, table, term, zigzag
from tests.spec.load import arrays_of, load, to_numpy

ENGINES = ("numpy", "torch", "jax")
EXPONENTS = {"repulsion_exponent": 16.766, "attraction_exponent": 4.427}
SWITCHED = {"method": "cutoff", "cutoff": 0.9, "switch_distance": 0.6, "periodic": False}
PAIR_FORMS = {
    "lennard_jones": {"mixing_rule": "geometric"},
    "buckingham": {"mixing_rule": "buckingham"},
    "double_exponential": {"mixing_rule": "lorentz_berthelot", **EXPONENTS},
    "geometric": {"mixing_rule": "geometric", **EXPONENTS},
}
SIZES = {
    "lennard_jones": ((0.1, 0.1), (0.2, 0.9)),
    "buckingham": ((5e4, 25, 1e-3), (3e5, 36, 3e-3)),
    "double_exponential": ((0.15, 0.1), (0.3, 0.9)),
}
CLOSE = {"rtol": 0, "atol": 1e-12}


def other_forms(rng, **method):
    """Two systems of six and five atoms with exceptions that are left out and scaled, as in `random_bundle`."""
    base = random_bundle(rng)
    indices = {name: base.terms[name].indices for name in ("bonds", "angles", "torsions", "vdw")}
    outer = indices["angles"][:, [0, 2]]
    coefficients = rng.normal(scale=4, size=(2, 6))
    tables = {
        "morse": table("morse", rng.uniform((300, 15, 0.1), (500, 25, 0.2), size=(9, 3))),
        "urey_bradley": table("urey_bradley", rng.uniform((5e3, 0.2), (2e4, 0.3), size=(5, 2))),
        "ryckaert_bellemans": table("ryckaert_bellemans", coefficients),
    }
    shared = fb.Select(np.array([0, 1, 0, 1], dtype=np.int32))
    terms = {
        "bonds": term("morse", indices["bonds"]),
        "urey_bradleys": term("urey_bradley", outer),
        "torsions": term("ryckaert_bellemans", indices["torsions"], mapping=shared),
    }
    for name, settings in PAIR_FORMS.items():
        form = "double_exponential" if name == "geometric" else name
        tables[name] = table(form, rng.uniform(*SIZES[form], size=(4, len(SIZES[form][0]))))
        select = fb.Select(rng.integers(0, 4, size=11).astype(np.int32))
        terms[name] = term(form, indices["vdw"], mapping=select, table_name=name, **settings, **method)
    return replace(base, tables=tables, terms=terms)


def forms_of_several_coordinates(rng):
    """Couplings with torsions, impropers, maps, on the chains of `random_bundle`; the energy vectors have all forms."""
    base = random_bundle(rng)
    torsions = base.terms["torsions"].indices
    chains = np.array([[0, 1, 2, 3, 1, 2, 3, 4], [2, 3, 4, 5, 1, 2, 3, 4], [6, 7, 8, 9, 7, 8, 9, 10]], dtype=np.int32)
    rows = {
        "harmonic_improper": (torsions[:, [1, 0, 2, 3]], (50, -4), (500, 4)),
        "end_bond_torsion": (torsions[:, ::-1], (-100, -50, -20, 0.1), (100, 50, 20, 0.2)),
        "angle_angle_torsion": (torsions, (-60, 1.5, 1.5), (60, 2.2, 2.2)),
    }
    terms = {
        name: fb.TermArrays(name, rng.uniform(low, high, size=(len(atoms), len(low))), atoms)
        for name, (atoms, low, high) in rows.items()
    }
    maps = {"energy": rng.normal(scale=8, size=(2, 24, 24))}
    terms["cmap"] = fb.TermArrays("cmap", maps, chains, [1, 0, 1], {"size": 24})
    return fb.from_arrays(n_atoms=11, system_offsets=base.system_offsets, terms=terms)


@pytest.fixture(params=[{"method": "no_cutoff"}, SWITCHED, None], ids=["no_cutoff", "cutoff", "several coordinates"])
def batch(request):
    rng = np.random.default_rng(11)
    bundle = forms_of_several_coordinates(rng) if request.param is None else other_forms(rng, **request.param)
    return bundle, zigzag(rng, 3)


def scaled(array):
    return max(float(np.abs(array).max()), 1.0)


def test_engines_agree(batch):
    bundle, x = batch
    by_engine = {engine: fb.potential(bundle, engine=engine, host="numpy") for engine in ENGINES}
    terms = {engine: U.by_term(x) for engine, U in by_engine.items()}
    found = {engine: U.value_and_grad(x) for engine, U in by_engine.items()}
    for engine in ENGINES[1:]:
        for name, expected in terms["numpy"].items():
            np.testing.assert_allclose(terms[engine][name] / scaled(expected), expected / scaled(expected), **CLOSE)
        for one, expected in (
            (found[engine].forces, found["numpy"].forces),
            *((found[engine].tables[name], gradient) for name, gradient in found["numpy"].tables.items()),
        ):
            np.testing.assert_allclose(one / scaled(expected), expected / scaled(expected), **CLOSE)


def test_derivatives_equal_central_differences(batch):
    bundle, x = batch
    U, rng = fb.potential(bundle, engine="numpy"), np.random.default_rng(5)
    found = U.value_and_grad(x)
    direction = rng.normal(size=x.shape)
    slope = np.sum(U(x + 1e-6 * direction) - U(x - 1e-6 * direction)) / 2e-6
    assert -np.sum(found.forces * direction) == pytest.approx(slope, rel=1e-7)
    for name, gradient in found.tables.items():
        values = bundle.tables[name].values
        direction = values * rng.normal(size=values.shape)
        up, down = (np.sum(U(x, {name: values + sign * 1e-6 * direction})) for sign in (1, -1))
        assert np.sum(gradient * direction) == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-5), name


def test_second_derivatives_are_those_of_both_frameworks_and_of_differences(batch):
    """The gradient, with respect to positions and tables, of the forces along a direction."""
    bundle, x = batch
    direction = np.random.default_rng(6).normal(size=x.shape)
    names = list(bundle.tables)

    def by_torch():
        U = fb.potential(bundle, engine="torch")
        leaves = [torch.tensor(array, requires_grad=True) for array in (x, *(t.values for t in bundle.tables.values()))]
        energy = U(leaves[0], dict(zip(names, leaves[1:], strict=True))).sum()
        (gradient,) = torch.autograd.grad(energy, leaves[0], create_graph=True)
        return [found.numpy() for found in torch.autograd.grad((gradient * torch.tensor(direction)).sum(), leaves)]

    def by_jax():
        with jax.enable_x64(True):
            U = fb.potential(bundle, engine="jax")

            def along(x, tables):
                return (jax.grad(lambda x: U(x, tables).sum())(x) * direction).sum()

            tables = {name: jax.numpy.asarray(bundle.tables[name].values) for name in names}
            to_x, to_tables = jax.grad(along, argnums=(0, 1))(jax.numpy.asarray(x), tables)
            return [np.asarray(to_x), *(np.asarray(to_tables[name]) for name in names)]

    U, step = fb.potential(bundle, engine="numpy"), 1e-6
    up, down = (U.value_and_grad(x + sign * step * direction) for sign in (1, -1))
    differences = [-(up.forces - down.forces), *(up.tables[name] - down.tables[name] for name in names)]
    for torch_found, jax_found, difference in zip(by_torch(), by_jax(), differences, strict=True):
        np.testing.assert_allclose(torch_found / scaled(jax_found), jax_found / scaled(jax_found), **CLOSE)
        size = scaled(jax_found)
        np.testing.assert_allclose(jax_found / size, difference / (2 * step) / size, rtol=0, atol=1e-6)


def test_openmm_agrees(batch):
    """Its own HarmonicBondForce and RBTorsionForce, and its custom forces."""
    pytest.importorskip("openmm", reason="OpenMM is not installed")
    bundle, x = batch
    ours, theirs = (fb.potential(bundle, engine=engine, host="numpy") for engine in ("numpy", "openmm"))
    expected = theirs.by_term(x)
    for name, energy in ours.by_term(x).items():
        np.testing.assert_allclose(energy, expected[name], rtol=1e-11, atol=0, err_msg=name)
    forces = theirs.value_and_grad(x).forces
    np.testing.assert_allclose(ours.value_and_grad(x).forces, forces, rtol=0, atol=1e-11 * scaled(forces))
    changed = {name: values.values * 1.01 for name, values in bundle.tables.items()}
    np.testing.assert_allclose(ours(x, changed), theirs(x, changed), rtol=1e-11)


def test_second_derivatives_pass_the_check_of_torch():
    """Of a chain that every form of several coordinates is on, one row each, and a map of the least size."""
    rng = np.random.default_rng(12)
    chain, size = zigzag(rng)[:6], 4
    atoms = {2: [0, 1], 3: [0, 1, 2], 4: [0, 1, 2, 3]}
    terms = {
        name: fb.TermArrays(name, rng.uniform(0.5, 2, size=(1, len(declared.columns))), [atoms[declared.arity]])
        for name, declared in forms().items()
        if (len(declared.coordinates) > 1 or name.startswith(("quartic", "harmonic_improper")))
        and not declared.settings
    }
    assert len(terms) == 11
    grid = rng.normal(size=(1, size, size))
    terms["cmap"] = fb.TermArrays("cmap", {"energy": grid}, [[0, 1, 2, 3, 1, 2, 3, 4]], settings={"size": size})
    bundle = fb.from_arrays(n_atoms=6, terms=terms)
    U = fb.potential(bundle, engine="torch")

    def energy(x, *tables):
        return U(x, dict(zip(terms, tables, strict=True))).sum()

    inputs = [chain / 0.15, *(bundle.tables[name].values for name in terms)]
    leaves = [torch.tensor(array, requires_grad=True) for array in inputs]
    assert torch.autograd.gradcheck(energy, leaves)
    assert torch.autograd.gradgradcheck(energy, leaves)


@pytest.mark.parametrize("name", ["coincident_other_forms", "undirected_other_forms"])
def test_openmm_has_the_limits_of_the_standard(name):
    pytest.importorskip("openmm", reason="OpenMM is not installed")
    document = load("energy")[name]
    bundle, x = fb.Bundle.from_parts(document["document"], arrays_of(document)), to_numpy(document["positions"])
    energies = fb.potential(bundle, engine="openmm", host="numpy").by_term(x)
    for term_name in ("buckingham", "vdw", "urey_bradleys", "bonds"):
        if term_name in energies:
            np.testing.assert_allclose(energies[term_name], to_numpy(document["energies"][term_name]), rtol=1e-12)


def test_openmm_leaves_out_a_pair_of_coincident_atoms_that_has_nothing_kept():
    pytest.importorskip("openmm", reason="OpenMM is not installed")
    bundle, x = other_forms(np.random.default_rng(3), method="no_cutoff"), zigzag(np.random.default_rng(4))
    names = ("buckingham", "double_exponential")
    bundle = replace(bundle, terms={n: bundle.terms[n] for n in names}, tables={n: bundle.tables[n] for n in names})
    x[1] = x[0]  # the first exception, with kept_lj = 0
    ours, theirs = (fb.potential(bundle, engine=engine, host="numpy").by_term(x) for engine in ("numpy", "openmm"))
    for name in names:
        assert np.isfinite(ours[name]).all()
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-11)


@pytest.mark.parametrize("name", drugs.NAMES[:3])
def test_geometric_mixing_is_that_of_interchange(name):
    """The van der Waals forces of the System that Interchange makes: a custom force, and one for 1-4 pairs."""
    openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
    drug = drugs.drug(name)
    interchange = drug.interchange.model_copy(deep=True)
    vdw = interchange.collections["vdW"]
    interchange.collections["vdW"] = vdw.model_copy(update={"mixing_rule": "geometric"})
    system = interchange.to_openmm_system(combine_nonbonded_forces=False)
    for force in system.getForces():
        force.setForceGroup(int(force.getName().startswith("vdW")))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(1e-3), platform)
    bundle = fb.from_interchange(interchange)
    assert bundle.terms["vdw"].settings["mixing_rule"] == "geometric"
    only = replace(bundle, terms={"vdw": bundle.terms["vdw"]}, tables={"vdw": bundle.tables["vdw"]})
    found = fb.potential(only, engine="numpy").value_and_grad(drug.x)
    for energy, forces, x in zip(found.energy[:, 0], found.forces, drug.x, strict=True):
        context.setPositions(x)
        state = context.getState(energy=True, forces=True, groups={1})
        assert energy == pytest.approx(state.getPotentialEnergy()._value, rel=1e-11)
        expected = np.array(state.getForces(asNumpy=True)._value)
        np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-11 * scaled(expected))
