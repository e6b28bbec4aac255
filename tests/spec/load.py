"""Vectors as tests use them: JSON read, arrays in NumPy."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from ffbridge_spec import vectors


@cache
def load(kind):
    """The vectors of a kind by name."""
    paths = sorted(path for path in vectors(kind).iterdir() if path.name.endswith(".json"))
    return {path.name.removesuffix(".json"): json.loads(path.read_text(encoding="utf-8")) for path in paths}


def to_numpy(array):
    data = [float(value) if isinstance(value, str) else value for value in array["data"]]
    return np.asarray(data, dtype=array["dtype"]).reshape(array["shape"])


def arrays_of(vector):
    return {path: to_numpy(array) for path, array in vector["arrays"].items()}
