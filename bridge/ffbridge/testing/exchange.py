"""Checks of a backend: arrays come and go with their values, and as it is told: aliased, copied or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.errors import ExchangeError
from ffbridge.exchange import Transfer, to, transfer
from ffbridge.layout import Strides, obstacle
from ffbridge.registry import backend_of, backends, get_backend
from ffbridge.testing.arrays import (
    LAYOUTS,
    VIEWS,
    elements,
    known_dtypes,
    numpy_array,
    numpy_dtype,
    possible,
    same,
    take_home,
    there,
)
from ffbridge.testing.check import Case, Check, expect

__all__ = ["CHECKS"]

_PLAIN = ("bool", "int32", "float32", "float64")
_STRIDES: tuple[Strides, ...] = ("any", "non_negative", "compact", "contiguous")


def _on_host(backend: Backend) -> bool:
    return "cpu" in backend.capabilities.devices


def _refused(backend: Backend, array: Array, dtype: str, target: Backend) -> str | None:
    """Return why a dtype is refused, if the target does not declare it; an error must say so, and name it."""
    if dtype in target.capabilities.dtypes:
        return None
    for copy in (None, True, False):
        try:
            transfer(array, target, copy=copy)
        except ExchangeError as error:
            expect(dtype in str(error), f"the refusal of {dtype} does not name it: {error}")
            continue
        expect(False, f"{dtype} is not among the dtypes that {target.name} declares, and was taken all the same")
    return f"{target.name} does not declare {dtype}"


# From NumPy


def _from_numpy_cases(backend: Backend) -> Iterator[Case]:
    for dtype in known_dtypes():
        for layout in LAYOUTS if dtype in backend.capabilities.dtypes else ("contiguous",):
            if possible(dtype, layout):
                yield dtype, layout


def _from_numpy(backend: Backend, dtype: str, layout: str) -> str | None:
    source = numpy_array(dtype, layout)
    if refused := _refused(backend, source, dtype, backend):
        return refused
    expected = elements(source)
    for copy in (None, True):
        array = there(source, backend, copy=copy)
        expect(backend_of(array) is backend, f"an array made of NumPy's is {type(array).__name__}, no array of its own")
        expect(backend.dtype(array) == dtype, f"{dtype} became {backend.dtype(array)}")
        expect(tuple(array.shape) == source.shape, f"shape {source.shape} became {tuple(array.shape)}")
        expect(same(elements(array), expected), f"copy={copy}: the values are not those of the source")
    expect(same(elements(source), expected), "the source was changed")
    return None


def _written_cases(backend: Backend) -> Iterator[Case]:
    if _on_host(backend):
        for dtype in _PLAIN:
            if dtype in backend.capabilities.dtypes:
                yield from ((dtype, layout) for layout in LAYOUTS if layout != "zero_size" and possible(dtype, layout))


def _written(backend: Backend, dtype: str, layout: str) -> str | None:
    """What is written to the source shows in an alias, and in nothing else."""
    for copy in (None, True, False):
        source = numpy_array(dtype, layout)
        before, after = elements(source), elements(np.zeros_like(source))
        try:
            moved = transfer(source, backend, copy=copy)
        except ExchangeError as error:
            expect(copy is False, f"copy={copy}: {error}")
            continue
        expect(not (copy is True and moved.zero_copy), "copy=True was said to alias")
        expect(not (copy is False and not moved.zero_copy), "copy=False was said to copy")
        _overwrite(source)
        expected, word = (after, "an alias") if moved.zero_copy else (before, "a copy")
        found = elements(moved.array)
        expect(same(found, expected), f"copy={copy}: said to be {word}, and is none: {moved.reason or 'zero copy'}")
    return None


def _overwrite(array: Any) -> None:
    """Write zeros to an array's memory, read-only or broadcast as it may be."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    if base.flags.writeable:
        base[...] = np.zeros((), base.dtype)
    else:
        np.frombuffer(base.base, np.uint8)[:] = 0


def _kept_cases(backend: Backend) -> Iterator[Case]:
    if _on_host(backend):
        yield from ((dtype,) for dtype in _PLAIN if dtype in backend.capabilities.dtypes)


