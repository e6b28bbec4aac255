"""Bundle files: safetensors, with the bundle's document in the metadata (spec, "File")."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, BundleFileError, ValidationError
from ffbridge.exchange import share
from ffbridge.hashing import canonical_json, content_digest
from ffbridge.memory import aligned_copy
from ffbridge.snapshot import snapshot
from ffbridge.writing import write_whole

__all__ = ["load", "save"]

DOCUMENT = "ffbridge"
HASH = "ffbridge_sha256"
DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64")
"""The safetensors dtypes that a bundle may hold."""

LONGEST_HEADER = 100_000_000
"""Bytes that the safetensors format allows for the header, the document included."""

Arrays = dict[str, np.ndarray[Any, Any]]
StrPath = str | os.PathLike[str]


def save(bundle: Bundle, path: StrPath) -> None:
    """Write a valid bundle to one safetensors file; ``safetensors.safe_open`` reads it.

    The file is a snapshot: values as they are now, from any framework and device, with gradients left behind. It is
    written under a temporary name in the same folder and renamed when complete: `path` holds the old file or the whole
    new one, never a part.

    Args:
        bundle: the bundle.
        path: the file, by custom with the suffix ``.ffb``; replaced if it exists.

    Raises:
        ValidationError: the bundle breaks the standard; nothing is written.
        BundleFileError: the file cannot be written, or the document is longer than the format allows.
        ExchangeError: an array has no values to write: it is being traced.
    """
    from ffbridge.rules import find_faults

    document = canonical_json(bundle.document())
    arrays = {name: snapshot(array) for name, array in bundle.arrays().items()}
    if faults := find_faults(json.loads(document), arrays):
        raise ValidationError([str(fault) for fault in faults], subject=f"{os.fspath(path)} is not written: the bundle")
    _write(Path(path), _encode(Path(path), document, arrays))


def load(path: StrPath, *, backend: str = "numpy", verify: bool = True) -> Bundle:
    """Read a bundle from a file and check it against the standard.

    Args:
        path: the file.
        backend: where the arrays go: ``numpy`` (read-only, aligned to 64 bytes), ``torch``, ``jax``, …
        verify: also check that the content is what was written (its hash) and that the document is in canonical form.
            False is for files edited by hand.

    Raises:
        BundleFileError: the file cannot be opened, is cut off, is no bundle, is of another version, or was changed.
        ValidationError: the file is sound and its content breaks the standard.
        ExchangeError: an array cannot go to the backend, such as float64 to JAX while x64 is off.
    """
    from ffbridge.rules import find_faults
    from ffbridge.rules.document import version_fault

    file = Path(path)
    metadata, arrays = _read(file)
    document = _document(file, metadata)
    if problem := version_fault(document):
        raise BundleFileError(f"{file}: {problem}")
    if verify:
        _verify(file, document, metadata, arrays)
    if faults := find_faults(document, arrays):
        raise ValidationError([str(fault) for fault in faults], subject=str(file))
    return Bundle.from_parts(document, {name: share(array, backend).array for name, array in arrays.items()})


def _encode(file: Path, document: bytes, arrays: Arrays) -> bytes:
    from safetensors import SafetensorError
    from safetensors.numpy import save as serialize

    # The serializer takes the memory as it lies, so it must lie in C order; `order` keeps the shape of a scalar.
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {DOCUMENT: document.decode(), HASH: content_digest(document, arrays)}
    # The document is a JSON string within the header's JSON: its quotes are escaped.
    length = len(json.dumps(metadata, ensure_ascii=False).encode())
    try:
        if length > LONGEST_HEADER:
            raise BundleFileError(
                f"{file}: not written: the document takes {length} bytes, and a safetensors header holds "
                f"{LONGEST_HEADER}. Split the bundle, or leave out the tables' keys or the provenance"
            )
        return bytes(serialize(dense, metadata=metadata))
    except SafetensorError as error:
        raise BundleFileError(f"{file}: not written: safetensors refuses the content: {error}") from error


def _write(file: Path, content: bytes) -> None:
    try:
        write_whole(file, content)
    except OSError as error:
        raise BundleFileError(
            f"{file}: cannot be written: {error.strerror or error}. Check that the folder {file.resolve().parent} "
            f"exists, is writable and has {len(content)} bytes of space"
        ) from error


def _read(file: Path) -> tuple[dict[str, str], Arrays]:
    """Return the metadata and the arrays, each in memory of its own: aligned, read-only."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as content:
            # What the library accepts has a well-formed header; it takes the last of repeated names without a word.
            header = _strict_json(_header(file), f"{file}: header")
            for name, entry in header.items():
                if name != "__metadata__" and entry["dtype"] not in DTYPES:
                    known = ", ".join(DTYPES)
                    raise BundleFileError(f"{file}: {name}: dtype {entry['dtype']}; the standard has: {known} [A-2]")
            arrays = {name: _own(content.get_tensor(name)) for name in content.keys()}  # noqa: SIM118 (not a dict)
            return content.metadata() or {}, arrays
    except SafetensorError as error:
        raise BundleFileError(
            f"{file}: not a whole safetensors file ({error}): it is cut off or of another kind. Copy or make it "
            "again [F-1]"
        ) from error
    except ModuleNotFoundError as error:
        raise BundleFileError(f"{file}: holds bfloat16 weights. NumPy has them by: pip install ml_dtypes") from error
    except BundleFileError:
        raise
    except OSError as error:
        raise BundleFileError(
            f"{file}: cannot be read: {error.strerror or error}. Check the path and permissions"
        ) from error


