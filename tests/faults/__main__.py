"""``python -m tests.faults WORK FOLDER MOMENTS SEED``: a process is killed at random moments; prints what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

from .kills import WORKS, Found


def found(work: str, folder: Path, moments: int, random: Random) -> Found:
    """Kill one work; a fit needs frameworks that the others do without."""
    if work == "fitting":
        from .fits import fitting

        return fitting(folder, moments, random)
    return WORKS[work](folder, moments, random)


def main() -> None:
    """Print what was found of one work."""
    work, folder, moments, seed = sys.argv[1:]
    sys.stdout.write(json.dumps(vars(found(work, Path(folder), int(moments), Random(int(seed))))))


if __name__ == "__main__":
    main()
