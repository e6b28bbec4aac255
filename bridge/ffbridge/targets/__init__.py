"""Targets: data that a potential is to reproduce, with readers, files and losses.

A target is data in arrays (:class:`TorsionDrive`, :class:`ConformerTarget`, …); :func:`objective` binds targets to a
potential, as one loss of its tables that every host differentiates.
"""

from ffbridge.targets.derivatives import energies_and_forces, hessian_rows
from ffbridge.targets.identifiability import Combination, Determinacy, Identifiability, identifiability
from ffbridge.targets.kinds import (
    ConformerTarget,
    DimerTarget,
    HessianTarget,
    ObservableTarget,
    OptimizedGeometry,
    TorsionDrive,
)
from ffbridge.targets.losses import Part, Scales
from ffbridge.targets.matching import smiles_of
from ffbridge.targets.objective import Comparison, Objective, loss, objective
from ffbridge.targets.prior import Prior
from ffbridge.targets.readers import (
    Trajectory,
    read_descent,
    read_evaluator,
    read_extended_xyz,
    read_optimizations,
    read_spice,
    read_torsion_drives,
    read_torsion_profiles,
    read_trajectory,
    with_trajectory,
)
from ffbridge.targets.reading import Reading, Rejected
from ffbridge.targets.relax import HeldDihedrals, Relaxed, relax
from ffbridge.targets.reweighting import Observable, effective_sample_size, reweighting
from ffbridge.targets.storage import arrow_schema, load, save
from ffbridge.targets.target import MoleculeTarget, Target

__all__ = [
    "Combination",
    "Comparison",
    "ConformerTarget",
    "Determinacy",
    "DimerTarget",
    "HeldDihedrals",
    "HessianTarget",
    "Identifiability",
    "MoleculeTarget",
    "Objective",
    "Observable",
    "ObservableTarget",
    "OptimizedGeometry",
    "Part",
    "Prior",
    "Reading",
    "Rejected",
    "Relaxed",
    "Scales",
    "Target",
    "TorsionDrive",
    "Trajectory",
    "arrow_schema",
    "effective_sample_size",
    "energies_and_forces",
    "hessian_rows",
    "identifiability",
    "load",
    "loss",
    "objective",
    "read_descent",
    "read_evaluator",
    "read_extended_xyz",
    "read_optimizations",
    "read_spice",
    "read_torsion_drives",
    "read_torsion_profiles",
    "read_trajectory",
    "relax",
    "reweighting",
    "save",
    "smiles_of",
    "with_trajectory",
]
