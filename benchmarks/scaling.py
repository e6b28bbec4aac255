"""How the cost grows from 32 to 352 molecules, and how often XLA compiles while 352 molecules come one by one."""

from __future__ import annotations

from time import perf_counter

import jax
import numpy as np

import ffbridge as fb
from benchmarks import engines
from benchmarks.molecules import batch, evenly, minidrugbank, n_interactions
from benchmarks.timing import Record
from ffbridge.errors import FFBridgeError

__all__ = ["SIZES", "measure"]

SIZES = (32, 64, 128, 256, 352)
LONGEST = 45.0
"""Seconds after which no further molecule is fed."""
_COMPILED = "/jax/core/compile/backend_compile_duration"


def measure(record: Record) -> None:
    """Fill in the record."""
    growth(record)
    one_by_one(record)


def growth(record: Record) -> None:
    """Energy, forces and dU/dθ of batches of one conformer; sizes take turns, so that a slope is of one time.

    What takes long to compile has every second size.
    """
    samples = minidrugbank()
    sizes = [n for n in (SIZES[:2] if record.quick else SIZES) if n <= len(samples)]
    batches = {n: batch(evenly(samples, n), 1) for n in sizes}
    for n, (bundle, _) in batches.items():
        record.add(f"scaling/{n} molecules/interactions", [float(n_interactions(bundle))], unit="integer")
    for engine in (*engines.names(), engines.COMPILED):
        try:
            calls = {
                f"scaling/{n} molecules/{engine}": engines.call(bundle, engine, "tables", x)
                for n, (bundle, x) in list(batches.items())[:: 2 if engine == engines.COMPILED else 1]
            }
            calls[f"scaling/{sizes[0]} molecules/{engine}"]()
        except FFBridgeError as error:
            record.skip(f"scaling/{sizes[0]} molecules/{engine}", error)
            continue
        record.compare(calls, seconds=3.0)


def one_by_one(record: Record) -> None:
    """Compilations, and their time, while molecules are evaluated one after another; and after they are all known."""
    compiled: list[float] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        if event == _COMPILED:
            compiled.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    samples = minidrugbank()
    order = np.random.default_rng(3).permutation(len(samples))
    start, fed, first, limit = perf_counter(), 0, [], 0.1 * LONGEST if record.quick else LONGEST
    for index in order:
        sample = samples[index]
        before = perf_counter()
        jax.block_until_ready(tuple(fb.potential(sample.bundle, engine="jax").value_and_grad(sample.x)))
        first.append(perf_counter() - before)
        fed += 1
        if perf_counter() - start > limit:
            break
    if fed < len(samples):
        record.skip(f"one by one/jax/molecules after the first {fed}", f"{limit:.0f} s were over")
    record.add("one by one/jax/molecules", [float(fed)], unit="integer")
    record.add("one by one/jax/compilations", [float(max(len(compiled), 1))], unit="integer")
    record.add("one by one/jax/seconds in the compiler", [max(sum(compiled), 1e-9)])
    record.add("one by one/jax/first call of a molecule", first)
    record.add("one by one/jax/compilation", compiled or [1e-9])
