"""Selections of parameters: a vector stands for parts of tables, and derivatives reach those parts alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, UnknownNameError

from .samples import BACKENDS, bundle, framework, without_cutoff

SOURCE = without_cutoff(bundle())
MASK = np.asarray([False, True, True])
KEYS = (SOURCE.table("bonds").keys[2], SOURCE.table("bonds").keys[0])
SELECT = {"vdw": ["epsilon", "sigma"], "bonds": {"k": KEYS, "length": None}, "angles": {"angle": MASK}}
EXPECTED = (
    *[("vdw", row, column) for column in ("epsilon", "sigma") for row in range(3)],
    *[("bonds", row, "k") for row in (0, 2)],
    *[("bonds", row, "length") for row in range(3)],
    *[("angles", row, "angle") for row in (1, 2)],
)


@pytest.fixture
def x(rng):
    return rng.normal(scale=0.2, size=(3, SOURCE.n_atoms, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def place(parameter):
    return parameter.row, SOURCE.table(parameter.table).columns.index(parameter.column)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_vector_holds_the_parameters_in_order(backend):
    with framework(backend):
        chosen = fb.trainable(bundle().to(backend), SELECT)
        assert chosen.parameters == EXPECTED
        assert type(chosen.initial) is type(fb.to(np.ones(1), backend))
        for value, parameter in zip(chosen.initial.tolist(), chosen.parameters, strict=True):
            assert value == SOURCE.table(parameter.table).values[place(parameter)]


def test_every_number_of_a_map_can_be_chosen():
    terms = {"cmap": fb.TermArrays("cmap", [range(16)], [[0, 1, 2, 3, 1, 2, 3, 4]], settings={"size": 4})}
    source = fb.from_arrays(n_atoms=5, terms=terms)
    chosen = fb.trainable(source, {"cmap": source.table("cmap").columns})
    assert chosen.initial.tolist() == list(range(16))
    assert chosen.tables(2 * chosen.initial)["cmap"].tolist() == [list(range(0, 32, 2))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_have_the_vector_where_it_is_selected_and_the_bundle_elsewhere(backend, rng):
    vector = rng.normal(size=len(EXPECTED))
    with framework(backend):
        found = fb.trainable(SOURCE, SELECT).tables(fb.to(vector, backend))
        assert found.keys() == SELECT.keys()
        for name, table in found.items():
            expected = SOURCE.table(name).values.copy()
            for value, parameter in zip(vector, EXPECTED, strict=True):
                if parameter[0] == name:
                    expected[place(fb.Parameter(*parameter))] = value
            assert type(table) is type(fb.to(vector, backend))
            np.testing.assert_array_equal(np.asarray(table), expected)


def test_the_initial_vector_gives_the_bundles_own_energy(x):
    chosen = fb.trainable(SOURCE, SELECT)
    U = fb.potential(SOURCE)
    np.testing.assert_array_equal(U(x, chosen.tables(chosen.initial)), U(x))


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_derivatives_are_those_of_the_selected_numbers(backend, x):
    expected = fb.potential(SOURCE, "numpy").value_and_grad(x).tables
    expected = [expected[parameter.table][place(parameter)] for parameter in fb.trainable(SOURCE, SELECT).parameters]
    with framework(backend):
        chosen = fb.trainable(SOURCE.to(backend), SELECT)
        U = fb.potential(SOURCE, backend)

        def energy(vector):
            return U(x, chosen.tables(vector)).sum()

        found = gradient(backend, energy)(chosen.initial)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def gradient(backend, function):
    if backend == "torch":
        import torch

        return torch.func.grad(function)
    import jax

    return jax.jit(jax.grad(function))


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_vector_may_be_batched(backend, rng):
    vectors = rng.normal(size=(5, len(EXPECTED)))
    chosen = fb.trainable(SOURCE, SELECT)
    with framework(backend):
        found = batched(backend, chosen.tables)(fb.to(vectors, backend))
        for number, vector in enumerate(vectors):
            for name, table in chosen.tables(vector).items():
                np.testing.assert_array_equal(np.asarray(found[name])[number], table)


def batched(backend, function):
    if backend == "torch":
        import torch

        return torch.func.vmap(function)
    import jax

    return jax.jit(jax.vmap(function))


def test_gradients_of_the_bundles_own_tables_are_left_behind():
    torch = pytest.importorskip("torch")
    values = torch.tensor(SOURCE.table("bonds").values, requires_grad=True)
    chosen = fb.trainable(SOURCE.to("torch").replace_table("bonds", values), {"bonds": "k"})
    assert not chosen.initial.requires_grad
    leaf = chosen.initial.clone().requires_grad_()
    chosen.tables(leaf)["bonds"].sum().backward()
    assert leaf.grad.tolist() == [1.0, 1.0, 1.0]
    assert values.grad is None


def test_a_bundle_in_float32_has_a_vector_in_float32():
    chosen = fb.trainable(SOURCE.to("numpy", dtype="float32"), SELECT)
    assert chosen.initial.dtype == np.float32
    assert {table.dtype for table in chosen.tables(chosen.initial).values()} == {np.dtype(np.float32)}
    with pytest.raises(BundleError, match="vector: got float64, expected float32 as in tables/vdw/values"):
        chosen.tables(chosen.initial.astype(float))


def select(**columns):
    return partial(fb.trainable, SOURCE, columns)


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (select(charges="k"), UnknownNameError, "no table 'charges'; it has: angles, bonds"),
        (select(bonds=["eq"]), UnknownNameError, "tables/bonds has no column 'eq'; it has: k, length"),
        (
            select(proper_torsions=["k", "periodicity"]),
            BundleError,
            "tables/proper_torsions/periodicity: periodicity is not differentiable",
        ),
        (
            select(bonds={"k": [fb.ParameterKey("Bonds", "[#6:1]")]}),
            UnknownNameError,
            r"tables/bonds/k: the table has no key ParameterKey\(handler='Bonds', pattern='\[#6:1\]'",
        ),
        (select(angles={"k": KEYS}), BundleError, r"tables/angles/k: the table has no keys; .* shape \(3,\)"),
        (select(bonds={"k": MASK[:2]}), BundleError, r"bool of shape \(2,\), expected a mask: bool of shape \(3,\)"),
        (select(bonds={"k": np.arange(3)}), BundleError, "tables/bonds/k: the rows are selected by int64"),
        (select(), BundleError, "nothing is selected"),
        (select(bonds={"k": ~MASK & MASK}), BundleError, "nothing is selected"),
    ],
)
def test_what_cannot_be_selected_is_named(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(BundleError, match=r"vector: got shape \(2,\), expected \(13,\)"):
        fb.trainable(SOURCE, SELECT).tables(np.ones(2))
