"""What the commands print: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Json", "console", "figure", "print_json", "print_table", "printable", "shortened"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class _Safe(Console):
    """A console for texts out of files of unknown origin, which may hold what drives a terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, with control characters of plain texts shown as escapes."""
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


def printable(text: str) -> str:
    """Return a text in which characters that cannot be seen (controls, directions) are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


# Redirected output has no width of its own; rich would take 80 and fold most tables.
console = _Safe(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)


def print_json(content: Any) -> None:
    """Print plain JSON; numbers that JSON lacks become null."""
    typer.echo(json.dumps(_finite(content), indent=2, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a title; columns whose name ends in a space are set flush right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(Text(name.strip()), justify="right" if name.endswith(" ") else "left", overflow="fold")
    for row in rows:
        # SMIRKS and units stand in brackets, which rich would take for markup in a string.
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row))
    console.print(table)
    console.print()


def figure(value: float) -> str:
    """Return a difference or a limit in two digits."""
    return f"{value:.1e}" if value else "0"


def shortened(text: str, length: int = 60) -> str:
    """Return a text cut to a length, marked if it was longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
