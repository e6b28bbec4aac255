"""`Bundle.pullback` is the transpose of M: against dense matrices, and by the chain rule through a potential."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb

from .samples import BACKENDS, bundle, framework, without_cutoff

TERMS = tuple(bundle().terms)


def dense(term, n_params):
    """M, read off the mapping's arrays entry by entry as section 4 of the standard says."""
    mapping = term.mapping
    matrix = np.zeros((len(term), n_params))
    for row in range(len(term)):
        if mapping.kind == "identity":
            matrix[row, row] = 1
        elif mapping.kind == "select":
            matrix[row, mapping.index[row]] = 1
        else:
            for entry in range(mapping.offsets[row], mapping.offsets[row + 1]):
                matrix[row, mapping.columns[entry]] += mapping.weights[entry]
    return matrix


def test_the_bundle_has_every_kind_of_mapping():
    assert {term.mapping.kind for term in bundle().terms.values()} == {"identity", "select", "linear"}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_pullback_is_the_product_with_the_transpose(name, backend):
    source = bundle()
    term = source.term(name)
    table = source.table(term.table).values
    matrix = dense(term, len(table))
    cotangent = np.random.default_rng(9).normal(size=(len(term), table.shape[1]))
    with framework(backend):
        moved = source.to(backend)
        found = moved.pullback(name, fb.to(cotangent, backend))
        assert type(found) is type(moved.table(term.table).values)
        np.testing.assert_allclose(np.asarray(found), matrix.T @ cotangent, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(np.asarray(moved.parameters(name)), matrix @ table, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", TERMS)
def test_the_derivatives_of_interactions_go_back_to_the_table(name):
    """dU/dθ equals the pullback of dU/dp, which a bundle with one row for each interaction has in its table."""
    source = without_cutoff(bundle())
    term = source.term(name)
    # A virtual site has no energy of its own.
    acting = ("electrostatics",) if name in source.virtual_sites else ()
    terms = {name: term} | {other: source.term(other) for other in acting}
    tables = {each.table: source.table(each.table) for each in terms.values()}
    alone = replace(source, terms=terms, tables=tables)
    own = replace(source.table(term.table), values=source.parameters(name), keys=None)
    expanded = replace(
        alone, terms=terms | {name: replace(term, mapping=fb.Identity())}, tables=tables | {term.table: own}
    )
    x = np.random.default_rng(10).normal(scale=0.2, size=(source.n_atoms, 3))
    to_table, to_interactions = (fb.potential(each).value_and_grad(x).tables[term.table] for each in (alone, expanded))
    assert np.abs(to_table).max() > 0
    np.testing.assert_allclose(
        source.pullback(name, to_interactions), to_table, rtol=1e-12, atol=1e-12 * np.abs(to_table).max()
    )
