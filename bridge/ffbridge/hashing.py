"""Digests that identify content: of a bundle, and of a model's weights. The same in any framework."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ffbridge.canonical import canonical_json
from ffbridge.snapshot import snapshot

if TYPE_CHECKING:
    from ffbridge.bundle import Bundle

__all__ = ["content_digest", "content_hash", "weights_digest"]

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


def _update(digest: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    digest.update(_uint64(len(arrays)))
    for name, array in sorted((name.encode(), array) for name, array in arrays.items()):
        _update_text(digest, name)
        _update_text(digest, array.dtype.name.encode())
        digest.update(_uint64(array.ndim, *array.shape))
        stored = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(stored.reshape(-1).view(np.uint8))


def _update_text(digest: Any, text: bytes) -> None:
    digest.update(_uint64(len(text)))
    digest.update(text)


def _uint64(*numbers: int) -> bytes:
    return np.asarray(numbers, dtype="<u8").tobytes()
