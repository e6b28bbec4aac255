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
    for name, model in document.get("models", {}).items():
        prefix = f"models/{name}/"
        weights = {path[len(prefix) :]: array for path, array in arrays.items() if path.startswith(prefix)}
        if weights and model["sha256"] and (found := weights_digest(weights)) != model["sha256"]:
            yield Fault(f"models/{name}/sha256", f"{model['sha256']}, and the weights have {found}", "P-3")
