"""Checks in a process of their own: what a plug-in does to its process, be it death, is then a result like others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from tempfile import TemporaryFile
from typing import IO, Any, Literal

from ffbridge.registry import get_backend, get_engine
from ffbridge.testing.check import Case, Check, Result, run
from ffbridge.testing.suite import backend_cases, engine_cases

__all__ = ["Kind", "check_apart", "main"]

Kind = Literal["backend", "engine"]

_LAST_WORDS = 5
"""Lines of the error stream that are told of a process that has died."""


def check_apart(kind: Kind, name: str) -> Iterator[Result]:
    """Run every check of an installed backend or engine in a new process. If that dies, so does the case it was at."""
    command = [sys.executable, "-m", "ffbridge.testing", kind, name]
    with TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            at = {"check": "start", "case": ""}
            for line in process.stdout or ():
                message = json.loads(line)
                if "status" in message:
                    yield Result(**message)
                at = message
        errors.seek(0)
        words = errors.read()
    if process.returncode:
        yield Result(subject=name, check=at["check"], case=at["case"], status="FAIL", reason=_end(process, words))


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
