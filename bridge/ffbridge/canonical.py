"""JSON in its one canonical form (RFC 8785), which digests are made of.

The package rfc8785 writes it, but for the keys of tables: they are nearly all of a document, have one simple shape, and
are written here, twenty times as fast.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

import rfc8785

from ffbridge.errors import BundleError

__all__ = ["are_plain_keys", "canonical_json", "plain_document"]

_TEXTS = ("handler", "id", "pattern")
_MEMBERS = {*_TEXTS, "index"}
_LARGEST = 2**53
"""From here on, JSON's numbers do not tell integers apart."""


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON in its one canonical form (RFC 8785), UTF-8.

    Raises:
        BundleError: it holds what JSON cannot.
    """
    try:
        rest, keys = _apart(document)
        return _joined(rest, keys) if keys else rfc8785.dumps(dict(document))
    except RecursionError as error:
        raise BundleError("document: nested deeper than Python can follow. Flatten it") from error
    except ValueError as error:  # rfc8785's own errors, and those that it lets pass: of half surrogate pairs in names
        raise BundleError(
            f"{_problem(document, error)}. A document holds strings, finite numbers, integers up to 2^53, true, false, "
            "null, lists and objects: convert the value"
        ) from error


def plain_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as a reader of its JSON has it: tuples are lists, subclasses of text are text.

    Raises:
        BundleError: it holds what JSON cannot.
    """
    rest, keys = _apart(document)
    plain: dict[str, Any] = json.loads(canonical_json(rest))
    for name, of_table in keys.items():
        plain["tables"][name]["keys"] = of_table
    return plain


def are_plain_keys(keys: Any) -> bool:
    """Return whether keys of a table are plainly right: all have a handler, a pattern, and perhaps an id and an index.

    Texts are Unicode and not empty, and each value is of the type itself, no subclass of it.
    """
    if type(keys) is not list or set(map(type, keys)) - {dict}:
        return False
    if not all({"handler", "pattern"} <= set(members) <= _MEMBERS for members in set(map(tuple, keys))):
        return False
    for name in _TEXTS:
        texts = [key[name] for key in keys if name in key]
        if not all(texts) or set(map(type, texts)) - {str} or any(map(_is_surrogate, _without_ascii(texts))):
            return False
    numbers = [key["index"] for key in keys if "index" in key]
    return not numbers or (set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) < _LARGEST)


def _without_ascii(texts: list[str]) -> set[str]:
    return {text for text in texts if not text.isascii()}


def _apart(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, list[dict[str, Any]]]]:
    """Return the document with no keys in those tables whose keys are plain, and these, by table."""
    tables = document.get("tables")
    if not isinstance(tables, dict) or not _have_names(document, tables):
        return document, {}
    keys = {
        name: table["keys"]
        for name, table in tables.items()
        if isinstance(table, dict) and _have_names(table) and table.get("keys") and are_plain_keys(table["keys"])
    }
    emptied = {name: {**tables[name], "keys": []} for name in keys}
    return {**document, "tables": {**tables, **emptied}}, keys


def _have_names(*objects: Mapping[str, Any]) -> bool:
    """Return whether all members have names that are text: JSON has no others."""
    return not {type(name) for each in objects for name in each} - {str}


def _joined(document: Mapping[str, Any], keys: Mapping[str, list[dict[str, Any]]]) -> bytes:
    """Return the canonical form of a document, of which these keys of tables were taken out."""
    tables = {
        name: _object({member: rfc8785.dumps(value) for member, value in table.items()} | {"keys": _keys(keys[name])})
        if name in keys
        else rfc8785.dumps(table)
        for name, table in document["tables"].items()
    }
    others = {name: rfc8785.dumps(value) for name, value in document.items() if name != "tables"}
    return _object({**others, "tables": _object(tables)})


def _object(members: Mapping[str, bytes]) -> bytes:
    """Return an object whose members' values are canonical already. Its order is that of the names in UTF-16."""
    ordered = sorted(members.items(), key=lambda member: member[0].encode("utf-16be"))
    return b"{%s}" % b",".join(b"%s:%s" % (rfc8785.dumps(name), value) for name, value in ordered)


def _keys(keys: list[dict[str, Any]]) -> bytes:
    """Return the canonical form of plain keys. Many have the same pattern: each text is escaped once."""
    quoted = _Quoted()
    parts = []
    for key in keys:
        name = f',"id":{quoted[key["id"]]}' if "id" in key else ""
        number = f',"index":{key["index"]}' if "index" in key else ""
        parts.append(f'{{"handler":{quoted[key["handler"]]}{name}{number},"pattern":{quoted[key["pattern"]]}}}')
    return f"[{','.join(parts)}]".encode()


class _Quoted(dict[str, str]):
    """Texts as JSON has them. What must be escaped, and how, is the same in RFC 8785 and in Python's json."""

    def __missing__(self, text: str) -> str:
        found = self[text] = encode_basestring(text)
        return found


def _problem(document: Mapping[str, Any], error: ValueError) -> str:
    try:
        path, problem = _not_json(document) or ("document", str(error))
    except RecursionError:  # the search goes deeper than what it looks into
        path, problem = "document", str(error)[:100]
    return f"{path}: {problem}"


def _not_json(value: Any, path: str = "") -> tuple[str, str] | None:
    """Return the path of the first value that JSON cannot hold, and what it is."""
    if isinstance(value, Mapping):
        parts = list(value.items())
        if unnamed := [name for name in value if not isinstance(name, str)]:
            return f"{path}/{unnamed[0]}", f"the member's name {unnamed[0]!r} is no string"
        if unspelled := [name for name in value if _is_surrogate(name)]:
            return path or "document", f"the member's name {unspelled[0]!a} is no Unicode"
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    else:
        try:
            rfc8785.dumps(value)
        except ValueError as error:
            return path or "document", f"{_shown(value)} ({type(value).__name__}): {error}"
        return None
    found = (_not_json(item, f"{path}/{name}" if path else str(name)) for name, item in parts)
    return next(filter(None, found), None)


def _is_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    """Return how a message shows a value: Python refuses to write integers of thousands of digits."""
    return "a number of thousands of digits" if isinstance(value, int) and abs(value) > 10**100 else ascii(value)[:100]
