"""The engine `native` as it is called: hosts, threads, refusals, and compiled code that is found again."""

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
from ffbridge.errors import MissingDependencyError, UnknownNameError, UnsupportedError
from ffbridge.registry import get_engine
from tests.backends.engines.comparison import TOLERANCE, assert_same, changed, relative
from tests.bridge.bundles import random_bundle, zigzag

pytest.importorskip("numba", reason="numba is not installed")


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
        assert len(parts) % 3 == 0
        assert len({(part.blocks, part.systems) for share in parts for part in share}) == 3
        parts.clear()
        monkeypatch.setattr(evaluation, "_NEAR", 500)
        assert_same(bundle, x, threads=1)
        assert len({part.systems for share in parts for part in share}) == (12 if n_conformers > 1 else 7)

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
from ffbridge_backends.engines.native.compiled.few import few_bonded
from tests.bridge.bundles import random_bundle, zigzag
rng = np.random.default_rng(1)
fb.potential(random_bundle(rng), engine="native")(zigzag(rng))
stats = few_bonded.stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""

    def test_another_process_finds_it_on_disk(self, root, bundle, x):
        fb.potential(bundle, engine="native")(x[0])
        done = subprocess.run([sys.executable, "-c", self.CODE], cwd=root, capture_output=True, text=True, check=True)
        hits, misses = json.loads(done.stdout)
        assert hits == 3
        assert misses == 0

    def test_a_folder_that_cannot_be_written(self, monkeypatch):
        """numba refuses to keep the code; it is compiled for this process."""
        from ffbridge_backends.engines.native.compiled import lanes

        real = lanes.njit

        def without_disk(*, cache=False, **options):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            return real(**options)

        monkeypatch.setattr(lanes, "njit", without_disk)
        assert lanes.compiled(lambda x: x + 1)(2) == 3

    def test_a_change_of_any_source_is_another_signature(self):
        """Else numba would go on with code of old formulas, where only another file than the loop's has changed."""
        from ffbridge_backends.engines.native.compiled import bonded, few, lanes, nonbonded, triangle

        for loop in (bonded.bonded, nonbonded.nonbonded, few.few_bonded, triangle.triangle):
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
