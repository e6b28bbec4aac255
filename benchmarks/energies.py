"""Energies and derivatives of 1, 8 and 256 molecules with 1 and 100 conformers, by every engine, beside the peers.

One bundle and one call for each case; peers make the calls that they have. float64 throughout, but for the row that
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

import ffbridge as fb
from benchmarks import engines, peers
from benchmarks.molecules import Sample, batch, cache_folder, drugs, evenly, minidrugbank, n_interactions
from benchmarks.timing import Record
from ffbridge.errors import FFBridgeError

__all__ = ["measure"]

CASES = ((1, 1), (1, 100), (8, 1), (8, 100), (256, 1), (256, 100))
LONGEST = 3.0
"""A call that takes longer is not repeated [s]: what it would take is told from a smaller case."""
ROOM = 0.4
"""The part of the free memory that a call may need."""
SECONDS = 1.5


def measure(record: Record) -> None:
    """Fill in the record."""
    for n_molecules, n_conformers in CASES[:4] if record.quick else CASES:
        samples, source = _samples(n_molecules)
        for quantity in engines.QUANTITIES:
            compare(record, samples, source, n_conformers, quantity)


def _samples(n: int) -> tuple[list[Sample], Path]:
    """Molecules, and the folder that they are from: ibuprofen, the eight drugs, or some of MiniDrugBank."""
    if n > 8:
        return evenly(minidrugbank(), n), cache_folder() / "minidrugbank"
    return (drugs() if n == 8 else drugs()[1:2]), cache_folder() / "drugs"


def compare(record: Record, samples: list[Sample], source: Path, n_conformers: int, quantity: str) -> None:
    """One case: every engine and the peers that have the quantity, taking turns."""
    bundle, x = batch(samples, n_conformers)
    prefix = f"{quantity}/{len(samples)} molecules, {n_conformers} conformers"
    makers = {
        f"{prefix}/{engine}": lambda engine=engine: engines.call(bundle, engine, quantity, x)
        for engine in _contestants(quantity, len(samples), n_conformers)
    } | _peers(prefix, samples, source, bundle, x, quantity)
    calls = {}
    for name, make in makers.items():
        who = name.split("/")[-1]
        needed = engines.memory_needed(who, quantity, n_interactions(bundle), n_conformers)
        if needed > ROOM * _free_memory():
            record.skip(name, f"it would need about {needed / 2**30:.1f} GiB")
            continue
        seconds = _expected(record, quantity, len(samples), n_conformers, who)
        if seconds > LONGEST:
            record.skip(name, f"a call would take about {seconds:.0f} s")
            continue
        try:
            call = make()
            seconds = _seconds(call)
            if seconds > LONGEST and who in engines.COMPILING:
                seconds = _seconds(call)
        except (FFBridgeError, ArithmeticError) as error:
            record.skip(name, error)
            continue
        if seconds > LONGEST:
            record.skip(name, f"a call takes {seconds:.0f} s")
            continue
        calls[name] = call
    record.compare(calls, seconds=SECONDS)


def _contestants(quantity: str, n_molecules: int, n_conformers: int) -> list[str]:
    """The engines; what takes long to compile takes part where a ratio to a peer is wanted of it."""
    wanted = quantity == "tables" and (n_molecules, n_conformers) in ((8, 1), (8, 100), (256, 1))
    return [*engines.names(), *([engines.COMPILED] if wanted else [])]


def _expected(record: Record, quantity: str, n_molecules: int, n_conformers: int, who: str) -> float:
    """Seconds that a call will take: in proportion to the case of eight molecules with so many conformers; else 0."""
    known = f"{quantity}/8 molecules, {n_conformers} conformers/{who}"
    found = [median(each.values) for each in record.measurements if each.name == known]
    return found[0] * n_molecules / 8 if found else 0.0


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _free_memory() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _peers(
    prefix: str, samples: list[Sample], source: Path, bundle: fb.Bundle, x: np.ndarray, quantity: str
) -> dict[str, Callable[[], Callable[[], object]]]:
    """What makes the calls of the peers that have the quantity."""
    expected = float(fb.potential(bundle, engine="numpy")(x).sum()) if quantity in ("forces", "tables") else 0.0
    sizes = [sample.bundle.n_atoms for sample in samples]
    found: dict[str, Callable[[], Callable[[], object]]] = {}
    if quantity == "tables" and "smee" in peers.found() and (source / "smee.pt").exists():
        indices = [sample.index for sample in samples]
        for dtype in ("float64", "float32") if len(samples) <= 8 else ("float64",):
            found[f"{prefix}/smee, {dtype}"] = lambda dtype=dtype: peers.smee_call(
                source / "smee.pt", indices, x, sizes, expected, dtype=dtype
            )
    if quantity == "forces" and "openmm" in peers.found():
        conformers = np.split(x.reshape(-1, *x.shape[-2:]), np.cumsum(sizes)[:-1], axis=-2)
        found[f"{prefix}/OpenMM Reference, in a loop"] = lambda: peers.openmm_loop(
            [sample.bundle for sample in samples], conformers, expected
        )
    return found
