"""The engine ``jax`` compiles for sizes that many bundles share, and nobody sees of it but the compiler."""

import logging
from dataclasses import replace

import jax
import numpy as np
import pytest
import torch

import ffbridge as fb
from ffbridge.errors import UnknownNameError
from tests.bridge.bundles import chain, random_bundle, zigzag


@pytest.fixture
def compilations(caplog):
    """A function that returns what XLA has compiled so far."""
    caplog.set_level(logging.WARNING, logger="jax")

    def found():
        return [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]

    with jax.log_compiles():
        yield found


def molecules(largest):
    """40 chains of 8 atoms or more, and positions."""
    rng = np.random.default_rng(5)
    for n_atoms in rng.integers(8, largest + 1, size=40):
        spread = np.column_stack([0.15 * np.arange(n_atoms), 0.1 * (np.arange(n_atoms) % 2), np.zeros(n_atoms)])
        yield chain(int(n_atoms)), spread + rng.normal(scale=0.02, size=spread.shape)


def part(bundle, *names):
    """A bundle with these terms only: less to compile."""
    terms = {name: bundle.terms[name] for name in names}
    return replace(bundle, terms=terms, tables={term.table: bundle.tables[term.table] for term in terms.values()})


def assert_same(found, expected):
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())


@jax.enable_x64(True)
def test_many_molecules_one_by_one_compile_a_few_times(compilations):
    for bundle, x in molecules(82):
        found = fb.potential(bundle, engine="jax").value_and_grad(x)
        expected = fb.potential(bundle, engine="numpy").value_and_grad(x)
        assert_same(found.energy, expected.energy)
        assert_same(found.forces, expected.forces)
        for name, table in expected.tables.items():
            assert_same(found.tables[name], table)
    assert len(compilations()) == 2


def test_so_do_lambda_modules(compilations):
    for bundle, x in molecules(56):
        U = fb.potential(bundle, engine="jax", host="torch")
        positions = torch.tensor(x, requires_grad=True)
        bonds = torch.tensor(bundle.table("bonds").values, requires_grad=True)
        U(positions, {"bonds": bonds}).sum().backward()
        expected = fb.potential(bundle, engine="numpy").value_and_grad(x)
        assert_same(-positions.grad, expected.forces)
        assert_same(bonds.grad, expected.tables["bonds"])
    # Energies, and their pullback.
    assert len(compilations()) == 2


@jax.enable_x64(True)
def test_what_the_caller_compiles_has_the_bundles_own_sizes():
    bundle, x = random_bundle(np.random.default_rng(1)), zigzag(np.random.default_rng(2))
    U, own = fb.potential(bundle, engine="jax"), fb.potential(bundle, engine="jax", shapes="exact")
    assert str(jax.make_jaxpr(U)(x)) == str(jax.make_jaxpr(own)(x))
    assert "f64[64," not in str(jax.make_jaxpr(U)(x))


@jax.enable_x64(True)
def test_transformations_without_jit_go_through_shared_sizes():
    whole, x = random_bundle(np.random.default_rng(1)), zigzag(np.random.default_rng(2))
    bundle = part(whole, "torsions", "electrostatics")
    U, own = fb.potential(bundle, engine="jax"), fb.potential(bundle, engine="jax", shapes="exact")
    here, tables = jax.numpy.asarray(x), {"coulomb": jax.numpy.asarray(bundle.table("coulomb").values)}

    def derivatives(potential):
        def total(x, tables):
            return (potential(x, tables) ** 2).sum()

        along = jax.numpy.ones_like(here)
        product = jax.jvp(lambda x: jax.grad(total)(x, tables), (here,), (along,))[1]
        mixed = jax.vjp(lambda tables: jax.grad(total)(here, tables), tables)[1](along)[0]
        return product, mixed["coulomb"], jax.vmap(lambda x: potential(x, tables))(here[None])

    for found, expected in zip(derivatives(U), derivatives(jax.jit(own)), strict=True):
        assert_same(found, np.asarray(expected))


@jax.enable_x64(True)
def test_conformers_are_filled_up_too():
    whole, x = chain(9), np.random.default_rng(3).normal(size=(37, 9, 3))
    bundle = part(whole, "vdw")
    U, expected = fb.potential(bundle, engine="jax"), fb.potential(bundle, engine="numpy").value_and_grad(x)
    found = U.value_and_grad(x)
    assert_same(found.energy, expected.energy)
    assert_same(found.forces, expected.forces)
    assert_same(found.tables["vdw"], expected.tables["vdw"])


def test_other_values_of_shapes_are_refused():
    with pytest.raises(UnknownNameError, match=r"'jax' has no shapes='padded'; it has: shared, exact"):
        fb.potential(chain(9), engine="jax", shapes="padded")
