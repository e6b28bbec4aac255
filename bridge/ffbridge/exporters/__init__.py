"""Exporters: from bundles to the objects of other programs."""

__all__: list[str] = []
