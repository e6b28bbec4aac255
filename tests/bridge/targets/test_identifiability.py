"""What data determine: shares known in closed form, derivatives by automatic differentiation, names of what is free."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError

from .molecules import METHANOL, PEROXIDE, batch, conformers, methanol, noisy, peroxide

H2 = "[H:1][H:2]"
WIDTHS = {
    "bonds": {"k": 2e4, "length": 0.005},
    "angles": {"k": 50.0, "angle": 0.05},
    "torsions": {"k": 2.0},
    "vdw": {"sigma": 0.02, "epsilon": 0.1},
}


def two_springs():
    """One distance that two terms hold: only the sum of their force constants shows in the energies."""
    one = fb.TermArrays("harmonic_bond", {"k": [3000.0], "length": [0.1]}, [[0, 1]])
    other = fb.TermArrays("harmonic_bond", {"k": [1000.0], "length": [0.1]}, [[0, 1]])
    return fb.from_arrays(atomic_numbers=[1, 1], system_names=[H2], terms={"bonds": one, "more": other})


def stretched(bundle, distances=(0.08, 0.1, 0.11)):
    x = np.zeros((len(distances), 2, 3))
    x[:, 1, 0] = distances
    target = fb.targets.ConformerTarget(
        name="H2", smiles=H2, atomic_numbers=[1, 1], positions=x, energies=np.zeros(len(distances))
    )
    return fb.targets.objective([target], fb.potential(bundle, "numpy"), scales=fb.targets.Scales(energy=1.0))


def of_methanol(engine="numpy", **options):
    both = batch(PEROXIDE, METHANOL)
    targets = [
        conformers(PEROXIDE, noisy(peroxide(), 5), **options),
        conformers(METHANOL, noisy(methanol(), 4, seed=1), **options),
    ]
    select = {"bonds": ["k", "length"], "angles": ["angle"], "torsions": ["k"], "vdw": ["sigma", "epsilon"]}
    chosen = fb.trainable(both, select)
    return fb.targets.objective(targets, fb.potential(both, engine)), chosen, fb.targets.Prior.of(chosen, WIDTHS)


def test_shares_of_two_springs():
    """With S = s (1, 1): the sum is determined by 2s²/(1+2s²), each spring by half of that, and the difference not."""
    bundle = two_springs()
    chosen = fb.trainable(bundle, {"bonds": ["k"], "more": ["k"]})
    prior = fb.targets.Prior.of(chosen, {"bonds": {"k": 100.0}, "more": {"k": 100.0}})
    found = fb.targets.identifiability(stretched(bundle), chosen, prior, noise=0.01)
    slopes = (np.array([0.08, 0.1, 0.11]) - 0.1) ** 2 / 2 * 100 / 0.01
    s2 = np.mean((slopes - slopes.mean()) ** 2)
    np.testing.assert_allclose(found.singular_values, [np.sqrt(2 * s2), 0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.determinacy, s2 / (1 + 2 * s2), rtol=1e-9)
    np.testing.assert_allclose(found.errors, 100 * np.sqrt((1 + s2) / (1 + 2 * s2)), rtol=1e-9)
    np.testing.assert_allclose(found.n_determined, 2 * s2 / (1 + 2 * s2), rtol=1e-9)
    (free,) = found.combinations(below=0.5 * found.n_determined)
    assert {member.parameter.table for member in free.members} == {"bonds", "more"}
    np.testing.assert_allclose(free.coefficients, [100, -100], rtol=1e-6)
    assert "by 100 kJ/mol/nm^2" in str(free)


def test_singular_values_are_those_of_derivatives_by_automatic_differentiation():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    objective, chosen, prior = of_methanol("jax")
    found = fb.targets.identifiability(objective, chosen, prior)

    def residuals(moves):
        return objective.residuals(chosen.tables(chosen.initial + prior.width * moves))

    J = jax.jit(jax.jacfwd(residuals))(jax.numpy.zeros(len(prior.width)))
    expected = np.linalg.svd(np.asarray(J), compute_uv=False)
    np.testing.assert_allclose(found.singular_values, expected, rtol=1e-6, atol=1e-9 * expected[0])
    C = np.linalg.inv(np.asarray(J.T @ J) + np.eye(len(prior.width)))
    np.testing.assert_allclose(found.determinacy, 1 - np.diag(C), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.errors, prior.width * np.sqrt(np.diag(C)), rtol=1e-6)


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_engines_agree(engine):
    pytest.importorskip({"native": "numba"}.get(engine, engine), reason=f"{engine} is not installed")
    expected = fb.targets.identifiability(*of_methanol())
    found = fb.targets.identifiability(*of_methanol(engine))
    np.testing.assert_allclose(found.singular_values, expected.singular_values, rtol=1e-6, atol=1e-8)


def test_what_the_data_do_not_see_stands_alone():
    """Peroxide has no pair of oxygens that interact, and methanol one of each: ε of O and C act nowhere."""
    found = fb.targets.identifiability(*of_methanol(), noise=1e-5)
    names = {str(each) for each in found.undetermined()}
    unseen = {"vdw/8/sigma", "vdw/6/sigma", "vdw/8/epsilon", "vdw/6/epsilon"}
    assert unseen <= names
    alone = [free.members[0] for free in found.combinations() if len(free.members) == 1]
    assert {str(each) for each in alone} == unseen
    assert all(each.determinacy < 1e-6 for each in alone)
    assert {each.key.pattern for each in alone} == {"8", "6"}
    assert "bonds/1-8/length" not in names


def test_few_data_leave_all_but_as_many_combinations_free():
    objective, chosen, prior = of_methanol()
    one = fb.targets.objective(
        [conformers(PEROXIDE, noisy(peroxide(), 2), forces=False)], objective.U, scales=fb.targets.Scales(energy=1e-6)
    )
    found = fb.targets.identifiability(one, chosen, prior)
    assert len(found.singular_values) == len(chosen.parameters)
    assert found.n_determined == pytest.approx(1, abs=1e-3)
    assert len(found.combinations()) == len(chosen.parameters) - 1


def test_determined_parameters_change_the_loss_and_combinations_do_not():
    """The names are right: moving along a free combination leaves the loss, moving one of its members does not."""
    objective, chosen, prior = of_methanol()
    found = fb.targets.identifiability(objective, chosen, prior, noise=1e-5)
    (free,) = (each for each in found.combinations() if len(each.members) > 2)
    moves = {member.parameter: coefficient for member, coefficient in zip(free.members, free.coefficients, strict=True)}
    along = np.array([moves.get(parameter, 0.0) for parameter in chosen.parameters])
    single = np.where(np.arange(len(along)) == np.argmax(np.abs(along / prior.width)), along, 0)
    together, alone = (float(objective(chosen.tables(chosen.initial + 0.1 * move))) for move in (along, single))
    assert together < 1e-3 * alone


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 0.0}, "noise: got 0.0, expected more than 0"),
        ({"vector": np.zeros(3)}, r"identifiability: got a vector of shape \(3,\) and a prior of \(1,\), expected"),
        ({"vector": np.array([np.inf])}, r"identifiability: vector: got inf for tables/bonds/k of row 0"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    bundle = two_springs()
    chosen = fb.trainable(bundle, {"bonds": ["k"]})
    prior = fb.targets.Prior.of(chosen, {"bonds": {"k": 100.0}})
    with pytest.raises(TargetError, match=message):
        fb.targets.identifiability(stretched(bundle), chosen, prior, **options)


def test_parameters_that_make_no_sense_are_named():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    vdw = fb.TermArrays(
        "lennard_jones", {"sigma": [0.2], "epsilon": [0.1]}, mapping=[0, 0], settings={"mixing_rule": "geometric"}
    )
    bundle = fb.from_arrays(atomic_numbers=[1, 1], system_names=[H2], terms={"vdw": vdw})
    chosen = fb.trainable(bundle, {"vdw": ["epsilon", "sigma"]})
    x = np.zeros((2, 2, 3))
    x[:, 1, 0] = 0.3, 0.4
    target = fb.targets.ConformerTarget(name="H2", smiles=H2, atomic_numbers=[1, 1], positions=x, energies=np.zeros(2))
    objective = fb.targets.objective([target], fb.potential(bundle, "torch"))
    prior = fb.targets.Prior.of(chosen, WIDTHS)
    with pytest.raises(TargetError, match="the derivative by tables/vdw/epsilon of row 0 is not finite"):
        fb.targets.identifiability(objective, chosen, prior, vector=np.array([0.1, 1e40]))
