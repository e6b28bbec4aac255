"""Fits whose answer is known: data of a changed force field, found again from the unchanged one, in PyTorch and JAX.

What the data determine within 1 % must come back, here far more closely as they are without noise; the rest is named
beforehand.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import ffbridge as fb

from .molecules import METHANOL, PEROXIDE, batch, conformers, drive, methanol, noisy, peroxide

optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")

SELECT = {
    "bonds": ["k", "length"],
    "angles": ["k", "angle"],
    "torsions": ["k"],
    "vdw": ["sigma", "epsilon"],
}
CHANGES = {"k": 0.1, "length": 0.02, "angle": 0.02, "sigma": 0.03, "epsilon": 0.1}
"""Largest relative change of a parameter, by column."""

NOISE = 1e-5
UNSEEN = {f"vdw/{element}/{column}" for element in ("6", "8") for column in ("sigma", "epsilon")}
"""No pair of these interacts in either molecule: all are within three bonds, but for the hydrogens."""


@cache
def problem():
    """The bundle, what is fitted, the answer, and its data: conformers with forces, and energies along a torsion."""
    both = batch(PEROXIDE, METHANOL)
    chosen = fb.trainable(both, SELECT)
    changes = np.array([CHANGES[parameter.column] for parameter in chosen.parameters])
    # Not all directions alike, and never so little that the start would do.
    signs = np.random.default_rng(3).uniform(0.4, 1, len(changes)) * np.resize([1, -1], len(changes))
    answer = chosen.initial * (1 + changes * signs)
    made = fb.separate(both)
    tables = chosen.tables(answer)

    def energies(number, x):
        return fb.potential(made[number], "numpy").value_and_grad(x, tables)

    targets = []
    for number, (smiles, x) in enumerate(
        [(PEROXIDE, noisy(peroxide(), 12, 0.01)), (METHANOL, noisy(methanol(), 20, 0.01, seed=1))]
    ):
        found = energies(number, x)
        plain = conformers(smiles, x)
        targets.append(
            fb.targets.ConformerTarget(
                name=smiles,
                smiles=smiles,
                atomic_numbers=plain.atomic_numbers,
                positions=x,
                energies=found.energy[:, 0],
                forces=found.forces,
            )
        )
    scan = drive(points=24)
    targets.append(drive(points=24, energies=energies(0, np.asarray(scan.positions)).energy[:, 0]))
    return both, chosen, answer, targets


def prior_of(chosen):
    """Widths of 10 % of each parameter, so that a determinacy of 0.99 is an error of 1 %."""
    return fb.targets.Prior(chosen.initial, 0.1 * np.abs(chosen.initial))


@cache
def identified():
    """What the data say, at the start, about every parameter."""
    both, chosen, _, targets = problem()
    objective = fb.targets.objective(targets, fb.potential(both, "numpy"))
    return fb.targets.identifiability(objective, chosen, prior_of(chosen), noise=NOISE)


def in_torch(residuals, vector):
    """Residuals and their derivatives, ``(n_residuals, n)``, in NumPy."""
    import torch

    theta = torch.tensor(vector)
    return residuals(theta).numpy(), torch.func.jacfwd(residuals)(theta).numpy()


@cache
def compiled(residuals):
    import jax

    return jax.jit(lambda theta: (residuals(theta), jax.jacfwd(residuals)(theta)))


def in_jax(residuals, vector):
    import jax

    both = compiled(residuals)
    return tuple(np.asarray(each) for each in both(jax.numpy.asarray(vector)))


@pytest.mark.parametrize(("host", "derivatives"), [("torch", in_torch), ("jax", in_jax)])
def test_what_the_data_determine_is_found_and_the_rest_is_named(host, derivatives):
    pytest.importorskip(host, reason=f"{host} is not installed")
    both, chosen, answer, targets = problem()
    objective = fb.targets.objective(targets, fb.potential(both, host))
    prior = prior_of(chosen)
    named = identified()

    evaluate = cache(lambda z: derivatives(of_vector, chosen.initial + prior.width * np.array(z)))

    def of_vector(vector):
        return objective.residuals(chosen.tables(vector))

    start = np.zeros(len(answer))
    fitted = optimize.least_squares(
        lambda z: evaluate(tuple(z))[0],
        start,
        jac=lambda z: evaluate(tuple(z))[1] * prior.width,
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    )
    off = np.abs((chosen.initial + prior.width * fitted.x) / answer - 1)
    free = {each.parameter for each in named.undetermined(below=0.99)}
    determined = np.array([parameter not in free for parameter in chosen.parameters])
    assert {str(each) for each in named.undetermined(below=0.99)} == UNSEEN
    assert off[determined].max() < 1e-6
    assert np.abs(chosen.initial / answer - 1)[determined].min() > 0.005


def test_what_is_named_as_free_leaves_the_data_as_they_are():
    """The answer moved along each combination fits as well as itself; moved along none of the others does it."""
    both, chosen, answer, targets = problem()
    objective = fb.targets.objective(targets, fb.potential(both, "numpy"))
    found = fb.targets.identifiability(objective, chosen, prior_of(chosen), vector=answer, noise=NOISE)
    place = {parameter: number for number, parameter in enumerate(chosen.parameters)}
    free = found.combinations(below=1e-3)
    assert free
    for combination in free:
        move = np.zeros(len(answer))
        for member, coefficient in zip(combination.members, combination.coefficients, strict=True):
            move[place[member.parameter]] = coefficient
        assert float(objective(chosen.tables(answer + 0.1 * move))) < (10 * NOISE) ** 2
    for each in found.each:
        if each.determinacy > 0.99:
            move = np.zeros(len(answer))
            move[place[each.parameter]] = 0.05 * answer[place[each.parameter]]
            assert float(objective(chosen.tables(answer + move))) > (10 * NOISE) ** 2, str(each)
