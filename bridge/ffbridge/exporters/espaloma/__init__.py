"""Bundles onto espaloma's graphs."""

from __future__ import annotations

from .write import to_espaloma

__all__ = ["to_espaloma"]
