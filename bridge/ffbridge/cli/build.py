"""``ffbridge build``: a file of molecules to a folder of bundles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, console, print_json, printable, shortened

if TYPE_CHECKING:
    from ffbridge.building import Outcome

__all__ = ["build"]


def build(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Molecules: .sdf, .smi or .parquet (column smiles).")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundles; made if it is not there.")],
    force_field: Annotated[str, typer.Option(help="SMIRNOFF force field.")] = "openff-2.3.0",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores if not given.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit for a molecule.")] = 120.0,
    allow_undefined_stereo: Annotated[
        bool, typer.Option("--allow-undefined-stereo", help="Take molecules with open stereochemistry as they are.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a bundle for each molecule of a file; started again, it goes on where it was stopped.

    Failures are listed in failures.jsonl, bundles in manifest.json. Exit code 1 if a molecule failed.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from ffbridge.building import build_bundles, count_records

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    n_failed = 0
    with Progress(*columns, console=console, disable=json or not console.is_terminal) as progress:
        bar = progress.add_task("", total=count_records(source))

        def advance(outcome: Outcome) -> None:
            nonlocal n_failed
            n_failed += outcome.status == "failed"
            progress.update(bar, advance=1, description=f"{n_failed} failed; {printable(shortened(outcome.name, 30))}")

        report = build_bundles(
            source,
            output,
            force_field=force_field,
            jobs=jobs,
            seconds=seconds,
            allow_undefined_stereo=allow_undefined_stereo,
            on_outcome=advance,
        )
    if json:
        print_json({"output": str(output), **asdict(report)})
    else:
        console.print(
            f"{output}: {report.n_built} built, {report.n_kept} kept, {report.n_failed} failed "
            f"in {report.seconds:.1f} s",
            markup=False,
        )
    if report.n_failed:
        raise typer.Exit(1)
