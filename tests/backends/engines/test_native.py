"""The engine `native`: figures of the NumPy engine and of OpenMM, in any host and shape; caches, threads, refusals."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

import ffbridge as fb
from ffbridge.errors import BundleError, MissingDependencyError, UnknownNameError, UnsupportedError
from ffbridge.registry import get_engine
from tests.bridge import drugs
from tests.bridge.bundles import random_bundle, zigzag
from tests.bridge.energy.test_other_forms import SWITCHED, forms_of_several_coordinates, other_forms
from tests.spec.load import arrays_of, load, to_numpy

pytest.importorskip("numba", reason="numba is not installed")

TOLERANCE = 1e-12
SCREENED = {"method": "timemachine", "cutoff": 0.8, "beta": 2.0, "periodic": False}


@pytest.fixture
def bundle():
    return random_bundle(np.random.default_rng(11))


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12), 5)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def relative(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    return np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0)


def assert_same(bundle, x, given=None, **options):
    """The energies of all terms, forces and derivatives to tables are those of the NumPy engine."""
    found, expected = fb.potential(bundle, engine="native", **options), fb.potential(bundle, engine="numpy")
    terms = expected.by_term(x, given)
    for name, energy in found.by_term(x, given).items():
        assert relative(energy, terms[name]) <= TOLERANCE, name
    assert relative(found(x, given), expected(x, given)) <= TOLERANCE
    one, other = found.value_and_grad(x, given), expected.value_and_grad(x, given)
    assert relative(one.energy, other.energy) <= TOLERANCE
    assert relative(one.forces, other.forces) <= TOLERANCE
    assert one.tables.keys() == other.tables.keys()
    for name, table in other.tables.items():
        assert relative(one.tables[name], table) <= TOLERANCE, name
    energy, forces = found.energy_and_forces(x, given)
    np.testing.assert_array_equal(energy, one.energy)
    np.testing.assert_array_equal(forces, one.forces)


def changed(bundle, name, seed=3):
    """Other values of a table; integer columns stay."""
    values = bundle.tables[name].values.copy()
    stop = 2 if name == "periodic_torsion" else values.shape[1]
    values[:, :stop] *= np.random.default_rng(seed).uniform(0.9, 1.1, size=(len(values), stop))
    return values


def lacking(bundle):
    """Whether a bundle has what the engine does not evaluate."""
    settings = [term.settings for term in bundle.terms.values()]
    maps = any(term.form == "cmap" for term in bundle.terms.values())
    return maps or any(each.get("periodic") or "dielectric" in each for each in settings)


class TestFigures:
    @pytest.mark.parametrize("shape", [(), (1,), (3,), (4,), (5,), (16,), (17,), (100,), (2, 3)])
    def test_any_number_of_conformers(self, bundle, shape):
        assert_same(bundle, zigzag(np.random.default_rng(3), *shape))

    @pytest.mark.parametrize("n_conformers", [2, 5])
    def test_forms_of_several_coordinates(self, n_conformers):
        rng = np.random.default_rng(7)
        bundle = forms_of_several_coordinates(rng)
        terms = {name: term for name, term in bundle.terms.items() if term.form != "cmap"}
        tables = {name: table for name, table in bundle.tables.items() if name != "cmap"}
        assert len(terms) == 3
        assert_same(replace(bundle, terms=terms, tables=tables), zigzag(rng, n_conformers))

    @pytest.mark.parametrize("name", ["overrides", "overrides_buckingham"])
    @pytest.mark.parametrize("threads", [1, 3])
    def test_listed_parameters_of_pairs(self, name, threads, monkeypatch):
        """Systems share the list, and each thread has its own sum of what goes there."""
        from ffbridge_backends.engines.native import evaluation

        case = load("energy")[name]
        bundle = fb.concatenate([fb.Bundle.from_parts(case["document"], arrays_of(case))] * 4)
        assert any(term.overrides is not None for term in bundle.terms.values())
        monkeypatch.setattr(evaluation, "_WORK_OF_A_THREAD", 1)
        positions = np.concatenate([to_numpy(case["positions"])[:1]] * 4, axis=1)
        noise = np.random.default_rng(1).normal(scale=0.005, size=positions.shape)
        assert_same(bundle, positions + noise, threads=threads)
        given = {key: table.values * 1.01 for key, table in bundle.tables.items()}
        assert_same(bundle, positions + noise, given, threads=threads)

    def test_no_conformers(self, bundle, x):
        U = fb.potential(bundle, engine="native")
        energy, forces, tables = U.value_and_grad(x[:0])
        assert energy.shape == (0, 2)
        assert forces.shape == (0, 11, 3)
        assert not any(table.any() for table in tables.values())
        assert U.by_term(x[:0])["vdw"].shape == (0, 2)

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("method", [{"method": "no_cutoff"}, SWITCHED], ids=["no_cutoff", "cutoff"])
    def test_other_forms(self, seed, method):
        rng = np.random.default_rng(seed)
        assert_same(other_forms(rng, **method), zigzag(rng, 5))

    @pytest.mark.parametrize("seed", range(5))
    def test_methods_may_differ_between_terms_of_the_same_pairs(self, seed):
        rng = np.random.default_rng(seed)
        bundle = random_bundle(rng)
        terms = dict(bundle.terms)
        constant = terms["electrostatics"].settings["coulomb_constant"]
        terms["electrostatics"] = replace(terms["electrostatics"], settings={**SCREENED, "coulomb_constant": constant})
        terms["vdw"] = replace(terms["vdw"], settings={**SWITCHED, "mixing_rule": "geometric"})
        assert_same(replace(bundle, terms=terms), zigzag(rng, 5))

    @pytest.mark.parametrize("name", load("energy"))
    def test_energy_vectors_of_the_standard(self, name):
        """Among them coordinates without direction, and atoms that coincide."""
        case = load("energy")[name]
        bundle = fb.Bundle.from_parts(case["document"], arrays_of(case))
        if lacking(bundle):
            pytest.skip("the engine refuses maps and periodic terms")
        U, x = fb.potential(bundle, engine="native"), to_numpy(case["positions"])
        for found, wanted in (
            (U.value_and_grad(x).forces, case["forces"]),
            *((U.by_term(x)[term], energy) for term, energy in case.get("energies", {}).items()),
        ):
            expected = to_numpy(wanted)
            scale = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), 1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=case["tolerance"] * scale)

    @pytest.mark.parametrize("move", ["coincide", "line", "fold", "bonded"])
    @pytest.mark.parametrize("n_conformers", [1, 5])
    def test_geometries_without_direction(self, bundle, x, move, n_conformers):
        x = x[:n_conformers]
        if move == "line":
            x[..., 1:] = 0
        else:
            one, other = {"coincide": (5, 0), "fold": (2, 0), "bonded": (1, 0)}[move]
            x[:, one] = x[:, other]
        found, expected = (fb.potential(bundle, engine=engine) for engine in ("native", "numpy"))
        terms = expected.by_term(x)
        for name, energy in found.by_term(x).items():
            np.testing.assert_allclose(energy, terms[name], rtol=TOLERANCE, atol=1e-12, err_msg=name)
        one, other = found.value_and_grad(x), expected.value_and_grad(x)
        assert np.isinf(other.energy).any() == (move in ("coincide", "fold"))
        assert relative(one.forces, other.forces) <= TOLERANCE
        for name, table in other.tables.items():
            assert relative(one.tables[name], table) <= TOLERANCE, name

    def test_terms_in_any_order_of_systems(self, bundle, x):
        """Rows are sorted by system, and derivatives come back to the right rows of a table."""
        rng, terms = np.random.default_rng(5), dict(bundle.terms)
        for name in ("bonds", "angles", "torsions"):
            order = rng.permutation(len(terms[name])).astype(np.int32)
            terms[name] = replace(
                terms[name], indices=terms[name].indices[order], mapping=terms[name].mapping.take(order)
            )
        assert_same(replace(bundle, terms=terms), x)

    def test_nonbonded_terms_over_other_atoms(self, bundle, x):
        terms = dict(bundle.terms)
        rows = np.array([9, 2, 0, 7, 3], dtype=np.int32)
        terms["vdw"] = replace(terms["vdw"], indices=rows[:, None], mapping=terms["vdw"].mapping.take(rows))
        assert_same(replace(bundle, terms=terms), x)

    def test_empty_terms(self, bundle, x):
        terms = {
            name: replace(term, indices=term.indices[:0], mapping=term.mapping.take(np.zeros(0, np.int32)))
            for name, term in bundle.terms.items()
        }
        empty = replace(bundle, terms=terms)
        assert not fb.potential(empty, engine="native")(x).any()
        assert_same(empty, x)
        assert_same(replace(bundle, terms={}, tables={}), x)

    def test_linear_mappings_of_whole_numbers(self, x):
        """A weighted sum of equal periodicities is whole up to rounding, and is rounded."""
        bundle = random_bundle(np.random.default_rng(8))
        values = bundle.tables["periodic_torsion"].values.copy()
        values[:, 2] = 3
        weights = np.array([0.1, 0.2, 0.7, 1 / 3, 2 / 3, 1.0, 0.6, 0.4])
        linear = fb.Linear(
            offsets=np.array([0, 3, 5, 6, 8], dtype=np.int32),
            columns=np.array([0, 1, 2, 3, 0, 1, 2, 3], dtype=np.int32),
            weights=weights,
        )
        terms = {**bundle.terms, "torsions": replace(bundle.terms["torsions"], mapping=linear)}
        assert_same(replace(bundle.replace_table("periodic_torsion", values), terms=terms), x)

    def test_given_tables(self, bundle, x):
        names = ("harmonic_bond", "periodic_torsion", "lennard_jones", "coulomb")
        assert_same(bundle, x, {name: changed(bundle, name) for name in names})
        assert_same(bundle, x)

    def test_tables_that_are_changed_in_place_are_read_again(self, bundle, x):
        U, values = fb.potential(bundle, engine="native"), changed(bundle, "coulomb")
        before = U(x, {"coulomb": values})
        values *= 1.1
        assert (U(x, {"coulomb": values}) != before).all()

    def test_a_periodicity_that_is_none_gives_nan(self, bundle, x):
        values = bundle.tables["periodic_torsion"].values.copy()
        values[0, 2] = 1.5
        energy = fb.potential(bundle, engine="native")(x, {"periodic_torsion": values})
        assert np.isnan(energy[:, 0]).all()
        assert np.isfinite(energy[:, 1]).all()

    def test_nan_positions(self, bundle, x):
        x[1, 3] = np.nan
        with pytest.raises(BundleError, match=r"positions: NaN or infinite at index \(1, 3, 0\)"):
            fb.potential(bundle, engine="native")(x)

    def test_single_precision_is_computed_in_double_and_rounded(self, bundle, x):
        single, x = bundle.to("numpy", dtype="float32"), x.astype(np.float32)
        found = fb.potential(single, engine="native").value_and_grad(x)
        exact = fb.potential(single.to("numpy", dtype="float64"), engine="native").value_and_grad(x.astype(float))
        for one, other in ((found.energy, exact.energy), (found.forces, exact.forces), *zip_tables(found, exact)):
            np.testing.assert_array_equal(one, other.astype(np.float32))


def zip_tables(one, other):
    return [(one.tables[name], table) for name, table in other.tables.items()]


class TestMolecules:
    @pytest.mark.parametrize("name", drugs.NAMES)
    def test_drugs(self, name):
        _, bundle, x = drugs.drug(name)
        assert_same(bundle, x)

    @pytest.mark.parametrize("n_conformers", [1, 5, 100])
    @pytest.mark.parametrize("threads", [1, 3])
    def test_a_ragged_batch_of_drugs(self, n_conformers, threads):
        bundle, x = drugs.batch()
        noise = np.random.default_rng(4).normal(scale=0.002, size=(n_conformers, *x.shape[1:]))
        assert_same(bundle, x[0] + noise, threads=threads)

    @pytest.mark.parametrize("name", drugs.NAMES)
    def test_energies_and_forces_of_openmm(self, name):
        reference = pytest.importorskip("ffbridge.demo.reference", reason="OpenMM is not installed")
        interchange, bundle, x = drugs.drug(name)
        context = reference.OpenMMReference.from_interchange(interchange).context
        energy, forces = fb.potential(bundle, engine="native").energy_and_forces(x)
        for conformer, at in enumerate(x):
            context.setPositions(at)
            state = context.getState(energy=True, forces=True)
            expected = state.getForces(asNumpy=True)._value
            assert energy[conformer, 0] == pytest.approx(state.getPotentialEnergy()._value, rel=1e-9)
            assert np.linalg.norm(forces[conformer] - expected) <= 1e-9 * np.linalg.norm(expected)


class TestHosts:
    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("host", ["numpy", "torch", "jax"])
    def test_values_and_forces(self, bundle, x, host):
        U, expected = fb.potential(bundle, engine="native", host=host), fb.potential(bundle, engine="numpy")
        here = fb.to(x, host, copy=True)
        given = {"coulomb": changed(bundle, "coulomb")}
        there = {name: fb.to(table, host, copy=True) for name, table in given.items()}
        found, wanted = U.value_and_grad(here, there), expected.value_and_grad(x, given)
        assert fb.registry.backend_of(found.forces).name == host
        assert relative(found.forces, wanted.forces) <= TOLERANCE
        assert relative(found.tables["coulomb"], wanted.tables["coulomb"]) <= TOLERANCE
        assert relative(U(here, there), wanted.energy) <= TOLERANCE
        energy, forces = U.energy_and_forces(here, there)
        assert relative(energy, wanted.energy) <= TOLERANCE
        assert relative(forces, wanted.forces) <= TOLERANCE

    @pytest.mark.parametrize("each_term", [False, True])
    def test_backward_in_torch(self, bundle, x, each_term):
        weights = torch.linspace(0.5, 2, 10, dtype=torch.float64).reshape(5, 2)

        def gradients(engine):
            leaves = [torch.tensor(x, requires_grad=True)]
            tables = {name: torch.tensor(changed(bundle, name), requires_grad=True) for name in bundle.tables}
            U = fb.potential(bundle, engine=engine, host="torch")
            if each_term:
                terms = U.by_term(leaves[0], tables)
                energy = sum((place + 1) * terms[name] for place, name in enumerate(bundle.terms))
            else:
                energy = U(leaves[0], tables)
            (energy * weights).sum().backward()
            return [leaf.grad for leaf in (*leaves, *tables.values())]

        for one, other in zip(gradients("native"), gradients("torch"), strict=True):
            assert relative(one, other) <= TOLERANCE

    @pytest.mark.usefixtures("x64")
    def test_gradients_in_jax(self, bundle, x):
        U, at = fb.potential(bundle, engine="native", host="jax"), jax.numpy.asarray(x)
        charges = jax.numpy.asarray(bundle.tables["coulomb"].values)
        expected = fb.potential(bundle, engine="numpy").value_and_grad(x)

        def loss(x, charges):
            return U(x, {"coulomb": charges}).sum()

        for function in (loss, jax.jit(loss), lambda x, charges: jax.vmap(loss, (0, None))(x, charges).sum()):
            to_x, to_charges = jax.grad(function, argnums=(0, 1))(at, charges)
            assert relative(to_x, -expected.forces) <= TOLERANCE
            assert relative(to_charges, expected.tables["coulomb"]) <= TOLERANCE

    @pytest.mark.usefixtures("x64")
    def test_second_derivatives_are_refused(self, bundle, x):
        U = fb.potential(bundle, engine="native", host="torch")
        leaf = torch.tensor(x, requires_grad=True)
        (gradient,) = torch.autograd.grad(U(leaf).sum(), leaf, create_graph=True)
        with pytest.raises(UnsupportedError, match="the engine 'native' has first derivatives.*second derivatives"):
            gradient.sum().backward()
        in_jax = fb.potential(bundle, engine="native", host="jax")
        with pytest.raises(UnsupportedError, match="the engine 'native' has first derivatives.*forward mode"):
            jax.hessian(lambda x: in_jax(x).sum())(jax.numpy.asarray(x[0]))


class TestThreads:
    def test_eight_callers_at_once(self, bundle):
        U, x = fb.potential(bundle, engine="native"), zigzag(np.random.default_rng(5), 8)
        tables = [{"coulomb": changed(bundle, "coulomb", seed)} for seed in range(8)]
        expected = [fb.potential(bundle, engine="numpy").value_and_grad(x, given) for given in tables]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda seed: U.value_and_grad(x, tables[seed % 8]), range(80)))
        for seed, one in enumerate(found):
            assert relative(one.energy, expected[seed % 8].energy) <= TOLERANCE
            assert relative(one.tables["coulomb"], expected[seed % 8].tables["coulomb"]) <= TOLERANCE

    @pytest.mark.parametrize("n_conformers", [1, 40])
    def test_work_is_split_by_conformers_and_by_systems(self, n_conformers, monkeypatch):
        """All that there is to split: parts of one conformer are systems, those of many are blocks of them."""
        from ffbridge_backends.engines.native import evaluation

        bundle = fb.concatenate([random_bundle(np.random.default_rng(seed)) for seed in range(6)])
        x = np.concatenate([zigzag(np.random.default_rng(seed), n_conformers) for seed in range(6)], axis=1)
        parts = []
        monkeypatch.setattr(evaluation, "_WORK_OF_A_THREAD", 1)
        run = evaluation._run
        monkeypatch.setattr(evaluation, "_run", lambda *given: parts.append(given[2]) or run(*given))
        assert_same(bundle, x, threads=3)
        assert len({(part.slot, part.systems) for part in parts}) == 3
        parts.clear()
        monkeypatch.setattr(evaluation, "_NEAR", 500)
        assert_same(bundle, x, threads=1)
        assert len({(part.slot, part.systems) for part in parts}) == 12 if n_conformers > 1 else 7

    def test_small_work_starts_no_thread(self, bundle, x, monkeypatch):
        from ffbridge_backends.engines.native import evaluation

        monkeypatch.setattr(evaluation, "ThreadPoolExecutor", None)
        assert np.isfinite(fb.potential(bundle, engine="native", threads=8)(x)).all()


class TestRefusals:
    def test_forms_methods_and_settings(self, bundle, monkeypatch):
        from ffbridge_backends.engines.native.compiled import bonded

        def refused(name, match, **settings):
            term = bundle.terms[name]
            other = replace(term, settings={**term.settings, **settings})
            with pytest.raises(UnsupportedError, match=match):
                get_engine("native").plan(replace(bundle, terms={**bundle.terms, name: other}))

        refused("vdw", "terms/vdw/settings/periodic: the engine 'native' has no periodic images", periodic=True)
        refused(
            "electrostatics", "terms/electrostatics/settings/method: .* not 'reaction_field'", method="reaction_field"
        )
        refused("vdw", "terms/vdw/settings/softness: the engine 'native' does not know this setting", softness=1.0)
        monkeypatch.delitem(bonded.FORMS, "harmonic_bond")
        refused("bonds", "terms/bonds: the engine 'native' does not evaluate the form 'harmonic_bond', but")

    def test_periodicities(self, bundle):
        values = bundle.tables["periodic_torsion"].values.copy()
        values[1, 2] = 16
        with pytest.raises(
            UnsupportedError, match="tables/periodic_torsion: periodicity 16; .*'native' evaluates up to 15"
        ):
            fb.potential(bundle.replace_table("periodic_torsion", values), engine="native")
        values[1, 2] = 15
        assert_same(bundle.replace_table("periodic_torsion", values), zigzag(np.random.default_rng(1), 5))

    def test_a_mixing_rule_that_the_loop_lacks(self, bundle, monkeypatch):
        from ffbridge.energy.mixing import ARITHMETIC
        from ffbridge_backends.engines.native import terms

        monkeypatch.delitem(terms.MEANS, ARITHMETIC)
        with pytest.raises(UnsupportedError, match="terms/vdw/settings/mixing_rule: .* 'lorentz_berthelot'"):
            fb.potential(bundle, engine="native")

    def test_options(self, bundle):
        with pytest.raises(UnknownNameError, match="the engine 'native' has no option 'device'; it has: threads"):
            fb.potential(bundle, engine="native", device="cpu")
        for threads in (0, 1.5):
            with pytest.raises(ValueError, match=f"threads={threads}: expected a whole number of threads, at least 1"):
                fb.potential(bundle, engine="native", threads=threads)

    def test_without_numba(self, bundle, monkeypatch):
        monkeypatch.delitem(sys.modules, "numba", raising=False)
        monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
        with pytest.raises(MissingDependencyError, match=r"native needs the package .numba.*ffbridge\[native\]"):
            get_engine("native").plan(bundle)


def test_it_is_listed():
    (info,) = (each for each in fb.engines() if each.name == "native")
    assert info.available
    assert info.abilities == ("energies and first derivatives, by compiled formulas",)


class TestCompiledCode:
    CODE = """
