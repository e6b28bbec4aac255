"""Bundle files: safetensors, with the bundle's document in the metadata (spec, "File")."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.canonical import canonical_json, plain_document
from ffbridge.errors import BundleError, BundleFileError, ValidationError
from ffbridge.exchange import share
from ffbridge.hashing import content_digest
from ffbridge.reading import LONGEST_HEADER, read_tensors, strict_json
from ffbridge.snapshot import snapshot
from ffbridge.writing import write_whole

__all__ = ["load", "save"]

DOCUMENT = "ffbridge"
HASH = "ffbridge_sha256"
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

    document = bundle.document()
    arrays = {name: snapshot(array) for name, array in bundle.arrays().items()}
    if faults := find_faults(plain_document(document), arrays):
        raise ValidationError([str(fault) for fault in faults], subject=f"{os.fspath(path)} is not written: the bundle")
    _write(Path(path), _encode(Path(path), canonical_json(document), arrays))


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
    metadata, arrays = read_tensors(file)
    document = _document(file, metadata)
    if problem := version_fault(document):
        raise BundleFileError(f"{file}: {problem}")
    canonical = _canonical(file, document)
    if verify:
        _verify(file, canonical, metadata, arrays)
    if faults := find_faults(document, arrays):
        raise ValidationError([str(fault) for fault in faults], subject=str(file))
    return Bundle.from_parts(document, {name: share(array, backend).array for name, array in arrays.items()})


def _encode(file: Path, document: bytes, arrays: Arrays) -> bytes:
    from safetensors import SafetensorError
    from safetensors.numpy import save as serialize

    # The serializer takes the memory as it lies, so it must lie in C order; `order` keeps the shape of a scalar.
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {DOCUMENT: document.decode(), HASH: content_digest(document, arrays)}
    # The document is a JSON string within the header's JSON: its quotes and backslashes are escaped.
    escaped = document.count(b'"') + document.count(b"\\")
    length = len(json.dumps({**metadata, DOCUMENT: ""})) + len(document) + escaped
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
            f"{file}: cannot be written: {error.strerror or error}. Check that the folder {file.absolute().parent} "
            f"exists, is writable and has {len(content)} bytes of space"
        ) from error


def _document(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if DOCUMENT not in metadata:
        raise BundleFileError(
            f"{file}: a safetensors file without the metadata {DOCUMENT!r}: tensors of another kind, no bundle [F-2]"
        )
    return strict_json(metadata[DOCUMENT], f"{file}: metadata {DOCUMENT!r}")


def _canonical(file: Path, document: Mapping[str, Any]) -> bytes:
    """Return the document in its canonical form. One that has none is none, whether that is verified or not."""
    try:
        return canonical_json(document)
    except BundleError as error:
        raise BundleFileError(f"{file}: metadata {DOCUMENT!r}: {error} [F-3]") from error


def _verify(file: Path, canonical: bytes, metadata: Mapping[str, str], arrays: Arrays) -> None:
    if HASH not in metadata:
        raise BundleFileError(
            f"{file}: no metadata {HASH!r}, so that nothing tells whether it is whole. Write the hash, or pass "
            "verify=False [F-5]"
        )
    stored, text = metadata[HASH], metadata[DOCUMENT].encode()
    found = content_digest(text, arrays)
    if found != stored:
        raise BundleFileError(
            f"{file}: the content has the hash {found}, the file says {stored[:64]}: it was changed after it was "
            "written. Get the file again, or pass verify=False to read what it holds [F-5]"
        )
    if canonical != text:
        raise BundleFileError(
            f"{file}: metadata {DOCUMENT!r} is not in canonical form (RFC 8785), so that its hash does not identify "
            "the content. Write it with a canonicalizer, or pass verify=False [F-3]"
        )
