"""What many calls leave in memory: ``python -m tests.stress.lifetimes CASE COUNT`` prints it as JSON.

A case is ``exchanges``, the name of an engine, or ENGINE-torch for the engine under PyTorch. It has a process of its
own, where nothing else comes and goes.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

import ffbridge as fb
from tests.stress.work import bundle, positions, scope


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measured(work: Callable[[int], None], count: int) -> dict[str, int]:
    """Bytes, objects and blocks of Python's own memory after a tenth of the work, and after all of it once more."""
    found: dict[str, int] = {"count": count}
    for when, share in (("before", count // 10), ("after", count)):
        work(share)
        gc.collect()
        found |= {
            f"resident_{when}": resident(),
            f"objects_{when}": len(gc.get_objects()),
            f"blocks_{when}": sys.getallocatedblocks(),
        }
    return found


def exchanges() -> Callable[[int], None]:
    """Arrays that come and go, each of new memory, by aliases and copies among NumPy, PyTorch and JAX."""
    names = ("numpy", "torch", "jax")
    pairs = list(product(names, names))

    def work(times: int) -> None:
        for number in range(times // len(pairs)):
            for at, (producer, consumer) in enumerate(pairs):
                if number % 20 == 0 or producer != "jax":
                    sources[producer] = fb.to(np.full((4, 8), number, np.float32), producer, copy=True)
                fb.to(sources[producer], consumer, copy=True if (number + at) % 5 == 0 else None)

    sources = {name: fb.to(np.zeros((4, 8), np.float32), name, copy=True) for name in names}
    return work


def calls(U: fb.Potential) -> Callable[[int], None]:
    """Energies, forces and gradients of a potential whose positions and tables change with every call."""
    x = [positions(seed) for seed in range(5)]
    values = np.array(U.bundle.table("harmonic_bond").values)

    def work(times: int) -> None:
        for number in range(times):
            tables = {"harmonic_bond": values * (1 + 1e-6 * (number % 7))}
            U.value_and_grad(x[number % len(x)] + 1e-6 * (number % 3), tables)

    return work


def lambda_calls(U: fb.Potential) -> Callable[[int], None]:
    """The same with PyTorch as the host: a forward and a backward pass."""
    x = [fb.to(positions(seed), "torch") for seed in range(5)]

    def work(times: int) -> None:
        for number in range(times):
            leaf = (x[number % len(x)] + 1e-6 * (number % 3)).requires_grad_()
            U(leaf).sum().backward()

    return work


def main() -> None:
    """Print what was measured of one case."""
    case, count = sys.argv[1], int(sys.argv[2])
    engine, _, host = case.partition("-")
    with scope(engine):
        if case == "exchanges":
            work = exchanges()
        elif host:
            work = lambda_calls(fb.potential(bundle(), engine=engine, host=host))
        else:
            work = calls(fb.potential(bundle(), engine=engine))
        print(json.dumps(measured(work, count)))


if __name__ == "__main__":
    main()