import json, sys, numpy as np, ffbridge as fb
from ffbridge_backends.engines.native.compiled.bonded import bonded
from tests.bridge.bundles import random_bundle, zigzag
rng = np.random.default_rng(1)
fb.potential(random_bundle(rng), engine="native")(zigzag(rng))
stats = bonded.stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""

    def test_another_process_finds_it_on_disk(self, root, bundle, x):
        fb.potential(bundle, engine="native")(x[0])
        done = subprocess.run([sys.executable, "-c", self.CODE], cwd=root, capture_output=True, text=True, check=True)
        hits, misses = json.loads(done.stdout)
        assert hits == 3
        assert misses == 0

    def test_a_change_of_any_source_is_another_signature(self):
        """Else numba would go on with code of old formulas, where only another file than the loop's has changed."""
        from ffbridge_backends.engines.native.compiled import bonded, lanes, nonbonded

        for loop in (bonded.bonded, nonbonded.nonbonded):
            assert loop.py_func.__defaults__ == (lanes.SOURCES,)
            for signature in loop.signatures:
                assert signature[-1].value == lanes.SOURCES

    def test_all_compiled_code_is_under_the_digest(self):
        """What a loop calls is in the folder whose files are digested."""
        folder = Path(sys.modules["ffbridge_backends.engines.native.compiled"].__file__).parent
        for path in folder.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module.startswith("ffbridge"):
                    assert node.module.startswith("ffbridge_backends.engines.native.compiled")
