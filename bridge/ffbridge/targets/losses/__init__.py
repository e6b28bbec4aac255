"""Losses: what of a target is compared with a potential, and how much a deviation counts."""

from ffbridge.targets.losses.energies import Offset, without_offset
from ffbridge.targets.losses.hessians import HessianCoordinates, projection
from ffbridge.targets.losses.part import Part, Scales

__all__ = [
    "HessianCoordinates",
    "Offset",
    "Part",
    "Scales",
    "projection",
    "without_offset",
]
