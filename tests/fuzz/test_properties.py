"""Exchange and mappings over arrays that hypothesis makes up: any shape, dtype, strides and values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

import ffbridge as fb
from ffbridge.errors import ExchangeError
from tests.bridge.samples import framework

FRAMEWORKS = ("numpy", "torch", "jax")
DTYPES = (
    "bool",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)

quiet = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def arrays(draw):
    """An array and a view of it: cut, turned, stretched or reversed."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    array = draw(hn.arrays(dtype, shape, elements=hn.from_dtype(np.dtype(dtype), allow_nan=False)))
    for axis in range(array.ndim):
        step = draw(st.sampled_from((1, 1, 2, -1)))
        array = array[(slice(None),) * axis + (slice(None, None, step),)]
    if draw(st.booleans()):
        array = array.T
    if draw(st.booleans()):
        array = np.broadcast_to(array, (2, *array.shape))
    if draw(st.booleans()):
        array = array.view()
        array.flags.writeable = False
    return array


@pytest.mark.parametrize("target", FRAMEWORKS)
@quiet
@given(array=arrays(), copy=st.sampled_from((None, True)))
def test_any_array_crosses_and_comes_back(target, array, copy):
    before = array.copy()
    with framework(target):
        moved = fb.to(array, target, copy=copy)
        back = fb.to(moved, "numpy")
        assert tuple(moved.shape) == array.shape
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, before)
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("target", FRAMEWORKS)
@quiet
@given(array=arrays())
def test_what_is_asked_for_without_a_copy_is_no_copy(target, array):
    with framework(target):
        try:
            done = fb.transfer(array, target, copy=False)
        except ExchangeError as error:
            assert str(array.shape) in str(error)  # noqa: PT017  either is right
            return
        assert done.zero_copy
        np.testing.assert_array_equal(fb.to(done.array, "numpy"), array)


@st.composite
def mappings(draw):
    """A mapping of any kind, the matrix that it stands for, and a table and a cotangent that fit."""
    n_params, n_columns = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(("identity", "select", "linear")))
    n_terms = n_params if kind == "identity" else draw(st.integers(0, 6))
    rows = st.integers(0, n_params - 1)
    matrix = np.eye(n_params)
    mapping: fb.Mapping = fb.Identity()
    if kind == "select":
        index = np.array(draw(st.lists(rows, min_size=n_terms, max_size=n_terms)), dtype=np.int32)
        mapping, matrix = fb.Select(index), np.eye(n_params)[index]
    if kind == "linear":
        counts = draw(st.lists(st.integers(0, 3), min_size=n_terms, max_size=n_terms))
        columns = np.array(draw(st.lists(rows, min_size=sum(counts), max_size=sum(counts))), dtype=np.int32)
        weights = draw(hn.arrays("float64", sum(counts), elements=st.floats(-10, 10)))
        matrix = np.zeros((n_terms, n_params))
        np.add.at(matrix, (np.repeat(np.arange(n_terms), counts), columns), weights)
        mapping = fb.Linear(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), columns, weights)
    numbers = st.floats(-1e3, 1e3)
    table = draw(hn.arrays("float64", (n_params, n_columns), elements=numbers))
    cotangent = draw(hn.arrays("float64", (n_terms, n_columns), elements=numbers))
    return mapping, matrix, table, cotangent


@pytest.mark.parametrize("name", ["numpy", "torch"])
@quiet
@given(case=mappings())
def test_a_mapping_is_its_matrix(name, case):
    require_matrix(name, case)


@settings(quiet, max_examples=8)
@given(case=mappings())
def test_a_mapping_in_jax_is_its_matrix(case):
    """Fewer: each shape is compiled."""
    require_matrix("jax", case)


def require_matrix(name, case):
    """p = M θ, dL/dθ = Mᵀ dL/dp, ⟨dL/dp, M θ⟩ = ⟨Mᵀ dL/dp, θ⟩, and rows of M."""
    mapping, matrix, table, cotangent = case
    with framework(name):
        moved = type(mapping)(**{key: fb.to(array, name) for key, array in mapping.arrays().items()})
        applied = fb.to(moved.apply(fb.to(table, name)), "numpy")
        pulled = fb.to(moved.pullback(fb.to(cotangent, name), len(table)), "numpy")
        np.testing.assert_allclose(applied, matrix @ table, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(pulled, matrix.T @ cotangent, rtol=1e-12, atol=1e-9)
        assert np.isclose((cotangent * applied).sum(), (pulled * table).sum(), rtol=1e-9, atol=1e-6)
        assert applied.shape == cotangent.shape
        assert pulled.shape == table.shape
        rows = np.arange(len(matrix), dtype=np.int32)[::-1].copy()
        taken = fb.to(moved.take(fb.to(rows, name)).apply(fb.to(table, name)), "numpy")
        np.testing.assert_allclose(taken, matrix[rows] @ table, rtol=1e-12, atol=1e-9)
