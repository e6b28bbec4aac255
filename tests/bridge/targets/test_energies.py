"""Relative energies and forces: hand values, every host, gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge_backends.torch import backend as torch_backend

from .molecules import METHANOL, PEROXIDE, batch, bundle, conformers, drive, methanol, noisy, peroxide

HOSTS = ["numpy", "torch", "jax"]


def mixed():
    """Conformers with and without forces, of two molecules, and a torsion drive."""
    weights = np.array([1.0, 2.0, 0.0, 4.0, 1.0])
    return [
        conformers(PEROXIDE, noisy(peroxide(), 5), conformer_weights=weights, weight=2.0),
        conformers(METHANOL, noisy(methanol(), 3, seed=1)),
        conformers(METHANOL, noisy(methanol(), 2, seed=2), name="no forces", forces=False),
        drive(),
    ]


def changed(tables, by=0.02, seed=3):
    """Tables with every number changed but the periodicities, which are not differentiable."""
    rng = np.random.default_rng(seed)
    found = {name: table.values * (1 + by * rng.normal(size=table.values.shape)) for name, table in tables.items()}
    found["torsions"][:, 2] = tables["torsions"].values[:, 2]
    return found


def by_hand(targets, systems, both, tables, scales):
    """The loss, target by target, as its definition says."""
    U = fb.potential(both, "numpy")
    offsets = both.system_offsets
    total = 0.0
    for target, system in zip(targets, systems, strict=True):
        atoms = slice(offsets[system], offsets[system + 1])
        x = np.random.default_rng(9).normal(size=(len(target.energies), both.n_atoms, 3))
        x[:, atoms] = target.positions
        made = U.value_and_grad(x, tables)
        w = getattr(target, "conformer_weights", None)
        w = np.ones(len(target.energies)) if w is None else w
        w = w / w.sum()
        off = made.energy[:, system] - target.energies
        parts = (w * (off - (w * off).sum()) ** 2).sum() / scales.energy**2
        if getattr(target, "forces", None) is not None:
            square = ((made.forces[:, atoms] - target.forces) ** 2).mean((1, 2))
            parts += (w * square).sum() / scales.force**2
        total += target.weight * parts
    return total / sum(target.weight for target in targets)


@pytest.mark.parametrize("engine", HOSTS)
def test_the_loss_is_its_definition(engine):
    targets, both = mixed(), batch(PEROXIDE, METHANOL)
    tables = changed(both.tables)
    objective = fb.targets.objective(targets, fb.potential(both, engine))
    expected = by_hand(targets, [0, 1, 1, 0], both, tables, fb.targets.Scales())
    found = objective({name: fb.to(table, engine) for name, table in tables.items()})
    assert tuple(found.shape) == ()
    np.testing.assert_allclose(float(found), expected, rtol=1e-10)


def test_the_own_force_field_has_no_loss():
    targets = mixed()[:3]
    objective = fb.targets.objective(targets, fb.potential(batch(PEROXIDE, METHANOL), "numpy"))
    assert float(objective()) < 1e-18
    assert float(objective(changed(objective.U.bundle.tables))) > 1e-6


def test_an_offset_of_energies_does_not_count():
    target = conformers(PEROXIDE, noisy(peroxide(), 4))
    shifted = fb.targets.ConformerTarget(**{**fields(target), "energies": target.energies + 1234.5})
    U = fb.potential(bundle(PEROXIDE), "numpy")
    assert float(fb.targets.loss(shifted, U)) < 1e-15


def fields(target):
    from dataclasses import fields as of

    return {each.name: getattr(target, each.name) for each in of(target)}


def test_energies_relative_to_the_minimum():
    target = drive()
    U = fb.potential(bundle(PEROXIDE), "numpy")
    scales = fb.targets.Scales(energy=1.0)
    found = fb.targets.loss(target, U, scales=scales, offset="minimum")
    energies = U(target.positions)[:, 0]
    lowest = np.argmin(target.energies)
    off = (energies - energies[lowest]) - (target.energies - target.energies[lowest])
    np.testing.assert_allclose(float(found), (off**2).mean(), rtol=1e-12)
    mean = fb.targets.loss(target, U, scales=scales)
    assert abs(float(mean) - float(found)) > 1e-3


@pytest.mark.parametrize(("engine", "host"), [("torch", "torch"), ("jax", "jax"), ("jax", "torch"), ("torch", "jax")])
def test_derivatives_by_tables_are_central_differences(engine, host):
    targets, both = mixed(), batch(PEROXIDE, METHANOL)
    tables = changed(both.tables)
    objective = fb.targets.objective(targets, fb.potential(both, engine, host=host))
    gradients = gradient(host, objective, tables)
    plain = fb.targets.objective(targets, fb.potential(both, "numpy"))
    for name, column, h in (("bonds", 0, 10.0), ("bonds", 1, 1e-6), ("torsions", 0, 1e-4), ("vdw", 1, 1e-5)):
        moved = []
        for sign in (1, -1):
            values = tables[name].copy()
            values[0, column] += sign * h
            moved.append(float(plain({**tables, name: values})))
        expected = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(gradients[name][0, column], expected, rtol=2e-6, atol=1e-12)


def gradient(host, objective, tables):
    """The derivatives of a loss by all tables, in NumPy."""
    if host == "jax":
        import jax

        given = {name: fb.to(table, "jax") for name, table in tables.items()}
        return {name: np.asarray(each) for name, each in jax.jit(jax.grad(objective))(given).items()}
    given = {name: fb.to(table, "torch", copy=True).requires_grad_() for name, table in tables.items()}
    objective(given).backward()
    return {name: each.grad.numpy() for name, each in given.items()}


def test_gradients_reach_what_made_the_bundle():
    """Tables of the bundle that carry a gradient are used as if they were given."""
    import torch

    target = conformers(PEROXIDE, noisy(peroxide(), 3))
    made = bundle(PEROXIDE)
    theta = (torch.tensor(made.tables["bonds"].values) * 1.01).requires_grad_()
    tracked = made.to("torch").replace_table("bonds", theta * 1.0)
    fb.targets.loss(target, fb.potential(tracked, "torch")).backward()
    explicit = (torch.tensor(made.tables["bonds"].values) * 1.01).requires_grad_()
    fb.targets.loss(target, fb.potential(made, "torch"), {"bonds": explicit}).backward()
    assert theta.grad.abs().max() > 0
    torch.testing.assert_close(theta.grad, explicit.grad)


def test_residuals_square_to_the_loss_and_comparisons_say_what_is_compared():
    targets, both = mixed(), batch(PEROXIDE, METHANOL)
    objective = fb.targets.objective(targets, fb.potential(both, "numpy"))
    tables = changed(both.tables)
    np.testing.assert_allclose((objective.residuals(tables) ** 2).sum(), objective(tables), rtol=1e-12)
    compared = {(each.target, each.quantity): each for each in objective.compare(tables)}
    assert set(compared) == {
        (PEROXIDE, "relative energy"),
        (PEROXIDE, "force"),
        (METHANOL, "relative energy"),
        (METHANOL, "force"),
        ("no forces", "relative energy"),
        ("peroxide drive", "relative energy"),
    }
    of_drive = compared["peroxide drive", "relative energy"]
    np.testing.assert_allclose(of_drive.reference, targets[3].energies - targets[3].energies.mean())
    assert of_drive.rmse > 0
    np.testing.assert_allclose(compared[METHANOL, "force"].reference, targets[1].forces.reshape(-1))


def test_one_call_of_the_potential_for_each_kind(monkeypatch):
    """Cost is one evaluation of all conformers, not one for each target."""
    targets = [conformers(PEROXIDE, noisy(peroxide(), 4, seed=n), name=str(n)) for n in range(5)]
    U = fb.potential(bundle(PEROXIDE), "numpy")
    calls = []
    evaluate = U.energy_and_forces
    monkeypatch.setattr(U, "energy_and_forces", lambda x, t: calls.append(x.shape) or evaluate(x, t))
    fb.targets.objective(targets, U)()
    assert calls == [(20, 4, 3)]


def test_float32_stays_float32():
    target = conformers(PEROXIDE, noisy(peroxide(), 3))
    single = bundle(PEROXIDE).to("torch", dtype="float32")
    found = fb.targets.loss(target, fb.potential(single, "torch"))
    assert torch_backend.dtype(found) == "float32"
    assert float(found) < 1e-5


def test_compiled_twice():
    """Nothing of one trace is kept for the next."""
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    objective = fb.targets.objective(mixed(), fb.potential(batch(PEROXIDE, METHANOL), "jax"))
    tables = {name: fb.to(table, "jax") for name, table in changed(objective.U.bundle.tables).items()}
    once = jax.jit(objective)(tables)
    again, _ = jax.jit(jax.value_and_grad(objective))(tables)
    np.testing.assert_allclose(once, again, rtol=1e-12)


@pytest.mark.gpu
def test_constants_are_on_the_bundles_device():
    targets, both = mixed(), batch(PEROXIDE, METHANOL)
    tables = changed(both.tables)
    there = fb.targets.objective(targets, fb.potential(both.to("torch", device="cuda:0"), "torch"))
    given = {name: fb.to(table, "torch", device="cuda:0").requires_grad_() for name, table in tables.items()}
    found = there(given)
    found.backward()
    assert found.device.type == "cuda"
    np.testing.assert_allclose(
        found.item(), fb.targets.objective(targets, fb.potential(both, "numpy"))(tables), rtol=1e-9
    )
    relaxed = there.relaxed(given)
    assert relaxed(given).item() > 0
