"""NumPy memory that every framework can alias: aligned to 64 bytes, the most that any of them asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["ALIGNMENT", "aligned_copy", "aligned_empty"]

ALIGNMENT = 64
"""Bytes. XLA on CPU aliases nothing that is aligned to less; NumPy itself guarantees only 16."""


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An uninitialized C-contiguous array whose first element lies at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    buffer = np.empty(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize + ALIGNMENT, dtype=np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return np.ndarray(shape, dtype=dtype, buffer=buffer, offset=start)


def aligned_copy(array: NDArray[Any], *, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """A C-contiguous, writable copy, aligned to 64 bytes; cast to `dtype` if given."""
    copy = aligned_empty(array.shape, array.dtype if dtype is None else dtype)
    np.copyto(copy, array, casting="unsafe")
    return copy
