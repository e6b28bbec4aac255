"""Processes that are killed at random moments of their work.

Each moment is a new process, forked from this one, so that nothing but the work takes time. After each, every file has
to be the old one or the new one, whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

import ffbridge as fb
from ffbridge.building import build_bundles, run
from ffbridge.building.pool import run_records
from tests.bridge.samples import bundle

WEIGHTS = 200_000
"""Numbers of a model's weights, so that writing takes a good part of the time."""


def large(seed: int) -> fb.Bundle:
    """A bundle of 1.6 MB."""
    weights = {"w": np.random.default_rng(seed).normal(size=WEIGHTS)}
    return bundle("minimal").with_model("net", fb.Model("1", "numpy", weights=weights))


@dataclass
class Found:
    """What the moments came to.

    Attributes:
        moments: how many.
        killed: those in which the work was not done yet.
        writing: those that left a temporary file: the process was writing.
        seen: how often each content was found, by the number of the version.
        lost: files that were neither old nor new, with the reason.
        litter: temporary files that the next writer left.
    """

    moments: int = 0
    killed: int = 0
    writing: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)


def kill_during(work: Callable[[], None], seconds: float, *, with_children: bool = False) -> bool:
    """Run `work` in a process of its own and kill that after some time; return whether it was still at work.

    Args:
        work: what is done.
        seconds: until the kill.
        with_children: kill the processes that it started at the same moment.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            work()
            code = 0
        finally:
            os._exit(code)
    with contextlib.suppress(OSError):  # whichever of the two is first
        os.setpgid(child, child)
    time.sleep(seconds)
    (os.killpg if with_children else os.kill)(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the work failed by itself")
    return os.WIFSIGNALED(status)


def hidden(folder: Path) -> list[str]:
    """Files that a writer did not finish."""
    return sorted(path.name for path in folder.rglob(".*.part"))


TRIALS = 3


def duration(work: Callable[[], None]) -> float:
    """Wall time of the work where nothing ends it, the longest of some."""
    times = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return max(times)


def saving(folder: Path, moments: int, random: Random) -> Found:
    """One file is written again and again, by turns with two contents."""
    path, versions = folder / "one.ffb", [large(1), large(2)]
    hashes = [each.content_hash for each in versions]
    fb.save(versions[0], path)

    def work() -> None:
        for version in (versions[1], versions[0], versions[1]):
            fb.save(version, path)

    return watched(path, work, lambda content: hashes.index(content.content_hash), moments, random)


def concatenating(folder: Path, moments: int, random: Random) -> Found:
    """A file is read, a system is added, and it is written in its own place: it has as many as before, or one more."""
    path, added = folder / "many.ffb", bundle("minimal")
    expected = [large(1)]
    fb.save(expected[0], path)

    def work() -> None:
        fb.save(fb.concatenate([fb.load(path), added]), path)

    def grown(content: fb.Bundle) -> int:
        while len(expected) < content.n_systems:
            expected.append(fb.concatenate([expected[-1], added]))
        if content.content_hash != expected[content.n_systems - 1].content_hash:
            raise ValueError(f"{content.n_systems} systems that are not those that were written")
        grown_by, sizes[:] = content.n_systems - sizes[0], [content.n_systems]
        return [0, 1].index(grown_by)

    sizes = [1 + TRIALS]
    return watched(path, work, grown, moments, random)


def watched(
    path: Path, work: Callable[[], None], version_of: Callable[[fb.Bundle], int], moments: int, random: Random
) -> Found:
    """Kill the work at moments of it, and look at the file each time."""
    found, whole = Found(), duration(work)
    for _ in range(moments):
        found.moments += 1
        found.killed += kill_during(work, random.uniform(0, whole))
        found.writing += bool(hidden(path.parent))
        try:
            version = str(version_of(fb.load(path)))
            found.seen[version] = found.seen.get(version, 0) + 1
        except (fb.errors.FFBridgeError, ValueError) as error:
            found.lost.append(str(error))
    work()
    found.litter = hidden(path.parent)
    return found


N_MOLECULES = 6


def building(folder: Path, moments: int, random: Random) -> Found:
    """``build_bundles`` with its own processes, without chemistry; runs go on where the last ended."""
    source, output = folder / "molecules.smi", folder / "bundles"
    source.write_text("".join(f"{'C' * n} m{n}\n" for n in range(1, N_MOLECULES + 1)) + "bad worse\n")

    def quick(records, command, *, jobs, seconds):
        return run_records(
            records, [*command[:2], "tests.faults.quick_worker", command[-1]], jobs=jobs, seconds=seconds
        )

    def work() -> None:
        run.run_records = quick
        build_bundles(source, output, force_field="none", jobs=1)

    found, whole = Found(), duration(lambda: in_a_process(work))
    for moment in range(moments):
        if moment % 4 == 0:
            for path in output.glob("*.ffb"):
                path.unlink()
        found.moments += 1
        found.killed += kill_during(work, random.uniform(0, whole), with_children=moment % 2 == 1)
        found.writing += bool(hidden(output))
        found.lost += broken(output)
    in_a_process(work)
    time.sleep(1)  # processes of killed runs end when they notice
    in_a_process(work)
    found.lost += broken(output)
    found.litter = hidden(output)
    manifest = json.loads((output / "manifest.json").read_text())
    if len(manifest["bundles"]) != N_MOLECULES or manifest["n_failed"] != 1:
        found.lost.append(f"the manifest lists {len(manifest['bundles'])}")
    found.seen = {"bundles": len(list(output.glob("*.ffb")))}
    return found


def in_a_process(work: Callable[[], None]) -> None:
    """Run the work to its end, without leaving anything of it in this process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the work ended with {status}")


def broken(output: Path) -> list[str]:
    """Files in the folder that are neither whole nor missing."""
    reasons = []
    for path in output.glob("*.ffb"):
        try:
            fb.load(path)
        except fb.errors.FFBridgeError as error:
            reasons.append(str(error))
    for name in ("manifest.json", "failures.jsonl"):
        try:
            text = (output / name).read_text()
            entries = [json.loads(text)] if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
            if len(entries) != 1 or not text.endswith("\n"):
                reasons.append(f"{name}: {text[-100:]}")
        except FileNotFoundError:
            continue
        except ValueError as error:
            reasons.append(f"{name}: {error}")
    return reasons


WORKS = {"saving": saving, "concatenating": concatenating, "building": building}
