"""What an exchange costs: by pair of frameworks and size, beside the framework's own call; of bundles; in memory.

The memory of the process is looked at before and after 100,000 exchanges: it must not grow.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import numpy as np
import torch

import ffbridge as fb
from benchmarks.molecules import batch, drugs
from benchmarks.timing import Record
from ffbridge.exchange import share
from ffbridge.memory import aligned_copy

__all__ = ["measure"]

SIZES = tuple(10**power for power in range(1, 8))
EXCHANGES = 100_000
SELDOM = 400
OFTEN = 600
"""Exchanges of a bundle beforehand: so often that JAX has a compiled function for arrays of these shapes."""
FRAMEWORKS = ("numpy", "torch", "jax")


def measure(record: Record) -> None:
    """Fill in the record."""
    by_size(record)
    bundles(record)
    memory(record)


def by_size(record: Record) -> None:
    """Every pair, at every size; and the consumer's own ``from_dlpack``, at the smallest."""
    raw = {"numpy": np.from_dlpack, "torch": torch.from_dlpack, "jax": jax.numpy.from_dlpack}
    for size in SIZES:
        held = _arrays(size)
        calls = {}
        for producer in FRAMEWORKS:
            for consumer in FRAMEWORKS:
                x = held[producer]
                # By itself `to` would copy what JAX promises never to change: taken as potentials take it.
                exchange = share if (producer, consumer) == ("jax", "torch") else fb.to
                name = f"exchange/{size}/{producer} to {consumer}"
                calls[name] = lambda exchange=exchange, x=x, consumer=consumer: exchange(x, consumer)
                if producer != consumer and size == SIZES[0]:
                    own = raw[consumer]
                    calls[f"exchange/{size}/{producer} to {consumer}, its own from_dlpack"] = lambda own=own, x=x: own(
                        x
                    )
        record.compare(calls, seconds=1.0)


def bundles(record: Record) -> None:
    """A whole bundle into each framework, beside one of its arrays, and beside JAX's own call for many arrays."""
    bundle, _ = batch(drugs(), 1)
    arrays = bundle.arrays()
    record.add("bundle exchange/count/arrays of the bundle", [float(len(arrays))], unit="integer")
    largest = aligned_copy(max(arrays.values(), key=lambda array: array.size))
    for name in ("torch", "jax"):
        first = [_seconds(lambda name=name: _wait(bundle.to(name).arrays())) for _ in range(OFTEN)]
        record.add(f"bundle exchange/to {name}/whole bundle, one of the first {SELDOM}", first[1:SELDOM])
        calls = {
            f"bundle exchange/to {name}/whole bundle": lambda name=name: _wait(bundle.to(name).arrays()),
            f"bundle exchange/to {name}/one array": lambda name=name: _wait(fb.to(largest, name)),
        }
        if name == "jax":
            calls["bundle exchange/to jax/jax.device_put of all arrays"] = lambda: _wait(jax.device_put(arrays))
        record.compare(calls, seconds=1.0)


def memory(record: Record) -> None:
    """Resident memory before and after many exchanges among all pairs."""
    held = _arrays(SIZES[0])
    pairs = [(producer, consumer) for producer in held for consumer in held]

    def exchange(count: int) -> None:
        for index in range(count):
            producer, consumer = pairs[index % len(pairs)]
            fb.to(held[producer], consumer)
        gc.collect()

    exchange(EXCHANGES // 10)
    record.add("exchange memory/resident/before", [_resident()], unit="byte")
    exchange(EXCHANGES)
    record.add(f"exchange memory/resident/after {EXCHANGES} exchanges", [_resident()], unit="byte")


def _arrays(n: int) -> dict[str, Any]:
    """The same n numbers in each framework, aligned so that all can alias them."""
    source = aligned_copy(np.arange(n, dtype=np.float32))
    return {"numpy": source, "torch": torch.from_numpy(source).clone(), "jax": jax.device_put(source, may_alias=False)}


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096.0


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _wait(found: Any) -> Any:
    return jax.block_until_ready(found) if isinstance(found, (dict, jax.Array)) else found
