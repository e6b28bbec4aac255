"""The engine `openmm`: energies and forces of the array engines, in any host; parameters that change; refusals."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax
import numpy as np
import psutil
import pytest
import torch

import ffbridge as fb
from ffbridge.errors import BundleError, UnknownNameError, UnsupportedError
from tests.bridge import drugs
from tests.bridge.bundles import random_bundle, zigzag
from tests.bridge.samples import bundle as vector
from tests.spec.load import arrays_of, load, to_numpy

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")

TOLERANCE = 1e-9
TABLES = ("harmonic_bond", "harmonic_angle", "periodic_torsion", "lennard_jones", "coulomb")


@pytest.fixture
def bundle():
    return random_bundle(np.random.default_rng(11))


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12), 3)


@pytest.fixture
def U(bundle):
    return fb.potential(bundle, engine="openmm")


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def relative(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def changed(bundle, name, seed=3):
    """Other values of a table; integer columns stay."""
    values = bundle.tables[name].values.copy()
    stop = 2 if name == "periodic_torsion" else values.shape[1]
    values[:, :stop] *= np.random.default_rng(seed).uniform(0.9, 1.1, size=(len(values), stop))
    return values


@pytest.mark.parametrize("name", drugs.NAMES)
def test_drugs_have_the_energies_and_forces_of_the_numpy_engine(name):
    _, bundle, x = drugs.drug(name)
    found, expected = (fb.potential(bundle, engine=engine) for engine in ("openmm", "numpy"))
    terms = expected.by_term(x)
    assert found.by_term(x).keys() == terms.keys()
    for term, energy in found.by_term(x).items():
        np.testing.assert_allclose(energy, terms[term], rtol=TOLERANCE)
    np.testing.assert_allclose(found(x), expected(x), rtol=TOLERANCE)
    assert relative(found.value_and_grad(x).forces, expected.value_and_grad(x).forces) <= TOLERANCE


def test_a_ragged_batch_of_drugs():
    bundle, x = drugs.batch()
    assert bundle.n_systems == len(drugs.NAMES)
    assert x.shape[0] == 5
    found, expected = (fb.potential(bundle, engine=engine).value_and_grad(x) for engine in ("openmm", "numpy"))
    np.testing.assert_allclose(found.energy, expected.energy, rtol=TOLERANCE)
    assert relative(found.forces, expected.forces) <= TOLERANCE
    terms = fb.potential(bundle, engine="numpy").by_term(x)
    for term, energy in fb.potential(bundle, engine="openmm").by_term(x).items():
        np.testing.assert_allclose(energy, terms[term], rtol=TOLERANCE, atol=1e-12)


def test_shapes(U, x):
    assert U(x[0]).shape == (2,)
    assert U(x[:0]).shape == (0, 2)
    assert U(x[None]).shape == (1, 3, 2)
    assert U.value_and_grad(x[None]).forces.shape == (1, 3, 11, 3)
    np.testing.assert_array_equal(U(x[None])[0], U(x))


def test_periodic_methods_are_evaluated():
    """PME with a switched cutoff and the dispersion correction: forces are minus central differences of the energy."""
    _, bundle, x = drugs.water_box()
    with pytest.raises(UnsupportedError):
        fb.potential(bundle, engine="numpy")
    U = fb.potential(bundle, engine="openmm")
    direction = np.random.default_rng(2).normal(size=x.shape)
    # So small that no pair passes the cutoff, where sums to a tolerance jump.
    slope = (U(x + 1e-8 * direction) - U(x - 1e-8 * direction)) / 2e-8
    assert -np.sum(U.value_and_grad(x).forces * direction) == pytest.approx(slope[0], rel=1e-4)
    assert sum(energy[0] for energy in U.by_term(x).values()) == pytest.approx(U(x)[0], rel=1e-12)


def test_virtual_sites_are_placed_and_have_no_force():
    """Where the site is said to be does not matter; its parents have its force."""
    bundle = vector()
    U = fb.potential(bundle, engine="openmm")
    x = np.argwhere(np.ones((2, 2, 2))) * 0.3 + np.random.default_rng(2).normal(scale=0.01, size=(8, 3))
    site, parent, *_ = bundle.term("lone_pairs").indices[0]
    moved = x.copy()
    moved[site] = np.nan
    found, expected = U.value_and_grad(moved), U.value_and_grad(x)
    np.testing.assert_array_equal(found.energy, expected.energy)
    np.testing.assert_array_equal(found.forces, expected.forces)
    assert not found.forces[site].any()
    step = np.zeros((8, 3))
    step[parent, 1] = 1e-6
    slope = (U(x + step) - U(x - step))[0] / 2e-6
    assert -found.forces[parent, 1] == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("name", load("energy"))
def test_energy_vectors_of_the_standard(name):
    case = load("energy")[name]
    U = fb.potential(fb.Bundle.from_parts(case["document"], arrays_of(case)), engine="openmm")
    x = to_numpy(case["positions"])
    for found, wanted in (
        (U.value_and_grad(x).forces, case["forces"]),
        *((U.by_term(x)[term], energy) for term, energy in case.get("energies", {}).items()),
    ):
        expected = to_numpy(wanted)
        scale = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=case["tolerance"] * scale)


class TestTables:
    @pytest.mark.parametrize("name", TABLES)
    def test_new_values_are_used_and_old_ones_come_back(self, bundle, x, U, name):
        expected, before = fb.potential(bundle, engine="numpy"), U(x)
        given = {name: changed(bundle, name)}
        np.testing.assert_allclose(U(x, given), expected(x, given), rtol=1e-12)
        assert (U(x, given) != before).any()
        assert relative(U.value_and_grad(x, given).forces, expected.value_and_grad(x, given).forces) <= 1e-12
        np.testing.assert_array_equal(U(x), before)

    def test_periodicities(self, bundle, x, U):
        values = bundle.tables["periodic_torsion"].values.copy()
        values[:, 2] = values[::-1, 2] + 1
        expected = fb.potential(bundle, engine="numpy")
        given = {"periodic_torsion": values}
        np.testing.assert_allclose(U(x, given), expected(x, given), rtol=1e-12)

    def test_an_array_that_changes_in_place(self, bundle, x, U):
        values = changed(bundle, "coulomb")
        before = U(x, {"coulomb": values})
        values *= 1.1
        assert (U(x, {"coulomb": values}) != before).all()

    @pytest.mark.parametrize(("name", "column"), [("coulomb", 0), ("lennard_jones", 1)])
    def test_interactions_that_come_and_go(self, bundle, x, name, column):
        """OpenMM makes no room for exceptions that are zero as a Context is made."""
        values = bundle.tables[name].values.copy()
        values[:, column] = 0
        empty = bundle.replace_table(name, values)
        U, expected = (fb.potential(empty, engine=engine) for engine in ("openmm", "numpy"))
        own = {name: bundle.tables[name].values}
        for given in (None, own, {name: values}, own):
            np.testing.assert_allclose(U(x, given), expected(x, given), rtol=1e-12)

    def test_custom_forces(self, bundle, x):
        """Geometric mixing, and Coulomb with a plain cutoff."""
        terms = dict(bundle.terms)
        for name, settings in (
            ("vdw", {"mixing_rule": "geometric"}),
            ("electrostatics", {"method": "cutoff", "cutoff": 0.5, "periodic": False}),
        ):
            terms[name] = replace(terms[name], settings={**terms[name].settings, **settings})
        custom = replace(bundle, terms=terms)
        given = {name: changed(bundle, name) for name in ("lennard_jones", "coulomb")}
        U = fb.potential(custom, engine="openmm")
        before = U(x)
        fresh = custom
        for name, values in given.items():
            fresh = fresh.replace_table(name, values)
        np.testing.assert_allclose(U(x, given), fb.potential(fresh, engine="openmm")(x), rtol=1e-13)
        np.testing.assert_array_equal(U(x), before)

    def test_a_refused_table_leaves_nothing_behind(self, bundle, x, U):
        before = U(x)
        torsions = bundle.tables["periodic_torsion"].values.copy()
        torsions[0, 2] = 1.5
        given = {"harmonic_bond": changed(bundle, "harmonic_bond"), "periodic_torsion": torsions}
        with pytest.raises(BundleError, match=r"tables/periodic_torsion.*periodicity = 1\.5 for interaction 0"):
            U(x, given)
        np.testing.assert_array_equal(U(x), before)

    def test_values_below_the_minimum(self, bundle, x, U):
        values = bundle.tables["lennard_jones"].values.copy()
        values[:, 1] = -0.1
        with pytest.raises(BundleError, match="tables/lennard_jones.*epsilon = -0.1 for interaction 0.*at least 0"):
            U(x, {"lennard_jones": values})

    def test_nan(self, bundle, x, U):
        values = bundle.tables["coulomb"].values.copy()
        values[0] = np.nan
        with pytest.raises(BundleError, match="tables/coulomb: NaN or infinite"):
            U(x, {"coulomb": values})


class TestHosts:
    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("host", ["numpy", "torch", "jax"])
    def test_values_and_forces(self, bundle, x, host):
        U, expected = fb.potential(bundle, engine="openmm", host=host), fb.potential(bundle, engine="numpy")
        here = fb.to(x, host, copy=True)
        given = {"coulomb": changed(bundle, "coulomb")}
        there = {name: fb.to(table, host, copy=True) for name, table in given.items()}
        found = U.value_and_grad(here, there)
        assert fb.registry.backend_of(found.forces).name == host
        assert relative(found.forces, expected.value_and_grad(x, given).forces) <= 1e-12
        np.testing.assert_allclose(np.asarray(U(here, there)), expected(x, given), rtol=1e-12)

    @pytest.mark.parametrize("each_term", [False, True])
    def test_backward_through_positions_in_torch(self, bundle, x, each_term):
        """Tables are replaced, without gradients: those of positions don't need them."""
        given = {"coulomb": torch.tensor(changed(bundle, "coulomb"))}
        weights = torch.linspace(0.5, 2, 6, dtype=torch.float64).reshape(3, 2)

        def gradient(engine):
            leaf = torch.tensor(x, requires_grad=True)
            U = fb.potential(bundle, engine=engine, host="torch")
            energy = U.by_term(leaf, given)["vdw"] if each_term else U(leaf, given)
            (energy * weights).sum().backward()
            return leaf.grad

        assert relative(gradient("openmm"), gradient("torch")) <= 1e-12

    def test_gradcheck(self, bundle, x):
        U = fb.potential(bundle, engine="openmm", host="torch")
        assert torch.autograd.gradcheck(lambda x: U(x) / 1000, torch.tensor(x[0], requires_grad=True), rtol=1e-4)

    @pytest.mark.usefixtures("x64")
    def test_gradients_of_positions_in_jax(self, bundle, x):
        U = fb.potential(bundle, engine="openmm", host="jax")
        at, expected = jax.numpy.asarray(x), -fb.potential(bundle, engine="numpy").value_and_grad(x).forces
        for loss in (lambda x: U(x).sum(), jax.jit(lambda x: U(x).sum()), lambda x: jax.vmap(U)(x).sum()):
            assert relative(jax.grad(loss)(at), expected) <= 1e-12

    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("gradients", ["numpy", "torch", "jax"])
    @pytest.mark.parametrize("host", ["numpy", "torch", "jax"])
    def test_derivatives_to_tables_come_from_an_array_engine(self, bundle, x, host, gradients):
        U = fb.potential(bundle, engine="openmm", host=host, table_gradients=gradients)
        found, expected = U.value_and_grad(fb.to(x, host, copy=True)), fb.potential(bundle).value_and_grad(x)
        assert found.tables.keys() == expected.tables.keys()
        for name, gradient in expected.tables.items():
            assert relative(found.tables[name], gradient) <= 1e-12
        assert relative(found.forces, expected.forces) <= 1e-12

    def test_backward_through_tables_by_an_array_engine(self, bundle, x):
        def gradients(**options):
            leaves = [torch.tensor(array, requires_grad=True) for array in (x, changed(bundle, "coulomb"))]
            energy = fb.potential(bundle, host="torch", **options)(leaves[0], {"coulomb": leaves[1]})
            (energy**2).sum().backward()
            return [leaf.grad for leaf in leaves]

        found = gradients(engine="openmm", table_gradients="numpy")
        for one, other in zip(found, gradients(engine="torch"), strict=True):
            assert relative(one, other) <= 1e-11


