"""Checks of the document alone: the JSON Schema of the standard, and what ties its members together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ffbridge.canonical import are_plain_keys
from ffbridge.rules.fault import Fault, named, shortened, shown
from ffbridge_spec import load_schema

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

__all__ = ["document_faults", "version_fault"]

_MAJOR = "1"

_KEPT = 2**16
"""The longest text of which it is kept whether it follows the schema."""


def version_fault(document: Mapping[str, Any]) -> str | None:
    """Return why a document is not one of this major version, or None if it is."""
    if document.get("format") != "ffbridge-bundle":
        return f"format is {shown(document.get('format'))}, expected 'ffbridge-bundle': this is no bundle [D-2]"
    version = document.get("version")
    if not isinstance(version, str) or version.partition(".")[0] != _MAJOR:
        return (
            f"version is {shown(version)}, and this ffbridge reads version {_MAJOR}.x. "
            "Read it with the ffbridge that wrote it, or update: pip install --upgrade ffbridge [D-3]"
        )
    return None


def document_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the breaks of the JSON Schema; if there are none, the names that are used and not defined."""
    short = _without_plain_parts(document)
    if _follows_schema(short):
        yield from _dangling(document)
    else:
        yield from map(_fault, _validator().iter_errors(short))


def _dangling(document: Mapping[str, Any]) -> Iterator[Fault]:
    tables, models = document["tables"], document.get("models", {})
    terms = document["terms"].values()
    used = {term["table"] for term in terms} | {term["overrides"] for term in terms if "overrides" in term}
    unused = set(tables) - used if used <= set(tables) else set()
    known_tables, known_models = named(sorted(tables)), named(sorted(models))
    for name, term in document["terms"].items():
        if term["table"] not in tables:
            message = f"there is no table {shown(term['table'])}; there are: {known_tables}"
            yield Fault(f"terms/{name}/table", message, "I-2")
        if "overrides" in term and term["overrides"] not in tables:
            message = f"there is no table {shown(term['overrides'])}; there are: {known_tables}"
            yield Fault(f"terms/{name}/overrides", message, "O-1")
    for name, table in tables.items():
        if name in unused:
            yield Fault(f"tables/{name}", "no term uses this table: leave it out, or name it in a term", "T-5")
        if "model" in table and table["model"] not in models:
            message = f"there is no model {shown(table['model'])}; there are: {known_models}"
            yield Fault(f"tables/{name}/model", message, "P-2")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema())


def _fault(error: ValidationError) -> Fault:
    path = "/".join(str(part) for part in error.absolute_path)
    return Fault(path or "document", shortened(error.message, 300), _rule(error))


def _rule(error: ValidationError) -> str:
    """Return the innermost ``$comment`` on the way to the broken keyword: there the schema names the rule."""
    schema = load_schema()
    node: Any = schema
    rule = schema["$comment"]
    for part in error.absolute_schema_path:
        node = node[part]
        if isinstance(node, dict) and "$ref" in node:  # the path leads through references without naming them
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        rule = node.get("$comment", rule) if isinstance(node, dict) else rule
    return str(rule)


def _follows_schema(document: Mapping[str, Any]) -> bool:
    """Return whether a document follows the schema; what is found of a text is kept, for bundles that are alike."""
    text = json.dumps(document)
    return _text_follows(text) if len(text) <= _KEPT else _validator().is_valid(document)


@lru_cache(maxsize=64)
def _text_follows(text: str) -> bool:
    return _validator().is_valid(json.loads(text))


def _without_plain_parts(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document without what is long, differs from bundle to bundle, and is plainly right.

    That is provenance, which may be any object, the names of systems, and the keys of tables, for each of which the
    validator takes 40 µs.
    """
    short = {**document}
    if isinstance(document.get("provenance"), dict):
        short["provenance"] = {}
    names = document.get("system_names")
    if isinstance(names, list) and set(map(type, names)) <= {str}:
        short["system_names"] = []
    if isinstance(tables := document.get("tables"), dict):
        short["tables"] = {name: _without_keys(table) for name, table in tables.items()}
    return short


def _without_keys(table: Any) -> Any:
    keys = table.get("keys") if isinstance(table, dict) else None
    return {**table, "keys": []} if keys and are_plain_keys(keys) else table
