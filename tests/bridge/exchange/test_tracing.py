"""Inside jit, vmap and grad there are no values yet: one clear error, and none for what stays where it is."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.errors import ExchangeError
from ffbridge.exchange import to, transfer

TRACED = r"it is being traced.*call this outside, or use a potential with host="


@pytest.mark.parametrize("transform", ["jit", "vmap", "grad", "jvp", "eval_shape", "checkpoint"])
def test_jax(transform):
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones((2, 3))
    transforms = {
        "jit": lambda f: jax.jit(f)(x),
        "vmap": lambda f: jax.vmap(f)(x),
        "grad": lambda f: jax.grad(lambda y: f(y).sum())(x),
        "jvp": lambda f: jax.jvp(f, (x,), (x,)),
        "eval_shape": lambda f: jax.eval_shape(f, x),
        "checkpoint": lambda f: jax.grad(lambda y: jax.checkpoint(f)(y).sum())(x),
    }
    for consumer in ("numpy", "torch"):
        with pytest.raises(ExchangeError, match=TRACED):
            transforms[transform](lambda y, consumer=consumer: to(y, consumer))
    transforms[transform](lambda y: to(y, "jax") + 1)
    transforms[transform](lambda y: to(y, "jax", copy=True, dtype="bfloat16").astype("float32"))
    transforms[transform](lambda y: to(y, "jax", device="cpu"))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own forward mode
@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp", "jacrev", "functionalize"])
def test_torch_func(transform):
    torch = pytest.importorskip("torch")
    x = torch.ones(2, 3)
    transforms = {
        "vmap": lambda f: torch.func.vmap(f)(x),
        "grad": lambda f: torch.func.grad(lambda y: f(y).sum())(x),
        "jvp": lambda f: torch.func.jvp(f, (x,), (x,)),
        "jacrev": lambda f: torch.func.jacrev(f)(x),
        "functionalize": lambda f: torch.func.functionalize(f)(x),
    }
    for consumer in ("numpy", "jax"):
        with pytest.raises(ExchangeError, match=TRACED):
            transforms[transform](lambda y, consumer=consumer: to(y, consumer))
    transforms[transform](lambda y: to(y, "torch") + 1)


def test_torch_func_without_elements():
    """An empty tensor has no pointer by which its wrapper would show."""
    torch = pytest.importorskip("torch")
    with pytest.raises(ExchangeError, match=TRACED):
        torch.func.vmap(lambda y: to(y, "numpy"))(torch.ones(2, 0))


def test_torch_fake_tensors():
    torch = pytest.importorskip("torch")
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        fake = torch.empty(3)
        with pytest.raises(ExchangeError, match="FakeTensor.*" + TRACED[-20:]):
            to(fake, "numpy")
    with pytest.raises(ExchangeError, match="a FakeTensor has no values"):
        to(fake, "numpy")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torch_forward_mode():
    torch = pytest.importorskip("torch")
    import torch.autograd.forward_ad as forward

    x = torch.ones(3)
    with forward.dual_level():
        dual = forward.make_dual(x, torch.ones(3))
        with pytest.raises(ExchangeError, match="forward-mode tangent.*unpack_dual"):
            to(dual, "numpy")
        assert transfer(x, "numpy").zero_copy


def test_torch_compile():
    """The exchange runs between two compiled parts; where there may be no parts, it is refused."""
    torch = pytest.importorskip("torch")

    def through_numpy(x):
        return torch.from_numpy(to(x * 2, "numpy") + 1) * 3

    def in_one_part(x):
        return torch.from_numpy(to(x * 2, "numpy"))

    assert torch.compile(through_numpy, backend="eager")(torch.ones(3)).tolist() == [9.0, 9.0, 9.0]
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"traced \(torch.compile\)"):
        torch.compile(in_one_part, backend="eager", fullgraph=True)(torch.ones(3))


def test_outside_all_is_well():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    np.testing.assert_array_equal(to(torch.ones(3), "numpy"), np.asarray(to(jax.numpy.ones(3), "numpy")))