class TestRefusals:
    MISSING = (
        r"dU/d tables\['coulomb'\]: the engine 'openmm' has energies and forces, and no derivatives.*table_gradients"
    )

    @pytest.mark.parametrize("host", ["numpy", "torch"])
    def test_reading_derivatives_to_tables(self, bundle, x, host):
        tables = fb.potential(bundle, engine="openmm", host=host).value_and_grad(fb.to(x, host, copy=True)).tables
        assert len(tables) == 5
        assert "coulomb" in tables
        with pytest.raises(UnsupportedError, match=self.MISSING):
            tables["coulomb"]
        with pytest.raises(UnsupportedError, match="dU/d tables: the engine 'openmm'"):
            dict(tables)
        with pytest.raises(UnknownNameError, match="no table 'charges'; it has: coulomb, harmonic_angle"):
            tables["charges"]
        assert repr(tables).startswith("MissingGradients(")

    def test_backward_through_tables_in_torch(self, bundle, x):
        charges = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
        energy = fb.potential(bundle, engine="openmm", host="torch")(torch.tensor(x), {"coulomb": charges})
        with pytest.raises(UnsupportedError, match=self.MISSING):
            energy.sum().backward()

    @pytest.mark.usefixtures("x64")
    def test_gradients_of_tables_in_jax(self, bundle, x):
        U, at = fb.potential(bundle, engine="openmm", host="jax"), jax.numpy.asarray(x)
        charges = jax.numpy.asarray(bundle.tables["coulomb"].values)
        with pytest.raises(UnsupportedError, match=self.MISSING):
            jax.grad(lambda charges: U(at, {"coulomb": charges}).sum())(charges)

    @pytest.mark.usefixtures("x64")
    def test_second_derivatives(self, bundle, x):
        U = fb.potential(bundle, engine="openmm", host="torch")
        leaf = torch.tensor(x, requires_grad=True)
        (gradient,) = torch.autograd.grad(U(leaf).sum(), leaf, create_graph=True)
        with pytest.raises(UnsupportedError, match="the engine 'openmm' has first derivatives.*second derivatives"):
            gradient.sum().backward()
        in_jax = fb.potential(bundle, engine="openmm", host="jax")
        with pytest.raises(UnsupportedError, match="the engine 'openmm' has first derivatives.*forward mode"):
            jax.hessian(lambda x: in_jax(x).sum())(jax.numpy.asarray(x[0]))

    def test_options(self, bundle):
        with pytest.raises(
            UnknownNameError, match="'openmm' has no option 'device'; it has: platform, properties, table_gradients"
        ):
            fb.potential(bundle, engine="openmm", device="cpu")
        with pytest.raises(UnknownNameError, match="the engine 'numpy' has no option 'platform'; it has: none"):
            fb.potential(bundle, engine="numpy", platform="CPU")
        with pytest.raises(UnknownNameError, match="OpenMM has no platform 'Abacus' here; it has: Reference"):
            fb.potential(bundle, engine="openmm", platform="Abacus")
        with pytest.raises(UnknownNameError, match="no engine is named 'abacus'"):
            fb.potential(bundle, engine="openmm", table_gradients="abacus")

    def test_a_term_that_openmm_does_not_have(self, bundle, monkeypatch):
        from ffbridge.exporters.openmm.bonded import BONDED_FORCES

        monkeypatch.delitem(BONDED_FORCES, "harmonic_bond")
        with pytest.raises(UnsupportedError, match="terms/bonds: the form 'harmonic_bond' has no exact OpenMM force"):
            fb.potential(bundle, engine="openmm")

    def test_nan_positions(self, bundle, x, U):
        x[1, 3] = np.nan
        with pytest.raises(BundleError, match=r"positions: NaN or infinite at index \(1, 3, 0\)"):
            U(x)


