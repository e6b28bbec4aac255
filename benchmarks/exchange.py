"""What an exchange costs: by size, against the framework's own call, and in memory.

Run it with ``python benchmarks/exchange.py``. Times are the best of many rounds in which the calls take turns.
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
from rich.console import Console
from rich.table import Table

import ffbridge as fb
from ffbridge.exchange import share
from ffbridge.memory import aligned_copy

__all__ = ["main"]

ROUNDS, CALLS = 40, 100
SMALL, BIG = 10, 10**7
EXCHANGES = 100_000


def best(*calls: Callable[[], object]) -> list[float]:
    """The best mean time of each call [µs]."""
    times = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            start = perf_counter()
            for _ in range(CALLS):
                call()
            times[index] = min(times[index], (perf_counter() - start) / CALLS * 1e6)
    return times


def arrays(n: int) -> dict[str, Any]:
    """The same n numbers in each framework, aligned so that all can alias them."""
    source = aligned_copy(np.arange(n, dtype=np.float32))
    return {"numpy": source, "torch": torch.from_numpy(source).clone(), "jax": jax.device_put(source, may_alias=False)}


def speed() -> Table:
    """Every pair: small and big arrays, and the framework's own call on the small one."""
    small, big = arrays(SMALL), arrays(BIG)
    raw = {"numpy": np.from_dlpack, "torch": torch.from_dlpack, "jax": jax.numpy.from_dlpack}
    table = Table("pair", "fb.to, 10 [µs]", "10⁷ [µs]", "ratio", "from_dlpack [µs]", "overhead [µs]", "how")
    for producer in small:
        for consumer in small:
            x, y, own = small[producer], big[producer], raw[consumer]
            kept = producer == consumer
            # By itself `to` would copy what JAX promises never to change: shown as `share` does it.
            call = share if (producer, consumer) == ("jax", "torch") else fb.to
            few, many, theirs = best(
                lambda call=call, x=x, consumer=consumer: call(x, consumer),
                lambda call=call, y=y, consumer=consumer: call(y, consumer),
                (lambda x=x: x) if kept else (lambda own=own, x=x: own(x)),
            )
            how = "itself" if kept else "alias" + (" (share)" if call is share else "")
            table.add_row(
                f"{producer} → {consumer}",
                *(f"{value:.2f}" for value in (few, many, many / few, theirs, few - theirs)),
                how,
            )
    return table


def resident() -> float:
    """Memory of this process [MB]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def memory() -> tuple[float, float]:
    """Resident memory before and after many exchanges [MB]."""
    small = arrays(SMALL)
    pairs = [(producer, consumer) for producer in small for consumer in small]

    def exchange(count: int) -> None:
        for index in range(count):
            producer, consumer = pairs[index % len(pairs)]
            fb.to(small[producer], consumer)
        gc.collect()

    exchange(EXCHANGES // 10)
    before = resident()
    exchange(EXCHANGES)
    return before, resident()


def main() -> None:
    """Print the figures."""
    console = Console(width=110)
    console.print(f"numpy {np.__version__}, torch {torch.__version__}, jax {jax.__version__}; float32, CPU")
    console.print(speed())
    before, after = memory()
    console.print(f"{EXCHANGES} exchanges among the nine pairs: {before:.1f} MB before, {after:.1f} MB after")


if __name__ == "__main__":
    main()
