"""The output folder of a fit: one fit's, used by one run at a time, with a log that is cut where a run goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ffbridge
from ffbridge.canonical import canonical_json
from ffbridge.errors import FitError
from ffbridge.fitting.checkpoint import CHECKPOINT
from ffbridge.fitting.settings import FitSettings
from ffbridge.writing import write_whole

__all__ = ["Log", "claimed", "identity_of"]

RECORD = "fit.json"
LOCK = ".ffbridge-fit.lock"
LOG = "log.jsonl"


def identity_of(settings: FitSettings, model_digest: str) -> dict[str, Any]:
    """Return what a fit is: its settings, and digests of its model and of the files of targets."""
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in settings.files]
    return {"settings": settings.identity(), "model_sha256": model_digest, "files_sha256": files}


@contextmanager
def claimed(folder: Path, identity: Mapping[str, Any], *, resume: bool) -> Iterator[str]:
    """Keep a folder for one fit while it runs; the identity's digest is given.

    Raises:
        FitError: the folder holds another fit, or this one and it is not to go on, or something else, or another run
            uses it.
    """
    digest = hashlib.sha256(canonical_json(identity)).hexdigest()
    record = folder / RECORD
    if folder.exists() and not folder.is_dir():
        raise FitError(f"{folder}: is a file, expected a folder for the output")
    if folder.is_dir() and not record.exists() and any(each.name != LOCK for each in folder.iterdir()):
        raise FitError(f"{folder}: has files, and none is a fit's; choose another folder (--output)")
    with _locked(folder):
        for unfinished in folder.glob(".*.part"):
            unfinished.unlink(missing_ok=True)
        if record.exists() and _is_begun(folder):
            _require_same(record, digest, identity, resume)
        else:
            # What ended before its first loss, as with an engine that is not there, keeps the folder from nobody.
            (folder / CHECKPOINT).unlink(missing_ok=True)
            content = {"sha256": digest, "ffbridge": ffbridge.__version__, **identity}
            write_whole(record, json.dumps(content, indent=1).encode() + b"\n")
        yield digest


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder if it is not there, and keep other runs out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise FitError(f"{folder}: cannot be written: {error.strerror}; choose another folder (--output)") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FitError(f"{folder}: another run is fitting there; wait for it, or choose another folder") from error
        yield


def _is_begun(folder: Path) -> bool:
    """Return whether there is something to go on from: a checkpoint, and a loss in the log, if that is there."""
    log = folder / LOG
    return (folder / CHECKPOINT).exists() and (not log.exists() or any(True for _ in _lines(log)))


def _require_same(record: Path, digest: str, identity: Mapping[str, Any], resume: bool) -> None:
    folder = record.parent
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        other = known["sha256"] != digest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FitError(f"{record}: cannot be read as a fit's record: {error}; choose another folder") from error
    if other:
        differing = ", ".join(_differing(known, identity)) or "its record"
        raise FitError(f"{folder}: holds another fit, which differs in {differing}; choose another folder (--output)")
    if not resume and (folder / CHECKPOINT).exists():
        raise FitError(f"{folder}: holds this fit; go on with it (--resume), or choose another folder (--output)")


def _differing(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield the paths at which two documents differ."""
    if isinstance(one, dict) and isinstance(other, Mapping):
        for key in other:
            yield from _differing(one.get(key), json.loads(json.dumps(other[key])), f"{where}.{key}".lstrip("."))
    elif one != other:
        yield where


class Log:
    """The log of a fit, JSON lines: one for each number of steps done.

    Args:
        folder: the output folder.
        steps: the lines that are kept have fewer.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._path = folder / LOG
        self.lines: list[dict[str, Any]] = [line for line in _lines(self._path) if line["step"] < steps]
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        write_whole(self._path, text.encode())

    def add(self, line: dict[str, Any]) -> None:
        """Write a line at the end."""
        self.lines.append(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            # The line that a killed run did not finish: its step is done again.
            return
