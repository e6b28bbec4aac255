"""Which layouts can be taken as they lie, against NumPy's own flags and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffbridge.layout import Layout, contiguous_strides, is_compact, obstacle


def layout(array, **changes):
    address = array.__array_interface__["data"][0]
    return Layout(array.shape, array.strides, array.itemsize, address)._replace(**changes)


A = np.zeros((4, 6, 2))


@pytest.mark.parametrize(
    ("array", "strides", "reason"),
    [
        (A, "contiguous", None),
        (A.T, "contiguous", "not C-contiguous"),
        (A.T, "compact", None),
        (A.transpose(1, 0, 2), "compact", None),
        (A[::2], "compact", "strides with gaps"),
        (A[::2], "non_negative", None),
        (A[:, :1], "compact", "strides with gaps"),
        (A[:1], "contiguous", None),
        (A[:, :1], "contiguous", "not C-contiguous"),
        (np.broadcast_to(A[:1], A.shape), "compact", "broadcast axes (stride 0)"),
        (np.broadcast_to(A[:1], A.shape), "non_negative", None),
        (A[::-1], "non_negative", "negative strides"),
        (A[::-1], "any", None),
        (A[::2][:0], "contiguous", None),
        (A[1, 2, 1], "contiguous", None),
    ],
)
def test_strides(array, strides, reason):
    found = obstacle(layout(np.asarray(array)), strides=strides, alignment=1)
    assert (found and found.reason) == reason


@pytest.mark.parametrize(
    ("changes", "alignment", "reason"),
    [
        ({"address": 64}, 64, None),
        ({"address": 72}, 64, "memory that is not aligned to 64 bytes"),
        ({"address": 72}, 8, None),
        ({"address": 68}, 1, "elements that are not aligned to their size"),
        ({"address": 72, "itemsize": 16}, 1, None),  # complex128 is two numbers of 8 bytes
        ({"address": 64, "strides": (96, 16, 9)}, 1, "elements that are not aligned to their size"),
        ({"address": 3, "shape": (0, 6, 2)}, 64, None),
        ({"deferred": "conjugate bit"}, 1, "the array has a conjugate bit"),
    ],
)
def test_alignment_and_deferred_operations(changes, alignment, reason):
    found = obstacle(layout(A, **changes), strides="any", alignment=alignment)
    assert (found and found.reason) == reason


def test_every_obstacle_has_a_remedy():
    for array, strides in ((A[::-1], "non_negative"), (A[::2], "compact"), (A.T, "contiguous")):
        assert obstacle(layout(array), strides=strides, alignment=1).remedy


SLICES = st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([-2, -1, 1, 2]))


@given(
    shape=st.lists(st.integers(0, 4), max_size=4), slices=st.lists(SLICES, min_size=4, max_size=4), order=st.randoms()
)
def test_it_agrees_with_numpy(shape, slices, order):
    axes = list(range(len(shape)))
    order.shuffle(axes)
    array = np.zeros(shape, np.int32)[tuple(slice(*part) for part in slices[: len(shape)])].transpose(axes)
    lies = layout(array)
    alone = obstacle(lies, strides="contiguous", alignment=1) is None
    if not any(s < 0 for s in array.strides):
        assert alone == array.flags.c_contiguous
    # Compact means: some order of the axes is contiguous.
    sorted_axes = sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), array.shape[axis] == 1))
    if array.size and all(s > 0 for s in array.strides):
        assert is_compact(lies) == array.transpose(sorted_axes).flags.c_contiguous


@given(st.lists(st.integers(1, 5), max_size=5))
def test_contiguous_strides(shape):
    assert contiguous_strides(tuple(shape), 8) == np.zeros(shape).strides
