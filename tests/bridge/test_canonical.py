"""Canonical JSON: as the package rfc8785 writes it, of any document; plain documents, as a reader has them."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ffbridge.canonical import canonical_json, plain_document
from ffbridge.errors import BundleError

TEXTS = st.one_of(st.text(min_size=1), st.sampled_from(['"', "\\", "\x1f\x7f", "\ue000", "\U0001f600", "é\n"]))
VALUES = st.one_of(TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1))
KEYS = st.lists(
    st.fixed_dictionaries(
        {"handler": TEXTS, "pattern": TEXTS}, optional={"id": TEXTS, "index": st.integers(0, 2**53 - 1)}
    )
)
ODD = st.lists(st.dictionaries(st.sampled_from(["handler", "pattern", "id", "index", "other"]), VALUES))
TABLES = st.dictionaries(
    TEXTS, st.fixed_dictionaries({"columns": st.lists(TEXTS)}, optional={"keys": st.one_of(KEYS, ODD), "model": TEXTS})
)
DOCUMENTS = st.fixed_dictionaries({"tables": TABLES}, optional={"zz": st.dictionaries(TEXTS, VALUES), "\ue000": VALUES})
KEY = {"handler": "Bonds", "pattern": "[*:1]", "id": "b1", "index": 0}


@given(DOCUMENTS)
def test_documents_are_as_rfc8785_writes_them(document):
    written = canonical_json(document)
    assert written == rfc8785.dumps(document)
    assert plain_document(document) == json.loads(written)


def test_plain_documents_are_as_a_reader_has_them():
    document = {"tables": {"bonds": {"columns": ("k", "length"), "keys": [KEY]}}, "provenance": {"a": (1, 2.0)}}
    expected = {"tables": {"bonds": {"columns": ["k", "length"], "keys": [KEY]}}, "provenance": {"a": [1, 2.0]}}
    assert plain_document(document) == expected
    assert canonical_json(document) == rfc8785.dumps(expected)
    assert document["tables"]["bonds"]["columns"] == ("k", "length")


@pytest.mark.parametrize("function", [canonical_json, plain_document])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pattern": "\ud800"}, r"tables/bonds/keys/0/pattern: '\\ud800' \(str\)"),
        ({"index": 2**53}, "tables/bonds/keys/0/index: .*exceeds"),
        ({1: "x"}, "tables/bonds/keys/0/1: the member's name 1 is no string"),
        ({"id": float("nan")}, "tables/bonds/keys/0/id: nan"),
    ],
)
def test_what_json_cannot_hold_is_named(function, wrong, message):
    with pytest.raises(BundleError, match=message):
        function({"tables": {"bonds": {"keys": [{**KEY, **wrong}]}}})


@pytest.mark.parametrize("place", ["document", "tables", "table"])
def test_names_of_members_are_text(place):
    table = {"keys": [KEY], **({1: 2} if place == "table" else {})}
    document = {"tables": {"bonds": table, **({1: {}} if place == "tables" else {})}}
    with pytest.raises(BundleError, match="the member's name 1 is no string"):
        canonical_json({**document, **({1: 2} if place == "document" else {})})