def _read_only_kept(backend: Backend, dtype: str) -> str | None:
    """Writing through an array made of read-only memory does not change the memory."""
    source = numpy_array(dtype, "read_only")
    expected = elements(source)
    array = to(source, backend)
    try:
        array[0, 0] = array[2, 3]
        array[1, 1] = array[2, 3]
    except Exception:  # noqa: BLE001  (each framework has its own way to say that arrays cannot be written)
        return None
    expect(same(elements(source), expected), "writing to the array changed NumPy's read-only memory")
    return None


# To NumPy


def _to_numpy_cases(backend: Backend) -> Iterator[Case]:
    for dtype in known_dtypes():
        if dtype in backend.capabilities.dtypes:
            yield from ((dtype, view) for view in VIEWS)


def _made(backend: Backend, dtype: str, view: str) -> tuple[Array, Any]:
    """Return an array of the backend, by its own view of an array of its own memory, and what NumPy has for it."""
    source = numpy_array(dtype, "contiguous")
    expected = VIEWS[view](get_backend("numpy").namespace, source)
    return VIEWS[view](backend.namespace, there(source, backend, copy=True)), np.asarray(expected)


def _to_numpy(backend: Backend, dtype: str, view: str) -> str | None:
    array, expected = _made(backend, dtype, view)
    for copy in (None, True, False) if _on_host(backend) else (None,):
        try:
            moved = transfer(array, "numpy", copy=copy, device="cpu")
        except ExchangeError as error:
            expect(copy is False, f"copy={copy}: {error}")
            continue
        found = moved.array
        expect(found.dtype == numpy_dtype(dtype), f"{dtype} became {found.dtype}")
        expect(found.shape == expected.shape, f"shape {expected.shape} became {found.shape}")
        expect(same(elements(found), elements(expected)), f"copy={copy}: the values are not those of the source")
        if 0 not in found.shape and backend.name != "numpy":
            _told_truly(array, moved, copy)
    expect(same(elements(array), elements(expected)), "the source was changed")
    return None


def _told_truly(array: Array, moved: Transfer, copy: bool | None) -> None:
    """Two aliases of one array have one address, while both exist; two copies have two."""
    again = transfer(array, "numpy", copy=copy, device="cpu")
    one, other = (each.array.__array_interface__["data"][0] for each in (moved, again))
    if moved.zero_copy:
        expect(one == other, f"copy={copy}: said to alias, but two aliases of one array have different addresses")
    else:
        expect(one != other, f"copy={copy}: said to copy ({moved.reason}), but two copies have one address")


def _layout_cases(backend: Backend) -> Iterator[Case]:
    if _on_host(backend) and backend.name != "numpy":
        for dtype in _PLAIN:
            if dtype in backend.capabilities.dtypes:
                yield from ((dtype, view) for view in VIEWS if view != "zero_size")


def _layout(backend: Backend, dtype: str, view: str) -> str | None:
    """What the backend says of an array's memory is what NumPy sees in it."""
    array, _ = _made(backend, dtype, view)
    told = backend.layout(array)
    expect(told.shape == tuple(array.shape), f"layout has shape {told.shape}, the array {tuple(array.shape)}")
    for strides in _STRIDES:
        if backend.suits(array, strides):
            found = obstacle(told, strides=strides, alignment=1)
            expect(found is None, f"suits() is true for {strides} strides, and the layout has {found and found.reason}")
    try:
        seen = transfer(array, "numpy", copy=False).array
    except ExchangeError as error:
        return f"its memory is not shown: {error}"
    address = seen.__array_interface__["data"][0]
    expect(told.itemsize == seen.itemsize, f"layout has itemsize {told.itemsize}, the memory {seen.itemsize}")
    expect(told.address == address == backend.address(array), "address() and layout() are not where the memory is")
    steps = [(s, t) for n, s, t in zip(seen.shape, told.strides, seen.strides, strict=True) if n > 1]
    expect(all(s == t for s, t in steps), f"layout has strides {told.strides}, the memory {seen.strides}")
    expect(told.writable or not seen.flags.writeable, "layout says read-only, and NumPy's alias can be written")
    return None


