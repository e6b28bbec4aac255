"""Digests that identify content: of a bundle, and of a model's weights. The same in any framework."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import rfc8785

from ffbridge.errors import BundleError
from ffbridge.snapshot import snapshot

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle

__all__ = ["canonical_json", "content_digest", "content_hash", "weights_digest"]

Array = Any

_CONTENT = b"ffbridge-content-1\n"
_WEIGHTS = b"ffbridge-weights-1\n"


def content_hash(bundle: Bundle) -> str:
    """Return the sha256 of a bundle's content, 64 hexadecimal digits (spec, "Content hash").

    Values count to the last bit, and so do dtypes: a float32 copy of a float64 bundle has another hash. Gradients and
    devices don't count.

    Raises:
        BundleError: the document holds what JSON cannot (NaN, an object).
        ExchangeError: an array has no values to hash: it is being traced.
    """
    arrays = {path: snapshot(array) for path, array in bundle.arrays().items()}
    return content_digest(canonical_json(bundle.document()), arrays)


def weights_digest(weights: Mapping[str, Array]) -> str:
    """Return the sha256 over a model's weights, 64 hexadecimal digits (spec, "Models").

    Args:
        weights: arrays of any framework by name, as :func:`ffbridge.fingerprint.named_weights` returns them.

    Raises:
        ExchangeError: a weight is no array, or has no values: it is being traced.
    """
    digest = hashlib.sha256(_WEIGHTS)
    _update(digest, {name: snapshot(array) for name, array in weights.items()})
    return digest.hexdigest()


def content_digest(document: bytes, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return the sha256 over a document as it is stored and NumPy arrays by path."""
    digest = hashlib.sha256(_CONTENT)
    _update_text(digest, document)
    _update(digest, arrays)
    return digest.hexdigest()


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON in its one canonical form (RFC 8785), UTF-8.

    Raises:
        BundleError: it holds what JSON cannot.
    """
    try:
        return rfc8785.dumps(dict(document))
    except RecursionError as error:
        raise BundleError("document: nested deeper than Python can follow. Flatten it") from error
    except ValueError as error:  # rfc8785's own errors, and those that it lets pass: of half surrogate pairs in names
        raise BundleError(
            f"{_problem(document, error)}. A document holds strings, finite numbers, integers up to 2^53, true, false, "
            "null, lists and objects: convert the value"
        ) from error


def _update(digest: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    digest.update(_uint64(len(arrays)))
    for name, array in sorted((name.encode(), array) for name, array in arrays.items()):
        _update_text(digest, name)
        _update_text(digest, array.dtype.name.encode())
        digest.update(_uint64(array.ndim, *array.shape))
        stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(stored.reshape(-1).view(np.uint8))


def _update_text(digest: Any, text: bytes) -> None:
    digest.update(_uint64(len(text)) + text)


def _uint64(*numbers: int) -> bytes:
    return np.asarray(numbers, dtype="<u8").tobytes()


def _problem(document: Mapping[str, Any], error: ValueError) -> str:
    try:
        path, problem = _not_json(document) or ("document", str(error))
    except RecursionError:  # the search goes deeper than what it looks into
        path, problem = "document", str(error)[:100]
    return f"{path}: {problem}"


def _not_json(value: Any, path: str = "") -> tuple[str, str] | None:
    """Return the path of the first value that JSON cannot hold, and what it is."""
    if isinstance(value, Mapping):
        parts = list(value.items())
        if unnamed := [name for name in value if not isinstance(name, str)]:
            return f"{path}/{unnamed[0]}", f"the member's name {unnamed[0]!r} is no string"
        if unspelled := [name for name in value if _is_surrogate(name)]:
            return path or "document", f"the member's name {unspelled[0]!a} is no Unicode"
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    else:
        try:
            rfc8785.dumps(value)
        except ValueError as error:
            return path or "document", f"{_shown(value)} ({type(value).__name__}): {error}"
        return None
    found = (_not_json(item, f"{path}/{name}" if path else str(name)) for name, item in parts)
    return next(filter(None, found), None)


def _is_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    """Return how a message shows a value: Python refuses to write integers of thousands of digits."""
    return "a number of thousands of digits" if isinstance(value, int) and abs(value) > 10**100 else ascii(value)[:100]
