"""Gradients that an engine does not have, in the place of those that it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NoReturn

from ffbridge.backend import Array
from ffbridge.errors import UnknownNameError, UnsupportedError

__all__ = ["MissingGradients"]


class MissingGradients(Mapping[str, Array]):
    """dU/d tables of an engine that has none: as many as there are tables, and reading any of them raises.

    Args:
        reason: why there are none and what to do, for the message.
        tables: names of the bundle's tables.
    """

    def __init__(self, reason: str, tables: Collection[str]) -> None:
        self._reason = reason
        self._tables = tuple(tables)

    def __getitem__(self, name: str) -> NoReturn:
        if name not in self._tables:
            raise UnknownNameError(f"the bundle has no table {name!r}; it has: {', '.join(sorted(self._tables))}")
        raise UnsupportedError(f"dU/d tables[{name!r}]: {self._reason}")

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        raise UnsupportedError(f"dU/d tables: {self._reason}")

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        """Return the names of the tables."""
        return f"MissingGradients({', '.join(self._tables)})"
