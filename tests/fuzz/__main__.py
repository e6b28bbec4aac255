"""Coverage-guided fuzzing: ``python -m tests.fuzz NAME [FOLDER …] [-runs=N …]``; folders and options are libFuzzer's.

It needs atheris (``pip install atheris``), which brings libFuzzer. New inputs go into the first folder; without
folders, the seeds and the committed corpus are where it begins, and nothing is kept.
"""

from __future__ import annotations

import json
import sys
import warnings
from itertools import islice
from random import Random
from tempfile import mkdtemp
from typing import Any

import atheris

DEFAULTS = (
    "-mutate_depth=1",
    "-max_len=32768",
    "-timeout=20",
    "-rss_limit_mb=4096",
    "-print_final_stats=1",
    "-verbosity=1",
)


def remember_schema_checks() -> None:
    """Validate equal documents once: half of the time goes into their JSON Schema, which is another project's code."""
    from ffbridge import rules

    check = rules.document_faults
    known: dict[str, list[Any]] = {}

    def remembered(document: dict[str, Any]) -> list[Any]:
        text = json.dumps(document)
        if text not in known:
            if len(known) > 10_000:
                known.clear()
            known[text] = list(islice(check(document), 2000))
        return known[text]

    rules.document_faults = lambda document: iter(remembered(document))


def main() -> None:
    """Run libFuzzer on one harness."""
    with atheris.instrument_imports(include=["ffbridge"], enable_loader_override=False):
        from tests.fuzz.harnesses import CORPUS, HARNESSES, folder

    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in HARNESSES:
        raise SystemExit(f"got {name!r}, expected one of: {', '.join(HARNESSES)}")
    warnings.simplefilter("ignore")
    remember_schema_checks()
    harness, place = HARNESSES[name], folder()
    given = sys.argv[2:]
    if all(each.startswith("-") for each in given):
        given = [mkdtemp(prefix="ffbridge-fuzz-"), *given]
    seeds = mkdtemp(prefix="ffbridge-seeds-")
    for number, content in enumerate(harness.seeds()):
        with open(f"{seeds}/{number}", "wb") as file:
            file.write(content)

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.1:
            return atheris.Mutate(content, longest)
        return harness.mutate(content, random)[:longest]

    def run(content: bytes) -> None:
        harness.run(content, place)

    options = [sys.argv[0], *DEFAULTS, *given, seeds]
    if (CORPUS / name).is_dir():
        options.append(str(CORPUS / name))
    atheris.Setup(options, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
