"""An engine of formulas where there is automatic differentiation, which goes by the formulas and ends with them."""

from weakref import WeakKeyDictionary

import numpy as np
import pytest

import ffbridge as fb
from ffbridge import registry
from ffbridge.backend import Backend
from ffbridge.engine import Engine
from ffbridge.errors import UnsupportedError
from tests.bridge.bundles import random_bundle, zigzag

torch = pytest.importorskip("torch", reason="torch is not installed")


class Formulas(fb.AnalyticEngine):
    """The analytic derivatives, over torch's functions."""

    name = "formulas"
    backend = package = "torch"
    install = "pip install torch"


@pytest.fixture
def formulas(monkeypatch):
    """Potentials of one bundle by the formulas and by torch itself, and positions."""
    for kind, name, known in ((Backend, "_BACKENDS", "backends"), (Engine, "_ENGINES", "engines")):
        monkeypatch.setattr(registry, name, registry.Registry(known[:-1], kind, group=f"ffbridge.{known}", install=""))
    monkeypatch.setattr(registry, "_OWNERS", WeakKeyDictionary())
    fb.register_engine(Formulas())
    bundle = random_bundle(np.random.default_rng(11))
    return *(fb.potential(bundle, engine=name) for name in ("formulas", "torch")), bundle


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def test_gradients_are_those_of_autograd(formulas):
    ours, autograd, bundle = formulas
    x, table = leaf(zigzag(np.random.default_rng(12), 3)), leaf(bundle.tables["harmonic_bond"].values)
    weights = torch.arange(3.0, dtype=torch.float64)[:, None]
    found, expected = (
        torch.autograd.grad((weights * U(x, {"harmonic_bond": table})).sum(), (x, table)) for U in (ours, autograd)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-7)


def test_second_derivatives_are_refused(formulas):
    """By the engine's name, rather than taken from a framework that may have them or not."""
    U, _, _ = formulas
    x = leaf(zigzag(np.random.default_rng(12), 3))
    (force,) = torch.autograd.grad(U(x).sum(), x, create_graph=True)
    with pytest.raises(UnsupportedError, match="the engine 'formulas' has first derivatives by reverse mode only"):
        torch.autograd.grad(force.square().sum(), x)
