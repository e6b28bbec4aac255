"""What a check of the conformance kit is, and how one is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from ffbridge.errors import ConformanceError

__all__ = ["Case", "Check", "Result", "Status", "close", "expect", "run"]

SubjectT = TypeVar("SubjectT")

Case: TypeAlias = tuple[str, ...]
"""What one run of a check is about, such as ``("torch", "float64", "transposed")``; empty if there is but one."""

Status = Literal["pass", "refused", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Check(Generic[SubjectT]):
    """One requirement on a backend or an engine.

    Attributes:
        name: such as ``exchange/from-numpy``; results and reports name it.
        about: what is required, in one sentence.
        cases: the cases that make sense for a subject.
        run: raises an exception where the subject fails; returns why it refuses, if it declares or says so as it must,
            or None.
    """

    name: str
    about: str
    cases: Callable[[SubjectT], Iterable[Case]]
    run: Callable[..., str | None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one case of a check.

    Attributes:
        subject: name of the backend or engine.
        check: name of the check.
        case: the case, in words.
        status: ``refused`` means: refused as declared, with an error that says so.
        reason: why it was refused or failed; empty for a pass.
    """

    subject: str
    check: str
    case: str
    status: Status
    reason: str = ""


def run(check: Check[SubjectT], subject: SubjectT, name: str, case: Case) -> Result:
    """Run one case of a check. Whatever it raises is a failure of the subject, and is told."""
    try:
        refused = check.run(subject, *case)
    except ConformanceError as error:
        status, reason = "FAIL", str(error)
    except Exception as error:  # noqa: BLE001  (a subject may raise anything, and that is what is reported)
        status, reason = "FAIL", f"{type(error).__name__}: {error}"
    else:
        status, reason = ("refused", refused) if refused else ("pass", "")
    return Result(subject=name, check=check.name, case=" ".join(case), status=status, reason=reason)  # type: ignore[arg-type]


def expect(condition: object, message: str) -> None:
    """Raise ConformanceError with a message unless a condition holds."""
    if not condition:
        raise ConformanceError(message)


def close(what: str, found: Any, expected: Any, tolerance: float, *, uncertainty: float = 0.0) -> None:
    """Raise ConformanceError unless two NumPy arrays agree, relative to the largest finite magnitude expected.

    Infinities and NaN must stand in the same places.

    Args:
        what: what is compared, for the message.
        found: what the subject gives.
        expected: what is right.
        tolerance: relative, but to 1 if all magnitudes are less.
        uncertainty: by how much what is expected may be wrong itself.
    """
    expect(found.shape == expected.shape, f"{what}: got shape {found.shape}, expected {expected.shape}")
    pairs = list(zip(_flat(found), _flat(expected), strict=True))
    scale = max((abs(value) for _, value in pairs if math.isfinite(value)), default=0.0)
    limit = tolerance * max(scale, 1.0) + uncertainty
    for place, (one, other) in enumerate(pairs):
        same = abs(one - other) <= limit if math.isfinite(other) else one == other or (one != one and other != other)
        expect(same, f"{what}: got {one!r} at place {place}, expected {other!r} within {limit:.1e}")


def _flat(array: Any) -> Iterator[float]:
    values: Sequence[float] = array.reshape(-1).tolist()
    return iter(values)
