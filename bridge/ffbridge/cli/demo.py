"""``ffbridge demo``: the main job on real molecules."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .output import Json, console, figure, print_json, print_table

if TYPE_CHECKING:
    from ffbridge.demo.report import Check, Report

__all__ = ["demo"]


def demo(
    *,
    engine: Annotated[list[str] | None, typer.Option(help="Engines to compare; all three if none is named.")] = None,
    json: Json = False,
) -> None:
    """Take drugs through OpenFF and DGL to one bundle, and compare energies, forces and gradients with OpenMM.

    Exit code 1 if a difference is out of its limit.
    """
    # Programs that the demo starts, not ffbridge, warn about their own dependencies.
    warnings.simplefilter("ignore")
    os.environ.setdefault("DGLBACKEND", "pytorch")
    from ffbridge.demo import run_demo
    from ffbridge.demo.run import ENGINES

    report = run_demo(engines=tuple(engine or ENGINES))
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    print_table(
        "OpenFF 2.3.0 with NAGL charges, through Interchange and through DGL",
        ("molecule", "atoms ", "interactions ", "parameters ", "energy by OpenMM [kJ/mol] "),
        [(m.name, m.n_atoms, m.n_interactions, m.n_parameters, f"{m.energy:.6f}") for m in report.molecules],
    )
    console.print(report.batch, markup=False)
    console.print(f"file: {report.file_bytes} bytes, content hash {report.content_hash}\n", markup=False)
    print_table(
        "arrays that cross",
        ("what", "from", "address", "to", "address", "how"),
        [
            (t.what, t.source, hex(t.source_address), t.target, hex(t.target_address), t.reason or "no copy")
            for t in report.transfers
        ],
    )
    _print_checks(report)
    for part, seconds in report.seconds.items():
        console.print(f"{seconds:6.1f} s  {part}", markup=False)
    failed = sum(not check.passed for check in report.checks)
    verdict = "all within their limits" if not failed else f"{failed} OUT OF LIMITS"
    console.print(f"\n{len(report.checks)} comparisons, {verdict}", markup=False)


def _print_checks(report: Report) -> None:
    """Print one table for each program or road that is compared with, one column for each that is compared."""
    for expected in dict.fromkeys(check.expected for check in report.checks):
        checks = [check for check in report.checks if check.expected == expected]
        columns = list(dict.fromkeys(check.found for check in checks))
        rows = []
        for what in dict.fromkeys(check.what for check in checks):
            by_column = {check.found: check for check in checks if check.what == what}
            first = next(iter(by_column.values()))
            rows.append((what, *(_cell(by_column.get(name)) for name in columns), figure(first.limit), first.unit))
        title = f"largest difference over all molecules from {expected} (unit 1: relative)"
        print_table(title, ("what", *(f"{name} " for name in columns), "limit ", "unit"), rows)


def _cell(check: Check | None) -> Text:
    if check is None:
        return Text()
    return Text(figure(check.difference)) if check.passed else Text(f"{figure(check.difference)} FAILED", "bold red")