def _header(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(int.from_bytes(stream.read(8), "little"))


def _own(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    copy = aligned_copy(array)
    copy.flags.writeable = False
    return copy


def _document(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if DOCUMENT not in metadata:
        raise BundleFileError(
            f"{file}: a safetensors file without the metadata {DOCUMENT!r}: tensors of another kind, no bundle [F-2]"
        )
    return _strict_json(metadata[DOCUMENT], f"{file}: metadata {DOCUMENT!r}")


def _strict_json(text: str | bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that `text` holds; refuse repeated names, which readers resolve differently, and NaN."""
    try:
        value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    except _RepeatedNameError as error:
        raise BundleFileError(
            f"{what}: {error}. Parsers differ in which they take: make the file again [F-4]"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleFileError(f"{what} is not the JSON of a bundle: {error}. Make the file again [F-3]") from error
    if not isinstance(value, dict):
        raise BundleFileError(f"{what} is a JSON {type(value).__name__}, expected an object [F-3]")
    return value


class _RepeatedNameError(ValueError):
    """An object of JSON text has a name twice."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _RepeatedNameError(f"the name {repeated!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _verify(file: Path, document: Mapping[str, Any], metadata: Mapping[str, str], arrays: Arrays) -> None:
    if HASH not in metadata:
        raise BundleFileError(
            f"{file}: no metadata {HASH!r}, so that nothing tells whether it is whole. Write the hash, or pass "
            "verify=False [F-5]"
        )
    stored, text = metadata[HASH], metadata[DOCUMENT].encode()
    found = content_digest(text, arrays)
    if found != stored:
        raise BundleFileError(
            f"{file}: the content has the hash {found}, the file says {stored}: it was changed after it was written. "
            "Get the file again, or pass verify=False to read what it holds [F-5]"
        )
    try:
        canonical = canonical_json(document) == text
    except BundleError as error:
        raise BundleFileError(f"{file}: metadata {DOCUMENT!r}: {error} [F-3]") from error
    if not canonical:
        raise BundleFileError(
            f"{file}: metadata {DOCUMENT!r} is not in canonical form (RFC 8785), so that its hash does not identify "
            "the content. Write it with a canonicalizer, or pass verify=False [F-3]"
        )
