"""Checks of the machine-learned models that a bundle names: weights that it carries must be those it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ffbridge.hashing import weights_digest
from ffbridge.rules.fault import Fault

__all__ = ["faults"]


def faults(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Fault]:
    """Yield models whose weights have another fingerprint than the document states."""
    carried: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    for path, array in arrays.items():
        group, _, place = path.partition("/")
        if group == "models":
            model_name, _, weight = place.partition("/")
            carried.setdefault(model_name, {})[weight] = array
    for name, model in document.get("models", {}).items():
        weights = carried.get(name)
        if weights and model["sha256"] and (found := weights_digest(weights)) != model["sha256"]:
            yield Fault(f"models/{name}/sha256", f"{model['sha256']}, and the weights have {found}", "P-3")
