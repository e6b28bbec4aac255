"""Separation: the systems of a bundle, each by itself, with the energies that they have together."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import ffbridge as fb
from ffbridge.separate import separate
from tests.bridge.bundles import random_bundle, zigzag
from tests.bridge.samples import bundle as vector


@pytest.fixture
def bundle():
    return random_bundle(np.random.default_rng(11))


@pytest.fixture
def x():
    return zigzag(np.random.default_rng(12))


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_each_part_has_the_energy_of_its_system(bundle, x, backend):
    with jax.enable_x64(True):
        parts = separate(bundle.to(backend))
        assert [part.n_atoms for part in parts] == [6, 5]
        expected = fb.potential(bundle, "numpy")(x)
        for part, own, energy in zip(parts, (x[:6], x[6:]), expected, strict=True):
            assert np.asarray(fb.potential(part)(own))[0] == pytest.approx(energy, rel=1e-13)


def test_every_part_of_a_bundle_is_there():
    """Of the vector that has everything: two systems of five and three atoms."""
    whole = vector()
    first, second = separate(whole)
    for part, atoms, number in ((first, slice(0, 5), 0), (second, slice(5, 8), 1)):
        fb.validate(part)
        np.testing.assert_array_equal(part.atomic_numbers, whole.atomic_numbers[atoms])
        np.testing.assert_array_equal(part.masses, whole.masses[atoms])
        np.testing.assert_array_equal(part.box, whole.box[[number]])
        assert part.system_names == (whole.system_names[number],)
        assert part.terms.keys() == whole.terms.keys()
        assert part.models.keys() == whole.models.keys()
    np.testing.assert_array_equal(np.concatenate([first.bonds, second.bonds + 5]), whole.bonds)
    for group in ("exceptions", "constraints"):
        of = [getattr(part, group).pairs for part in (first, second, whole)]
        np.testing.assert_array_equal(np.concatenate([of[0], of[1] + 5]), of[2])
    assert [len(part.virtual_sites["lone_pairs"]) for part in (first, second)] == [1, 0]


def test_concatenation_undoes_it(bundle, x):
    again = fb.concatenate(separate(bundle))
    np.testing.assert_allclose(fb.potential(again)(x), fb.potential(bundle)(x), rtol=1e-14)


def test_rows_of_systems_that_are_not_in_order(bundle, x):
    """Interactions may be listed in any order; each system takes its own."""
    terms = {}
    for name, term in bundle.terms.items():
        order = np.random.default_rng(4).permutation(len(term)).astype(np.int32)
        terms[name] = replace(term, indices=term.indices[order], mapping=term.mapping.take(order))
    shuffled = replace(bundle, terms=terms)
    np.testing.assert_allclose(fb.potential(shuffled)(x), fb.potential(bundle)(x), rtol=1e-13)
    for part, own, energy in zip(separate(shuffled), (x[:6], x[6:]), fb.potential(bundle)(x), strict=True):
        assert fb.potential(part)(own)[0] == pytest.approx(energy, rel=1e-13)


def test_tables_are_the_very_same_and_take_gradients(bundle, x):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    charges = torch.tensor(bundle.tables["coulomb"].values, requires_grad=True)
    whole = bundle.to("torch").replace_table("coulomb", charges)
    parts = separate(whole)
    assert all(part.tables["coulomb"].values is charges for part in parts)
    sum(fb.potential(part)(own).sum() for part, own in zip(parts, (x[:6], x[6:]), strict=True)).backward()
    np.testing.assert_allclose(charges.grad, fb.potential(bundle).value_and_grad(x).tables["coulomb"], rtol=1e-12)


def test_one_system_is_itself(bundle):
    (alone,) = separate(separate(bundle)[0])
    assert alone.document() == separate(bundle)[0].document()
    for path, array in separate(bundle)[0].arrays().items():
        np.testing.assert_array_equal(alone.arrays()[path], array)
