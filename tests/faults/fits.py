"""A fit that is killed at random moments and goes on each time, until it has ended; then the next begins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import ffbridge as fb
from ffbridge.fitting import fit, read_settings
from ffbridge.fitting.checkpoint import CHECKPOINT, read_checkpoint
from tests.bridge.fitting.conftest import DEFAULTS, SETTINGS, answer
from tests.bridge.targets import molecules

from .kills import Found, duration, hidden, in_a_process, kill_during

STEPS = 12
PNG = b"\x89PNG", b"IEND\xaeB`\x82"


def settings_in(folder: Path) -> Path:
    """Write a small fit: bonds of hydrogen peroxide, by L-BFGS in PyTorch, with a checkpoint at every third step."""
    start = molecules.bundle(molecules.PEROXIDE)
    data = molecules.conformers(molecules.PEROXIDE, molecules.noisy(molecules.peroxide(), 8), tables=answer(start))
    fb.save(start, folder / "start.ffb")
    fb.targets.save([data], folder / "data.parquet")
    path = folder / "fit.toml"
    path.write_text(SETTINGS.format(**{**DEFAULTS, "files": '["data.parquet"]', "steps": STEPS}))
    return path


def fitting(folder: Path, moments: int, random: Random) -> Found:
    """Files are whole after each kill, and a fit that has ended is the one that nobody killed."""
    settings = read_settings(settings_in(folder))
    output, found = folder / "killed", Found()
    fit(settings, folder / "whole")  # in this process, so that those that are forked have all that is imported
    expected = contents(folder / "whole")

    def work() -> None:
        fit(settings, output, resume=True)

    def fresh() -> None:
        shutil.rmtree(output, ignore_errors=True)
        in_a_process(work)

    found.seen = {"same": 0}
    whole = duration(fresh)
    shutil.rmtree(output)
    for _ in range(moments):
        found.moments += 1
        killed = kill_during(work, random.uniform(0, whole))
        found.killed += killed
        found.writing += bool(hidden(output))
        found.lost += broken(output)
        if not killed:
            count(found, output, expected)
            shutil.rmtree(output)
    in_a_process(work)
    count(found, output, expected)
    found.litter = hidden(output)
    return found


def count(found: Found, output: Path, expected: list[str]) -> None:
    """Note a fit that has ended, as the same or another."""
    same = contents(output) == expected
    found.seen["same"] += same
    if not same:
        found.lost.append("the fit ended with other numbers")


def contents(folder: Path) -> list[str]:
    """What a fit came to: the steps that it took without their times, the parameters, and what was fitted."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [str((line["step"], line["loss"], line["validation"])) for line in lines]
    return [*steps, (folder / "parameters.csv").read_text(), fb.load(folder / "fitted.ffb").content_hash]


def broken(folder: Path) -> list[str]:
    """Files that are there and not whole; the log's last line may be."""
    reasons = []
    try:
        record = folder / "fit.json"
        if record.exists():
            read_checkpoint(folder, json.loads(record.read_text())["sha256"])
        elif (folder / CHECKPOINT).exists():
            reasons.append("a checkpoint without a record")
        if (folder / "fitted.ffb").exists():
            fb.load(folder / "fitted.ffb")
        if (folder / "report.json").exists():
            json.loads((folder / "report.json").read_text())
    except (fb.errors.FFBridgeError, ValueError, KeyError) as error:
        reasons.append(str(error))
    figures = {figure: figure.read_bytes() for figure in folder.rglob("*.png") if not figure.name.startswith(".")}
    return reasons + [
        f"half a figure: {figure.name}"
        for figure, content in figures.items()
        if not (content.startswith(PNG[0]) and content.endswith(PNG[1]))
    ]
