"""Makes the targets: ``python -m data.qc``, or ``make data``. What is there already is not made again."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from data.qc.fragments import FRAGMENTS, fragment
from data.qc.making import add, is_done, make_in

__all__ = ["main"]

HERE = Path(__file__).parent


def main() -> int:
    """Make what is missing, and write each fragment as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m data.qc", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="fragment", help="these fragments alone; all of them if none")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the files (data/qc)")
    parser.add_argument("--processes", type=int, default=1, help="fragments at a time (1)")
    options = parser.parse_args()
    known = [each.name for each in FRAGMENTS]
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"there is no fragment {unknown[0]!r}; there are: {', '.join(known)}")
    wanted = [fragment(name) for name in options.names] or list(FRAGMENTS)
    missing = [each for each in wanted if not is_done(each, options.output)]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} fragments are there")
    # Each process has a processor of its own; set before it imports what counts threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = 0
    begin = perf_counter()
    with TemporaryDirectory() as folder, ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        running = {pool.submit(make_in, each, Path(folder)): each for each in missing}
        for done in as_completed(running):
            each = running[done]
            if (error := done.exception()) is not None:
                failed += 1
                print(f"{each.name}: not made: {type(error).__name__}: {error}", flush=True)
                continue
            add(each, done.result(), options.output)
            print(f"{each.name} after {perf_counter() - begin:.0f} s", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
