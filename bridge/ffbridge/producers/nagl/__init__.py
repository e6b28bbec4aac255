"""From NAGL: its graph neural networks make charges, and gradients go back to their weights."""

from __future__ import annotations

from .bundle import from_nagl
from .charges import NaglCharges, nagl_charges

__all__ = ["NaglCharges", "from_nagl", "nagl_charges"]
