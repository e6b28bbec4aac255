"""Bundles: document and arrays, lookups, updates that return new bundles, frameworks."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, ExchangeError, UnknownNameError

from .samples import BACKENDS, assert_equal, bundle, framework


def test_document_and_arrays_describe_the_bundle():
    source = bundle()
    rebuilt = fb.Bundle.from_parts(json.loads(json.dumps(source.document())), source.arrays())
    assert_equal(rebuilt, source)
    assert rebuilt.table("bonds").keys == source.table("bonds").keys
    assert rebuilt.term("vdw").settings == source.term("vdw").settings


def test_optional_parts_stay_away():
    source = bundle("minimal")
    assert set(source.document()) == {"format", "version", "tables", "terms"}
    assert set(source.arrays()) == {"system_offsets", "atomic_numbers", "tables/bonds/values", "terms/bonds/indices"}
    assert_equal(fb.Bundle.from_parts(source.document(), source.arrays()), source)


@pytest.mark.parametrize(
    "path", ["system_offsets", "terms/bonds/mapping/index", "exceptions/kept_lj", "tables/vdw/values"]
)
def test_a_missing_array_is_named(path):
    arrays = bundle().arrays()
    del arrays[path]
    with pytest.raises(BundleError, match=f"^{path}: the document needs this array"):
        fb.Bundle.from_parts(bundle().document(), arrays)


def test_an_array_without_place_is_named():
    with pytest.raises(BundleError, match="^velocities: the document does not mention"):
        fb.Bundle.from_parts(bundle().document(), {**bundle().arrays(), "velocities": np.zeros((8, 3))})


def test_counts_and_lookups():
    source = bundle()
    assert (source.n_systems, source.n_atoms) == (2, 8)
    assert len(source.term("bonds")) == 5
    assert len(source.table("bonds")) == 3
    np.testing.assert_array_equal(source.table("bonds").column("length"), [0.0965, 0.145, 0.09572])
    with pytest.raises(UnknownNameError, match="no term 'bond'; it has: angles, bonds, electrostatics"):
        source.term("bond")
    with pytest.raises(UnknownNameError, match="no table 'bond'"):
        source.table("bond")
    assert repr(source).startswith("Bundle(2 systems, 8 atoms; lone_pairs: 1 local_coordinates_3_site, ")


def test_bundles_are_immutable():
    source = bundle()
    with pytest.raises(FrozenInstanceError):
        source.masses = None
    with pytest.raises(TypeError):
        source.tables["bonds"] = None
    tables = dict(source.tables)
    copied = replace(source, tables=tables)
    tables.clear()
    assert set(copied.tables) == set(source.tables)


def test_a_table_is_replaced_in_a_new_bundle():
    source = bundle()
    before = source.table("vdw").values.copy()
    changed = source.replace_table("vdw", before * 2)
    np.testing.assert_array_equal(changed.table("vdw").values, before * 2)
    np.testing.assert_array_equal(source.table("vdw").values, before)
    assert changed.table("vdw").keys == source.table("vdw").keys
    assert changed.content_hash != source.content_hash
    with pytest.raises(BundleError, match=r"tables/vdw/values: got shape \(2, 2\), expected \(3, 2\)"):
        source.replace_table("vdw", np.zeros((2, 2)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_are_those_of_the_mapping(backend):
    """By hand, from the vector: select takes rows, linear adds weighted ones."""
    with framework(backend):
        source = bundle().to(backend)
        bonds = np.asarray(source.parameters("bonds"))
        np.testing.assert_array_equal(bonds[:, 0], [463000, 250000, 463000, 462750.4, 462750.4])
        np.testing.assert_allclose(
            np.asarray(source.parameters("improper_torsions")), [[4.9375, 0.25 * np.pi + 0.225, 2]]
        )
        charges = np.asarray(source.parameters("electrostatics"))[:, 0]
        np.testing.assert_allclose(charges, [0.4, -0.45, -0.45, 0.4, 0.1, -0.8, 0.4, 0.4], rtol=1e-14)


def test_other_values_can_stand_in_for_the_table():
    source = bundle()
    other = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(source.parameters("bonds", other), other[[0, 1, 0, 2, 2]])


@pytest.mark.parametrize("term", ["bonds", "angles", "improper_torsions", "electrostatics"])
def test_pullback_is_the_adjoint(term):
    """<Mθ, c> = <θ, Mᵀc> for any θ and c."""
    source, random = bundle(), np.random.default_rng(0)
    table = source.table(source.term(term).table).values
    theta = random.normal(size=table.shape)
    cotangent = random.normal(size=source.parameters(term).shape)
    np.testing.assert_allclose(
        (source.parameters(term, theta) * cotangent).sum(), (theta * source.pullback(term, cotangent)).sum(), rtol=1e-12
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bundle_goes_to_a_framework_and_back(backend):
    with framework(backend):
        moved = bundle().to(backend)
        assert {fb.to(array, "numpy").dtype for array in moved.arrays().values()} >= {
            np.dtype("float64"),
            np.dtype("int32"),
        }
        assert_equal(moved.to("numpy"), bundle())


def test_torch_aliases_the_arrays():
    pytest.importorskip("torch")
    source = bundle()
    moved = source.to("torch")
    assert moved.term("bonds").indices.data_ptr() == source.term("bonds").indices.ctypes.data


def test_a_cast_touches_reals_only():
    cast = bundle().to("numpy", dtype="float32")
    assert cast.table("vdw").values.dtype == np.float32
    assert cast.term("vdw").indices.dtype == np.int32
    fb.validate(replace(cast, models={}, tables={**cast.tables, "angles": replace(cast.table("angles"), model=None)}))


def test_float64_is_refused_by_jax_without_x64():
    pytest.importorskip("jax")
    with pytest.raises(ExchangeError, match="jax_enable_x64"):
        bundle("minimal").to("jax")
    assert bundle("minimal").to("jax", dtype="float32").table("bonds").values.dtype == np.float32
