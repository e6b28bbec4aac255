"""Checks of a backend: memory lives as long as any alias, is freed after the last, and threads may share it all."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.exchange import share, to
from ffbridge.testing.arrays import elements, same, there
from ffbridge.testing.check import Case, Check, expect
from ffbridge.testing.memory import Lent, collect, resident

__all__ = ["CHECKS"]

_THREADS = 8


def _on_host(backend: Backend) -> Iterator[Case]:
    if {"cpu"} <= backend.capabilities.devices and "float32" in backend.capabilities.dtypes:
        yield ()


def _numbers(seed: int) -> Any:
    return np.arange(64 * 48, dtype=np.float32).reshape(64, 48) + seed


def _alias(lent: Lent, backend: Backend) -> Array | str:
    """Return an alias of lent memory in a backend, or why there is none."""
    moved = share(lent.take(), backend)
    return moved.array if moved.zero_copy else f"it does not alias NumPy's memory: {moved.reason}"


def _source_kept(backend: Backend) -> str | None:
    expected = elements(_numbers(1))
    alias = _alias(Lent(_numbers(1)), backend)
    if isinstance(alias, str):
        return alias
    collect()
    expect(same(elements(alias), expected), "NumPy's memory was let go of while an alias of it was in use")
    return None


def _source_released(backend: Backend) -> str | None:
    lent = Lent(_numbers(2))
    first = _alias(lent, backend)
    if isinstance(first, str):
        return first
    second = to(first, "numpy")
    del first, second
    expect(lent.released(), "NumPy's memory is still held after its last alias is gone")
    return None


def _own_memory_kept(backend: Backend) -> str | None:
    """An array's own memory, seen by others after the array itself is gone."""
    expected = elements(_numbers(3))
    views = []
    for _ in range(8):
        array = there(_numbers(3), backend, copy=True)
        views.append(to(array, "numpy", device="cpu"))
        del array
    collect()
    others = [there(_numbers(seed), backend, copy=True) for seed in range(16)]
    for view in views:
        expect(same(elements(view), expected), "an array's memory was reused while NumPy's alias of it was in use")
    del others
    return None


def _chain_kept(backend: Backend) -> str | None:
    lent = Lent(_numbers(4))
    expected = elements(_numbers(4))
    array = _alias(lent, backend)
    if isinstance(array, str):
        return array
    moved = share(array, "numpy")
    if not moved.zero_copy:
        return f"NumPy does not alias its memory: {moved.reason}"
    last = moved.array
    del array, moved
    collect()
    expect(same(elements(last), expected), "memory was let go of while an alias of an alias was in use")
    del last
    expect(lent.released(), "memory is still held after the last alias of an alias is gone")
    return None


def _flat_memory(backend: Backend) -> str | None:
    """A hundred megabytes come and go, by copies and by aliases, both ways."""
    block = np.ones((512, 512), dtype=np.float32)

    def exchange(count: int) -> None:
        for _ in range(count):
            array = there(block, backend, copy=True)
            to(to(array, "numpy", device="cpu"), backend, device=backend.device(array))
            del array
        gc.collect()

    exchange(20)
    before = resident()
    if before is None:
        return "this system does not tell how much memory a process has"
    exchange(100)
    grown = (resident() or 0) - before
    expect(grown < 30e6, f"{grown / 1e6:.0f} MB are left of 100 arrays of 1 MB, all of which are gone")
    return None


def _threads(backend: Backend) -> str | None:
    """Each thread exchanges and copies arrays of its own, and drops what another has made."""
    barrier = Barrier(_THREADS)
    kept: list[Array] = [None] * 64

    def work(thread: int) -> int:
        barrier.wait()
        right = 0
        for step in range(24):
            values = _numbers(1000 * thread + step)[: 4 + step % 3, :5]
            array = there(values, backend, copy=bool(step % 2) or None)
            again = to(backend.copy(array), "numpy", device="cpu")
            right += same(elements(array), elements(values)) and same(elements(again), elements(values))
            kept[(7 * step + thread) % len(kept)] = array
        return right

    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(work, range(_THREADS)))
    expect(found == [24] * _THREADS, f"of 24 exchanges in each of {_THREADS} threads, {found} were right")
    return None


def _once(backend: Backend) -> Iterator[Case]:
    if "float32" in backend.capabilities.dtypes:
        yield ()


CHECKS: tuple[Check[Backend], ...] = (
    Check(
        name="lifetime/source-kept",
        about="NumPy's memory lives as long as an alias of it",
        cases=_on_host,
        run=_source_kept,
    ),
    Check(
        name="lifetime/source-released",
        about="NumPy's memory is let go of with its last alias",
        cases=_on_host,
        run=_source_released,
    ),
    Check(
        name="lifetime/own-memory-kept",
        about="its own memory lives as long as NumPy's alias of it",
        cases=_once,
        run=_own_memory_kept,
    ),
    Check(
        name="lifetime/chain",
        about="memory lives as long as an alias of an alias, and no longer",
        cases=_on_host,
        run=_chain_kept,
    ),
    Check(
        name="lifetime/flat-memory", about="arrays that are gone leave no memory behind", cases=_once, run=_flat_memory
    ),
    Check(name="threads/exchange", about="eight threads exchange arrays at once", cases=_once, run=_threads),
)
