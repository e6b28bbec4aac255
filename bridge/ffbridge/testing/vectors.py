"""The conformance vectors of the standard, as checks use them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge_spec import vectors

__all__ = ["DEGENERATE", "array", "arrays", "broken", "bundle", "load"]

NumPyArray = np.ndarray[Any, Any]
Vector = Mapping[str, Any]

DEGENERATE = frozenset({"E-3", "E-4"})
"""Rules about geometries at which differences of energies tell nothing about derivatives."""


@cache
def load(kind: str) -> dict[str, Vector]:
    """Return the vectors of a kind (``valid``, ``invalid``, ``energy``) by name."""
    paths = {path.name: path for path in vectors(kind).iterdir() if path.name.endswith(".json")}
    return {name.removesuffix(".json"): json.loads(paths[name].read_text(encoding="utf-8")) for name in sorted(paths)}


def array(content: Mapping[str, Any]) -> NumPyArray:
    """Return an array as vectors write it: dtype, shape, data."""
    data = [float(value) if isinstance(value, str) else value for value in content["data"]]
    return np.asarray(data, dtype=content["dtype"]).reshape(content["shape"])


def arrays(vector: Vector) -> dict[str, NumPyArray]:
    """Return the arrays of a vector by path."""
    return {path: array(content) for path, content in vector["arrays"].items()}


def bundle(vector: Vector) -> Bundle:
    """Return the bundle of a vector, in NumPy."""
    return Bundle.from_parts(vector["document"], arrays(vector))


def broken(vector: Vector) -> tuple[Any, dict[str, NumPyArray]]:
    """Return the document and the arrays of an invalid vector that changes a valid one."""
    base = load("valid")[vector["base"]]
    changed = {**base["arrays"], **vector.get("arrays", {})}
    kept = {path: content for path, content in changed.items() if content is not None}
    return _merged(base["document"], vector.get("document", {})), {path: array(each) for path, each in kept.items()}


def _merged(target: Any, patch: Any) -> Any:
    """Return a document with a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
