"""Mutation testing: ``python -m tests.mutation [MODULE …] [--count N] [--seed N] [--json FILE] [--again FILE]``.

Each mutant is a module of ffbridge with one small fault. The quick tests of that module run on it; those that pass
have not noticed. Needs cosmic-ray, whose operators make the faults. No file is changed.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.house.sources import sources

from .modules import MODULES
from .mutants import mutants
from .trial import SURVIVED, trial

ROOT = Path(__file__).resolve().parents[2]
_FEWEST_SECONDS = 30.0
_DRAW = ("module", "sha256", "count", "seed")
"""What mutants are drawn by."""


def main() -> int:
    """Mutate the modules that are named, print survivors and scores; 1 if the tests fail without a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=sorted(MODULES), help="as ffbridge.mapping; all by default")
    parser.add_argument("--count", type=int, default=60, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--again", type=Path, help="figures of the same draw: its survivors are tried again")
    arguments = parser.parse_args()
    earlier = json.loads(arguments.again.read_text()) if arguments.again else []
    survived = {tuple(each[key] for key in _DRAW): list(map(_mark, each["survivors"])) for each in earlier}
    results = []
    for name in arguments.modules:
        found = _score(name, count=arguments.count, seed=arguments.seed, survived=survived)
        if found is None:
            return 1
        results.append(found)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _mark(mutant: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(mutant[key] for key in ("operator", "line", "before", "after"))


def _score(
    name: str, *, count: int, seed: int, survived: Mapping[tuple[object, ...], Sequence[object]]
) -> dict[str, object] | None:
    """Return the figures of a module; of a draw whose survivors are known, no others are tried."""
    subject = MODULES[name]
    for framework in ("numpy", "pytest", "hypothesis", "jsonschema", "safetensors", *subject.frameworks):
        importlib.import_module(framework)
    sources()  # parsed here once, which the children would do each
    gc.freeze()  # pytest collects garbage several times at its end
    source = (ROOT / "bridge" / (name.replace(".", "/") + ".py")).read_text()
    draw = (name, hashlib.sha256(source.encode()).hexdigest(), count, seed)
    outcome, seconds = trial(name, source, subject.tests, limit=600.0)
    if outcome != SURVIVED:
        print(f"{name}: its tests fail without a fault ({outcome})", file=sys.stderr)
        return None
    limit = max(_FEWEST_SECONDS, 10 * seconds)
    drawn, places = mutants(source, count=count, seed=seed)
    known = survived.get(draw)
    start, survivors, killed = time.monotonic(), [], 0
    for mutant in drawn:
        about = {key: value for key, value in asdict(mutant).items() if key != "source"}
        dead = known is not None and _mark(about) not in known
        if dead or trial(name, mutant.source, subject.tests, limit=limit)[0] != SURVIVED:
            killed += 1
            continue
        survivors.append(about)
        print(f"{name}:{mutant.line}: {mutant.before}\n    survives as: {mutant.after}", flush=True)
    print(
        f"{name}: {killed} of {len(drawn)} killed, of {places} places, in {time.monotonic() - start:.0f} s", flush=True
    )
    figures = {"places": places, "mutants": len(drawn), "killed": killed, "survivors": survivors}
    return dict(zip(_DRAW, draw, strict=True)) | figures


if __name__ == "__main__":
    sys.exit(main())
