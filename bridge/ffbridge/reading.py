"""Safetensors files, read without trusting them.

A file is opened once, checked against its own length before memory is taken for what it claims to hold, and read into
arrays that belong to nobody else. It is not mapped into memory: a mapped file that somebody shortens while it is read
ends the process.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np

from ffbridge.errors import BundleFileError
from ffbridge.memory import aligned_empty

__all__ = ["LONGEST_HEADER", "read_tensors", "strict_json"]

LONGEST_HEADER = 100_000_000
"""Bytes that the safetensors format allows for the header, the document included."""

DTYPES = {
    "BOOL": "bool",
    **{f"{kind}{bits}": f"{name}{bits}" for kind, name in (("U", "uint"), ("I", "int")) for bits in (8, 16, 32, 64)},
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
"""The dtypes that a bundle may hold, by their names in safetensors."""

MOST_AXES = 64
"""Axes that NumPy's arrays can have."""

LARGEST_INTEGER = 2**53
"""From here on, JSON's numbers are real numbers of 64 bits, also those without a point."""

Array = np.ndarray[Any, Any]


class _Entry(NamedTuple):
    """One array, as the header describes it."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


def read_tensors(file: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Return the metadata and the arrays of a safetensors file, each in memory of its own: aligned, read-only.

    Raises:
        BundleFileError: the file cannot be opened or is no regular one, is cut off, is no safetensors file, holds a
            dtype that bundles do not have, or more than there is memory for.
    """
    try:
        # A pipe would keep `open` waiting for somebody who writes; without blocking, it is opened and then refused.
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BundleFileError(f"{file}: cannot be read: it is no regular file [F-1]")
            return _read(file, stream, about.st_size)
    except BundleFileError:
        raise
    except OSError as error:
        raise BundleFileError(
            f"{file}: cannot be read: {error.strerror or error}. Check the path and permissions"
        ) from error
    except MemoryError as error:
        raise BundleFileError(f"{file}: cannot be read: its content takes more memory than there is") from error


def _read(file: Path, stream: IO[bytes], size: int) -> tuple[dict[str, str], dict[str, Array]]:
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > size - 8:
        _not_whole(file, "header too large" if length > LONGEST_HEADER else "it is shorter than its header")
    if length > LONGEST_HEADER:
        _not_whole(file, "header too large")
    text = stream.read(length)
    if not text.startswith(b"{"):
        _not_whole(file, "its header is no JSON object")
    header = strict_json(text, f"{file}: header")
    metadata = _metadata(file, header.pop("__metadata__", None))
    entries = sorted((_entry(file, *item) for item in header.items()), key=lambda each: (each.start, each.end))
    end = 0
    for entry in entries:
        if entry.start != end:
            _not_whole(file, f"{entry.name}: begins at byte {entry.start} of the data, expected {end}")
        end = entry.end
    if end != size - 8 - length:
        _not_whole(file, f"it has {size - 8 - length} bytes of data, and its arrays take {end}")
    return metadata, {entry.name: _array(file, stream, entry) for entry in entries}


def _metadata(file: Path, stored: Any) -> dict[str, str]:
    if stored is None:
        return {}
    if not isinstance(stored, dict) or not all(isinstance(text, str) for text in stored.values()):
        _not_whole(file, "__metadata__ is no object of texts")
    for text in (*stored, *stored.values()):
        _require_unicode(file, text)
    return stored


def _entry(file: Path, name: str, stored: Any) -> _Entry:
    _require_unicode(file, name)
    if not isinstance(stored, dict) or stored.keys() != {"dtype", "shape", "data_offsets"}:
        _not_whole(file, f"{name}: expected dtype, shape and data_offsets")
    shape, offsets = stored["shape"], stored["data_offsets"]
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2):
        _not_whole(file, f"{name}: shape and data_offsets are not lists of whole numbers, two of them offsets")
    dtype = _dtype(file, name, stored["dtype"])
    # NumPy counts the sizes of an empty array as well.
    if len(shape) > MOST_AXES or math.prod(size for size in shape if size) * dtype.itemsize > sys.maxsize:
        raise BundleFileError(f"{file}: {name}: a shape of {len(shape)} axes that no array in NumPy can have [A-3]")
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        _not_whole(file, f"{name}: {offsets[1] - offsets[0]} bytes for the shape {tuple(shape)} of {dtype.name}")
    return _Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _dtype(file: Path, name: str, stored: Any) -> np.dtype[Any]:
    if not isinstance(stored, str) or stored not in DTYPES:
        raise BundleFileError(f"{file}: {name}: dtype {stored}; the standard has: {', '.join(DTYPES)} [A-2]")
    if stored != "BF16":
        return np.dtype(DTYPES[stored])
    try:
        found: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    except ModuleNotFoundError as error:
        raise BundleFileError(f"{file}: holds bfloat16 weights. NumPy has them by: pip install ml_dtypes") from error
    return found


def _array(file: Path, stream: IO[bytes], entry: _Entry) -> Array:
    array = aligned_empty(entry.shape, entry.dtype)
    content = array.reshape(-1).view(np.uint8)
    for part in _parts(content):
        if stream.readinto(part) != len(part):  # type: ignore[attr-defined]  # of every binary stream
            _not_whole(file, "it became shorter while it was read")
    if entry.dtype == np.bool_ and (content > 1).any():
        raise BundleFileError(f"{file}: {entry.name}: bytes other than 0 and 1 as bool [A-2]")
    array.flags.writeable = False
    return array


def _parts(content: Array, size: int = 2**30) -> Iterator[memoryview]:
    """Yield memory piece by piece: the system reads no more than 2 GiB at once."""
    memory = content.data
    for start in range(0, len(memory), size):
        yield memory[start : start + size]


def _require_unicode(file: Path, text: str) -> None:
    """Refuse half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        _not_whole(file, f"the name or text {text[:40]!a} is no Unicode")


def _not_whole(file: Path, reason: str) -> NoReturn:
    raise BundleFileError(
        f"{file}: not a whole safetensors file ({reason}): it is cut off or of another kind. Copy or make it "
        "again [F-1]"
    )


def strict_json(text: str | bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that `text` holds; refuse repeated names, which readers resolve differently, and NaN.

    Args:
        text: JSON, as bytes in UTF-8.
        what: is named in messages.

    Raises:
        BundleFileError: it is no JSON, holds what JSON has not, or nests deeper than Python's stack.
    """
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_distinct,
            parse_constant=_refuse_constant,
            parse_int=_integer,
        )
    except _RepeatedNameError as error:
        raise BundleFileError(
            f"{what}: {error}. Parsers differ in which they take: make the file again [F-4]"
        ) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise BundleFileError(f"{what} is not the JSON of a bundle: {error}. Make the file again [F-3]") from error
    if not isinstance(value, dict):
        raise BundleFileError(f"{what} is a JSON {type(value).__name__}, expected an object [F-3]")
    return value


class _RepeatedNameError(ValueError):
    """An object of JSON text has a name twice."""


def _distinct(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        # `add` returns None: the first name that was there already ends the search.
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _RepeatedNameError(f"the name {repeated[:100]!r} stands twice in one object")
    return found


def _integer(text: str) -> int | float:
    """Return a number without a point: an integer where JSON's numbers tell integers apart, else the real number."""
    number = int(text)
    return number if abs(number) < LARGEST_INTEGER else float(number)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
