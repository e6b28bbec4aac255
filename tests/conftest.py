"""What all tests share: the installed backends, and the skip of `gpu` tests where there is no device."""

from __future__ import annotations

import ctypes
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

from ffbridge.errors import MissingDependencyError

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every machine, and no limit on the time of one: the first call compiles.
hypothesis.settings.register_profile("ffbridge", derandomize=True, deadline=None)
hypothesis.settings.load_profile("ffbridge")


def cuda_fault() -> str | None:
    """Why no CUDA device can be used, or None where one can; asks the driver, so that no framework is imported."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver (libcuda.so.1) on this machine"
    if status := driver.cuInit(0):
        return f"the CUDA driver does not start (cuInit returned {status})"
    count = ctypes.c_int(0)
    if status := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the CUDA driver cannot count its devices (cuDeviceGetCount returned {status})"
    return None if count.value else "the CUDA driver sees no device"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (fault := cuda_fault()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=fault))


OPTIONAL = {"torch": "torch", "jax": "jax", "native": "numba", "openmm": "openmm"}
"""Backends and engines that the tests' own environment has and another may lack, and the package of each."""
MISSING = {name for name, package in OPTIONAL.items() if find_spec(package) is None}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Skip a test that asks for a framework which is not installed, as the core's own error says."""
    try:
        return (yield)
    except MissingDependencyError as error:
        if str(error).partition(" ")[0] in MISSING:
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT
