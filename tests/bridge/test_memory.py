"""Memory that every framework can alias."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.memory import ALIGNMENT, aligned_copy, aligned_empty


@pytest.mark.parametrize("shape", [(), 0, 1, 5, (3, 4), (2, 0, 3), (7, 1, 5)])
@pytest.mark.parametrize("dtype", ["bool", "int8", "float32", "complex128"])
def test_aligned_empty(shape, dtype):
    arrays = [aligned_empty(shape, dtype) for _ in range(20)]
    for array in arrays:
        assert array.shape == ((shape,) if isinstance(shape, int) else shape)
        assert array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.flags.carray
    # They do not overlap, and each can be written to its end.
    for index, array in enumerate(arrays):
        array[...] = index % 2
    assert all((array == index % 2).all() for index, array in enumerate(arrays))


def test_aligned_copy():
    source = np.arange(12.0).reshape(3, 4)[::-1, ::2]
    copy = aligned_copy(source)
    np.testing.assert_array_equal(copy, source)
    assert copy.ctypes.data % ALIGNMENT == 0
    assert copy.flags.carray
    assert not np.shares_memory(copy, source)
    assert aligned_copy(source, dtype="float32").dtype == np.float32


def test_a_copy_of_a_subclass_is_a_plain_array():
    class Named(np.ndarray):
        pass

    assert type(aligned_copy(np.ones(3).view(Named))) is np.ndarray
