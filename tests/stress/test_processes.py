"""Worker processes, forked and new ones, exchange and evaluate: of multiprocessing and of torch's DataLoader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("jax")


def ran(program: str, *arguments: str) -> str:
    """What a program printed. It runs no threads but its own: forks copy none."""
    command = [sys.executable, "-m", f"tests.stress.{program}", *arguments]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("case", ["pool", "loader", "before_jax"])
def test_forked_workers_have_the_same_results(case):
    assert ran("forked", case) == "same"


def test_jax_that_was_started_before_a_fork_is_refused_in_the_worker():
    """JAX itself waits forever there, without a word."""
    *refused, others = ran("forked", "after_jax").splitlines()
    ways = ["to", "from", "call", "call with its own array", "lambda module", "potential"]
    assert [line.partition(":")[0] for line in refused] == ways
    for line in refused:
        assert "JAX was started before this process was forked" in line
        assert 'multiprocessing_context="spawn"' in line
    assert others == "numpy: same"


def test_new_workers_get_bundles_and_potentials():
    assert ran("spawned", "pool", "spawn", "numpy") == "same"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("case", ["pool", "loader"])
def test_new_workers_have_the_same_results(case, method):
    """Of every engine; JAX, whose x64 is off there, under torch as the host."""
    engines = {"pool": ("numpy", "torch", "native"), "loader": ("torch", "native", "jax")}
    assert ran("spawned", case, method, *engines[case]) == "same"
