"""``ffbridge fit``: a force field, a bundle or a network to targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, console, print_json, print_table

if TYPE_CHECKING:
    from ffbridge.fitting import FitReport
    from ffbridge.fitting import Progress as StepProgress

__all__ = ["fit"]


def fit(
    settings: Annotated[Path, typer.Argument(metavar="SETTINGS", help="A TOML file: what is fitted to what.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the result; named as the file if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a fit that was stopped.")] = False,
    json: Json = False,
) -> None:
    """Fit parameters to targets, with checkpoints, a log and a report.

    The folder gets the fitted force field, bundle or weights, report.md with figures, parameters.csv and log.jsonl.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ffbridge.fitting import fit as run_fit
    from ffbridge.fitting import read_settings

    read = read_settings(settings)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=json or not console.is_terminal) as progress:
        bar = progress.add_task("", total=read.optimizer.steps)

        def advance(made: StepProgress) -> None:
            watched = "" if made.validation is None else f", validation {made.validation:.5g}"
            progress.update(bar, completed=made.step, description=f"loss {made.loss:.5g}{watched}")

        report = run_fit(
            read,
            output or settings.with_suffix(""),
            resume=resume,
            on_step=advance,
            on_stage=lambda text: progress.update(bar, description=text),
        )
    if json:
        print_json(report.document())
    else:
        _print(report)


def _print(report: FitReport) -> None:
    rows = [
        (
            each.part,
            each.kind,
            each.quantity,
            "relaxed" if each.relaxed else "reference",
            f"{each.before:.4g}",
            f"{each.after:.4g}",
            f"{100 * each.change:+.1f} %",
            each.unit,
        )
        for each in report.errors
    ]
    columns = ("targets", "kind", "quantity", "geometries", "before ", "after ", "change ", "unit")
    print_table("root mean square errors", columns, rows)
    if report.openmm_difference is not None:
        console.print(f"written force field, OpenFF + OpenMM against ffbridge: {report.openmm_difference:.1e} kJ/mol")
    for remark in report.remarks:
        console.print(remark, markup=False)
    console.print(
        f"{report.fitted}: after {report.best_step} of {report.steps} steps; {report.folder / 'report.md'}",
        markup=False,
    )
