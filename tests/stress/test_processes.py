"""Forked worker processes exchange and evaluate: of multiprocessing and of torch's DataLoader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("jax")


def forked(case: str) -> str:
    """Forks are made in a process that runs no threads but those of the case."""
    command = [sys.executable, "-m", "tests.stress.forked", case]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.parametrize("case", ["pool", "loader", "before_jax"])
def test_forked_workers_have_the_same_results(case):
    assert forked(case) == "same"


def test_jax_that_was_started_before_a_fork_is_refused_in_the_worker():
    """JAX itself waits forever there, without a word."""
    *refused, others = forked("after_jax").splitlines()
    ways = ["to", "from", "call", "call with its own array", "lambda module", "potential"]
    assert [line.partition(":")[0] for line in refused] == ways
    for line in refused:
        assert "JAX was started before this process was forked" in line
        assert 'multiprocessing_context="spawn"' in line
    assert others == "numpy: same"
