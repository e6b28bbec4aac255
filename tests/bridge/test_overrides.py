"""Overrides in bundles: files, batches, single systems, fits; their energies are in the standard's vectors."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.energy.overrides import overriding_rows
from ffbridge.exporters.timemachine import timemachine_parameters
from ffbridge.separate import separate
from ffbridge.testing.samples import sample
from tests.bridge.bundles import table, term

LJ = {"method": "no_cutoff", "mixing_rule": "lorentz_berthelot"}


def make(pairs=((0, 1),), values=((0.33, 0.9),), *, keys=None, own_keys=None, types=(0, 1, 2, 2), seed=1):
    """Four atoms of three types; `pairs` of types are not mixed."""
    rng = np.random.default_rng(seed)
    vdw = table("lennard_jones", np.array([[0.25, 0.2], [0.4, 0.6], [0.3, 0.5]]))
    overrides = table("lennard_jones", np.array(values).reshape(-1, 2))
    whole = term(
        "lennard_jones",
        np.arange(len(types))[:, None],
        table_name="vdw",
        mapping=fb.Select(np.array(types, dtype=np.int32)),
        **LJ,
    )
    listed = fb.Overrides("nbfix", np.array(pairs, dtype=np.int32).reshape(-1, 2)) if pairs else None
    bundle = fb.Bundle(
        system_offsets=np.array([0, len(types)], dtype=np.int32),
        atomic_numbers=np.full(len(types), 6, dtype=np.int32),
        terms={"vdw": replace(whole, overrides=listed)},
        tables={"vdw": replace(vdw, keys=_keys(keys))}
        | ({"nbfix": replace(overrides, keys=_keys(own_keys))} if pairs else {}),
    )
    # Atoms near the corners of a tetrahedron, so that no pair outweighs the others.
    corners = 0.35 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])[: len(types)] / np.sqrt(2)
    return bundle, corners + rng.uniform(-0.02, 0.02, size=corners.shape)


def _keys(patterns):
    return None if patterns is None else tuple(fb.ParameterKey("vdW", pattern) for pattern in patterns)


def energy(bundle, x):
    return fb.potential(bundle, "numpy")(x)


def by_hand(x):
    """The sum over pairs of `make`."""
    own = {(0, 1): (0.33, 0.9)}
    sigma, epsilon = np.array([0.25, 0.4, 0.3, 0.3]), np.array([0.2, 0.6, 0.5, 0.5])
    total = 0.0
    for i in range(4):
        for j in range(i + 1, 4):
            s, e = own.get((i, j), ((sigma[i] + sigma[j]) / 2, np.sqrt(epsilon[i] * epsilon[j])))
            r = np.linalg.norm(x[i] - x[j])
            total += 4 * e * ((s / r) ** 12 - (s / r) ** 6)
    return total


def test_the_listed_parameters_are_in_place_of_the_mixed_ones():
    bundle, x = make()
    assert energy(bundle, x)[0] == pytest.approx(by_hand(x), rel=1e-13)
    mixed = replace(bundle, terms={"vdw": replace(bundle.terms["vdw"], overrides=None)})
    mixed = replace(mixed, tables={"vdw": bundle.tables["vdw"]})
    assert energy(mixed, x)[0] != pytest.approx(by_hand(x), rel=1e-3)


def test_each_pair_of_types_has_its_own_row():
    """Listed are pairs with equal sums, in another order than sorted; and the types of a pair come in either order."""
    listed = [[1, 2], [0, 3], [1, 1], [0, 2]]
    types = np.array([0, 1, 2, 3, 1, 4], dtype=np.int32)  # the last stands in no listed pair
    atoms = np.arange(6, dtype=np.int32)
    settings, own = {"method": "no_cutoff"}, fb.Overrides("nbfix", np.array(listed, dtype=np.int32))
    whole = fb.Term("lennard_jones", atoms[:, None], "vdw", fb.Select(types), settings, own)
    pairs = np.array(list(permutations(range(6), 2)), dtype=np.int32)
    expected = [listed.index(both) if (both := sorted(types[pair].tolist())) in listed else -1 for pair in pairs]
    assert overriding_rows(whole, pairs).tolist() == expected
    assert set(expected) == {-1, 0, 1, 2, 3}


def test_a_term_without_listed_pairs_mixes_all():
    bundle, x = make(pairs=((0, 1),))
    nothing = fb.Overrides("nbfix", np.zeros((0, 2), dtype=np.int32))
    none = replace(
        bundle,
        terms={"vdw": replace(bundle.terms["vdw"], overrides=nothing)},
        tables={**bundle.tables, "nbfix": table("lennard_jones", np.zeros((0, 2)))},
    )
    found = fb.potential(none, "numpy").value_and_grad(x)
    expected = fb.potential(make(pairs=())[0], "numpy").value_and_grad(x)
    np.testing.assert_array_equal(found.forces, expected.forces)
    assert found.tables["nbfix"].shape == (0, 2)


def test_a_table_of_both_gets_both_derivatives():
    """A type that is not mixed with another, but has its own parameters with it: the table is its own overrides."""
    bundle, x = make(types=(0, 1, 2))
    shared = replace(
        bundle.terms["vdw"], overrides=fb.Overrides("vdw", np.array([[0, 1], [0, 2], [1, 1]], dtype=np.int32))
    )
    both = replace(bundle, terms={"vdw": shared}, tables={"vdw": bundle.tables["vdw"]})
    found, step = fb.potential(both, "numpy").value_and_grad(x).tables["vdw"], 1e-6
    for row, column in np.ndindex(3, 2):
        change = np.zeros((3, 2))
        change[row, column] = step
        above, below = (
            energy(both.replace_table("vdw", both.tables["vdw"].values + sign * change), x)[0] for sign in (1, -1)
        )
        assert found[row, column] == pytest.approx((above - below) / (2 * step), rel=1e-6)


def test_files_keep_them(tmp_path):
    bundle, x = make()
    fb.save(bundle, tmp_path / "salt.ffb")
    again = fb.load(tmp_path / "salt.ffb")
    assert again.content_hash == bundle.content_hash
    assert again.terms["vdw"].overrides.table == "nbfix"
    assert energy(again, x) == energy(bundle, x)


def test_a_fit_may_change_them():
    bundle, _ = make()
    fit = fb.trainable(bundle, {"nbfix": ["sigma"]})
    assert fit.initial.tolist() == [0.33]


class TestBatches:
    def check(self, *made, **options):
        batch = fb.concatenate([bundle for bundle, _ in made], **options)
        fb.validate(batch)
        expected = np.concatenate([energy(bundle, x) for bundle, x in made])
        np.testing.assert_allclose(energy(batch, np.concatenate([x for _, x in made])), expected, rtol=1e-13)
        for each, (bundle, x) in zip(separate(batch), made, strict=True):
            np.testing.assert_allclose(energy(each, x), energy(bundle, x), rtol=1e-13)
        return batch

    def test_without_keys_rows_stay_apart(self):
        batch = self.check(make(), make([[0, 2], [1, 1]], [[0.3, 0.1], [0.2, 0.4]], seed=2), make(pairs=(), seed=3))
        assert batch.terms["vdw"].overrides.pairs.tolist() == [[0, 1], [3, 5], [4, 4]]

    def test_with_keys_rows_are_shared(self):
        keys, own = ("Na", "Cl", "O"), ("Na-Cl",)
        batch = self.check(make(keys=keys, own_keys=own), make(keys=keys, own_keys=own, types=(1, 0, 2), seed=2))
        assert batch.terms["vdw"].overrides.pairs.tolist() == [[0, 1]]
        assert len(batch.tables["nbfix"]) == 1

    def test_with_keys_in_another_order(self):
        """Rows of the second bundle are merged with those of the first, so that pairs change their order."""
        first = make(keys=("Na", "Cl", "O"), own_keys=("Na-Cl",))
        second, x = make([[0, 1]], [[0.33, 0.9]], keys=("Cl", "Na", "O"), own_keys=("Na-Cl",), seed=2)
        values = second.tables["vdw"].values[[1, 0, 2]]
        batch = self.check(first, (second.replace_table("vdw", values), x))
        assert batch.terms["vdw"].overrides.pairs.tolist() == [[0, 1]]

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            (
                {"pairs": (), "keys": ("Na", "Cl", "O")},
                "bundle 1 has 0 overrides of its parameters, and 1 of the batch",
            ),
            ({"keys": ("Na", "Cl", "O")}, r"only some have keys|has no keys and others have"),
            (
                {"pairs": [[0, 2]], "keys": ("Na", "Cl", "O"), "own_keys": ("Na-Cl",)},
                "a row of table nbfix is for different pairs",
            ),
            ({"keys": ("Na", "Cl", "O"), "own_keys": ("other",)}, "have a row each for the same pair"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, second, message):
        first = make(keys=("Na", "Cl", "O"), own_keys=("Na-Cl",))
        other = make(**second, seed=2)
        with pytest.raises(fb.errors.BundleError, match=message):
            fb.concatenate([first[0], other[0]])
        self.check(first, other, share_parameters=False)

    def test_tables_of_two_names_are_refused(self):
        (first, _), (second, _) = make(), make()
        renamed = replace(
            second,
            terms={"vdw": replace(second.terms["vdw"], overrides=replace(second.terms["vdw"].overrides, table="own"))},
            tables={"vdw": second.tables["vdw"], "own": second.tables["nbfix"]},
        )
        with pytest.raises(fb.errors.BundleError, match="the bundles have the tables nbfix, own; rename them"):
            fb.concatenate([first, renamed])


@pytest.mark.parametrize("name", ["overrides", "overrides_buckingham"])
def test_openmm_evaluates_them_and_changes_them(name):
    """Exceptions among them, which a custom force has apart; the tables are changed in a Context that stays."""
    pytest.importorskip("openmm", reason="OpenMM is not installed")
    found = sample(name)
    ours, expected = (fb.potential(found.bundle, engine) for engine in ("openmm", "numpy"))
    for seed in (None, 1, 2, None):
        tables = found.tables(seed)
        energy, forces = ours.energy_and_forces(found.x, tables)
        expected_energy, expected_forces = expected.energy_and_forces(found.x, tables)
        np.testing.assert_allclose(energy, expected_energy, rtol=1e-12)
        np.testing.assert_allclose(forces, expected_forces, rtol=1e-9, atol=1e-9)


def test_timemachine_has_none():
    bundle, _ = make()
    settings = {"method": "cutoff", "cutoff": 1.2, "periodic": False, "mixing_rule": "lorentz_berthelot"}
    cut = replace(bundle, terms={"vdw": replace(bundle.terms["vdw"], settings=settings)})
    with pytest.raises(fb.errors.UnsupportedError, match="terms/vdw/overrides: timemachine mixes"):
        timemachine_parameters(cut)


def test_an_interchange_has_none():
    pytest.importorskip("openff.interchange", reason="OpenFF Interchange is not installed")
    from openff.toolkit import Molecule

    bundle, _ = make()
    with pytest.raises(fb.errors.UnsupportedError, match="terms/vdw/overrides: an Interchange mixes"):
        fb.to_interchange(bundle, Molecule.from_smiles("C").to_topology())
