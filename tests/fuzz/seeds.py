"""Inputs to begin with: the standard's vectors, as files."""

from __future__ import annotations

import numpy as np

from tests.spec.independent import broken
from tests.spec.load import load, to_numpy

from .container import DTYPES, Container, Tensor, written

LARGEST = 3000
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def container_of(document, arrays) -> Container:
    """A document and arrays, by path, as a file."""
    tensors = {
        path: Tensor(NAMES[array.dtype.name], list(array.shape), np.ascontiguousarray(array).tobytes())
        for path, array in arrays.items()
    }
    return Container(written(document), tensors)


def bundles() -> list[bytes]:
    """The valid vectors, and those invalid ones that are small: more inputs in the same time."""
    valid = load("valid")
    parts = [(vector["document"], vector["arrays"]) for vector in valid.values()]
    parts += [broken(vector, valid) for vector in load("invalid").values() if "base" in vector]
    files = [
        container_of(document, {path: to_numpy(array) for path, array in arrays.items()}).pack()
        for document, arrays in parts
    ]
    return files[: len(valid)] + [each for each in files[len(valid) :] if len(each) < LARGEST]
