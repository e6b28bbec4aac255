"""The standard's parts agree: text, schema, registry of forms, vectors and the scripts that made them."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator

from ffbridge.rules.layout import WEIGHT
from ffbridge_spec import load_forms, load_schema, vectors

from . import independent
from .load import load
from .make_vectors import invalid, valid
from .make_vectors.write import as_text

WITHOUT_VECTOR = {"E-5"}
"""About what an engine lacks: `tests/bridge` shows it."""


@pytest.fixture(scope="module")
def text(root):
    return (root / "spec/bundle.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rules(text):
    """The rules by number; each stands where the text says MUST first."""
    return set(re.findall(r"\[([A-Z]-\d+)\]", text))


def exercised(kind):
    found = load(kind).values()
    return {rule for vector in found for rule in vector.get("rules", [vector.get("rule")])}


def test_every_rule_has_a_valid_and_an_invalid_vector(rules):
    of_bundles = {rule for rule in rules if not rule.startswith("E")}
    assert exercised("valid") == of_bundles
    assert exercised("invalid") == of_bundles


def test_every_rule_of_evaluation_has_an_energy_vector(rules):
    assert exercised("energy") == {rule for rule in rules if rule.startswith("E")} - WITHOUT_VECTOR


def test_every_must_has_a_number(text):
    """Each paragraph, list item or table row that says MUST names a rule."""
    parts = re.split(r"\n\s*\n|\n(?=[-|\[])|\n(?=\s+\[)", text.split("## 2.", 1)[1])
    bare = [part for part in parts if re.search(r"\bMUST\b", part) and not re.search(r"\[[A-Z]-\d+\]", part)]
    # A sentence may go on from a numbered rule, and restates, for readers, what one says.
    allowed = ("readers MUST go by the form",)
    assert [part for part in bare if not any(words in part for words in allowed)] == []


def test_rules_are_numbered_without_gaps(rules):
    for letter in {rule[0] for rule in rules}:
        numbers = sorted(int(rule[2:]) for rule in rules if rule[0] == letter)
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_schema_is_a_schema_and_names_rules(rules):
    Draft202012Validator.check_schema(load_schema())
    assert set(re.findall(r'"\$comment": "([A-Z]-\d+)"', json.dumps(load_schema()))) <= rules


@pytest.mark.parametrize("name", load("valid"))
def test_valid_documents_follow_the_schema(name):
    assert list(Draft202012Validator(load_schema()).iter_errors(load("valid")[name]["document"])) == []


def test_schema_and_registry_have_the_same_settings():
    settings = set(load_schema()["$defs"]["settings"]["properties"])
    registry = load_forms()
    assert settings == set(registry["settings"])
    used = {"method"}
    for entry in (*registry["methods"].values(), *registry["forms"].values()):
        used |= {*entry.get("required", ()), *entry.get("optional", ()), *entry.get("settings", ())}
    assert used == settings


def test_the_registry_names_what_it_has():
    registry = load_forms()
    for form in registry["forms"].values():
        assert set(form.get("methods", ())) <= set(registry["methods"])
        assert (form["kind"] == "nonbonded") == bool(form.get("methods"))


def test_the_text_describes_what_the_registry_has(text):
    registry = load_forms()
    for name, form in registry["forms"].items():
        section = next(part for part in text.split("\n### ") if part.partition("\n")[0].split()[1:2] == [f"`{name}`"])
        for column in form["columns"]:
            assert column["name"] in section
    for group in ("methods", "mixing_rules", "settings"):
        assert [name for name in registry[group] if f"`{name}`" not in text] == []


def test_the_vectors_hold_dtypes_that_weights_may_have():
    assert set(independent.CODES) <= set(WEIGHT)


@pytest.mark.parametrize(("kind", "maker"), [("valid", valid), ("invalid", invalid)])
def test_vectors_are_those_that_the_scripts_make(kind, maker):
    made = maker.vectors()
    assert set(load(kind)) == set(made)
    for name, vector in made.items():
        assert (vectors(kind) / f"{name}.json").read_text(encoding="utf-8") == as_text(vector)
        assert load(kind)[name] == vector
    assert {path.name for path in vectors(kind).iterdir() if path.name.endswith(".ffb")} == set(maker.files())
    for name, content in maker.files().items():
        assert (vectors(kind) / name).read_bytes() == content
