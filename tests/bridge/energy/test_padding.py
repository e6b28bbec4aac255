"""Plans in larger sizes: nothing of what fills them is seen, in energies and derivatives of any order, of any form."""

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.backend import HOST
from ffbridge.energy.api import analytic_value_and_grad, by_term
from ffbridge.energy.padding import Padding, padded_plan
from ffbridge.energy.plan import plan
from ffbridge.energy.sizes import N_FILLING_ATOMS, shared_sizes, sizes
from ffbridge.errors import UnsupportedError
from ffbridge.forms import forms
from ffbridge.packing import Packing
from ffbridge.registry import get_backend
from tests.bridge.bundles import chain, random_bundle, table, term, zigzag
from tests.spec.load import arrays_of, load, to_numpy

VECTORS = load("energy")
NUMPY = get_backend(HOST)


def padded(bundle):
    """The padding, and the structure, arrays and tables of the bundle in its own sizes and in shared ones."""
    structure, arrays = plan(bundle)
    tables = {name: table.values for name, table in bundle.tables.items()}
    own = sizes(structure, arrays, tables, bundle.n_atoms)
    padding = Padding(own, shared_sizes(structure, own))
    longer = {name: padding.table(np, name, values) for name, values in tables.items()}
    return padding, (structure, arrays, tables), (*padded_plan(structure, arrays, padding), longer)


@pytest.mark.parametrize("name", VECTORS)
def test_padded_plans_have_the_energies_and_derivatives_of_the_bundle(name):
    bundle = fb.Bundle.from_parts(VECTORS[name]["document"], arrays_of(VECTORS[name]))
    x = to_numpy(VECTORS[name]["positions"])
    try:
        padding, own, larger = padded(bundle)
    except UnsupportedError as error:
        pytest.skip(f"the array engines refuse it: {error}")
    terms = by_term(NUMPY, *own[:2], x, own[2])
    longer_x = padding.positions(NUMPY.namespace, x)
    for term_name, energy in by_term(NUMPY, *larger[:2], longer_x, larger[2]).items():
        np.testing.assert_allclose(padding.cut_energy(energy), terms[term_name], rtol=1e-13, err_msg=term_name)
        assert np.isfinite(energy[..., bundle.n_systems :]).all(), term_name
    expected = analytic_value_and_grad(NUMPY, *own[:2], x, own[2])
    found = analytic_value_and_grad(NUMPY, *larger[:2], longer_x, larger[2])
    np.testing.assert_allclose(padding.cut_positions(found.forces), expected.forces, rtol=1e-13, atol=1e-10)
    for table_name, values in expected.tables.items():
        cut = padding.cut_table(table_name, found.tables[table_name])
        np.testing.assert_allclose(cut, values, rtol=1e-13, atol=1e-10, err_msg=table_name)
    added = [found.forces[..., bundle.n_atoms :, :], *(t[len(own[2][n]) :] for n, t in found.tables.items())]
    assert all(np.isfinite(each).all() for each in added)


def test_the_vectors_have_every_form():
    used = {entry["form"] for vector in VECTORS.values() for entry in vector["document"]["terms"].values()}
    assert used == set(forms())


def test_filling_atoms_suffice_for_every_form():
    assert max(declared.arity for declared in forms().values()) <= N_FILLING_ATOMS


def test_shared_sizes_exceed_the_own_and_are_few():
    """Chains of 8 to 150 atoms, as molecules have them: 8 doublings of the number of pairs, four sizes."""
    found = set()
    for n_atoms in range(8, 151):
        padding, _, _ = padded(chain(n_atoms))
        own, shared = padding.own, padding.padded
        assert shared.n_systems > own.n_systems
        assert shared.n_atoms >= own.n_atoms + N_FILLING_ATOMS
        for part in ("rows", "pairs", "entries", "tables"):
            assert all(getattr(shared, part)[name] > n for name, n in getattr(own, part).items())
        found.add(str(shared))
    assert len(found) == 4


def test_batches_have_finer_sizes():
    one, many = chain(20), fb.concatenate([chain(20)] * 40)
    own, shared = (getattr(padded(one)[0], part).pairs["vdw/pairs"] for part in ("own", "padded"))
    assert shared > 2 * own
    own, shared = (getattr(padded(many)[0], part).pairs["vdw/pairs"] for part in ("own", "padded"))
    assert own < shared < 1.25 * own


def test_a_table_that_two_terms_have_row_by_row_stays_one():
    """One of pairs of atoms and one of single atoms, whose rows are rounded up differently."""
    bundle = chain(20)
    pairs = [[i, i + 5] for i in range(15)] + [[0, 10 + i] for i in range(5)]
    both = replace(
        bundle,
        terms=dict(bundle.terms) | {"own_pairs": term("lennard_jones_pair", pairs, table_name="vdw")},
        tables=dict(bundle.tables) | {"vdw": table("lennard_jones", np.full((20, 2), 0.3))},
    )
    both = replace(both, terms=dict(both.terms) | {"vdw": replace(both.terms["vdw"], mapping=fb.Identity())})
    padding, own, larger = padded(both)
    x = np.random.default_rng(1).normal(size=(20, 3))
    expected = by_term(NUMPY, *own[:2], x, own[2])
    found = by_term(NUMPY, *larger[:2], padding.positions(np, x), larger[2])
    for name, energy in expected.items():
        np.testing.assert_allclose(padding.cut_energy(found[name]), energy, rtol=1e-13, err_msg=name)


def test_packed_arrays_go_to_padded_sizes_and_back():
    bundle, x = random_bundle(np.random.default_rng(3)), zigzag(np.random.default_rng(4), 5)
    padding, (_, _, tables), (_, _, longer) = padded(bundle)
    packing = Packing(bundle.n_atoms, tuple((name, tables[name].shape) for name in ("coulomb", "harmonic_bond")))
    point = packing.pack(np, x, tables)
    larger = padding.packing(packing)
    found = padding.packed(np, packing, point, point=True)
    np.testing.assert_array_equal(found, larger.pack(np, padding.positions(np, x), longer))
    np.testing.assert_array_equal(padding.cut_packed(np, packing, found), point)
    # What is 0 where a point has positions; over a leading axis.
    tangents = padding.packed(np, packing, np.stack([point, 2 * point]), point=False)
    assert np.abs(tangents).sum() == pytest.approx(3 * np.abs(point).sum())
    np.testing.assert_array_equal(padding.cut_packed(np, packing, tangents), [point, 2 * point])
    # Two terms of two systems, and rows.
    each = np.arange(20.0).reshape(5, 4)
    assert padding.energies(np, each).shape == (5, 2 * padding.padded.n_systems)
    np.testing.assert_array_equal(padding.cut_energies(padding.energies(np, each), 4), each)
    rows = np.arange(5.0 * (2 + 33)).reshape(5, -1)
    np.testing.assert_array_equal(padding.cut_rows(np, padding.rows(np, rows, 2), 2), rows)
