"""Figures of a report: PNG files by matplotlib, without its global state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.errors import MissingDependencyError
from ffbridge.fitting.evaluation import Series
from ffbridge.targets.kinds import TorsionDrive
from ffbridge.writing import write_whole

__all__ = ["draw_loss", "draw_parity", "draw_profiles"]

BEFORE, AFTER, REFERENCE = "tab:orange", "tab:blue", "black"
MOST_POINTS = 5000
"""Points of each color in a parity plot; of more, some are drawn, evenly spread."""


def draw_loss(folder: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """Draw the losses at every step."""
    figure, (axes,) = _figure(1, width=6)
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line["loss"] for line in lines], color=AFTER, label="training, with prior")
    if lines and lines[0]["validation"] is not None:
        axes.plot(steps, [line["validation"] for line in lines], color=BEFORE, label="validation")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    _plain_numbers(axes)
    axes.legend()
    return _saved(figure, folder / "loss.png")


def draw_parity(folder: Path, series: Iterable[Series]) -> list[Path]:
    """Draw predictions over references, a file for each quantity of each kind of target, a panel for each part."""
    groups: dict[tuple[str, str, bool], dict[str, list[Series]]] = {}
    for each in series:
        panels = groups.setdefault((each.target.kind, each.quantity, each.relaxed), {})
        panels.setdefault(each.part, []).append(each)
    found = []
    for (kind, quantity, relaxed), panels in groups.items():
        figure, all_axes = _figure(len(panels), width=5)
        for axes, (part, members) in zip(all_axes, panels.items(), strict=True):
            _parity(axes, members)
            unit = members[0].unit
            axes.set(title=f"{kind}, {part}", xlabel=f"reference {quantity} [{unit}]", ylabel=f"predicted [{unit}]")
        name = _file_name(f"parity {kind} {quantity}{' relaxed' if relaxed else ''}")
        found.append(_saved(figure, folder / name))
    return found


def _parity(axes: Any, members: Sequence[Series]) -> None:
    reference = np.concatenate([each.reference for each in members])
    some = np.unique(np.linspace(0, len(reference) - 1, min(len(reference), MOST_POINTS)).astype(int))
    for label, color in (("before", BEFORE), ("after", AFTER)):
        values = np.concatenate([getattr(each, label) for each in members])
        error = np.sqrt(np.mean((values - reference) ** 2))
        label = f"{label}, RMSE {error:.3g}"
        axes.plot(reference[some], values[some], ".", color=color, markersize=3, alpha=0.5, label=label)
    ends = [reference.min(), reference.max()]
    axes.plot(ends, ends, color=REFERENCE, linewidth=0.8)
    axes.legend()


def draw_profiles(folder: Path, series: Iterable[Series]) -> dict[str, Path]:
    """Draw the energies along each dihedral that was driven alone, fixed and relaxed geometries side by side."""
    drives: dict[str, list[Series]] = {}
    for each in series:
        if isinstance(each.target, TorsionDrive) and len(each.target.dihedrals) == 1:
            drives.setdefault(each.target.name, []).append(each)
    found: dict[str, Path] = {}
    for number, (name, panels) in enumerate(drives.items()):
        figure, all_axes = _figure(len(panels), width=5)
        for axes, each in zip(all_axes, panels, strict=True):
            drive = each.target
            assert isinstance(drive, TorsionDrive)
            degrees = np.degrees(drive.angles[:, 0])
            order = np.argsort(degrees)
            lines = (
                ("reference", REFERENCE, each.reference),
                ("before", BEFORE, each.before),
                ("after", AFTER, each.after),
            )
            for label, color, values in lines:
                # Each from its own lowest point, as profiles are looked at.
                axes.plot(degrees[order], (values - values.min())[order], "o-", color=color, markersize=3, label=label)
            geometry = "relaxed geometries" if each.relaxed else "reference geometries"
            axes.set(title=f"{geometry} ({each.part})", xlabel="dihedral [°]", ylabel="energy [kJ/mol]")
            axes.xaxis.set_major_locator(_multiples_of(60 if np.ptp(degrees) > 180 else 15))
            axes.legend()
        # Profiles of both geometries on one scale.
        top = max(axes.get_ylim()[1] for axes in all_axes)
        for axes in all_axes:
            axes.set_ylim(top=top)
        figure.suptitle(name)
        found[name] = _saved(figure, folder / "profiles" / _file_name(f"{number:03d} {name}"))
    return found


def _plain_numbers(axes: Any) -> None:
    """Write a logarithmic axis as 0.5 and 20, not as powers, and at several places within a power of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high / low > 5 else tuple(range(1, 10))
    axes.yaxis.set_major_locator(LogLocator(subs=subs if high / low < 1e4 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _multiples_of(step: int) -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(step)


def _figure(panels: int, *, width: float) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            'the report of a fit needs matplotlib, which is not installed: pip install "ffbridge[fit]"'
        ) from error
    figure = Figure(figsize=(width * panels, 4.2), layout="constrained")
    return figure, [figure.add_subplot(1, panels, number + 1) for number in range(panels)]


def _saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    figure.savefig(content, dpi=110, format="png")
    write_whole(path, content.getvalue())
    return path


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)[:80].strip("-") + ".png"
