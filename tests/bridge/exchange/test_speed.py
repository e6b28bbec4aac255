"""An alias costs the same for any size, and little more than the framework's own call."""

from __future__ import annotations

import gc
from time import perf_counter

import numpy as np
import pytest

from ffbridge.exchange import share, to
from ffbridge.registry import backends

from .arrays import bits

INSTALLED = {info.name for info in backends() if info.available}
ALIASES = ("numpy>numpy", "torch>torch", "jax>jax", "numpy>torch", "torch>numpy", "numpy>jax", "torch>jax", "jax>numpy")
ATTEMPTS = 5  # other processes share the processors: one quiet attempt is proof enough


def fastest(*calls, repeat: int, number: int) -> list[float]:
    """The best time of each call, in seconds; the calls take turns, so that a busy moment slows them alike."""
    best = [float("inf")] * len(calls)
    gc.disable()
    try:
        for _ in range(repeat):
            for index, call in enumerate(calls):
                start = perf_counter()
                for _ in range(number):
                    call()
                best[index] = min(best[index], (perf_counter() - start) / number)
    finally:
        gc.enable()
    return best


def sized(producer: str, n: int):
    array = bits(np.dtype("f4"), (n,))
    if producer == "numpy":
        return array
    if producer == "torch":
        import torch

        return torch.from_numpy(array).clone()
    import jax

    return jax.device_put(array, may_alias=False)


@pytest.mark.parametrize(
    "pair", [pair for pair in (*ALIASES, "jax>torch (share)") if set(pair.split(" ")[0].split(">")) <= INSTALLED]
)
def test_an_alias_costs_the_same_for_any_size(pair):
    producer, consumer = pair.split(" ")[0].split(">")
    small, big = sized(producer, 10), sized(producer, 10**7)
    call = share if "share" in pair else to
    assert share(big, consumer).zero_copy
    ratios = []
    for _ in range(ATTEMPTS):
        few, many = fastest(lambda: call(small, consumer), lambda: call(big, consumer), repeat=30, number=50)
        ratios.append(many / few)
        if ratios[-1] <= 1.5:
            return
    pytest.fail(f"10**7 elements take {min(ratios):.2f} times as long as 10")


def raw_calls():
    import torch

    array, tensor = sized("numpy", 10), sized("torch", 10)
    return {
        "numpy>torch": (lambda: to(array, "torch"), lambda: torch.from_dlpack(array)),
        "numpy>torch (from_numpy)": (lambda: to(array, "torch"), lambda: torch.from_numpy(array)),
        "torch>numpy": (lambda: to(tensor, "numpy"), lambda: np.from_dlpack(tensor)),
        "numpy>numpy": (lambda: to(array, "numpy"), lambda: array),
        "torch>torch": (lambda: to(tensor, "torch"), lambda: tensor),
    }


@pytest.mark.skipif("torch" not in INSTALLED, reason="compares with torch's own calls")
@pytest.mark.parametrize(
    "pair", ["numpy>torch", "numpy>torch (from_numpy)", "torch>numpy", "numpy>numpy", "torch>torch"]
)
def test_it_costs_less_than_five_microseconds_more_than_the_framework(pair):
    ours, theirs = raw_calls()[pair]
    found = []
    for _ in range(ATTEMPTS):
        mine, raw = fastest(ours, theirs, repeat=30, number=200)
        found.append((mine - raw) * 1e6)
        if found[-1] < 5:
            return
    pytest.fail(f"{min(found):.1f} µs more than the framework's own call")
