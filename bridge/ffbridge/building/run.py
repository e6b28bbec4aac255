"""A file of molecules to a folder of bundles, with a manifest and a list of failures."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import ffbridge
from ffbridge.errors import BundleFileError
from ffbridge.writing import remove_abandoned, write_whole

from .pool import run_records
from .records import Record, read_records

__all__ = ["BuildReport", "Outcome", "build_bundles"]

MANIFEST = "manifest.json"
FAILURES = "failures.jsonl"
LOCK = ".ffbridge-build.lock"
DEFAULT_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """What became of a molecule.

    Attributes:
        number: its place in the input, from 1.
        name: its name in the input.
        status: ``built``; ``kept``, if a sound file of the same molecule and recipe was there; or ``failed``.
        details: for a file, ``file``, ``content_hash``, ``input_sha256`` and ``n_atoms``; for a failure, ``error`` and
            ``reason``.
    """

    number: int
    name: str
    status: str
    details: dict[str, Any]


@dataclass(frozen=True)
class BuildReport:
    """What a run did.

    Attributes:
        n_built: molecules whose bundles were written.
        n_kept: molecules whose bundles were there.
        n_failed: molecules without a bundle; ``failures.jsonl`` says why.
        seconds: wall time [s].
    """

    n_built: int
    n_kept: int
    n_failed: int
    seconds: float


def build_bundles(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    force_field: str,
    jobs: int | None = None,
    seconds: float = DEFAULT_SECONDS,
    allow_undefined_stereo: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> BuildReport:
    """Write a bundle for each molecule of a file, in several processes.

    A molecule that fails, takes too long, or ends its process is listed in ``failures.jsonl`` (a JSON object to a
    line), and the others go on. ``manifest.json`` lists the bundles with their content hashes. Both are written at the
    end, in the order of the input. A run that was stopped goes on where it was when started again: bundles
    that are there are verified and kept, failures are tried again. Files are written whole or not at all.

    Args:
        source: SD file (``.sdf``), SMILES (``.smi``: one to a line, a name may follow) or Parquet (``.parquet``, column
            ``smiles``; ``name`` or ``id`` if there).
        output: folder; made if it is not there.
        force_field: SMIRNOFF force field, such as ``openff-2.3.0``; the suffix ``.offxml`` may be left out.
        jobs: number of processes; as many as cores if None.
        seconds: time limit for a molecule [s], wall time.
        allow_undefined_stereo: take molecules whose stereochemistry is open as they are, instead of failing.
        on_outcome: called after each molecule, in the order in which they are done.

    Raises:
        UnsupportedError: the file or the force field cannot be read.
        BundleFileError: another run is writing to the folder.
    """
    start = perf_counter()
    source, folder = Path(source), Path(output)
    _make_folder(folder)
    force_field = force_field if force_field.endswith(".offxml") else f"{force_field}.offxml"
    options = {"force_field": force_field, "folder": str(folder), "allow_undefined_stereo": allow_undefined_stereo}
    command = [sys.executable, "-m", "ffbridge.building.worker", json.dumps(options)]
    outcomes: list[Outcome] = []
    with _alone_in(folder):
        results = run_records(read_records(source), command, jobs=jobs or os.cpu_count() or 1, seconds=seconds)
        for outcome in map(_outcome, results):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
        outcomes.sort(key=lambda outcome: outcome.number)
        failures = [_entry(outcome) for outcome in outcomes if outcome.status == "failed"]
        _write(folder / FAILURES, "".join(json.dumps(entry) + "\n" for entry in failures))
        _write(folder / MANIFEST, json.dumps(_manifest(source, force_field, outcomes), indent=1) + "\n")
    counts = {status: sum(each.status == status for each in outcomes) for status in ("built", "kept", "failed")}
    return BuildReport(
        n_built=counts["built"], n_kept=counts["kept"], n_failed=counts["failed"], seconds=perf_counter() - start
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleFileError(f"{folder}: the folder cannot be made: {error.strerror or error}") from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of the folder, and what killed processes left unfinished."""
    try:
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise BundleFileError(f"{folder}: the folder cannot be written: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BundleFileError(
                f"{folder}: another run is building bundles there; wait for it, or choose another folder"
            ) from error
        _remove_unfinished(folder)
        try:
            yield
        finally:
            _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    for names in (".*.ffb.*.part", f".{MANIFEST}.*.part", f".{FAILURES}.*.part"):
        for path in folder.glob(names):
            remove_abandoned(path)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise BundleFileError(f"{path}: cannot be written: {error.strerror or error}") from error


def _outcome(result: tuple[Record, dict[str, Any]]) -> Outcome:
    record, details = result
    status = details.pop("status")
    return Outcome(number=record.number, name=record.name, status=status, details=details)


def _entry(outcome: Outcome) -> dict[str, Any]:
    return {"number": outcome.number, "name": outcome.name, **outcome.details}


def _manifest(source: Path, force_field: str, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "format": "ffbridge-build",
        "version": 1,
        "ffbridge": ffbridge.__version__,
        "source": source.name,
        "force_field": force_field,
        "n_molecules": len(outcomes),
        "n_failed": sum(outcome.status == "failed" for outcome in outcomes),
        "bundles": [_entry(outcome) for outcome in outcomes if outcome.status != "failed"],
    }
