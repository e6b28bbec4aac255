"""Mappings: p = M θ and Mᵀ, against dense matrices, in every framework."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from functools import partial

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.mapping import MAPPINGS

from .samples import BACKENDS, framework

RANDOM = np.random.default_rng(3)
THETA = RANDOM.normal(size=(4, 3))
INDEX = np.asarray([2, 0, 2, 2, 3], dtype=np.int32)
OFFSETS = np.asarray([0, 2, 2, 5, 6], dtype=np.int32)
COLUMNS = np.asarray([1, 3, 0, 0, 2, 3], dtype=np.int32)
WEIGHTS = np.asarray([0.5, -1.0, 2.0, 0.25, 1.0, 3.0])


def dense_select():
    matrix = np.zeros((5, 4))
    for row, column in enumerate(INDEX):
        matrix[row, column] = 1
    return matrix


def dense_linear():
    """By hand: the second interaction has no entries, the third lists row 0 twice."""
    return np.asarray([[0, 0.5, 0, -1], [0, 0, 0, 0], [2.25, 0, 1, 0], [0, 0, 0, 3]])


CASES = {
    "identity": (lambda to: fb.Identity(), np.eye(4)),
    "select": (lambda to: fb.Select(to(INDEX)), dense_select()),
    "linear": (lambda to: fb.Linear(to(OFFSETS), to(COLUMNS), to(WEIGHTS)), dense_linear()),
}


@pytest.fixture(params=BACKENDS)
def to(request):
    with framework(request.param):
        yield partial(fb.to, backend=request.param)


@pytest.mark.parametrize("kind", CASES)
def test_apply_and_pullback_are_products_with_the_matrix(kind, to):
    make, matrix = CASES[kind]
    mapping = make(to)
    cotangent = RANDOM.normal(size=(len(matrix), 3))
    np.testing.assert_allclose(np.asarray(mapping.apply(to(THETA))), matrix @ THETA, rtol=1e-14, atol=1e-15)
    found = mapping.pullback(to(cotangent), 4)
    np.testing.assert_allclose(np.asarray(found), matrix.T @ cotangent, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("kind", ["select", "linear"])
def test_no_interactions(kind, to):
    empty = to(np.zeros(0, dtype=np.int32))
    mapping = (
        fb.Select(empty) if kind == "select" else fb.Linear(to(np.zeros(1, dtype=np.int32)), empty, to(np.zeros(0)))
    )
    assert tuple(mapping.apply(to(THETA)).shape) == (0, 3)
    assert np.asarray(mapping.pullback(to(np.zeros((0, 3))), 4)).tolist() == np.zeros((4, 3)).tolist()


@pytest.mark.parametrize("kind", CASES)
def test_autograd_agrees_with_the_pullback(kind):
    torch = pytest.importorskip("torch")
    make, matrix = CASES[kind]
    mapping = make(partial(fb.to, backend="torch"))
    leaf = torch.tensor(THETA, requires_grad=True)
    cotangent = torch.tensor(RANDOM.normal(size=(len(matrix), 3)))
    mapping.apply(leaf).backward(cotangent)
    torch.testing.assert_close(leaf.grad, mapping.pullback(cotangent, 4))


def test_a_sparse_mapping_stays_on_its_device():
    """array-api-strict refuses to mix arrays of two devices, as CUDA does."""
    strict = pytest.importorskip("array_api_strict")
    pytest.importorskip("ffbridge_strict", reason="the example plug-in is not installed")
    there = partial(strict.asarray, device=strict.Device("device1"))
    mapping = fb.Linear(there(OFFSETS), there(COLUMNS), there(WEIGHTS))
    found = mapping.apply(there(THETA))
    back = mapping.pullback(found, 4)
    assert found.device == back.device == strict.Device("device1")
    expected = dense_linear().T @ dense_linear() @ THETA
    np.testing.assert_allclose(np.from_dlpack(back.to_device(strict.Device("CPU_DEVICE"))), expected, rtol=1e-14)


def test_kinds_and_arrays():
    assert set(MAPPINGS) == set(CASES)
    for kind, (make, _) in CASES.items():
        mapping = make(lambda array: array)
        assert mapping.kind == kind
        assert isinstance(mapping, MAPPINGS[kind])
        assert MAPPINGS[kind](**mapping.arrays()).arrays() == mapping.arrays()


@pytest.mark.parametrize("kind", CASES)
def test_mappings_are_compared_by_identity_and_do_not_change(kind):
    """Comparing or hashing their arrays would raise in some frameworks, and take time in all."""
    make, _ = CASES[kind]
    mapping, alike = make(np.copy), make(np.copy)
    assert mapping != alike
    assert {mapping: "own", alike: "other"}[mapping] == "own"
    with pytest.raises(FrozenInstanceError):
        mapping.kind = "other"
