"""What a reader returns: the good entries as targets, and the others with the reason why they are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ffbridge.errors import FFBridgeError, TargetError
from ffbridge.targets.target import Target

__all__ = ["DAMAGES", "Reading", "Rejected", "read_entries", "read_json", "said"]

DAMAGES = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What parsers, others' and ours, raise when data are of another shape than their format has: a text for a number."""

TargetT = TypeVar("TargetT", bound=Target)
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Rejected:
    """An entry that is no target.

    Attributes:
        entry: its name in the source.
        reason: which field is wrong, what was met and what was expected.
    """

    entry: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.entry}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Reading(Generic[TargetT]):
    """Targets of one source.

    Attributes:
        targets: the good entries.
        rejected: the others, each with its reason.
    """

    targets: tuple[TargetT, ...]
    rejected: tuple[Rejected, ...] = ()

    def complete(self) -> tuple[TargetT, ...]:
        """Return the targets, if nothing was rejected.

        Raises:
            TargetError: something was; all of it is listed.
        """
        if self.rejected:
            listed = "\n  ".join(map(str, self.rejected))
            raise TargetError(
                f"{len(self.rejected)} of {len(self.targets) + len(self.rejected)} entries are rejected:\n  {listed}"
            )
        return self.targets

    def __repr__(self) -> str:
        """Return how many of each."""
        return f"Reading({len(self.targets)} targets, {len(self.rejected)} rejected)"


def read_entries(entries: Iterable[tuple[str, Entry]], read: Callable[[str, Entry], TargetT]) -> Reading[TargetT]:
    """Return what a function makes of named entries; those of which it can make nothing are rejected."""
    targets: list[TargetT] = []
    rejected: list[Rejected] = []
    for name, entry in entries:
        try:
            targets.append(read(name, entry))
        except TargetError as error:
            rejected.append(Rejected(name, str(error).removeprefix(f"target {name!r}: ")))
        except FFBridgeError:
            raise
        except DAMAGES as error:
            rejected.append(Rejected(name, f"is laid out in another way than its format: {said(error)}"))
    return Reading(tuple(targets), tuple(rejected))


def said(error: Exception) -> str:
    """Return what a foreign error says, in one line of readable length, with its kind: some say only a key."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        TargetError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TargetError(f"{path}: cannot be read as JSON: {error}") from error
