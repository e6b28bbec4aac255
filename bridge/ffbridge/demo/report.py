"""What the demo finds: plain data, for the terminal and for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Check", "MoleculeSummary", "Report", "TransferSummary"]


@dataclass(frozen=True)
class Check:
    """The worst difference between two programs, or two roads.

    Attributes:
        what: the quantity.
        found: who computed it.
        expected: who else did.
        difference: the largest difference over the molecules.
        limit: what it may be.
        unit: of both: ``kJ/mol``, or ``1`` for a relative difference.
    """

    what: str
    found: str
    expected: str
    difference: float
    limit: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the difference is within the limit; a NaN is not."""
        return self.difference <= self.limit


@dataclass(frozen=True)
class MoleculeSummary:
    """One molecule: sizes, and energy by OpenMM [kJ/mol]."""

    name: str
    n_atoms: int
    n_interactions: int
    n_parameters: int
    energy: float


@dataclass(frozen=True)
class TransferSummary:
    """How one array crossed from a framework to another.

    Attributes:
        what: the array.
        source, target: the frameworks.
        source_address, target_address: where the first element lies in memory.
        zero_copy: whether that is the same memory.
        reason: why it was copied; empty if it was not.
    """

    what: str
    source: str
    target: str
    source_address: int
    target_address: int
    zero_copy: bool
    reason: str


@dataclass(frozen=True)
class Report:
    """All that the demo found.

    Attributes:
        molecules: what was parametrized.
        batch: the bundle of all of them, in one line.
        content_hash: of that bundle, after it went through a file.
        file_bytes: size of the file.
        transfers: how arrays crossed.
        checks: every comparison.
        seconds: how long each part took.
    """

    molecules: tuple[MoleculeSummary, ...]
    batch: str
    content_hash: str
    file_bytes: int
    transfers: tuple[TransferSummary, ...]
    checks: tuple[Check, ...]
    seconds: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        content = asdict(self)
        content["checks"] = [asdict(check) | {"passed": check.passed} for check in self.checks]
        return content | {"passed": self.passed}
