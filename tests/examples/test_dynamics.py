"""The example dynamics in small: derivatives through steps of jax-md are finite differences; energy is kept."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax_md", reason="the extra `examples` is not installed")
pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")


@pytest.mark.slow
def test_derivatives_and_energies(capsys):
    import dynamics

    results = dynamics.run(n_steps=100, n_shown=3)
    assert [result.kind for result in results] == ["constant energy", "Langevin"]
    for result in results:
        automatic, finite = np.array([effect[1:] for effect in result.effects]).T
        np.testing.assert_allclose(automatic, finite, rtol=1e-4)
        assert abs(automatic).min() > 0
    assert results[0].fluctuation < 0.1
    dynamics.show(results)
    assert "constant energy: average" in capsys.readouterr().out
