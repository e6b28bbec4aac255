"""JAX with 64-bit numbers within each test of targets."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def x64():
    """The scope in which JAX holds 64-bit numbers, where it is installed."""
    scope = nullcontext()
    if find_spec("jax"):
        import jax

        scope = jax.enable_x64(True)
    with scope:
        yield
