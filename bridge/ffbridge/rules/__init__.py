"""The rules of the standard, as checks over a bundle's document and arrays; ``spec/bundle.md`` states them.

A check takes plain JSON and NumPy arrays, is linear in their size, and yields a :class:`~ffbridge.rules.fault.Fault`
for each break. The document is checked first, then the arrays' dtypes and shapes; the rest is given what passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from ffbridge.rules import models, overrides, parameters, settings, topology
from ffbridge.rules.document import document_faults
from ffbridge.rules.fault import Fault
from ffbridge.rules.layout import layout_faults, sound_arrays

__all__ = ["Fault", "find_faults"]

MOST = 1000
"""Faults that are listed. Each has a path, so that more of them help nobody."""

NumPyArrays = Mapping[str, np.ndarray[Any, Any]]


def find_faults(document: Mapping[str, Any], arrays: NumPyArrays) -> list[Fault]:
    """Return every break of the standard, but no more than `MOST`, in the order document, arrays, topology, parameters.

    Args:
        document: a bundle's document.
        arrays: its arrays by path.
    """
    faults = _first(document_faults(document))
    # Values that are not finite are reported as such; sums and differences of them need not warn as well.
    with np.errstate(invalid="ignore", over="ignore"):
        return faults or _first(_content_faults(document, arrays))


def _first(faults: Iterator[Fault]) -> list[Fault]:
    """Return the faults, of a great many the first: a file of millions of them must not take hours and all memory."""
    found = list(islice(faults, MOST))
    if len(found) == MOST and (further := next(faults, None)):
        found.append(Fault("…", f"there are more; these are the first {MOST}", further.rule))
    return found


def _content_faults(document: Mapping[str, Any], arrays: NumPyArrays) -> Iterator[Fault]:
    """Faults that presuppose a document of the right form: its members can be relied on."""
    yield from layout_faults(document, arrays)
    sound = sound_arrays(document, arrays)
    for check in (topology.faults, parameters.faults, overrides.faults, settings.faults, models.faults):
        yield from check(document, sound)
