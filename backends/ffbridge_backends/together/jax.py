"""Many small NumPy arrays to JAX at once: joined into few, which a compiled function takes apart again.

What JAX does for each array that it is given takes ten times as long as what it does for each array that a compiled
function returns. Compiling pays where arrays of the same shapes come again and again, as when the tables of a bundle
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

__all__ = ["Unpacker", "unpacker"]

Arrays = Sequence[np.ndarray[Any, Any]]
Layout = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]

_WORTHWHILE = 500
"""Exchanges that take as much longer without a compiled function as it takes to compile it."""
_COPIES = 8
"""The most that XLA on the CPU makes in the caller's thread; more, side by side, go to others, which takes longer."""


@lru_cache(maxsize=256)
def unpacker(layout: Layout) -> Unpacker:
    """Return what brings arrays of these shapes and dtypes over."""
    return Unpacker(layout)


class Unpacker:
    """Brings arrays of one layout to JAX; compiled once it has been called often.

    Args:
        layout: shape and dtype of each array.
    """

    def __init__(self, layout: Layout) -> None:
        self._calls = 0
        by_dtype: dict[np.dtype[Any], list[int]] = {}
        for place, (_, dtype) in enumerate(layout):
            by_dtype.setdefault(dtype, []).append(place)
        self._places = list(by_dtype.values())
        self._split = _split([shape for shape, _ in layout], self._places)

    def __call__(self, arrays: Arrays) -> list[Any]:
        """Return the arrays in JAX."""
        self._calls += 1
        if self._calls <= _WORTHWHILE:
            import jax

            return list(jax.device_put(list(arrays)))
        joined = [np.concatenate([arrays[place] for place in places], axis=None) for places in self._places]
        found: list[Any] = self._split(_YES, joined)
        return found


_YES = np.ones((), dtype=bool)


def _split(shapes: list[tuple[int, ...]], by_array: list[list[int]]) -> Any:
    """Return the compiled function ``(yes, joined arrays) -> arrays``; it is compiled when it is first called.

    Args:
        shapes: of all arrays.
        by_array: which of them each joined array has, one after another.
    """
    import jax

    def split(yes: Any, all_joined: list[Any]) -> list[Any]:
        found: dict[int, Any] = {}
        for joined, places in zip(all_joined, by_array, strict=True):
            ends = accumulate(prod(shapes[place]) for place in places)
            cuts = [(end - prod(shapes[place]), end, shapes[place]) for place, end in zip(places, ends, strict=True)]
            for first in range(0, len(places), _COPIES):
                some = slice(first, first + _COPIES)
                found |= zip(places[some], _parts(yes, joined, cuts[some]), strict=True)
        return [found[place] for place in range(len(shapes))]

    return jax.jit(split)


def _parts(yes: Any, joined: Any, cuts: list[tuple[int, int, tuple[int, ...]]]) -> list[Any]:
    """Return copies of parts ``(start, end, shape)``, on a condition: one step to XLA, however many copies it is."""
    import jax

    def copies(joined: Any) -> list[Any]:
        return [joined[start:end].reshape(shape) for start, end, shape in cuts]

    def nothing(joined: Any) -> list[Any]:
        return [jax.numpy.zeros(shape, joined.dtype) for _, _, shape in cuts]

    found: list[Any] = jax.lax.cond(yes, copies, nothing, joined)
    return found
