"""What it costs when one framework differentiates through an engine of another: energy + forces of ethanol."""

from __future__ import annotations

from benchmarks import lambda_modules
from benchmarks.timing import Record

__all__ = ["measure"]


def measure(record: Record) -> None:
    """Fill in the record: medians of 300 rounds in which the calls take turns."""
    for row in lambda_modules.crossings():
        column = f"{row['call']}, engine {row['engine']}, host {row['host']}"
        for name in ("engine alone", "hosted"):
            record.add(f"crossings/{name}/{column}", [1e-6 * row[name]])
