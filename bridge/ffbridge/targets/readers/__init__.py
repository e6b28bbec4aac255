"""Readers: training data as other programs ship it, to targets."""

from ffbridge.targets.readers.descent import read_descent
from ffbridge.targets.readers.evaluator import read_evaluator
from ffbridge.targets.readers.extxyz import read_extended_xyz
from ffbridge.targets.readers.forcebalance import read_torsion_profiles
from ffbridge.targets.readers.qcarchive import read_optimizations, read_torsion_drives
from ffbridge.targets.readers.spice import read_spice
from ffbridge.targets.readers.trajectory import Trajectory, read_trajectory, with_trajectory

__all__ = [
    "Trajectory",
    "read_descent",
    "read_evaluator",
    "read_extended_xyz",
    "read_optimizations",
    "read_spice",
    "read_torsion_drives",
    "read_torsion_profiles",
    "read_trajectory",
    "with_trajectory",
]
