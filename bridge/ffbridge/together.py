"""Many arrays to another framework at once, where that is faster than one after another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

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
    small = [name for name, array in arrays.items() if type(array) is np.ndarray and array.nbytes <= _LARGEST]
    moved = _together([arrays[name] for name in small], consumer)
    if moved is None:
        return {name: share(array, consumer).array for name, array in arrays.items()}
    found = dict(zip(small, moved, strict=True))
    if len(found) == len(arrays):
        return found
    return {name: found[name] if name in found else share(array, consumer).array for name, array in arrays.items()}


def _together(arrays: list[np.ndarray[Any, Any]], consumer: Backend) -> list[Array] | None:
    """Return the arrays where the framework has a way, and holds their dtypes."""
    if len(arrays) < 2 or consumer.name == HOST:
        return None
    held = consumer.capabilities.dtypes
    if not all(_is_held(dtype, held) for dtype in {array.dtype for array in arrays}):
        return None
    return consumer.together(arrays)


@lru_cache(maxsize=256)
def _is_held(dtype: np.dtype[Any], held: frozenset[str]) -> bool:
    return dtype.isnative and dtype.name in held
