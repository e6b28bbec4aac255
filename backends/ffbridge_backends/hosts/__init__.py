"""Hosts: how a framework calls an engine function and differentiates through it."""

__all__: list[str] = []
