"""The example smirnoff_fit in small: both frameworks find the known answer, along the same curve."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("optax", reason="the extra `examples` is not installed")
pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")

import smirnoff_fit


@pytest.fixture(scope="module")
def result():
    return smirnoff_fit.fit(smiles=("CCO", "CC(N)=O"), n_conformers=8, steps=400)


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_the_loss_falls_and_the_answer_is_found(result, framework):
    losses = result.losses[framework]
    assert losses[0] > 1e6 * losses[-1]
    assert result.deviations(framework)[result.identifiable].max() < 0.01
    # At the start they are off by more, so that there is something to find.
    assert np.abs(result.start / result.answer - 1)[result.identifiable].max() > 0.05


def test_most_parameters_are_determined_by_the_data(result):
    tables = {parameter.table for parameter in result.parameters}
    assert tables == {"bonds", "angles", "proper_torsions", "improper_torsions"}
    assert result.identifiable.sum() > 0.7 * len(result.parameters)
    columns = {p.column for p, found in zip(result.parameters, result.identifiable, strict=True) if found}
    assert columns == {"k", "length", "angle"}


def test_both_frameworks_follow_the_same_curve(result):
    assert result.curve_difference.max() < 1e-4


def test_what_is_printed(result, capsys):
    smirnoff_fit.show(result)
    text = capsys.readouterr().out
    assert "bonds/b84/length" in text
    assert "relative difference of the two loss curves" in text
