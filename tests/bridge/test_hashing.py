"""Content hashes: equal for equal content in any framework, different for any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, ExchangeError
from ffbridge.fingerprint import fingerprint
from ffbridge.hashing import content_hash
from tests.spec.load import load

from .samples import BACKENDS, bundle, framework

KNOWN = load("valid")["full"]["sha256"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_in_every_framework(backend):
    with framework(backend):
        moved = bundle().to(backend)
        assert content_hash(moved) == KNOWN
        assert moved.content_hash == KNOWN


def test_a_cast_bundle_has_a_hash_of_its_own():
    source = bundle()
    assert source.content_hash == KNOWN
    cast = source.to("numpy", dtype="float32")
    assert cast.content_hash == content_hash(cast) != KNOWN


def test_memory_layout_and_gradients_do_not_count():
    torch = pytest.importorskip("torch")
    values = bundle().table("vdw").values
    wide = np.zeros((len(values), 4))
    wide[:, ::2] = values
    for array in (np.asfortranarray(values), wide[:, ::2], values[::-1].copy()[::-1]):
        assert content_hash(bundle().replace_table("vdw", array)) == KNOWN
    leaf = torch.tensor(values, requires_grad=True)
    assert content_hash(bundle().to("torch").replace_table("vdw", leaf)) == KNOWN


def test_every_part_counts():
    """A change of any array or of any member of the document changes the hash."""
    source = bundle()
    document, arrays = source.document(), source.arrays()
    seen = {KNOWN}
    for path, array in arrays.items():
        changed = array.copy()
        changed.reshape(-1)[-1:] = ~changed.reshape(-1)[-1:] if array.dtype == bool else changed.reshape(-1)[-1:] + 1
        seen.add(content_hash(fb.Bundle.from_parts(document, {**arrays, path: changed})))
    for member in ("system_names", "provenance"):
        changed = ["a", "b"] if member == "system_names" else {}
        seen.add(content_hash(fb.Bundle.from_parts({**document, member: changed}, arrays)))
    assert len(seen) == 1 + len(arrays) + 2


def test_dtype_shape_and_sign_of_zero_count():
    weights = np.zeros(4)
    variants = [weights, weights.astype(np.float32), weights.reshape(2, 2), -weights, weights.astype(np.int64)]
    assert len({fingerprint({"w": variant}) for variant in variants}) == len(variants)


def test_names_count_and_their_order_does_not():
    one, two = np.ones(2), np.zeros(2)
    assert fingerprint({"a": one, "b": two}) == fingerprint({"b": two, "a": one})
    assert fingerprint({"a": one, "b": two}) != fingerprint({"a": two, "b": one})
    # Lengths are part of what is hashed: names and values cannot run into each other.
    assert fingerprint({"ab": one}) != fingerprint({"a": one})


def test_fingerprint_of_a_model_is_the_same_from_any_framework():
    torch = pytest.importorskip("torch")
    jnp = pytest.importorskip("jax.numpy")
    model = torch.nn.Linear(3, 2)
    values = {name: weight.detach().numpy() for name, weight in model.state_dict().items()}
    found = fingerprint(dict(model.named_parameters()))
    assert found == fingerprint(values)
    assert found == fingerprint({name: jnp.asarray(value) for name, value in values.items()})


def test_bfloat16_weights_have_a_fingerprint():
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weight = torch.arange(4, dtype=torch.bfloat16)
    assert fingerprint({"w": weight}) == fingerprint({"w": np.arange(4).astype(ml_dtypes.bfloat16)})
    assert fingerprint({"w": weight}) != fingerprint({"w": weight.view(torch.int16)})


@pytest.mark.parametrize(
    "value",
    [float("nan"), 2**60, np.int64(1), object(), {1: 2}, "\ud800"],
    ids="nan huge numpy object key surrogate".split(),
)
def test_what_json_cannot_hold_is_named_with_its_path(value):
    broken = replace(bundle(), provenance={"steps": [{"bad": value}]})
    with pytest.raises(BundleError, match="^provenance/steps/0/bad"):
        content_hash(broken)


def test_traced_values_have_no_hash():
    with framework("jax"):
        import jax

        with pytest.raises(ExchangeError, match="traced"):
            jax.jit(lambda w: fingerprint({"w": w}))(np.ones(3))
