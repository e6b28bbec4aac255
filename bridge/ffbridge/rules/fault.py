"""What a check reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Fault", "listed", "named", "shortened", "shown"]

_SHOWN = 3


class Fault(NamedTuple):
    """A break of the standard.

    Attributes:
        path: where: a member of the document, or an array with the rows concerned.
        message: what was met, what is expected, and what to do where that is not plain.
        rule: number of the rule in ``spec/bundle.md``.
    """

    path: str
    message: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]"


def listed(bad: np.ndarray[Any, Any]) -> str:
    """Return the first few rows where `bad` ``(n, ...)`` holds, as an index: ``[4]``, ``[4, 7, 9, … 12 in all]``."""
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    return f"[{shown}]" if len(rows) <= _SHOWN else f"[{shown}, … {len(rows)} in all]"


def named(names: Sequence[str], limit: int = 12) -> str:
    """Return a list of names, without its middle if it is long: a document may have any number of them."""
    if len(names) > limit:
        names = [*names[: limit // 2], "…", *names[-limit // 2 :]]
    return ", ".join(shortened(name) for name in names) or "none"


def shown(value: Any, limit: int = 100) -> str:
    """Return a value as Python writes it, at a readable length."""
    return shortened(repr(value), limit)


def shortened(text: str, limit: int = 100) -> str:
    """Return a text without its middle if it is long."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 2 :]}"
