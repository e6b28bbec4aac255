"""What the suite writes: a file that pyperf reads, and tables with the ratios that matter."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import pyperf

from benchmarks import peers
from benchmarks.engines import COMPILED
from benchmarks.timing import Measurement, Record

__all__ = ["TARGETS", "write"]

_SMEE, _LOOP = "smee, float64", "OpenMM Reference, in a loop"
TARGETS = (
    *(
        (f"tables/{case}", _SMEE, engine, least)
        for case, leasts in (
            ("8 molecules, 1 conformers", {"jax": 40, "torch": 10, COMPILED: 10, "native": 100}),
            ("8 molecules, 100 conformers", {"jax": 6, "torch": 4, COMPILED: 4, "native": 20}),
            ("256 molecules, 1 conformers", {"jax": 50, "torch": 25, COMPILED: 25, "native": 200}),
        )
        for engine, least in leasts.items()
    ),
    *(
        ("graph/20 atoms", "espaloma", engine, least)
        for engine, least in (("torch", 40), (COMPILED, 40), ("jax", 100), ("native", 100))
    ),
    ("forces/8 molecules, 100 conformers", _LOOP, "native", 8),
    ("molecule/40 atoms", "espaloma's builder", "espaloma_graph", 20),
    ("molecule/eight drugs", "Interchange.from_smirnoff, NAGL kept in memory", "from_interchange", 20),
    ("bundle exchange/to jax", "one array", "whole bundle", 1 / 3),
)
"""What is measured, the slower, the faster, and how many times as fast it is meant to be."""

_TITLES = {
    "exchange": "Exchange, by number of float32 elements",
    "bundle exchange": "A whole bundle (the eight drugs)",
    "exchange memory": "Memory of the process",
    "molecule": "One molecule",
    "bundle": "Bundles: MiniDrugBank, and a box of water",
    "energy": "Energy",
    "forces": "Energy + forces",
    "tables": "Energy + forces + dU/dθ",
    "hvp": "Hessian-vector product",
    "graph": "Energy + forces of an espaloma graph (acetaminophen)",
    "scaling": "Energy + forces + dU/dθ by number of molecules (MiniDrugBank, one conformer)",
    "one by one": "MiniDrugBank one by one: what XLA compiles",
    "crossings": "Energy + forces of ethanol, through another framework's automatic differentiation",
    "memory": "Peak working memory of a call, eight drugs",
    "memory share": "The same for each interaction and conformer",
}
_PACKAGES = ("ffbridge", "numpy", "torch", "jax", "numba", "dgl", "openmm", "acellera-openff-interchange")


def write(record: Record, folder: Path, *, threads: int) -> None:
    """Write ``bench.json`` and ``bench.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = _environment(threads)
    _suite(record, environment).dump(str(folder / "bench.json"), replace=True)
    text = "\n".join(_lines(record, environment))
    (folder / "bench.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def _environment(threads: int) -> dict[str, str | int]:
    root = Path(__file__).parent.parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    found: dict[str, str | int] = {
        "commit": commit.stdout.strip() or "unknown",
        "processors": threads,
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} processors",
        "load": f"{os.getloadavg()[1]:.1f}",
        "python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {f"peer {name}": value for name, value in peers.found().items()}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def _suite(record: Record, environment: dict[str, str | int]) -> pyperf.BenchmarkSuite:
    def benchmark(each: Measurement) -> pyperf.Benchmark:
        metadata = environment | {"name": each.name, "unit": each.unit}
        if each.processor:
            metadata["processor_seconds"] = float(median(each.processor))
        return pyperf.Benchmark([pyperf.Run(each.values, metadata=metadata, collect_metadata=False)])

    return pyperf.BenchmarkSuite([benchmark(each) for each in record.measurements])


def _lines(record: Record, environment: dict[str, str | int]) -> Iterator[str]:
    yield "# What the benchmark suite measured\n"
    yield "Medians; calls of a table's column took turns. How: [README](../README.md).\n"
    yield from (f"- {name}: {value}" for name, value in environment.items())
    yield from (f"- peer {name}: not there ({reason})" for name, reason in peers.missing().items())
    yield "\n## Ratios\n"
    yield "Medians of the ratios within rounds, of wall time and of processor time.\n"
    yield from _grid(["", "wall", "processor", "target", "met"], _ratios(record))
    topics = list(dict.fromkeys(each.name.split("/")[0] for each in record.measurements))
    for topic in topics:
        yield f"\n## {_TITLES[topic]}\n"
        yield from _topic(record, topic)
    yield "\n## Not measured\n"
    by_reason: dict[str, list[str]] = {}
    for name, reason in record.skipped.items():
        by_reason.setdefault(reason, []).append(name)
    yield from (f"- {reason}: {'; '.join(names)}" for reason, names in by_reason.items())


def _ratios(record: Record) -> Iterator[list[str]]:
    by_name = {each.name: each for each in record.measurements}
    for prefix, slow, fast, least in TARGETS:
        pair = [by_name.get(f"{prefix}/{name}") for name in (slow, fast)]
        what = f"{prefix}: {slow} / {fast}"
        if None in pair:
            yield [what, "", "", f"≥ {least:.3g}", "not measured"]
            continue
        wall = _ratio(*(each.values for each in pair))
        processor = _ratio(*(each.processor for each in pair))
        yield [what, f"{wall:.2f}", f"{processor:.2f}", f"≥ {least:.3g}", "yes" if wall >= least else "no"]


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return median(one / max(other, 1e-12) for one, other in zip(slow, fast, strict=True))


def _topic(record: Record, topic: str) -> Iterator[str]:
    cells: dict[str, dict[str, Measurement]] = {}
    for each in record.measurements:
        name, column, row = each.name.split("/")
        if name == topic:
            cells.setdefault(row, {})[column] = each
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = [
        [row, *(_shown(found[column]) if column in found else "" for column in columns)] for row, found in cells.items()
    ]
    if topic == "scaling":
        molecules = {column: float(column.split()[0]) for column in columns}
        interactions = {column: each.values[0] for column, each in cells["interactions"].items()}
        columns += ["slope by molecules", "by interactions"]
        for row in rows:
            found = cells[row[0]] if row[0] != "interactions" else None
            row += ["" if found is None else _slope(sizes, found) for sizes in (molecules, interactions)]
    yield from _grid(["", *columns], rows)


def _slope(sizes: dict[str, float], found: dict[str, Measurement]) -> str:
    """The log–log slope of the cost against sizes by column, least squares in each round, median over rounds."""
    at = np.log([sizes[column] for column in found])
    rounds = zip(*(each.values for each in found.values()), strict=True)
    return f"{median(float(np.polyfit(at, np.log(values), 1)[0]) for values in rounds):.3f}"


def _shown(each: Measurement) -> str:
    value = median(each.values)
    if each.unit == "integer":
        return f"{value:.0f}"
    scales = (
        (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
        if each.unit == "byte"
        else (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    )
    unit, scale = next((pair for pair in scales if value >= pair[1]), scales[-1])
    return f"{value / scale:.3g} {unit}"


def _grid(header: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
