"""Validation: every fault at once, each with its path, in any framework. What each rule refuses: tests/spec."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import ffbridge as fb
from ffbridge.canonical import are_plain_keys
from ffbridge.errors import BundleError, ExchangeError, ValidationError
from ffbridge_spec import load_schema

from .samples import BACKENDS, bundle, framework


def broken():
    """A bundle with five faults of different kinds."""
    source = bundle()
    masses = source.masses.copy()
    masses[[1, 3]] = np.nan, -1
    indices = source.term("bonds").indices.copy()
    indices[2] = 99, 1
    bonds = replace(source.term("bonds"), indices=indices)
    angles = replace(source.table("angles"), units=("kcal/mol/rad^2", "rad"))
    return replace(
        source,
        masses=masses,
        terms={**source.terms, "bonds": bonds},
        tables={**source.tables, "angles": angles},
        system_names=("one",),
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_fault_is_told_at_once_with_its_path(backend):
    with framework(backend), pytest.raises(ValidationError) as caught:
        fb.validate(broken().to(backend))
    assert caught.value.faults == (
        "masses[1]: NaN or infinite values; every value must be finite [A-4]",
        "system_names: 1 names for 2 systems [D-6]",
        "masses[3]: a mass must not be negative, found -1.0 Da [G-3]",
        "terms/bonds/indices[2]: atoms must be in [0, 8), found 99 [I-3]",
        "tables/angles/units: kcal/mol/rad^2, rad; the form harmonic_angle has: kJ/mol/rad^2, rad, in this order; "
        "convert the values to these [T-2]",
    )
    assert str(caught.value).startswith("bundle does not follow the standard (5 faults):\n  masses[1]: NaN")


@pytest.mark.parametrize("backend", BACKENDS)
def test_valid_bundles_pass_in_every_framework(backend):
    with framework(backend):
        fb.validate(bundle().to(backend))


def test_tables_with_gradients_can_be_checked():
    torch = pytest.importorskip("torch")
    source = bundle().to("torch")
    leaf = source.table("vdw").values.clone().requires_grad_()
    fb.validate(source.replace_table("vdw", leaf))
    with pytest.raises(ValidationError, match=r"tables/vdw/values\[0, 1, 2\]: sigma must be at least 0 nm, found -"):
        fb.validate(source.replace_table("vdw", leaf - torch.tensor([1.0, 0.0])))


def test_traced_tables_cannot_be_checked():
    with framework("jax"):
        import jax

        source = bundle().to("jax")
        with pytest.raises(ExchangeError, match="traced"):
            jax.jit(lambda values: fb.validate(source.replace_table("vdw", values)))(source.table("vdw").values)


def test_only_the_first_rows_of_many_are_listed():
    bad = replace(bundle(), masses=np.full(8, -1.0))
    with pytest.raises(ValidationError, match=r"masses\[0, 1, 2, … 8 in all\]: a mass"):
        fb.validate(bad)


def test_weights_of_a_dtype_that_files_lack_are_refused():
    model = replace(bundle().models["net"], sha256="", weights={"w": np.ones(2, dtype=np.complex64)})
    with pytest.raises(ValidationError, match=r"models/net/w: dtype complex64, expected one of bool, int8.*\[A-2\]"):
        fb.validate(replace(bundle(), models={"net": model}))


def test_a_document_that_is_no_json_is_refused():
    with pytest.raises(BundleError, match="^provenance/steps: "):
        fb.validate(replace(bundle(), provenance={"steps": {1, 2}}))


def test_wide_integers_do_not_wrap_around():
    """Offsets whose differences overflow int32 are not taken for increasing ones."""
    offsets = np.asarray([0, 2_000_000_000, -2_000_000_000], dtype=np.int32)
    with pytest.raises(ValidationError, match="system_offsets: must begin with 0 and increase"):
        fb.validate(replace(bundle(), system_offsets=offsets))


texts = st.one_of(st.just(""), st.text(max_size=3), st.integers(), st.none())
keys = st.one_of(
    st.dictionaries(
        st.sampled_from(["handler", "pattern", "id", "index", "other"]),
        st.one_of(texts, st.booleans(), st.integers(-1, 3), st.floats(allow_nan=False)),
    ),
    texts,
)


@given(keys)
def test_keys_that_skip_the_schema_follow_it(key):
    """`are_plain_keys` stands in for the validator, for speed: what it lets through, the schema accepts."""
    schema = {**load_schema(), "$ref": "#/$defs/key", "type": ["object", "string", "integer", "null"]}
    schema = {name: schema[name] for name in ("$schema", "$defs", "$ref")}
    if are_plain_keys([key]):
        assert Draft202012Validator(schema).is_valid(key)


def test_plain_keys_are_told_apart():
    plain = {"handler": "Bonds", "pattern": "[*:1]"}
    assert are_plain_keys([plain])
    assert are_plain_keys([plain, {**plain, "id": "b1", "index": 0}])
    for wrong in (
        {"handler": "Bonds"},
        {**plain, "x": 1},
        {**plain, "id": ""},
        {**plain, "index": -1},
        {**plain, "index": True},
        {**plain, "pattern": "\ud800"},
        [],
    ):
        assert not are_plain_keys([plain, wrong])


def chain(n_atoms):
    """A chain of atoms whose bonds have a row each, with keys."""
    index = np.arange(n_atoms - 1, dtype=np.int32)
    bonds = fb.Term("harmonic_bond", np.stack([index, index + 1], axis=1), "bonds", fb.Select(index))
    names = tuple(fb.ParameterKey("Bonds", "[*:1]", index=number) for number in range(n_atoms - 1))
    table = fb.Table(np.ones((n_atoms - 1, 2)), ("k", "length"), ("kJ/mol/nm^2", "nm"), names)
    offsets = np.asarray([0, n_atoms], dtype=np.int32)
    return fb.Bundle(offsets, np.ones(n_atoms, dtype=np.int32), {"bonds": bonds}, {"bonds": table})


def test_time_grows_with_size_only():
    def seconds(n_atoms):
        source = chain(n_atoms)
        start = time.perf_counter()
        fb.validate(source)
        return time.perf_counter() - start

    small, large = min(seconds(4_000) for _ in range(3)), min(seconds(64_000) for _ in range(3))
    assert large < 64 * small  # sixteen times the size; a quadratic step would take 256 times as long
