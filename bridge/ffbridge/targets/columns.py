"""The columns of each kind of target: types, shapes and units, as ``targets-1.json`` of the standard states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ffbridge.errors import TargetError, UnknownNameError
from ffbridge_spec import load_targets

__all__ = ["Column", "Sizes", "checked", "columns", "kinds", "shape_of_flat", "version"]

Sizes = dict[str, int]
"""The sizes of one target: ``n_atoms`` and so on."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One field of a target, and the column that stores it.

    Attributes:
        name: of both.
        type: ``string``, ``json``, ``float64`` or ``int32``.
        shape: of an array, in numbers and names of sizes; None for a single value.
        unit: empty if it has none.
        optional: it may be absent.
        description: what it is.
    """

    name: str
    type: str
    shape: tuple[str | int, ...] | None = None
    unit: str = ""
    optional: bool = False
    description: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.type in ("string", "json")

    def expected(self, sizes: Mapping[str, int]) -> str:
        """Return the shape as messages write it, such as ``(n_conformers, n_atoms, 3) with n_atoms = 9``."""
        axes = self.shape or ()
        known = [f"{axis} = {sizes[axis]}" for axis in dict.fromkeys(axes) if isinstance(axis, str) and axis in sizes]
        shape = f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
        return shape + (f" with {', '.join(known)}" if known else "")


@cache
def _registry() -> tuple[str, dict[str, tuple[Column, ...]]]:
    registry = load_targets()

    def read(entries: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
        return tuple(
            Column(**{**entry, "shape": tuple(entry["shape"]) if "shape" in entry else None}) for entry in entries
        )

    common = read(registry["common"])
    return registry["version"], {name: common + read(kind["columns"]) for name, kind in registry["kinds"].items()}


def version() -> str:
    """Return the version of the standard's schemas."""
    return _registry()[0]


def kinds() -> tuple[str, ...]:
    """Return the names of the kinds."""
    return tuple(_registry()[1])


def columns(kind: str) -> tuple[Column, ...]:
    """Return the columns of a kind, in order.

    Raises:
        UnknownNameError: there is no such kind.
    """
    known = _registry()[1]
    if kind not in known:
        raise UnknownNameError(f"there is no kind of target {kind!r}; there are: {', '.join(known)}")
    return known[kind]


def checked(column: Column, value: Any, sizes: Sizes) -> Any:
    """Return the value of a field as it is kept: arrays in memory of their own, read-only; `sizes` learns from it.

    Raises:
        TargetError: it is missing, of a wrong type or shape, or not finite. The message begins with the field's name.
    """
    if value is None:
        if column.optional:
            return None
        raise TargetError(f"{column.name}: missing, expected {_what(column, sizes)}")
    if column.is_text:
        return value if column.type == "json" else _text(column, value, sizes)
    array = _numbers(column, value, sizes)
    _fit(column, array.shape, sizes)
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        where = f" at index {place}" if place else ""
        raise TargetError(f"{column.name}: {array[place]}{where}, expected finite numbers{_unit(column)}")
    if column.shape is None:
        return array.item()
    array.flags.writeable = False
    return array


def _text(column: Column, value: Any, sizes: Sizes) -> Any:
    if column.shape is None:
        if not isinstance(value, str):
            raise TargetError(f"{column.name}: got {type(value).__name__}, expected text")
        return value
    texts = tuple(value)
    if not all(isinstance(each, str) for each in texts):
        raise TargetError(f"{column.name}: got {texts!r}, expected texts")
    _fit(column, (len(texts),), sizes)
    return texts


def _numbers(column: Column, value: Any, sizes: Sizes) -> np.ndarray[Any, Any]:
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "iuf":
            raise TypeError(f"numbers of type {found.dtype.name}")
        array = np.array(found, dtype=column.type)
    except (TypeError, ValueError, OverflowError) as error:
        raise TargetError(f"{column.name}: got {error}, expected {_what(column, sizes)}") from error
    if column.type == "int32" and not np.array_equal(array, found):
        raise TargetError(f"{column.name}: numbers that are no integers of 32 bits, expected {_what(column, sizes)}")
    return array


def _fit(column: Column, shape: tuple[int, ...], sizes: Sizes) -> None:
    """Compare a shape with what is known of the target's sizes, and take over what was not."""
    axes = column.shape or ()
    good = len(shape) == len(axes)
    for axis, size in zip(axes, shape, strict=False):
        expected = axis if isinstance(axis, int) else sizes.setdefault(axis, size) if good else size
        good = good and size == expected and size > 0
    if not good:
        raise TargetError(f"{column.name}: got shape {shape}, expected {column.expected(sizes)}{_unit(column)}")


def shape_of_flat(column: Column, size: int, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of an array of `size` numbers, of whose axes at most one is not known yet.

    Raises:
        TargetError: that many numbers do not fill such a shape.
    """
    axes = column.shape or ()
    unknown = {axis for axis in axes if isinstance(axis, str) and axis not in sizes}
    known = prod(axis if isinstance(axis, int) else sizes[axis] for axis in axes if axis not in unknown)
    if len(unknown) > 1 or (size % known if unknown else size != known) or not size:
        raise TargetError(f"{column.name}: got {size} numbers, expected shape {column.expected(sizes)}{_unit(column)}")
    found = dict.fromkeys(unknown, size // known)
    return tuple(axis if isinstance(axis, int) else {**sizes, **found}[axis] for axis in axes)


def _unit(column: Column) -> str:
    return f" [{column.unit}]" if column.unit else ""


def _what(column: Column, sizes: Sizes) -> str:
    if column.is_text:
        return "text"
    shape = f" of shape {column.expected(sizes)}" if column.shape is not None else ""
    return f"{column.type}{shape}{_unit(column)}"
