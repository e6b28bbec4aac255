"""How an array lies in memory, and which consumers can take it as it lies."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

__all__ = ["Layout", "Obstacle", "Strides", "contiguous_strides", "is_compact", "obstacle"]

Strides = Literal["any", "non_negative", "compact", "contiguous"]
"""Which strides a backend imports: any; none below zero; a permutation of contiguous axes; C-contiguous only."""


class Layout(NamedTuple):
    """The memory of one dense array.

    Attributes:
        shape: as the framework says.
        strides: in bytes, one per axis.
        itemsize: bytes per element.
        address: of the first element.
        writable: whether its own framework would write to it.
        deferred: an operation that the framework has noted but not done on the memory ("conjugate bit"), or a kind of
            memory that others do not know ("page-locked memory"); None if there is none.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    itemsize: int
    address: int
    writable: bool = True
    deferred: str | None = None


class Obstacle(NamedTuple):
    """Why an array cannot be aliased, and what a caller can do about it."""

    reason: str
    remedy: str


_CONTIGUOUS = "pass a contiguous array"


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous array."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_compact(layout: Layout) -> bool:
    """Whether the elements fill a block of memory without gaps or overlap, in any order of axes."""
    if 0 in layout.shape:
        return True
    expected = layout.itemsize
    for stride, size in sorted((s, n) for s, n in zip(layout.strides, layout.shape, strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= size
    return True


def _is_contiguous(layout: Layout) -> bool:
    """Whether the elements lie in C order; the stride of an axis of length 1 does not matter."""
    if 0 in layout.shape:
        return True
    expected = contiguous_strides(layout.shape, layout.itemsize)
    return all(n == 1 or s == e for n, s, e in zip(layout.shape, layout.strides, expected, strict=True))


def obstacle(layout: Layout, *, strides: Strides, alignment: int) -> Obstacle | None:
    """What keeps a consumer that takes `strides` and needs `alignment` (bytes) from aliasing an array, or None.

    Elements that are not aligned to their own size are an obstacle for every consumer: compiled code assumes it.
    """
    if layout.deferred:
        return Obstacle(f"the array has a {layout.deferred}", "resolve it in its own framework first")
    if strides != "any" and any(s < 0 for s in layout.strides):
        return Obstacle("negative strides", _CONTIGUOUS)
    if strides == "compact" and not is_compact(layout):
        broadcast = any(s == 0 for s, n in zip(layout.strides, layout.shape, strict=True) if n > 1)
        return Obstacle("broadcast axes (stride 0)" if broadcast else "strides with gaps", _CONTIGUOUS)
    if strides == "contiguous" and not _is_contiguous(layout):
        return Obstacle("not C-contiguous", _CONTIGUOUS)
    if 0 in layout.shape:
        return None
    # An element's natural alignment is its size, or half of it for a complex number (two reals).
    natural = min(layout.itemsize, 8)
    if layout.address % natural or any(s % natural for s, n in zip(layout.strides, layout.shape, strict=True) if n > 1):
        return Obstacle("elements that are not aligned to their size", "copy the array into memory of its own")
    if layout.address % alignment:
        return Obstacle(
            f"memory that is not aligned to {alignment} bytes", "allocate it with ffbridge.memory.aligned_empty"
        )
    return None
