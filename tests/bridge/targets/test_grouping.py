"""Uneven numbers of conformers: evaluated in groups, with the same loss and derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.targets import grouping
from ffbridge.targets.grouping import grouped, with_systems

from .molecules import METHANOL, PEROXIDE, PEROXIDES, batch, conformers, methanol, noisy, peroxide
from .test_energies import changed, drive, gradient


def uneven():
    """Many conformers of peroxide, and of methanol two in each of two targets."""
    return [
        conformers(PEROXIDE, noisy(peroxide(), 50)),
        conformers(METHANOL, noisy(methanol(), 2, seed=1)),
        conformers(METHANOL, noisy(methanol(), 2, seed=2), name="without forces", forces=False),
        drive(),
    ]


def all_systems():
    return batch(PEROXIDES, PEROXIDE, METHANOL)


def test_each_group_evaluates_what_it_needs():
    U = fb.potential(all_systems(), "numpy")
    targets = [(number, system, target) for number, (system, target) in enumerate(zip((1, 2, 2), uneven()))]  # noqa: B905
    groups = grouped(U, targets)
    assert [own.bundle.n_atoms for own, _ in groups] == [6, 4]
    assert [[(number, system) for number, system, _ in each] for _, each in groups] == [[(1, 0), (2, 0)], [(0, 0)]]
    even = [(0, 1, conformers(PEROXIDE, noisy(peroxide(), 4))), (1, 2, targets[1][2])]
    small = fb.potential(batch(PEROXIDE, METHANOL), "numpy")
    ((same, _),) = grouped(small, [(number, system - 1, target) for number, system, target in even])
    assert same is small
    assert grouped(U, []) == []


def test_systems_of_a_bundle_have_their_own_energies():
    whole = all_systems()
    x = np.concatenate([peroxide(2.0), peroxide(1.4) + 0.5, peroxide(), methanol()])
    each = fb.potential(whole, "numpy").by_term(x)
    for systems in ([0, 2], [1], [0, 1, 2]):
        offsets = np.asarray(whole.system_offsets)
        atoms = np.concatenate([np.arange(offsets[number], offsets[number + 1]) for number in systems])
        found = fb.potential(with_systems(whole, np.array(systems)), "numpy").by_term(x[atoms])
        for name, energies in found.items():
            np.testing.assert_allclose(energies, each[name][systems], rtol=1e-12, atol=1e-12, err_msg=name)


def test_many_systems_with_forces_are_parted_where_conformers_go_in_chunks(monkeypatch):
    """In PyTorch, which would keep all; the loss and its derivatives are those of one potential."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    both, tables = batch(*[PEROXIDE] * 5), changed(batch(*[PEROXIDE] * 5).tables)
    targets = [conformers(PEROXIDE, noisy(peroxide(), 4, seed=seed), name=str(seed)) for seed in range(5)]
    plain = [conformers(PEROXIDE, noisy(peroxide(), 4), name=str(seed), forces=False) for seed in range(5)]
    whole = fb.targets.objective(targets, fb.potential(both, "torch"), systems=range(5))
    assert len(whole.constants) == 1
    monkeypatch.setattr(grouping, "ATOMS_OF_A_GROUP", 8)
    parted = fb.targets.objective(targets, fb.potential(both, "torch"), systems=range(5))
    assert sorted(x.shape[-2] for x in parted.constants.values()) == [4, 8, 8]
    for one, other in zip(gradient("torch", parted, tables).values(), gradient("torch", whole, tables).values()):  # noqa: B905
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert len(fb.targets.objective(targets, fb.potential(both, "numpy"), systems=range(5)).constants) == 1
    assert len(fb.targets.objective(plain, fb.potential(both, "torch"), systems=range(5)).constants) == 1


@pytest.mark.parametrize("host", ["torch", "jax"])
def test_the_loss_is_the_sum_of_each_targets_and_so_are_its_derivatives(host):
    pytest.importorskip(host, reason=f"{host} is not installed")
    targets, both = uneven(), all_systems()
    tables = changed(both.tables)
    objective = fb.targets.objective(targets, fb.potential(both, host))
    assert len(objective.constants) == 3
    plain = fb.potential(both, "torch")
    expected = [fb.targets.objective([target], plain) for target in targets]
    given = {name: fb.to(table, host) for name, table in tables.items()}
    total = sum(float(each({name: fb.to(table, "torch") for name, table in tables.items()})) for each in expected)
    np.testing.assert_allclose(float(objective(given)), total / len(targets), rtol=1e-9)
    if host == "jax":
        return
    found = gradient(host, objective, tables)
    parts = [gradient("torch", each, tables) for each in expected]
    for name in tables:
        np.testing.assert_allclose(
            found[name], sum(part[name] for part in parts) / len(targets), rtol=1e-7, atol=1e-9, err_msg=name
        )
    names = {each.target for each in objective.compare(given)}
    assert names == {PEROXIDE, METHANOL, "without forces", "peroxide drive"}
