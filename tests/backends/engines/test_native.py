"""The engine `native`: figures of the NumPy engine, of OpenMM and of the standard, for any form and shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError
from ffbridge.registry import get_engine
from tests.backends.engines.comparison import TOLERANCE, assert_same, changed, relative
from tests.bridge import drugs
from tests.bridge.bundles import random_bundle, zigzag
from tests.bridge.energy.test_other_forms import SWITCHED, forms_of_several_coordinates, other_forms
from tests.spec.load import arrays_of, load, to_numpy

pytest.importorskip("numba", reason="numba is not installed")

SCREENED = {"method": "timemachine", "cutoff": 0.8, "beta": 2.0, "periodic": False}


@pytest.fixture
def bundle():
    return random_bundle(np.random.default_rng(11))


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12), 5)


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

    @pytest.mark.parametrize("move", ["coincide", "line", "fold", "bonded", "scaled"])
    @pytest.mark.parametrize("n_conformers", [1, 5])
    def test_geometries_without_direction(self, bundle, x, move, n_conformers):
        x = x[:n_conformers]
        if move == "line":
            x[..., 1:] = 0
        else:
            one, other = {"coincide": (5, 0), "fold": (2, 0), "bonded": (1, 0), "scaled": (9, 6)}[move]
            x[:, one] = x[:, other]
        found, expected = (fb.potential(bundle, engine=engine) for engine in ("native", "numpy"))
        terms = expected.by_term(x)
        for name, energy in found.by_term(x).items():
            np.testing.assert_allclose(energy, terms[name], rtol=TOLERANCE, atol=1e-12, err_msg=name)
        one, other = found.value_and_grad(x), expected.value_and_grad(x)
        assert np.isinf(other.energy).any() == (move in ("coincide", "fold", "scaled"))
        # A pair that keeps a part of its charges, and nothing of Lennard-Jones.
        assert move != "scaled" or np.isfinite(terms["vdw"]).all()
        assert relative(one.forces, other.forces) <= TOLERANCE
        for name, table in other.tables.items():
            assert relative(one.tables[name], table) <= TOLERANCE, name

    def test_terms_in_any_order_of_systems(self, bundle, x):
        """Rows are sorted by system, as threads need them, and derivatives come back to the right rows of a table."""
        rng, terms = np.random.default_rng(5), dict(bundle.terms)
        for name in ("bonds", "angles", "torsions"):
            order = rng.permutation(len(terms[name])).astype(np.int32)
            indices, mapping = terms[name].indices[order], terms[name].mapping.take(order)
            terms[name] = replace(terms[name], indices=indices, mapping=mapping)
        mixed = replace(bundle, terms=terms)
        prepared = get_engine("native").prepare(mixed)._terms
        assert all((term.systems[1:] >= term.systems[:-1]).all() for term in prepared)
        assert_same(mixed, x)

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
        weights = np.array([0.1, 0.2, 0.7, 0.3, 0.7, 1.0, 0.6, 0.4])
        linear = fb.Linear(
            offsets=np.array([0, 3, 5, 6, 8], dtype=np.int32),
            columns=np.array([0, 1, 2, 3, 0, 1, 2, 3], dtype=np.int32),
            weights=weights,
        )
        assert linear.apply(values)[1, 2] != 3
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
