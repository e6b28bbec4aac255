"""Many arrays to another framework at once, where that is faster than one after another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ffbridge.backend import HOST, Array, Backend
from ffbridge.exchange import share
from ffbridge.registry import get_backend

__all__ = ["share_all"]

_LARGEST = 2**16
"""Bytes. Larger arrays are aliased rather than copied."""


def share_all(arrays: Mapping[str, Array], backend: str | Backend) -> dict[str, Array]:
    """Return arrays by name in another framework, as :func:`ffbridge.exchange.share` does.

    NumPy arrays of at most 64 KiB may be copied together instead of aliased one by one, if the framework has a way
    (:meth:`ffbridge.backend.Backend.together`).

    Raises:
        ExchangeError: an array cannot cross.
    """
    consumer = backend if isinstance(backend, Backend) else get_backend(backend)
    small = {name: array for name, array in arrays.items() if type(array) is np.ndarray and array.nbytes <= _LARGEST}
    moved: dict[str, Array] = {}
    if len(small) > 1 and consumer.name != HOST:
        held = consumer.capabilities.dtypes
        if all(dtype.isnative and dtype.name in held for dtype in {array.dtype for array in small.values()}):
            moved = dict(zip(small, consumer.together(list(small.values())) or (), strict=False))
    return {name: moved[name] if name in moved else share(array, consumer).array for name, array in arrays.items()}
