"""A million exchanges, and ten thousand calls of each engine: neither memory nor the number of objects grows."""

from __future__ import annotations

import json

import pytest

from ffbridge.registry import engines

from .test_processes import ran

KNOWN = ("numpy", "torch", "jax", "native", "openmm")
ENGINES = [info.name for info in engines() if info.available and info.name in KNOWN]
HOSTED = [f"{name}-torch" for name in ("numpy", "native", "jax") if {name, "torch"} <= set(ENGINES)]


def assert_flat(case: str, count: int) -> None:
    found = json.loads(ran("lifetimes", case, str(count)))
    grown = {what: found[f"{what}_after"] - found[f"{what}_before"] for what in ("resident", "objects", "blocks")}
    assert grown["objects"] < 100, grown
    assert grown["blocks"] < 2000 + count / 100, grown
    assert grown["resident"] < 6e6, grown


def test_calls_leave_memory_flat():
    assert_flat("numpy", 2000)


@pytest.mark.slow
def test_a_million_exchanges_leave_memory_flat():
    assert_flat("exchanges", 1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*ENGINES, *HOSTED])
def test_ten_thousand_calls_leave_memory_flat(case):
    assert_flat(case, 10_000)
