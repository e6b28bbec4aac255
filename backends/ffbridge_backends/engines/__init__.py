"""Engines: one module for each way of evaluating a bundle."""

__all__: list[str] = []
