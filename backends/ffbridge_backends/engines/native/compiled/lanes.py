"""Lanes: conformers side by side in memory, so that one instruction computes several of them.

Positions of a block of conformers are ``(n_atoms, 3, width)``, flat: a coordinate of one atom in all conformers of the
block is contiguous. The width is a constant of the compiled loops. With it, and with results that go through one small
array of `width` columns, the compiler sees that no result overlaps with a position, and makes vector instructions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload
from numpy.typing import NDArray

__all__ = [
    "SOURCES",
    "Lanes",
    "Many",
    "One",
    "add",
    "case",
    "compiled",
    "counts_of",
    "from_lanes",
    "generic",
    "inlined",
    "lanes_for",
    "plus",
    "subtract",
    "sum_of",
    "to_lanes",
    "weights_to_lanes",
    "width",
]

Floats = NDArray[np.float64]

_OPTIONS = {"error_model": "numpy", "nogil": True}
"""Division by zero gives what IEEE 754 says; the interpreter's lock is free while a loop runs."""

SOURCES = int.from_bytes(
    hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).digest()[:7]
)
"""A digest of these modules. numba finds compiled code on disk by a loop's signature and its own file alone; a loop has
the digest as a default argument, which is part of its signature, so that a change of any formula compiles it again."""

_ACROSS = 16
"""Two vectors of 512 bits, four of 256."""


_MULTIPLE = 4
"""Conformers of the last block are filled up to a multiple, so that vectors are full."""


class Many(NamedTuple):
    """As many lanes as vector instructions want."""

    width: int = _ACROSS


class One(NamedTuple):
    """A single lane: few conformers, one after the other."""

    width: int = 1


Lanes = Many | One

_FEW = 3
"""Up to so many conformers, single lanes are faster than lanes that stay empty."""


def lanes_for(n_conformers: int) -> Lanes:
    """Return the lanes that suit so many conformers."""
    return One() if n_conformers <= _FEW else Many()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop when it is first called, and keep it on disk; where nothing can be written, for this process."""
    try:
        loop: Callable[..., Any] = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        loop = njit(**_OPTIONS)(function)
    return loop


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as a part of the loops that call it."""
    part: Callable[..., Any] = njit(forceinline=True, **_OPTIONS)(function)
    return part


def generic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that exists in compiled code alone, where :func:`case` says what it does for each type."""

    @wraps(function)
    def outside(*inputs: Any) -> Any:
        raise TypeError(f"{function.__qualname__} is for compiled loops, and was called by Python")

    return outside


def case(of: Callable[..., Any], kind: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function what `of` is in compiled code for first arguments of the type `kind`, a NamedTuple."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        def choose(first: Any, *others: Any) -> Any:
            return function if getattr(first, "instance_class", None) is kind else None

        overload(of, jit_options={**_OPTIONS, "forceinline": True}, strict=False)(choose)
        return function

    return register


@generic
def width(lanes: Any) -> Any:
    """Return the width, a constant."""


@case(width, Many)
def _many(lanes: Any) -> Any:
    return _ACROSS


@case(width, One)
def _one(lanes: Any) -> Any:
    return 1


@njit(fastmath={"reassoc", "nsz"}, forceinline=True, **_OPTIONS)
def plus(a: Any, b: Any) -> Any:
    """Return a + b of a sum whose order is free: sums over lanes are vector sums."""
    return a + b


@inlined
def sum_of(values: Any, start: Any, count: Any) -> Any:
    """Return the sum of `count` values from `start` on."""
    total = 0.0
    for c in range(count):
        total = plus(total, values[start + c])
    return total


@inlined
def add(onto: Any, values: Any, start: Any, count: Any) -> None:
    """Add `count` values from `start` on to as many of `onto`."""
    for c in range(count):
        onto[c] += values[start + c]


@inlined
def subtract(onto: Any, values: Any, start: Any, count: Any) -> None:
    """Subtract `count` values from `start` on from as many of `onto`."""
    for c in range(count):
        onto[c] -= values[start + c]


@lru_cache(maxsize=64)
def counts_of(n_conformers: int, lanes: Lanes) -> NDArray[np.intp]:
    """Return how many lanes of each block are computed, whole vectors."""
    across = lanes.width
    left = n_conformers - across * np.arange(-(-n_conformers // across))
    return np.minimum(across, -(-left // _MULTIPLE) * _MULTIPLE)


def to_lanes(x: Floats, lanes: Lanes) -> Floats:
    """Return ``(n_conformers, n)`` as ``(n_blocks, n * width)``; the last conformer again in lanes that are left."""
    across = lanes.width
    if across == 1:
        return np.ascontiguousarray(x)
    blocks = np.empty((-(-len(x) // across), x.shape[1] * across))
    _spread(lanes, np.ascontiguousarray(x), blocks)
    return blocks


def weights_to_lanes(weights: Floats, lanes: Lanes) -> Floats:
    """Return weights of conformers like :func:`to_lanes`, and 0 in lanes that are left."""
    blocks = to_lanes(weights, lanes)
    if left := len(weights) % lanes.width:
        blocks[-1].reshape(-1, lanes.width)[:, left:] = 0.0
    return blocks


def from_lanes(blocks: Floats, lanes: Lanes, n_conformers: int) -> Floats:
    """Return ``(n_blocks, n * width)`` as ``(n_conformers, n)``."""
    if lanes.width == 1:
        return blocks
    x = np.empty((n_conformers, blocks.shape[1] // lanes.width))
    _gather(lanes, blocks, x)
    return x


@compiled
def _spread(lanes: Any, x: Any, blocks: Any, sources: int = SOURCES) -> None:
    w = width(lanes)
    for block in range(len(blocks)):
        first = block * w
        for i in range(x.shape[1]):
            for c in range(w):
                blocks[block, i * w + c] = x[min(first + c, len(x) - 1), i]


@compiled
def _gather(lanes: Any, blocks: Any, x: Any, sources: int = SOURCES) -> None:
    w = width(lanes)
    for block in range(len(blocks)):
        first = block * w
        for i in range(x.shape[1]):
            for c in range(min(w, len(x) - first)):
                x[first + c, i] = blocks[block, i * w + c]
