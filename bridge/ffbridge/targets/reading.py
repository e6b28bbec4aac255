"""What a reader returns: the good entries as targets, and the others with the reason why they are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ffbridge.errors import TargetError
from ffbridge.targets.target import Target

__all__ = ["Reading", "Rejected", "read_entries"]

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
    """Return what a function makes of named entries; those for which it raises TargetError are rejected."""
    targets: list[TargetT] = []
    rejected: list[Rejected] = []
    for name, entry in entries:
        try:
            targets.append(read(name, entry))
        except TargetError as error:
            rejected.append(Rejected(name, str(error).removeprefix(f"target {name!r}: ")))
    return Reading(tuple(targets), tuple(rejected))
