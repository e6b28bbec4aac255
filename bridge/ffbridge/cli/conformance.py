"""``ffbridge conformance``: whether backends and engines do what they declare."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .output import console, print_table, shortened

if TYPE_CHECKING:
    from ffbridge.testing.check import Result
    from ffbridge.testing.worker import Kind

__all__ = ["conformance"]

_REASONS = 3
_STYLES = {"pass": "green", "refused as declared": "yellow", "FAIL": "bold red"}


def conformance(
    *,
    backend: Annotated[list[str] | None, typer.Option(help="A backend; may be repeated.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="An engine; may be repeated.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every result to this file.")] = None,
) -> None:
    """Check backends and engines, all that are installed if none is named. Exit code 1 if anything fails."""
    from ffbridge.testing.worker import check_apart

    results: list[Result] = []
    for kind, name in _subjects(backend or [], engine or []):
        with console.status(f"{kind} {name}"):
            found = list(check_apart(kind, name))
        _print(kind, name, found)
        results += found
    counts = {status: sum(each.status == status for each in results) for status in ("pass", "refused", "FAIL")}
    console.print("{pass} passed, {refused} refused as declared, {FAIL} failed".format(**counts))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n", encoding="utf-8")
    if counts["FAIL"] or not results:
        raise typer.Exit(1)


def _subjects(backends: list[str], engines: list[str]) -> list[tuple[Kind, str]]:
    """Return what is to be checked; names that nobody registered raise here."""
    from ffbridge import registry

    if not backends and not engines:
        backends = [info.name for info in registry.backends() if info.available]
        engines = [info.name for info in registry.engines() if info.available]
    for name in backends:
        registry.get_backend(name)
    for name in engines:
        registry.get_engine(name)
    return [*(("backend", name) for name in backends), *(("engine", name) for name in engines)]


def _print(kind: str, name: str, results: list[Result]) -> None:
    """Print one row for each check and status, with the reasons that differ."""
    rows = []
    for check, found in groupby(results, key=lambda each: each.check):
        cases = list(found)
        for status, word in (("pass", "pass"), ("refused", "refused as declared"), ("FAIL", "FAIL")):
            same = [each for each in cases if each.status == status]
            if same:
                rows.append((check, Text(word, _STYLES[word]), len(same), _reasons(same)))
    print_table(f"{kind} {name}", ("check", "outcome", "cases ", "why"), rows)


def _reasons(results: list[Result]) -> str:
    """Return the first few reasons; of failures with their cases and in full."""
    if results[0].status == "FAIL":
        told = [f"{each.case}: {each.reason}".removeprefix(": ") for each in results]
    else:
        told = list(dict.fromkeys(shortened(each.reason, 100) for each in results if each.reason))
    more = f"\n… and {len(told) - _REASONS} more" if len(told) > _REASONS else ""
    return "\n".join(told[:_REASONS]) + more
