"""The source's memory lives as long as any alias, is freed after the last, and may be used from any thread."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ffbridge.exchange import share, to, transfer
from ffbridge.memory import aligned_empty
from ffbridge.registry import backends

from .arrays import content, make
from .cases import PAIRS

INSTALLED = {info.name for info in backends() if info.available}
pairs = pytest.mark.parametrize("pair", [pair for pair in PAIRS if set(pair.split(">")) <= INSTALLED])


def large(producer: str, seed: int):
    """An array of 1 MB that owns its memory."""
    source = aligned_empty((512, 512), np.float32)
    source[...] = seed
    if producer == "torch":
        import torch

        return torch.from_numpy(source).clone()
    if producer == "jax":
        import jax

        return jax.device_put(source, may_alias=False)
    return source


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pairs
def test_an_alias_keeps_its_source_alive(pair):
    producer, consumer = pair.split(">")
    source = large(producer, seed=1)
    expected = content(producer, source)
    moved = share(source, consumer)
    assert moved.zero_copy
    array = moved.array
    del source, moved
    gc.collect()
    others = [large(kind, seed) for seed in range(2, 12) for kind in (producer, consumer)]  # would take freed memory
    assert content(consumer, array) == expected
    del others


def test_the_source_goes_with_its_last_alias():
    for consumer, layout in {("torch", "contiguous"), ("jax", "contiguous"), ("jax", "read_only")}:
        if consumer not in INSTALLED:
            continue
        source = make("numpy", "float32", layout).array
        alive = weakref.ref(source)
        first, second = to(source, consumer), to(source, consumer)
        del source, first
        gc.collect()
        assert alive() is not None
        del second
        gc.collect()
        assert alive() is None


@pairs
def test_the_memory_is_freed(pair):
    producer, consumer = pair.split(">")
    for count in (20, 300):
        for seed in range(count):
            share(large(producer, seed), consumer)
        gc.collect()
        if count == 20:
            before = resident()
    assert resident() - before < 60e6  # of 300 MB that have passed


@pytest.mark.skipif(not {"torch", "jax"} <= INSTALLED, reason="counts exchanges among numpy, torch and jax")
def test_a_hundred_thousand_exchanges_leave_memory_flat():
    arrays = {name: make(name, "float32", "contiguous").array for name in ("numpy", "torch", "jax")}
    counts = {"numpy>torch": 30_000, "torch>numpy": 30_000, "numpy>numpy": 10_000, "torch>torch": 10_000}
    counts |= dict.fromkeys(("numpy>jax", "torch>jax", "jax>numpy", "jax>torch"), 5_000)
    assert sum(counts.values()) == 100_000

    def exchange(share_of_all: float) -> None:
        for pair, count in counts.items():
            producer, consumer = pair.split(">")
            for _ in range(int(count * share_of_all)):
                to(arrays[producer], consumer)
        gc.collect()

    exchange(0.1)
    before = resident()
    exchange(1.0)
    assert resident() - before < 3e6  # 30 bytes for each would show


@pairs
def test_eight_threads(pair):
    """Aliases are made in one thread and dropped in another."""
    producer, consumer = pair.split(">")
    barrier = threading.Barrier(8)
    kept: list = [None] * 64

    def work(thread: int) -> int:
        barrier.wait()
        right = 0
        for step in range(150):
            made = make(producer, "float32", ("contiguous", "transposed")[step % 2])
            array = share(made.array, consumer).array
            right += content(consumer, array) == made.content
            kept[(step * 7 + thread) % 64] = array
        return right

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [150] * 8


def test_an_alias_is_the_same_memory():
    """Documented, not prevented: neither framework notices what is written through the other."""
    torch = pytest.importorskip("torch")
    source = np.zeros(16, np.float32)
    tensor = to(source, "torch")
    version = tensor._version
    source[0] = 1.0
    assert (tensor[0].item(), tensor._version) == (1.0, version)
    tensor[1] = 2.0
    assert source[:2].tolist() == [1.0, 2.0]
    own = to(source, "torch", copy=True)
    own.zero_()
    assert source[:2].tolist() == [1.0, 2.0]
    assert to(torch.zeros(3), "numpy").flags.writeable


def test_what_may_not_be_written_is_not():
    jax = pytest.importorskip("jax")
    pytest.importorskip("torch")
    constant = jax.numpy.arange(3.0)
    seen = to(constant, "numpy")
    with pytest.raises(ValueError, match="read-only"):
        seen[0] = 9.0
    to(constant, "torch")[0] = 9.0
    assert constant.tolist() == [0.0, 1.0, 2.0]
    # copy=False is the caller's word: the alias can be written.
    alias = to(constant, "torch", copy=False)
    assert alias.data_ptr() == constant.unsafe_buffer_pointer()


def test_a_donated_alias_is_not_written():
    """JAX may reuse the memory of an argument that it is given for good, but not memory that is not its own."""
    jax = pytest.importorskip("jax")
    made = make("numpy", "float32", "read_only")
    alias = to(made.array, "jax", copy=False)
    jax.jit(lambda x: x * 2 + 1, donate_argnums=0)(alias).block_until_ready()
    assert alias.is_deleted()
    assert made.array.tobytes() == made.content


def test_what_jax_has_not_computed_yet_is_waited_for():
    jax = pytest.importorskip("jax")
    power = jax.jit(lambda x: jax.numpy.linalg.matrix_power(x, 40))
    x = jax.numpy.eye(700) * 1.01
    expected = np.float32(1.01) ** np.float32(40)
    for consumer in INSTALLED & {"numpy", "torch"}:
        moved = transfer(power(x), consumer, copy=False)
        np.testing.assert_allclose(float(moved.array[5, 5]), expected, rtol=1e-4)
