"""Arrays for checks: every dtype and layout in NumPy, and the elements of any framework's array by Python's own means.

What a check compares is read from an array element by element, so not by the backend's own word, nor through DLPack.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import product
from math import prod
from operator import index
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.dtypes import FLOAT8, STANDARD
from ffbridge.exchange import to
from ffbridge.memory import aligned_empty
from ffbridge.registry import get_backend

__all__ = [
    "DTYPES",
    "LAYOUTS",
    "SHAPE",
    "VIEWS",
    "bits",
    "elements",
    "known_dtypes",
    "numpy_array",
    "numpy_dtype",
    "possible",
    "same",
    "take_home",
    "there",
]

NumPyArray = np.ndarray[Any, Any]

SHAPE = (3, 4)
DTYPES = (*sorted(STANDARD), "bfloat16", *sorted(FLOAT8))


def bits(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int = 7) -> NumPyArray:
    """Random bit patterns, NaNs and infinities among them, as an array aligned to 64 bytes."""
    raw = aligned_empty(prod(shape) * dtype.itemsize, np.uint8)
    raw[:] = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, raw.size)
    return raw.view(dtype).reshape(shape)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name, through ml_dtypes where NumPy has none."""
    if name.startswith(("bfloat", "float8", "int4")):
        name = getattr(importlib.import_module("ml_dtypes"), name)
    return np.dtype(name)


def known_dtypes() -> tuple[str, ...]:
    """Return the dtypes that NumPy has here."""
    held = get_backend("numpy").capabilities.dtypes
    return tuple(name for name in DTYPES if name in held)


def _size_one(source: NumPyArray) -> NumPyArray:
    size = source.itemsize
    return np.ndarray((1, 4), source.dtype, source, strides=(5 * size, size))


def _unaligned(source: NumPyArray) -> NumPyArray:
    buffer = np.frombuffer(bytearray(source.tobytes() + b"\0"), np.uint8)
    shifted = buffer[(buffer.ctypes.data + 1) % 2 :][: prod(SHAPE) * source.itemsize]
    return shifted.view(source.dtype).reshape(SHAPE)


def _read_only(source: NumPyArray) -> NumPyArray:
    array = source.reshape(-1)[: prod(SHAPE)].reshape(SHAPE)
    array.flags.writeable = False
    return array


LAYOUTS: dict[str, Callable[[NumPyArray], NumPyArray]] = {
    "contiguous": lambda source: bits(source.dtype, SHAPE),
    "zero_d": lambda source: bits(source.dtype, ()),
    "zero_size": lambda source: bits(source.dtype, (0, 4)),
    "transposed": lambda source: source.T,
    "size_one": _size_one,
    "offset": lambda source: source.reshape(-1)[1:13].reshape(SHAPE),
    "sliced": lambda source: source[:3, ::2],
    "broadcast": lambda source: np.broadcast_to(source[:1, :4], SHAPE),
    "negative": lambda source: source[::-1, :4],
    "read_only": _read_only,
    "unaligned": _unaligned,
}
"""By name, what makes an array of that layout from one of shape (8, 8)."""

VIEWS: dict[str, Callable[[Any, Array], Array]] = {
    "contiguous": lambda xp, array: array,
    "transposed": lambda xp, array: xp.permute_dims(array, (1, 0)),
    "offset": lambda xp, array: array[1:, :],
    "sliced": lambda xp, array: array[:, ::2],
    "broadcast": lambda xp, array: xp.broadcast_to(array[:1, :], tuple(array.shape)),
    "zero_size": lambda xp, array: array[:0, :],
    "zero_d": lambda xp, array: xp.reshape(array[1:2, 2:3], ()),
}
"""By name, what makes a view in a framework itself, by the array API standard. Its memory is the framework's choice."""


def possible(dtype: str, layout: str) -> bool:
    """Whether a layout exists for a dtype: single bytes are always aligned."""
    return layout != "unaligned" or (dtype != "bool" and numpy_dtype(dtype).itemsize > 1)


def numpy_array(dtype: str, layout: str) -> NumPyArray:
    """Return an array of random bits, of that dtype and layout."""
    return LAYOUTS[layout](bits(numpy_dtype(dtype), (8, 8)))


def there(array: Array, backend: Backend, **options: Any) -> Array:
    """Return an array in a backend; on its first device if it has none on the CPU."""
    if "cpu" not in backend.capabilities.devices:
        options["device"] = backend.devices()[0]
    return to(array, backend, **options)


def take_home(array: Array) -> NumPyArray:
    """Return an array in NumPy."""
    moved: NumPyArray = to(array, "numpy", device="cpu")
    return moved


def elements(array: Array) -> list[Any]:
    """Return the elements in C order as Python numbers, by indexing: neither a backend nor DLPack has a part in it."""
    if hasattr(array, "tolist"):
        found = np.asarray(array.tolist(), dtype=object)
        return [_number(value) for value in found.reshape(-1)]
    return [_number(array[place]) for place in product(*map(range, tuple(array.shape)))]


def _number(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | int | float | complex):
        return value
    # A scalar array of the array API standard, or a scalar of ml_dtypes.
    for kind in (index, float, complex, bool):
        try:
            return kind(value)
        except (TypeError, ValueError):
            continue
    raise TypeError(f"an element of type {type(value).__name__} is not a number")


def same(found: list[Any], expected: list[Any]) -> bool:
    """Return whether numbers are equal, one by one; NaN equals NaN."""
    return len(found) == len(expected) and all(map(_equal, found, expected))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, complex) or isinstance(other, complex):
        one, other = complex(one), complex(other)
        return _equal(one.real, other.real) and _equal(one.imag, other.imag)
    return bool(one == other or (one != one and other != other))
