"""The method `timemachine` in every engine against timemachine's figures, and the engine of that name where it is."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.registry import get_engine
from tests.bridge import samples
from tests.bridge import timemachine_data as data
from tests.bridge.timemachine_data import MOLECULES, relative

ARRAY_ENGINES = ("numpy", "torch", "jax")
TOLERANCE = 1e-12


def installed():
    try:
        get_engine("timemachine")
    except MissingDependencyError:
        return False
    return True


needs_program = pytest.mark.skipif(not installed(), reason="timemachine is not installed")
ENGINES = (*ARRAY_ENGINES, pytest.param("timemachine", marks=needs_program))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", MOLECULES)
def test_energies_forces_and_table_derivatives_are_its_figures(name, engine):
    figures = data.load(name)
    x = figures["positions"]
    U = fb.potential(data.bundle(figures), engine=engine, host="numpy")
    terms = U.by_term(x)
    for kind, names in data.TERMS.items():
        assert relative(sum(terms[each] for each in names)[:, 0], figures[f"timemachine/{kind}/u"]) < TOLERANCE
    energy, forces, tables = U.value_and_grad(x)
    assert relative(energy[:, 0], sum(figures[f"timemachine/{kind}/u"] for kind in data.TERMS)) < TOLERANCE
    assert relative(forces, -sum(figures[f"timemachine/{kind}/du_dx"] for kind in data.TERMS)) < TOLERANCE
    expected = data.table_derivatives(figures)
    assert set(tables) == set(expected)
    for table, derivatives in expected.items():
        assert relative(tables[table], derivatives) < TOLERANCE, table


def test_the_figures_tell_the_sign_of_a_phase():
    """The derivative to the phase does not vanish, so that a wrong sign of the dihedral would be seen."""
    for name in MOLECULES:
        assert np.abs(data.table_derivatives(data.load(name))["proper_torsions"][:, 1]).max() > 1


def test_an_engine_that_is_not_installed_is_named():
    if installed():
        pytest.skip("timemachine is installed")
    with pytest.raises(MissingDependencyError, match="timemachine needs the package .* Install it: "):
        fb.potential(data.bundle(data.load("acetaminophen")), engine="timemachine")
    (info,) = (each for each in fb.engines() if each.name == "timemachine")
    assert not info.available
    assert "not installed" in info.problem


def batch():
    """Three molecules of different sizes with five conformers; periodic phases of every kind, one atom without LJ."""
    rng = np.random.default_rng(12)
    bundles, positions = [], []
    for name in MOLECULES:
        figures = data.load(name)
        bundle = data.bundle(figures)
        torsions = bundle.tables["proper_torsions"]
        phases = rng.uniform(-3, 3, size=len(torsions)) * [[0], [1], [0]]
        epsilon = bundle.tables["vdw"].values.copy()
        epsilon[-1, 1] = 0
        bundle = bundle.replace_table("proper_torsions", torsions.values + phases.T).replace_table("vdw", epsilon)
        bundles.append(bundle)
        conformers = np.concatenate([figures["positions"], figures["positions"][:1]])
        positions.append(conformers + rng.normal(scale=0.002, size=conformers.shape))
    return fb.concatenate(bundles), np.concatenate(positions, axis=1)


def in_boxes(bundle, edges):
    """The bundle with rectangular boxes of these edges (n_systems, 3), all its nonbonded terms periodic."""
    terms = {
        name: replace(term, settings={**term.settings, "periodic": True}) if term.settings else term
        for name, term in bundle.terms.items()
    }
    return replace(bundle, terms=terms, box=edges[:, None] * np.eye(3))


@pytest.fixture(scope="module")
def many():
    return batch()


@needs_program
class TestTheProgram:
    @pytest.mark.slow
    def test_a_ragged_batch_agrees_with_the_array_engine(self, many):
        bundle, x = many
        found, expected = (
            fb.potential(bundle, engine=engine, host="numpy").value_and_grad(x) for engine in ("timemachine", "jax")
        )
        assert found.energy.shape == (5, 3)
        assert relative(found.energy, expected.energy) < TOLERANCE
        assert relative(found.forces, expected.forces) < TOLERANCE
        for name, derivatives in expected.tables.items():
            assert np.isfinite(found.tables[name]).all()
            assert relative(found.tables[name], derivatives) < TOLERANCE, name

    @pytest.mark.slow
    def test_second_derivatives_agree_with_the_array_engine(self, many):
        bundle, x = many
        rng = np.random.default_rng(3)
        direction = rng.normal(size=x.shape)
        table = bundle.tables["proper_torsions"].values

        def derivatives(engine):
            U = fb.potential(bundle, engine=engine, host="jax")

            def projected(x, tables):
                return (jax.grad(lambda x: U(x, tables).sum())(x) * direction).sum()

            tables = {"proper_torsions": table, "electrostatics": bundle.tables["electrostatics"].values}
            return jax.grad(projected, argnums=(0, 1))(x, tables)

        with jax.enable_x64(True):
            found, expected = derivatives("timemachine"), derivatives("jax")
        assert relative(found[0], expected[0]) < TOLERANCE
        for name in found[1]:
            assert relative(found[1][name], expected[1][name]) < TOLERANCE, name

    def test_gradients_reach_tables_of_a_torch_host(self, many):
        torch = pytest.importorskip("torch", reason="torch is not installed")
        bundle, x = many
        gradients = []
        for engine in ("timemachine", "torch"):
            U = fb.potential(bundle, engine=engine, host="torch")
            tables = {name: torch.tensor(table.values, requires_grad=True) for name, table in bundle.tables.items()}
            (U(torch.tensor(x), tables) ** 2).sum().backward()
            gradients.append({name: table.grad.numpy() for name, table in tables.items()})
        for name, found in gradients[0].items():
            assert relative(found, gradients[1][name]) < TOLERANCE, name

    def test_boxes_are_those_of_each_system(self, many):
        """Atoms that are moved by an edge of their own system's box interact as before, whatever the dtype."""
        bundle, x = many
        edges = np.array([[5.0, 6.0, 7.0], [6.0, 5.5, 5.25], [7.0, 8.0, 9.0]])
        periodic = in_boxes(bundle, edges)
        moved = x.copy()
        for system, (start, stop) in enumerate(zip(bundle.system_offsets, bundle.system_offsets[1:], strict=False)):
            moved[:, start:stop:2] += edges[system]
        expected = fb.potential(bundle, engine="jax", host="numpy").by_term(x)
        found = fb.potential(periodic, engine="timemachine", host="numpy").by_term(moved)
        single = periodic.to("numpy", dtype="float32")
        narrow = fb.potential(replace(single, box=periodic.box), engine="timemachine", host="numpy")
        for name in ("vdw", "electrostatics"):
            assert relative(found[name], expected[name]) < 1e-11, name
            assert relative(narrow.by_term(moved.astype("float32"))[name], expected[name]) < 1e-3, name

    def test_coincident_atoms_are_infinite_and_leave_others_alone(self):
        figures = data.load("acetaminophen")
        bundle, x = data.bundle(figures), figures["positions"][:1].copy()
        first, second = figures["pairs/idx"][-1]
        x[0, first] = x[0, second]
        only = {name: bundle.terms[name] for name in ("vdw", "electrostatics")}
        bundle = replace(bundle, terms=only, tables={name: bundle.tables[name] for name in only})
        found, expected = (
            fb.potential(bundle, engine=engine, host="numpy").value_and_grad(x) for engine in ("timemachine", "jax")
        )
        assert found.energy == np.inf
        assert relative(found.forces, expected.forces) < TOLERANCE
        for name in only:
            assert relative(found.tables[name], expected.tables[name]) < TOLERANCE

    def test_coordinates_without_direction_have_the_derivative_zero(self):
        """A vector of the standard: a straight angle, a folded one, an arm of no length, a dihedral in a line."""
        bundle, x = samples.bundle("undirected", "energy"), samples.positions("undirected")
        middle = x.copy()
        middle[:, 2] = x[:, 1]  # now the bond in the middle of the dihedral has no length
        for positions in (x, middle):
            found, expected = (
                fb.potential(bundle, engine=engine, host="numpy").value_and_grad(positions)
                for engine in ("timemachine", "numpy")
            )
            np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-14)
            np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-14)
            for name, derivatives in expected.tables.items():
                np.testing.assert_allclose(found.tables[name], derivatives, rtol=1e-14)

    def test_float32(self, many):
        bundle, x = many
        found = fb.potential(bundle.to("numpy", dtype="float32"), engine="timemachine", host="numpy")
        energy = found(x.astype("float32"))
        assert energy.dtype == np.float32
        assert relative(energy, fb.potential(bundle, engine="numpy")(x)) < 1e-4

    def test_its_import_leaves_the_settings_of_jax_alone(self):
        assert get_engine("timemachine").framework
        assert jax.config.read("jax_platform_name") == ""
        assert not jax.config.jax_enable_x64

    def test_what_it_does_not_evaluate_is_refused(self, many):
        bundle, _ = many
        term = bundle.terms["electrostatics"]
        other = replace(term, settings={"method": "no_cutoff", "coulomb_constant": data.CONSTANT})
        with pytest.raises(UnsupportedError, match="terms/electrostatics/settings/method: 'no_cutoff'; timemachine"):
            fb.potential(replace(bundle, terms={**bundle.terms, "electrostatics": other}), engine="timemachine")

    def test_it_is_listed(self):
        (info,) = (each for each in fb.engines() if each.name == "timemachine")
        assert info.available
        assert "not the CUDA implementations" in info.abilities


@needs_program
def test_virtual_sites_are_placed_for_it():
    """The program has none: it is given the positions, and derivatives go to parents and geometries."""
    source, x = samples.bundle("virtual_sites", "energy"), samples.positions("virtual_sites")
    settings = {"vdw": {"method": "cutoff"}, "electrostatics": {"method": "timemachine", "beta": 2.0}}
    terms = {
        name: replace(term, settings={**term.settings, **settings[name], "cutoff": 1.2, "periodic": False})
        for name, term in source.terms.items()
        if name in settings
    }
    source = replace(source, terms={**source.terms, **terms})
    expected = fb.potential(source, "numpy").value_and_grad(x)
    found = fb.potential(source, "timemachine", host="numpy").value_and_grad(x)
    assert relative(found.energy, expected.energy) < TOLERANCE
    assert relative(found.forces, expected.forces) < TOLERANCE
    for name, derivatives in expected.tables.items():
        assert relative(found.tables[name], derivatives) < TOLERANCE, name
