"""From espaloma: its graphs become bundles, and OpenFF molecules become its graphs."""

from __future__ import annotations

from .bundle import from_espaloma
from .graph import espaloma_arrays, espaloma_graph

__all__ = ["espaloma_arrays", "espaloma_graph", "from_espaloma"]
