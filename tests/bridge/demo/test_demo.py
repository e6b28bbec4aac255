"""The demo: its comparisons pass, and each can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
pytest.importorskip("openmm", reason="OpenMM is not installed")
pytest.importorskip("dgl", reason="DGL is not installed")

from ffbridge.concatenate import concatenate
from ffbridge.demo import checks, graphs, molecules
from ffbridge.demo.report import Check


@pytest.fixture(scope="module")
def drugs():
    wanted = ("caffeine", "sulfanilamide", "benzylpenicillin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecules, "DRUGS", {name: molecules.DRUGS[name] for name in wanted})
        return molecules.load_drugs()


@pytest.fixture(scope="module")
def batch(drugs):
    return concatenate([drug.bundle for drug in drugs])


@pytest.fixture(scope="module")
def x(drugs):
    return np.concatenate([drug.positions for drug in drugs])


@pytest.fixture
def made(drugs):
    return [graphs.parametrized_graph(drug.molecule, drug.bundle) for drug in drugs]


def failed(found):
    return {check.what for check in found if not check.passed}


def test_numpy_and_torch_pass_against_openmm(drugs, batch, x):
    results = {engine: checks.evaluate(batch, x, engine) for engine in ("numpy", "torch")}
    against_openmm, energies = checks.compare_with_openmm(drugs, batch, results)
    assert len(against_openmm) == 2 * (5 + 1 + 6)
    assert failed(against_openmm) == set()
    np.testing.assert_allclose(energies, results["numpy"].total.energy)
    assert failed(checks.compare_engines(results)) == set()


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        ("bonds", 0, {"energy: bonds", "forces", "dU/d table: bonds"}),
        ("proper_torsions", 1, {"energy: torsions", "forces", "dU/d table: proper_torsions"}),
        ("vdw", 0, {"energy: vdw", "forces", "dU/d table: vdw"}),
        ("electrostatics", 0, {"energy: electrostatics", "forces", "dU/d table: electrostatics"}),
    ],
)
def test_a_changed_parameter_fails_its_comparisons(drugs, batch, x, table, column, expected):
    values = batch.tables[table].values.copy()
    values[:, column] += 1e-3 * (1 + np.abs(values[:, column]))
    results = {"numpy": checks.evaluate(batch.replace_table(table, values), x, "numpy")}
    found, _ = checks.compare_with_openmm(drugs, batch, results)
    assert failed(found) == expected


def test_both_roads_give_the_same_energies(drugs, batch, x, made):
    found = checks.compare_roads(drugs, made, checks.evaluate(batch, x, "numpy"))
    assert {check.what.removeprefix("energy: ") for check in found} == {*batch.terms, "forces without vdW"} - {"vdw"}
    assert failed(found) == set()


def test_the_offset_is_what_negative_force_constants_lack(drugs, made):
    penicillin, graph = drugs[-1], made[-1]
    k, phase, periodicity = penicillin.bundle.parameters("proper_torsions").T
    assert (k < 0).any()
    # Of each quartet and periodicity: magnitudes, added up with the sign of the phase, less the force field's own k.
    quartets = penicillin.bundle.terms["proper_torsions"].indices.tolist()
    merged = {}
    for atoms, height, shift, n in zip(quartets, k, phase, periodicity, strict=True):
        merged[*atoms, n] = merged.get((*atoms, n), 0.0) + height * np.cos(shift)
    assert graph.offset["proper_torsions"] == pytest.approx(np.abs(list(merged.values())).sum() - k.sum())
    assert graph.offset["proper_torsions"] > 1


def test_a_changed_node_fails_the_comparison_of_the_roads(drugs, batch, x, made):
    made[0].graph.nodes["n3"].data["k"] *= 1.001
    assert failed(checks.compare_roads(drugs, made, checks.evaluate(batch, x, "numpy"))) == {
        "energy: angles",
        "forces without vdW",
    }


def test_gradients_reach_the_graph(drugs, made):
    check = checks.reach_graph(drugs[0], made[0])
    assert check.passed
    assert not made[0].graph.nodes["n2"].data["k"].requires_grad
    index = drugs[0].bundle.terms["bonds"].mapping.index
    other = replace(drugs[0].bundle.terms["bonds"], mapping=type(drugs[0].bundle.terms["bonds"].mapping)(index[::-1]))
    wrong = replace(drugs[0], bundle=replace(drugs[0].bundle, terms={**drugs[0].bundle.terms, "bonds": other}))
    assert not checks.reach_graph(wrong, made[0]).passed


def test_a_difference_that_is_no_number_does_not_pass():
    assert not Check("energy", "a", "b", float("nan"), 1.0, "1").passed
    assert not checks._energy_check("energy", "a", "b", np.array([0.0, np.nan]), np.zeros(2)).passed


@pytest.mark.slow
def test_the_command_passes():
    code = "import sys; from ffbridge.cli import main; sys.argv[:] = ['ffbridge', 'demo', '--json']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["passed"]
    assert all(check["passed"] for check in report["checks"])
    assert {check["found"] for check in report["checks"]} >= {"numpy", "torch", "jax", "DGL graph"}
    assert len(report["molecules"]) == len(molecules.DRUGS)
    assert any(transfer["zero_copy"] for transfer in report["transfers"])