class TestDegenerateGeometries:
    """OpenMM divides by 0 there; the limits are those of the standard, as in the array engines."""

    def coincide(self, x):
        x[..., 5, :] = x[..., 0, :]
        return x

    def line(self, x):
        x[..., 1:] = 0
        return x

    def fold(self, x):
        x[..., 2, :] = x[..., 0, :]
        return x

    @pytest.mark.parametrize("move", ["coincide", "line", "fold"])
    def test_energies_and_forces(self, bundle, x, U, move):
        x = getattr(self, move)(x)
        expected = fb.potential(bundle, engine="numpy")
        # OpenMM's arccos has half of the digits near a straight angle.
        for name, energy in expected.by_term(x).items():
            np.testing.assert_allclose(U.by_term(x)[name], energy, rtol=1e-7, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(U(x), expected(x), rtol=1e-7)
        assert relative(U.value_and_grad(x).forces, expected.value_and_grad(x).forces) <= 1e-7

    def test_other_tables(self, bundle, x, U):
        x, given = self.coincide(x), {"lennard_jones": changed(bundle, "lennard_jones")}
        expected = fb.potential(bundle, engine="numpy").value_and_grad(x, given)
        assert relative(U.value_and_grad(x, given).forces, expected.forces) <= 1e-12

    def test_atoms_that_coincide_and_are_left_out_are_finite(self, bundle, x, U):
        x[..., 1, :] = x[..., 0, :]
        assert np.isfinite(U.by_term(x)["vdw"]).all()
        np.testing.assert_allclose(U(x), fb.potential(bundle, engine="numpy")(x), rtol=1e-12)

    def test_backward_in_torch(self, bundle, x):
        leaf = torch.tensor(self.coincide(x), requires_grad=True)
        fb.potential(bundle, engine="openmm", host="torch")(leaf).sum().backward()
        assert relative(-leaf.grad, fb.potential(bundle, engine="numpy").value_and_grad(x).forces) <= 1e-12


def test_another_platform(bundle, x):
    """The platform CPU computes nonbonded forces in single precision."""
    U = fb.potential(bundle, engine="openmm", platform="CPU", properties={"Threads": "1"})
    assert U.engine.platform == "CPU"
    error = relative(U.value_and_grad(x).forces, fb.potential(bundle).value_and_grad(x).forces)
    assert 1e-12 < error < 1e-5


def test_single_precision_is_computed_in_double_and_rounded(bundle, x):
    single = bundle.to("numpy", dtype="float32")
    found = fb.potential(single, engine="openmm").value_and_grad(x.astype(np.float32))
    assert found.energy.dtype == found.forces.dtype == np.float32
    double = fb.potential(single.to("numpy", dtype="float64"), engine="openmm")
    exact = double(x.astype(np.float32).astype(float))
    np.testing.assert_array_equal(found.energy, exact.astype(np.float32))


def test_systems_and_contexts_are_made_once(bundle, x, monkeypatch):
    made = []
    monkeypatch.setattr(openmm, "Context", lambda *arguments, real=openmm.Context: made.append(1) or real(*arguments))
    U = fb.potential(bundle, engine="openmm", host="torch")
    for scale in (1.0, 1.1, 1.2):
        leaf = torch.tensor(x, requires_grad=True)
        U(leaf, {"coulomb": scale * torch.tensor(bundle.tables["coulomb"].values)}).sum().backward()
        U.by_term(leaf)
        U.value_and_grad(leaf)
    assert len(made) == bundle.n_systems


def test_threads_get_their_own_parameters_and_positions(bundle, x, U):
    tables = [{"coulomb": changed(bundle, "coulomb", seed)} for seed in range(8)]
    expected = [fb.potential(bundle, engine="openmm")(x + 0.001 * seed**2, tables[seed]) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: U(x + 0.001 * (seed % 8) ** 2, tables[seed % 8]), range(160)))
    for seed, energy in enumerate(found):
        np.testing.assert_allclose(energy, expected[seed % 8], rtol=1e-13)


def test_a_thousand_calls_leave_memory_where_it_was(bundle, x, U):
    process = psutil.Process()
    tables = [{name: changed(bundle, name, seed) for name in TABLES} for seed in range(2)]

    def call(times):
        for number in range(times):
            U.value_and_grad(x, tables[number % 2])
        gc.collect()
        return process.memory_info().rss

    before = call(200)
    assert call(1000) - before < 2**20
