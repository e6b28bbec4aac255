"""The host jax: callbacks keep 64-bit numbers in threads that know nothing of a local scope with x64 on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ffbridge as fb
from tests.bridge.samples import bundle, without_cutoff

jax = pytest.importorskip("jax")
pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_code_runs_in_a_thread_without_the_scope(dtype):
    source = without_cutoff(bundle()).to("numpy", dtype=dtype)
    x = np.random.default_rng(1).normal(scale=0.2, size=(3, source.n_atoms, 3)).astype(dtype)
    expected = fb.potential(source).value_and_grad(x)
    with jax.enable_x64(dtype == "float64"):
        U = fb.potential(source, "torch", host="jax")
        moved = jax.numpy.asarray(x)
        compiled = jax.jit(jax.value_and_grad(lambda x: U(x).sum())).lower(moved).compile()
        with ThreadPoolExecutor(1) as pool:
            energy, gradient = pool.submit(compiled, moved).result()
        assert gradient.dtype == dtype
        tolerance = 1e-12 if dtype == "float64" else 1e-4
        assert float(energy) == pytest.approx(expected.energy.sum(), rel=tolerance)
        scale = np.abs(expected.forces).max()
        np.testing.assert_allclose(np.asarray(gradient), -expected.forces, rtol=tolerance, atol=tolerance * scale)
