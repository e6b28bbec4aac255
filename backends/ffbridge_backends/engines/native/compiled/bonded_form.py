"""What a bonded form is to the compiled loop: a NamedTuple that holds its settings, with two functions."""

from __future__ import annotations

from typing import Any

from ffbridge_backends.engines.native.compiled.lanes import generic

__all__ = ["fold", "value"]


@generic
def fold(form: Any, p: Any) -> Any:
    """Return constants of an interaction with the parameters ``p (n_columns,)``."""


@generic
def value(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    """Return U and dU/dq, nested as the coordinates are; write dU/dp of each column to ``out[c]``, ``out[c + w]``, …

    Columns of whole numbers, which stand last, have none.
    """
