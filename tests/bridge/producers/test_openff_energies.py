"""Bundles from OpenFF give the energies and forces of OpenMM's Reference platform, and engines agree.

Molecules: MiniDrugBank, which comes with openff-toolkit, at its own positions with seeded noise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.demo.reference import GROUPS, OpenMMReference
from tests.bridge.producers.drugs import MINIDRUGBANK

ABSOLUTE, RELATIVE, FORCES, ENGINES = 1e-6, 1e-9, 1e-6, 1e-12

pytest.importorskip("openmm", reason="OpenMM is not installed")


@pytest.fixture(scope="module")
def bundles(openff, drugs):
    return {name: openff.from_interchange(interchange) for name, interchange in drugs.items()}


@pytest.fixture(scope="module")
def positions(minidrugbank):
    rng = np.random.default_rng(7)
    given = {name: minidrugbank[name].conformers[0].m_as("nm") for name in MINIDRUGBANK}
    return {name: x + rng.normal(scale=0.005, size=x.shape) for name, x in given.items()}


def only(bundle, names):
    """The bundle with these of its terms alone."""
    terms = {name: bundle.terms[name] for name in names if name in bundle.terms}
    return replace(bundle, terms=terms, tables={term.table: bundle.tables[term.table] for term in terms.values()})


def relative(found, expected):
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300)


def assert_agrees_with_openmm(bundle, interchange, x):
    reference = OpenMMReference.from_interchange(interchange).evaluate(x)
    assert {term for name in reference for term in GROUPS[name]} >= set(bundle.terms)
    for name, (energy, forces) in reference.items():
        part = only(bundle, GROUPS[name])
        if not part.terms:
            assert energy == 0
            continue
        found = fb.potential(part, "numpy").value_and_grad(x)
        assert found.energy.shape == (1,)
        assert abs(found.energy[0] - energy) <= ABSOLUTE + RELATIVE * abs(energy), name
        assert relative(found.forces, forces) <= FORCES, name


@pytest.mark.parametrize("name", MINIDRUGBANK)
def test_energy_and_forces_of_each_force_equal_openmm(drugs, bundles, positions, name):
    assert_agrees_with_openmm(bundles[name], drugs[name], positions[name])


def test_molecules_of_one_system_interact(openff, ethanol_water, rng):
    bundle = openff.from_interchange(ethanol_water)
    # On a grid of 0.2 nm the three molecules are close, and no two atoms coincide.
    x = np.argwhere(np.ones((3, 3, 3)))[: bundle.n_atoms] * 0.2 + rng.normal(scale=0.01, size=(bundle.n_atoms, 3))
    assert_agrees_with_openmm(bundle, ethanol_water, x)


def test_constrained_bonds_keep_their_energy(openff, rng):
    from openff.toolkit import ForceField

    molecules = openff.read_molecules("CO") + openff.read_molecules("O")
    interchange = openff.parametrize(molecules, force_field=ForceField("openff-2.3.0.offxml"))
    bundle = openff.from_interchange(interchange)
    assert len(bundle.constraints.pairs)
    x = np.argwhere(np.ones((3, 3, 1))) * 0.15 + rng.normal(scale=0.01, size=(9, 3))
    assert_agrees_with_openmm(bundle, interchange, x)


@pytest.fixture(scope="module")
def batch(bundles, positions):
    """All molecules as one ragged batch, its positions, and what NumPy gives for it."""
    joined = fb.concatenate(bundles.values())
    x = np.concatenate(list(positions.values()))
    potential = fb.potential(joined, "numpy")
    return joined, x, potential.by_term(x), potential.value_and_grad(x)


def test_a_batch_has_the_energies_of_its_molecules(bundles, positions, batch):
    _, _, _, whole = batch
    assert whole.energy.shape == (len(MINIDRUGBANK),) >= (25,)
    for found, name in zip(whole.energy, MINIDRUGBANK, strict=True):
        expected = fb.potential(bundles[name], "numpy")(positions[name])[0]
        assert found == pytest.approx(expected, rel=ENGINES)


def as_numpy(array):
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_engines_agree_on_energies_forces_and_derivatives(batch, engine):
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    joined, x, terms, whole = batch
    with x64(engine):
        potential = fb.potential(joined, engine)
        found, by_term = potential.value_and_grad(x), potential.by_term(x)
    assert set(by_term) == set(terms)
    for name, expected in terms.items():
        np.testing.assert_allclose(as_numpy(by_term[name]), expected, rtol=ENGINES, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(as_numpy(found.energy), whole.energy, rtol=ENGINES)
    assert relative(as_numpy(found.forces), whole.forces) <= ENGINES
    assert set(found.tables) == set(whole.tables)
    for name, expected in whole.tables.items():
        assert relative(as_numpy(found.tables[name]), expected) <= ENGINES, name


def x64(engine):
    from contextlib import nullcontext

    if engine != "jax":
        return nullcontext()
    import jax

    return jax.enable_x64(True)
