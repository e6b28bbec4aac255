"""Producers: from other programs' objects to bundles and graphs, one package for each program."""

from __future__ import annotations

__all__: list[str] = []
