"""Worker processes that may hang or die: whatever becomes of one, each task gets an outcome, and the others go on."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import IO, Any

from ffbridge.errors import UnsupportedError

from .records import Record

__all__ = ["run_records"]

Outcome = dict[str, Any]


def run_records(
    records: Iterator[Record], command: Sequence[str], *, jobs: int, seconds: float
) -> Iterator[tuple[Record, Outcome]]:
    """Yield each record with its outcome, as they come: what the worker says, or why it said nothing.

    Args:
        records: what is to be done; taken as workers get free.
        command: starts a worker, which answers each record on stdin with an outcome on stdout, as JSON lines.
        jobs: number of processes.
        seconds: time limit for a record. The process that exceeds it is killed, and another takes its place.

    Raises:
        UnsupportedError: a worker cannot begin its work.
    """
    with selectors.DefaultSelector() as selector:
        pool = _Pool(command, selector)
        try:
            for _ in range(jobs):
                pool.start()
            while pool.workers:
                yield from _step(pool, records, seconds)
        finally:
            for worker in list(pool.workers):
                pool.stop(worker, kill=True)


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    ready: bool = False
    record: Record | None = None
    deadline: float = field(default=float("inf"))

    def send(self, record: Record, seconds: float) -> None:
        assert self.process.stdin is not None
        self.record, self.deadline = record, monotonic() + seconds
        self.process.stdin.write(json.dumps(asdict(record)).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> Outcome | None:
        """Return what the worker says; None if it ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def last_words(self) -> str:
        self.log.seek(0)
        return " ".join(self.log.read().decode(errors="replace").split())[-500:]


class _Pool:
    """The running workers, and what selects those that have something to say."""

    def __init__(self, command: Sequence[str], selector: selectors.BaseSelector) -> None:
        self._command = command
        self._selector = selector
        self.workers: list[_Worker] = []

    def start(self) -> None:
        log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        # One thread each: the processes share the cores already.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DGLBACKEND": "pytorch"}
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        )
        worker = _Worker(process, log)
        self.workers.append(worker)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)

    def stop(self, worker: _Worker, *, kill: bool) -> int:
        """End a worker and return its exit code: at once, or when its input is at an end."""
        assert worker.process.stdin is not None
        assert worker.process.stdout is not None
        self.workers.remove(worker)
        self._selector.unregister(worker.process.stdout)
        if kill:
            worker.process.kill()
        # A worker that is gone took nothing with it that was not answered for.
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.close()
        code = worker.process.wait()
        worker.process.stdout.close()
        worker.log.close()
        return code

    def speaking(self) -> list[_Worker]:
        """Wait until a worker says something or a time limit is reached; return those that speak."""
        first = min(worker.deadline for worker in self.workers)
        timeout = None if first == float("inf") else max(0.0, first - monotonic())
        return [key.data for key, _ in self._selector.select(timeout)]


def _step(pool: _Pool, records: Iterator[Record], seconds: float) -> Iterator[tuple[Record, Outcome]]:
    for worker in pool.speaking():
        outcome, record = worker.receive(), worker.record
        if outcome is None or outcome["status"] == "fatal":
            yield from _ended(pool, worker, outcome)
            continue
        if record is not None:
            yield record, outcome
        worker.ready, worker.record, worker.deadline = True, None, float("inf")
        _give(pool, worker, records, seconds)
    now = monotonic()
    for worker in [each for each in pool.workers if each.deadline <= now]:
        assert worker.record is not None
        pool.stop(worker, kill=True)
        pool.start()
        yield worker.record, _failed("TimeLimit", f"more than {seconds:g} s")


def _give(pool: _Pool, worker: _Worker, records: Iterator[Record], seconds: float) -> None:
    """Give a worker its next record, or let it go if there is none."""
    record = next(records, None)
    if record is None:
        pool.stop(worker, kill=False)
        return
    try:
        worker.send(record, seconds)
    except BrokenPipeError:
        return  # it died while idle; that is seen, with its record, when it is next asked


def _ended(pool: _Pool, worker: _Worker, outcome: Outcome | None) -> Iterator[tuple[Record, Outcome]]:
    """A worker ended by itself: with its record unfinished, or before it could begin."""
    words = worker.last_words()
    code = pool.stop(worker, kill=True)
    if worker.record is None:
        reason = outcome["reason"] if outcome else f"exit code {code}: {words}"
        raise UnsupportedError(f"a process that builds bundles could not begin: {reason}")
    pool.start()
    yield worker.record, _failed("ProcessEnded", f"the process ended with code {code}: {words or 'no message'}")


def _failed(error: str, reason: str) -> Outcome:
    return {"status": "failed", "error": error, "reason": reason}
