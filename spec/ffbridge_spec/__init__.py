"""The ffbridge bundle standard as data: schemas, registries and conformance vectors, with helpers that load them."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

__all__ = ["load_forms", "load_schema", "load_targets", "vectors"]


@cache
def load_schema() -> dict[str, Any]:
    """Return the JSON Schema of a bundle's document (``bundle-1.schema.json``)."""
    return _load("bundle-1.schema.json")


@cache
def load_forms() -> dict[str, Any]:
    """Return the registry of functional forms, methods and mixing rules (``forms-1.json``)."""
    return _load("forms-1.json")


@cache
def load_targets() -> dict[str, Any]:
    """Return the registry of kinds of targets and of the columns that each is stored in (``targets-1.json``)."""
    return _load("targets-1.json")


def vectors(kind: str) -> Traversable:
    """Return the folder of conformance vectors of one kind: ``valid``, ``invalid`` or ``energy``."""
    return files(__name__) / "vectors" / kind


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((files(__name__) / name).read_text(encoding="utf-8"))
    return content
