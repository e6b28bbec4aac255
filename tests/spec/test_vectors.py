"""Valid and invalid vectors: what a reader must accept, and what it must refuse, with the rule and the place."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rfc8785

from ffbridge import Bundle, load, save, validate
from ffbridge.errors import BundleFileError, FFBridgeError, ValidationError
from ffbridge.rules import find_faults
from ffbridge_spec import vectors

from . import independent
from .load import arrays_of, to_numpy
from .load import load as load_vectors

VALID = load_vectors("valid")
INVALID = load_vectors("invalid")
CHANGED = {name: vector for name, vector in INVALID.items() if "base" in vector}
FILES = {name: vector for name, vector in INVALID.items() if "file" in vector}


def bundle_of(vector) -> Bundle:
    return Bundle.from_parts(vector["document"], arrays_of(vector))


def assert_same(found: Bundle, vector) -> None:
    expected = arrays_of(vector)
    assert found.arrays().keys() == expected.keys()
    for path, array in found.arrays().items():
        assert array.dtype == expected[path].dtype
        np.testing.assert_array_equal(array, expected[path])


@pytest.mark.parametrize("name", VALID)
def test_valid_vectors_are_accepted(name):
    validate(bundle_of(VALID[name]))


@pytest.mark.parametrize("name", VALID)
def test_content_hash_is_that_of_the_vector(name):
    """The vectors' hashes come from the text of the standard by another program (`independent`)."""
    vector = VALID[name]
    assert vector["sha256"] == independent.content_hash(rfc8785.dumps(vector["document"]), vector["arrays"])
    if vector["document"]["version"] == "1.0":  # a bundle is written with the version of its writer
        assert bundle_of(vector).content_hash == vector["sha256"]


@pytest.mark.parametrize("name", VALID)
def test_files_of_another_program_are_read(name, tmp_path):
    vector, path = VALID[name], tmp_path / "other.ffb"
    path.write_bytes(independent.bundle_file(rfc8785.dumps(vector["document"]), vector["arrays"]))
    assert_same(load(path), vector)


@pytest.mark.parametrize("name", VALID)
def test_own_files_hold_the_vector(name, tmp_path):
    vector, path = VALID[name], tmp_path / "own.ffb"
    save(bundle_of(vector), path)
    found = load(path)
    assert_same(found, vector)
    assert found.document() == {**vector["document"], "version": "1.0"}


@pytest.mark.parametrize(
    "path", [p for p in vectors("valid").iterdir() if p.name.endswith(".ffb")], ids=lambda p: p.name
)
def test_valid_files_hold_their_vector(path):
    vector = VALID[path.name.removesuffix(".ffb")]
    assert_same(load(path), vector)
    assert load(path).content_hash == vector["sha256"]


@pytest.mark.parametrize("name", CHANGED)
def test_invalid_vectors_break_their_rule_and_no_other(name):
    vector = CHANGED[name]
    document, arrays = independent.broken(vector, VALID)
    faults = find_faults(document, {path: to_numpy(array) for path, array in arrays.items()})
    assert (vector["path"], vector["rule"]) in {(fault.path, fault.rule) for fault in faults}
    assert {fault.rule for fault in faults} == {vector["rule"]}, [str(fault) for fault in faults]


@pytest.mark.parametrize("name", CHANGED)
def test_invalid_vectors_are_refused_as_files(name, tmp_path):
    """The same faults in a file that is sound otherwise: its hash is right."""
    vector, path = CHANGED[name], tmp_path / "bad.ffb"
    document, arrays = independent.broken(vector, VALID)
    path.write_bytes(independent.bundle_file(rfc8785.dumps(document), arrays))
    with pytest.raises((ValidationError, BundleFileError), match=re.escape(f"[{vector['rule']}]")) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_invalid_files_are_refused(name):
    path = vectors("invalid") / FILES[name]["file"]
    with pytest.raises(BundleFileError, match=re.escape(f"[{FILES[name]['rule']}]")) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_what_need_not_be_refused_is_read_without_verification():
    lenient = [vector["file"] for vector in FILES.values() if vector.get("may_accept")]
    assert lenient
    for file in lenient:
        load(vectors("invalid") / file, verify=False)


def test_invalid_vectors_cannot_be_saved(tmp_path):
    """Those that can be built as a bundle at all: nothing is written."""
    saved = 0
    for name, vector in CHANGED.items():
        document, arrays = independent.broken(vector, VALID)
        try:
            bundle = Bundle.from_parts(document, {path: to_numpy(array) for path, array in arrays.items()})
        except (FFBridgeError, KeyError, TypeError, ValueError):
            continue
        if bundle.document() != document:
            continue  # the fault is in a member that a Bundle does not have, or writes as it must be
        with pytest.raises(ValidationError, match=re.escape(f"[{vector['rule']}]")):
            save(bundle, tmp_path / f"{name}.ffb")
        saved += 1
    assert saved > 60
    assert list(tmp_path.iterdir()) == []
