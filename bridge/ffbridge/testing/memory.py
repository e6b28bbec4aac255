"""Memory that tells when it is let go of: what was read through a dangling alias is then wrong for certain."""

from __future__ import annotations

import gc
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.memory import aligned_empty

__all__ = ["Lent", "collect", "resident"]

Array = np.ndarray[Any, Any]

_PATIENCE = 2.0
"""Seconds in which a framework must let go of memory that nobody uses."""


class _Owner:
    """Keeps an array's memory, as far as the array knows: when it goes, so does what the array holds."""

    def __init__(self, values: Array) -> None:
        self.__array_interface__ = values.__array_interface__


class Lent:
    """An array on loan. Once no alias of it is left its memory, which is kept, is overwritten.

    Attributes:
        array: the array. Take it with :meth:`take`, so that none stays behind.
    """

    def __init__(self, values: Array) -> None:
        self._memory = aligned_empty(values.shape, values.dtype)
        self._memory[...] = values
        owner = _Owner(self._memory)
        self._array: Array | None = np.asarray(owner)
        self._finalizer = weakref.finalize(owner, self._memory.fill, 0)

    def take(self) -> Array:
        """Return the array, and keep no reference to it."""
        array, self._array = self._array, None
        if array is None:
            raise ValueError("the array was taken already")
        return array

    def released(self) -> bool:
        """Return whether the array and all its aliases are gone, after some patience."""
        deadline = time.monotonic() + _PATIENCE
        while self._finalizer.alive and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        return not self._finalizer.alive


def collect() -> None:
    """Collect garbage, and take memory anew, so that what was freed is overwritten."""
    gc.collect()
    for size in (64, 256, 4096, 65536):
        for _ in range(8):
            np.full(size, 0xA5, dtype=np.uint8)


def resident() -> int | None:
    """Return the bytes of this process that are in memory, or None where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else None
