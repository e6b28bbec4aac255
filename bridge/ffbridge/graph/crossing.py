"""How one array of a graph crosses to another framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ffbridge.errors import ExchangeError
from ffbridge.exchange import share
from ffbridge.registry import backend_of, get_backend

__all__ = ["Crossing", "cross"]

Array = Any

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Crossing:
    """How an array of a graph came to its framework.

    Attributes:
        path: the array's path in the graph, such as ``nodes/n2/k``.
        zero_copy: whether it shares the memory of the array that it comes from.
        reason: why it was copied; None if it was not.
    """

    path: str
    zero_copy: bool
    reason: str | None


def cross(
    path: str, array: Array, backend: str, *, device: str | None = None, dtype: str | None = None
) -> tuple[Array, Crossing]:
    """Return an array in another framework, and how it crossed.

    Args:
        path: where the array stands in its graph, for messages.
        array: the array.
        backend: name of the backend that shall have it.
        device: where it goes; where it is if None.
        dtype: floating-point type to cast it to, if it is floating point.

    Raises:
        ExchangeError: the array cannot cross as asked. The message begins with `path`.
    """
    owner = backend_of(array)
    name = owner.dtype(array)
    narrowed = None
    if name.startswith(("float", "bfloat")):
        wanted = dtype
    elif name == "int64" and "int64" not in get_backend(backend).capabilities.dtypes:
        _check_fits_int32(path, array, backend)
        wanted = "int32"
        narrowed = f"{backend} holds no int64 now; every value fits in int32, which was checked"
    else:
        wanted = None
    try:
        moved = share(array, backend, device=device, dtype=wanted)
    except ExchangeError as error:
        raise ExchangeError(f"{path}: {error}") from error
    return moved.array, Crossing(path=path, zero_copy=moved.zero_copy, reason=narrowed or moved.reason)


def _check_fits_int32(path: str, array: Array, backend: str) -> None:
    xp = backend_of(array).namespace
    if 0 in array.shape:
        return
    low, high = int(xp.min(array)), int(xp.max(array))
    if low < _INT32_MIN or high > _INT32_MAX:
        remedy = get_backend(backend).capabilities.refused.get("int64", "")
        raise ExchangeError(
            f"{path}: int64 values from {low} to {high} do not fit in int32, and {backend} holds no int64 now. {remedy}"
        )
