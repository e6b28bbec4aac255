"""Whether a commit is slower than another: the suite on both, taking turns, compared by pyperf.

``python benchmarks/compare.py OLD [NEW] [--parts energies] [--turns 3]``: the package comes from a work tree of each
commit, the suite from here, so that both are measured alike. The two files of pyperf are kept in ``--output``; pyperf
prints what differs significantly.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyperf

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
PARTS = ("exchange", "bundles", "energies", "graph", "scaling")


def measure(tree: Path, cache: Path, output: Path, options: argparse.Namespace) -> pyperf.BenchmarkSuite:
    """Run the suite once on the package of a work tree."""
    packages = [str(tree / name) for name in ("bridge", "backends", "spec")]
    paths = os.pathsep.join([*packages, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "benchmarks", *options.parts, "--threads", str(options.threads)]
    command += ["--output", str(output), *([] if options.full else ["--quick"])]
    environment = os.environ | {"PYTHONPATH": paths, "FFBRIDGE_BENCHMARKS": str(cache)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return pyperf.BenchmarkSuite.load(str(output / "bench.json"))


def main() -> int:
    """Measure both commits and print the comparison; the exit code is pyperf's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", help="a commit")
    parser.add_argument("new", nargs="?", default="HEAD", help="another (HEAD)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["energies"])
    parser.add_argument("--turns", type=int, default=3, help="times that each commit is measured (3)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="the large cases too")
    parser.add_argument("--output", type=Path, default=ROOT / ".benchmarks" / "compare")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    commits = {"old": options.old, "new": options.new}
    suites: dict[str, pyperf.BenchmarkSuite] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for side, commit in commits.items():
                _git("worktree", "add", "--quiet", "--detach", str(folder / side), commit)
            for turn in range(options.turns):
                for side in commits:
                    cache = options.output / f"cache of {_git('rev-parse', '--short', commits[side])}"
                    found = measure(folder / side, cache, folder / f"{side} {turn}", options)
                    if side in suites:
                        suites[side].add_runs(found)
                    else:
                        suites[side] = found
        finally:
            for side in commits:
                if (folder / side).exists():
                    _git("worktree", "remove", "--force", str(folder / side))
    paths = [options.output / f"{side}.json" for side in commits]
    for path, suite in zip(paths, suites.values(), strict=True):
        suite.dump(str(path), replace=True)
    command = [sys.executable, "-m", "pyperf", "compare_to", "--table", *map(str, paths)]
    return subprocess.run(command, check=False).returncode


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
