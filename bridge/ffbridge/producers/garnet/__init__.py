"""From Garnet: its graph neural network makes the parameters of molecules."""

from __future__ import annotations

from .bundle import from_garnet

__all__ = ["from_garnet"]
