"""Many small NumPy arrays to JAX at once: joined into few, which a compiled function takes apart again.

What JAX does for each array that it is given takes ten times as long as what it does for each array that a compiled
function returns. Compiling pays where arrays of the same shapes come again and again, as when the tables of a bundle
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["Unpacker", "unpacker"]

Arrays = Sequence[np.ndarray[Any, Any]]
Layout = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]

_WORTHWHILE = 500
"""Exchanges that take as much longer without a compiled function as it takes to compile it."""
_OUTPUTS = 9
"""The most that XLA on the CPU copies in the caller's thread; more go to other threads, which takes longer."""


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
        groups = [each[i : i + _OUTPUTS] for each in by_dtype.values() for i in range(0, len(each), _OUTPUTS)]
        self._order = np.argsort([place for places in groups for place in places]).tolist()
        self._groups = [(places, _split([layout[place][0] for place in places])) for places in groups]

    def __call__(self, arrays: Arrays) -> list[Any]:
        """Return the arrays in JAX."""
        self._calls += 1
        if self._calls <= _WORTHWHILE:
            import jax

            return list(jax.device_put(list(arrays)))
        parts: list[Any] = []
        for places, split in self._groups:
            parts += split(np.concatenate([arrays[place].reshape(-1) for place in places]))
        return [parts[place] for place in self._order]


def _split(shapes: list[tuple[int, ...]]) -> Any:
    """Return the compiled function that takes apart what was joined; it is compiled when it is first called."""
    import jax

    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()

    def split(joined: Any) -> list[Any]:
        starts = [0, *ends[:-1]]
        return [joined[start:end].reshape(shape) for start, end, shape in zip(starts, ends, shapes, strict=True)]

    return jax.jit(split)
