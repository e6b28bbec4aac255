"""Checks in a process of their own: what a plug-in does to its process, be it death, is then a result like others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from tempfile import TemporaryFile
from typing import IO, Any, Literal

from ffbridge.registry import get_backend, get_engine
from ffbridge.testing.check import Case, Check, Result, run
from ffbridge.testing.suite import backend_cases, engine_cases

__all__ = ["Kind", "check_apart", "main"]

Kind = Literal["backend", "engine"]

_PATIENCE = 120.0
"""Seconds in which a case must end. The slowest take some ten; what takes longer waits for itself."""

_LAST_WORDS = 5
"""Lines of the error stream that are told of a process that has died."""


def check_apart(kind: Kind, name: str, *, patience: float = _PATIENCE) -> Iterator[Result]:
    """Run every check of an installed backend or engine in a new process. If that dies, so does the case it was at.

    Args:
        kind: ``backend`` or ``engine``.
        name: its name.
        patience: seconds after which a case that has not ended is a failure, and the last one: a deadlock, for example.
    """
    command = [sys.executable, "-m", "ffbridge.testing", kind, name]
    with TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            at = {"check": "start", "case": ""}
            timer = _Timer(patience, process.kill)
            for line in process.stdout or ():
                timer.restart()
                message = json.loads(line)
                if "status" in message:
                    yield Result(**message)
                at = message
            timer.cancel()
        errors.seek(0)
        words = errors.read()
    if timer.ended:
        reason = f"it did not end within {patience:g} s: a deadlock, or waiting for what never comes"
        yield Result(subject=name, check=at["check"], case=at["case"], status="FAIL", reason=reason)
    elif process.returncode:
        yield Result(subject=name, check=at["check"], case=at["case"], status="FAIL", reason=_end(process, words))


class _Timer:
    """Calls a function once, after some seconds in which it was not started again."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self.ended = False
        self._seconds, self._function = seconds, function
        self._start()

    def _start(self) -> None:
        self._timer = threading.Timer(self._seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self.ended = True
        self._function()

    def restart(self) -> None:
        self._timer.cancel()
        self._start()

    def cancel(self) -> None:
        self._timer.cancel()


def _end(process: subprocess.Popen[str], words: str) -> str:
    code = process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    last = " / ".join(line.strip() for line in words.strip().splitlines()[-_LAST_WORDS:])
    return f"the process {how} in or after this case: {last or 'it said nothing'}"


def main(kind: str, name: str, out: IO[str]) -> None:
    """Write one line of JSON before each case, and one with its result after it."""
    subject = get_backend(name) if kind == "backend" else get_engine(name)
    cases: Iterator[tuple[Check[Any], Case]] = backend_cases(name) if kind == "backend" else engine_cases(name)
    for check, case in cases:
        _tell(out, {"check": check.name, "case": " ".join(case)})
        _tell(out, asdict(run(check, subject, name, case)))


def _tell(out: IO[str], message: dict[str, str]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
