"""The report of a fit: figures, tables, and what it came to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.fitting.evaluation import Error
from ffbridge.fitting.models import TablesModel
from ffbridge.fitting.settings import FitSettings
from ffbridge.targets.identifiability import Identifiability
from ffbridge.writing import write_whole

__all__ = ["Change", "FitReport", "changes", "write_report"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """A parameter that moved.

    Attributes:
        section: where it stands, such as ``ProperTorsions``.
        id: its identifier; may be empty.
        pattern: its SMIRKS or name.
        attribute: such as ``k2``.
        unit: of the values. A torsion's k is the force field's divided by idivf.
        before: its value.
        after: the fitted one.
        scales: the change in units of its scale.
        determinacy: 0 to 1, how much the data say of it beyond its scale; None if that was not asked.
    """

    section: str
    id: str
    pattern: str
    attribute: str
    unit: str
    before: float
    after: float
    scales: float
    determinacy: float | None


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a fit came to.

    Attributes:
        folder: everything is in it.
        fitted: the force field, bundle or weights.
        steps: steps done.
        best_step: steps after which the loss that is watched was smallest: the result is from there.
        loss: it.
        errors: root mean square errors before and after.
        changes: of parameters; empty for a network.
        undetermined: parameters, and combinations of them, that the data do not determine.
        openmm_difference: largest difference of energies [kJ/mol] between the written force field, through OpenFF and
            OpenMM, and ffbridge; None where it was not looked at.
        remarks: what could not be done.
    """

    folder: Path
    fitted: Path
    steps: int
    best_step: int
    loss: float
    errors: tuple[Error, ...]
    changes: tuple[Change, ...]
    undetermined: tuple[str, ...]
    openmm_difference: float | None
    remarks: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON; files by their names within the folder."""
        content = asdict(self)
        return {**content, "folder": str(self.folder), "fitted": self.fitted.name}


def changes(model: TablesModel, weights: Mapping[str, Floats], found: Identifiability | None) -> tuple[Change, ...]:
    """Return what became of every parameter that moves."""
    before, after = model.selection.initial, np.asarray(model.values(weights))
    shares = [None] * len(before) if found is None else found.determinacy.tolist()
    return tuple(
        Change(
            section=each.key.handler,
            id=each.key.id,
            pattern=each.key.pattern,
            attribute=each.attribute,
            unit=each.unit,
            before=float(before[number]),
            after=float(after[number]),
            scales=float((after[number] - before[number]) / model.selection.scale[number]),
            determinacy=shares[number],
        )
        for number, each in enumerate(model.selection.moving)
    )


def write_report(
    report: FitReport, settings: FitSettings, *, figures: Iterable[Path], profiles: Mapping[str, Path], seconds: float
) -> None:
    """Write ``report.md``, ``report.json`` and ``parameters.csv`` into the report's folder."""
    folder = report.folder
    content = json.dumps(report.document(), indent=1) + "\n"
    write_whole(folder / "report.json", content.encode())
    if report.changes:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(asdict(report.changes[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(each) for each in report.changes)
        write_whole(folder / "parameters.csv", text.getvalue().encode())
    lines = [*_head(report, settings, seconds), *_errors(report.errors), *_parameters(report)]
    lines += ["## Figures", "", *(f"![{path.stem}]({path.relative_to(folder)})" for path in figures), ""]
    if profiles:
        lines += ["## Torsion profiles", "", "Each from its own lowest point.", ""]
        lines += [f"![{name}]({path.relative_to(folder)})" for name, path in profiles.items()] + [""]
    write_whole(folder / "report.md", "\n".join(lines).encode())


def _head(report: FitReport, settings: FitSettings, seconds: float) -> Iterator[str]:
    yield f"# Fit of {Path(settings.model.source).name}"
    yield ""
    yield (
        f"{settings.optimizer.name} on engine {settings.run.engine}, host {settings.run.host}: {report.steps} steps in "
        f"{seconds:.0f} s; the result is that after step {report.best_step}, of loss {report.loss:.6g}. "
        f"Written to [{report.fitted.name}]({report.fitted.name})."
    )
    yield ""
    if report.openmm_difference is not None:
        yield (
            "Read back by the OpenFF toolkit and evaluated by OpenMM, its energies differ from ffbridge's by at most "
            f"{report.openmm_difference:.1e} kJ/mol."
        )
        yield ""
    for remark in report.remarks:
        yield remark
        yield ""


def _errors(found: Sequence[Error]) -> Iterator[str]:
    yield "## Root mean square errors"
    yield ""
    yield "| targets | kind | quantity | geometries | numbers | before | after | change | unit |"
    yield "|---|---|---|---|--:|--:|--:|--:|---|"
    for each in found:
        geometry = "relaxed" if each.relaxed else "reference"
        yield (
            f"| {each.part} | {each.kind} | {each.quantity} | {geometry} | {each.n} | {each.before:.4g} | "
            f"{each.after:.4g} | {100 * each.change:+.1f} % | {each.unit} |"
        )
    yield ""


def _parameters(report: FitReport) -> Iterator[str]:
    if not report.changes:
        return
    yield "## Parameters"
    yield ""
    yield "The largest changes first, in units of each parameter's scale; all are in [parameters.csv](parameters.csv)."
    yield ""
    yield "| section | id | attribute | before | after | unit | change / scale | determinacy |"
    yield "|---|---|---|--:|--:|---|--:|--:|"
    for each in sorted(report.changes, key=lambda each: -abs(each.scales))[:50]:
        share = "" if each.determinacy is None else f"{each.determinacy:.2f}"
        yield (
            f"| {each.section} | {each.id or f'`{each.pattern}`'} | {each.attribute} | {each.before:.6g} | "
            f"{each.after:.6g} | {each.unit} | {each.scales:+.2f} | {share} |"
        )
    yield ""
    if report.undetermined:
        yield "Combinations that the data do not determine; they stay near their old values by the prior:"
        yield ""
        for text in report.undetermined:
            yield f"- {text}"
        yield ""
