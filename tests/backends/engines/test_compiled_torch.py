"""The engine ``torch`` with ``compile=True``: the same numbers from few programs; the kit asks more of it (slow)."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import ffbridge as fb
from ffbridge.errors import UnknownNameError, UnsupportedError
from ffbridge_backends.compiled.torch import CompiledFormulas
from tests.bridge.bundles import chain, random_bundle, zigzag

WEIGHTS = torch.tensor([[2.0, -1.0], [0.5, 3.0], [1.5, 0.0]], dtype=torch.float64)


@pytest.fixture
def programs(monkeypatch):
    """What each program is compiled for: the shape of positions, whether there are weights, whether it has dU/dθ."""
    compile_, found = CompiledFormulas._compile, []

    def counted(self, inputs, names, *, of_tables):
        found.append((tuple(inputs[0].shape), len(inputs) > 1 + len(names), of_tables))
        return compile_(self, inputs, names, of_tables=of_tables)

    monkeypatch.setattr(CompiledFormulas, "_compile", counted)
    return found


def part(bundle, *names):
    """A bundle with these terms only: less to compile."""
    terms = {name: bundle.terms[name] for name in names}
    return replace(bundle, terms=terms, tables={term.table: bundle.tables[term.table] for term in terms.values()})


@pytest.fixture(scope="module")
def two_systems():
    """A bundle of two systems, and three conformers."""
    return part(random_bundle(np.random.default_rng(1)), "torsions", "electrostatics"), zigzag(
        np.random.default_rng(2), 3
    )


def assert_same(found, expected):
    assert tuple(found.shape) == tuple(expected.shape)
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())


def test_each_number_of_conformers_has_a_program(programs):
    bundle, rng = part(chain(9), "vdw"), np.random.default_rng(3)
    U, reference = fb.potential(bundle, engine="torch", compile=True), fb.potential(bundle, engine="numpy")
    table = bundle.table("vdw").values * 1.1
    for batch in ((3,), (2, 2), (4,), (70,), (2, 35)):
        x = rng.normal(size=(*batch, 9, 3))
        found, expected = (each.value_and_grad(x, {"vdw": table}) for each in (U, reference))
        assert_same(found.energy, expected.energy)
        assert_same(found.forces, expected.forces)
        assert_same(found.tables["vdw"], expected.tables["vdw"])
    # 70 conformers are two parts of 35.
    assert programs == [((n, 9, 3), False, True) for n in (3, 4, 35)]


@pytest.mark.slow
def test_autograd_goes_through_it(two_systems, programs):
    bundle, x = two_systems
    tables = {name: torch.tensor(table.values) for name, table in bundle.tables.items()}
    tables["coulomb"] *= 1.05

    def slopes(engine, **options):
        here = torch.tensor(x, requires_grad=True)
        given = {name: table.clone().requires_grad_() for name, table in tables.items()}
        energy = fb.potential(bundle, engine=engine, host="torch", **options)(here, given)
        return energy.detach(), *torch.autograd.grad((WEIGHTS * energy).sum(), [here, *given.values()])

    for found, expected in zip(slopes("torch", compile=True), slopes("numpy"), strict=True):
        assert_same(found, expected)
    assert programs == [((3, 11, 3), False, False), ((3, 11, 3), True, True)]


def test_further_derivatives_are_eager_torch(two_systems, programs):
    bundle, x = two_systems

    def product(**options):
        here = torch.tensor(x, requires_grad=True)
        U = fb.potential(bundle, engine="torch", **options)
        (slope,) = torch.autograd.grad((WEIGHTS * U(here)).sum(), here, create_graph=True)
        return torch.autograd.grad((slope**2).sum(), here)[0], *U.by_term(here.detach()).values()

    for found, expected in zip(product(compile=True), product(), strict=True):
        assert_same(found, expected)
    assert programs == [((3, 11, 3), False, False), ((3, 11, 3), True, False)]


def test_a_copy_compiles_too():
    U = fb.potential(part(chain(9), "vdw"), engine="torch", compile=True)
    assert pickle.loads(pickle.dumps(U)).engine.compile
    assert not fb.potential(U.bundle, engine="torch").engine.compile


def test_other_values_of_compile_are_refused():
    with pytest.raises(UnknownNameError, match=r"'torch' has no compile='max-autotune'; it has: True, False"):
        fb.potential(chain(9), engine="torch", compile="max-autotune")


def test_a_machine_without_a_compiler_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    bundle = part(chain(9), "vdw")
    x = np.random.default_rng(4).normal(size=(9, 3))
    with (
        torch._inductor.utils.fresh_cache(),
        pytest.raises(UnsupportedError, match=r"needs a C\+\+ compiler .*compile=False"),
    ):
        fb.potential(bundle, engine="torch", compile=True).energy_and_forces(x)
