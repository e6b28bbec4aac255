"""The benchmark suite: ``python -m benchmarks``, or ``make bench``.

Every part runs in a process of its own. The result is ``bench.json``, a file of pyperf, and ``bench.md``, tables and
ratios. What each part measures and how to compare two commits stands in ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter

from benchmarks.timing import Record, pin

__all__ = ["PARTS", "main"]

PARTS = ("exchange", "bundles", "energies", "graph", "scaling", "crossings", "memory")
ROOT = Path(__file__).parent.parent
OUTPUT = Path(__file__).parent / "results"


def main() -> int:
    """Run the parts, write the files; exit code 1 if a part fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="these parts alone; all of them if none")
    parser.add_argument("--threads", type=int, default=1, help="processors that everything may use (1)")
    parser.add_argument("--quick", action="store_true", help="small cases and few rounds")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of bench.json and bench.md")
    parser.add_argument("--part", choices=["prepare", *PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    pin(options.threads)
    if options.part:
        return _run_here(options.part, options.record, quick=options.quick)
    return _run_all(options)


def _run_here(part: str, path: Path, *, quick: bool) -> int:
    """Run one part in this process."""
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    warnings.simplefilter("ignore")
    record = Record(quick=quick)
    if part == "prepare":
        from benchmarks.molecules import drugs, minidrugbank

        drugs()
        if not quick:
            minidrugbank()
    else:
        importlib.import_module(f"benchmarks.{part}").measure(record)
    record.save(path)
    return 0


def _run_all(options: argparse.Namespace) -> int:
    from benchmarks.report import write

    whole, failed = Record(quick=options.quick), 0
    with tempfile.TemporaryDirectory() as folder:
        for part in ("prepare", *(options.parts or PARTS)):
            path, start = Path(folder) / f"{part}.json", perf_counter()
            print(f"{part}:", flush=True)
            command = [sys.executable, "-m", "benchmarks", "--part", part, "--record", str(path)]
            command += ["--threads", str(options.threads), *(["--quick"] if options.quick else [])]
            done = subprocess.run(command, cwd=ROOT, check=False)
            print(f"{part}: {perf_counter() - start:.0f} s", flush=True)
            if done.returncode:
                whole.skip(f"{part}/all/all", f"the part ended with exit code {done.returncode}")
                failed = 1
                continue
            found = Record.load(path)
            whole.measurements += found.measurements
            whole.skipped |= found.skipped
    write(whole, options.output, threads=options.threads)
    return failed


if __name__ == "__main__":
    sys.exit(main())