# Among frameworks


def _partner_cases(backend: Backend) -> Iterator[Case]:
    for info in backends():
        other = info.name
        if info.available and other != backend.name and _on_host(get_backend(other)) and _on_host(backend):
            yield from ((way, other, dtype) for dtype in _PLAIN for way in ("from", "to"))


def _partner(backend: Backend, way: str, other: str, dtype: str) -> str | None:
    one, two = (backend, get_backend(other)) if way == "to" else (get_backend(other), backend)
    for side in (one, two):
        if dtype not in side.capabilities.dtypes:
            return f"{side.name} does not declare {dtype}"
    source = numpy_array(dtype, "contiguous")
    for view in ("contiguous", "transposed", "sliced", "broadcast", "zero_d"):
        array = VIEWS[view](one.namespace, to(source, one, copy=True))
        expected = elements(VIEWS[view](get_backend("numpy").namespace, source))
        for copy in (None, True):
            found = to(array, two, copy=copy)
            expect(two.dtype(found) == dtype, f"{view}: {dtype} became {two.dtype(found)}")
            expect(same(elements(found), expected), f"{view}, copy={copy}: the values are not those of the source")
    return None


# Casts and copies


def _copy_cases(backend: Backend) -> Iterator[Case]:
    held = [dtype for dtype in ("int32", "float32", "float64") if dtype in backend.capabilities.dtypes]
    yield from ((dtype, target) for dtype in held for target in held)


def _copy(backend: Backend, dtype: str, target: str) -> str | None:
    """`Backend.copy` gives C-contiguous memory of its own, of the dtype asked for."""
    source = np.arange(12, dtype=dtype).reshape(3, 4)
    array = backend.namespace.permute_dims(there(source, backend), (1, 0))
    copied = backend.copy(array, dtype=target)
    expect(backend.dtype(copied) == target, f"asked for {target}, got {backend.dtype(copied)}")
    expect(elements(copied) == source.T.astype(target).reshape(-1).tolist(), "the values are not those of the source")
    if _on_host(backend):
        found = obstacle(backend.layout(copied), strides="contiguous", alignment=1)
        expect(found is None, f"a copy is not C-contiguous: {found and found.reason}")
        expect(backend.address(copied) != backend.address(array), "a copy has the address of its source")
    expect(not backend.is_tracked(copied), "is_tracked() is true of a plain array")
    expect(backend.has_values(copied), "has_values() is false of a plain array")
    expect(same(elements(backend.detach(copied)), elements(copied)), "detach() changes values")
    cast = take_home(to(array, backend, dtype=target))
    expect(cast.dtype == np.dtype(target) and (cast == source.T).all(), f"a cast to {target} changes whole numbers")
    return None


CHECKS: tuple[Check[Backend], ...] = (
    Check(
        name="exchange/from-numpy",
        about="NumPy arrays of every dtype and layout arrive as they are, or are refused by the dtype's name",
        cases=_from_numpy_cases,
        run=_from_numpy,
    ),
    Check(
        name="exchange/to-numpy",
        about="its arrays, and its own views of them, arrive in NumPy likewise, and alias exactly where that is said",
        cases=_to_numpy_cases,
        run=_to_numpy,
    ),
    Check(
        name="exchange/aliases",
        about="what is written to NumPy memory shows in an array that is said to alias it, and in no other",
        cases=_written_cases,
        run=_written,
    ),
    Check(
        name="exchange/read-only",
        about="read-only memory is not changed through its arrays",
        cases=_kept_cases,
        run=_read_only_kept,
    ),
    Check(
        name="exchange/layout",
        about="layout(), address() and suits() say what the memory is like",
        cases=_layout_cases,
        run=_layout,
    ),
    Check(
        name="exchange/partners",
        about="arrays cross to and from every other backend that is installed",
        cases=_partner_cases,
        run=_partner,
    ),
    Check(
        name="exchange/copy",
        about="copy() gives contiguous memory of its own, and casts",
        cases=_copy_cases,
        run=_copy,
    ),
)
