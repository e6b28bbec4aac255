"""Calls that take turns, and the record of what was measured.

Times on a shared machine drift by a factor of two within a minute. So the calls of a comparison take turns, round after
round, and a comparison is the median of the ratios within rounds, not the ratio of two medians.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time

__all__ = ["LEAST_ROUNDS", "Measurement", "Record", "pin", "take_turns"]

LEAST_ROUNDS = 5
_SHORTEST = 2e-2
"""What a value should last [s]: a shorter call is repeated, and its mean is the value, of a state that is steady."""


@dataclass
class Measurement:
    """Values of one thing.

    Attributes:
        name: three parts separated by ``/``: what, of which size, by whom. The last two are column and row of a table.
        unit: ``second``, ``byte`` or ``integer``, as pyperf names them.
        values: one for each round; wall time if they are times.
        processor: processor time of this process in the same rounds [s]; empty if they are not times.
    """

    name: str
    unit: str
    values: list[float]
    processor: list[float] = field(default_factory=list)


@dataclass
class Record:
    """What one part of the suite has found.

    Attributes:
        measurements: in the order in which they were taken.
        skipped: name to reason, of what was not measured.
        quick: whether to take small cases only and few rounds.
    """

    measurements: list[Measurement] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    quick: bool = False

    def add(
        self, name: str, values: list[float], *, unit: str = "second", processor: list[float] | None = None
    ) -> None:
        """Add a measurement, and say so."""
        self.measurements.append(Measurement(name, unit, values, processor or []))
        print(f"  {name}: {sorted(values)[len(values) // 2]:.4g} {unit} ({len(values)})", flush=True)

    def skip(self, name: str, reason: object) -> None:
        """Add what is not measured, with the reason in one line."""
        self.skipped[name] = " ".join(str(reason).split())[:300]
        print(f"  {name}: not measured: {self.skipped[name]}", flush=True)

    def compare(self, calls: Mapping[str, Callable[[], object]], *, seconds: float) -> None:
        """Time calls that take turns, each under its name."""
        for name, (wall, processor) in take_turns(calls, seconds=0.1 * seconds if self.quick else seconds).items():
            self.add(name, wall, processor=processor)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read what :meth:`save` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls([Measurement(**each) for each in found["measurements"]], found["skipped"], found["quick"])


def take_turns(
    calls: Mapping[str, Callable[[], object]], *, seconds: float
) -> dict[str, tuple[list[float], list[float]]]:
    """Return wall and processor times of each call by name [s]: values of the same index are of the same round.

    Each call is made once or twice beforehand, so that compilation is not in it, and a short one once more in each
    round: what is measured is how long it takes in a loop of its own. There are at least five rounds, and more until
    `seconds` are over, at most fifty.
    """
    repeats = {name: _repeats(call) for name, call in calls.items()}
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in calls}
    start = perf_counter()
    for number in range(50):
        if number >= LEAST_ROUNDS and perf_counter() - start > seconds:
            break
        for name, call in calls.items():
            if repeats[name] > 1:
                # The caches are full of what the others did.
                call()
            wall, processor = perf_counter(), process_time()
            for _ in range(repeats[name]):
                call()
            times[name][0].append((perf_counter() - wall) / repeats[name])
            times[name][1].append((process_time() - processor) / repeats[name])
    return times


def _repeats(call: Callable[[], object]) -> int:
    call()
    start = perf_counter()
    call()
    return max(1, int(_SHORTEST / max(perf_counter() - start, 1e-7)))


def pin(threads: int) -> None:
    """Keep this process, and the libraries that it has not imported yet, on so many processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)
