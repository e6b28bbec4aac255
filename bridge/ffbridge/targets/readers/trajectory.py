"""Trajectories, by MDTraj: the frames that an observable's average is reweighted from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import TargetError
from ffbridge.targets.kinds import ObservableTarget
from ffbridge.targets.reading import DAMAGES, said

__all__ = ["Trajectory", "read_trajectory", "with_trajectory"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one system.

    Attributes:
        atomic_numbers: ``(n_atoms,) int32``.
        positions: ``(n_frames, n_atoms, 3)`` [nm].
        box: ``(n_frames, 3, 3)`` [nm], box vectors as rows; None without periodic boundaries.
    """

    atomic_numbers: NDArray[np.int32]
    positions: Floats
    box: Floats | None


def read_trajectory(
    path: str | os.PathLike[str], *, topology: str | os.PathLike[str] | None = None, stride: int = 1
) -> Trajectory:
    """Return a trajectory of any format that MDTraj reads (DCD, XTC, HDF5, PDB, …).

    Args:
        path: the file.
        topology: a file with the atoms, such as a PDB, for formats that do not hold them.
        stride: read every so many frames.

    Raises:
        TargetError: MDTraj cannot read it, or a frame is not finite.
    """
    import mdtraj

    options: dict[str, Any] = {} if topology is None else {"top": os.fspath(topology)}
    try:
        found = mdtraj.load(os.fspath(path), stride=stride, **options)
    except DAMAGES as error:
        raise TargetError(f"{os.fspath(path)}: MDTraj cannot read it: {said(error)}") from error
    positions = found.xyz.astype(np.float64)
    if not np.isfinite(positions).all():
        frame, atom, _ = np.argwhere(~np.isfinite(positions))[0]
        raise TargetError(f"{os.fspath(path)}: frame {frame}: the position of atom {atom} is not finite")
    elements = [atom.element for atom in found.topology.atoms]
    if any(element is None for element in elements):
        raise TargetError(f"{os.fspath(path)}: atom {elements.index(None)} has no element in the topology")
    return Trajectory(
        atomic_numbers=np.array([element.atomic_number for element in elements], dtype=np.int32),
        positions=positions,
        box=None if found.unitcell_vectors is None else found.unitcell_vectors.astype(np.float64),
    )


def with_trajectory(
    target: ObservableTarget, trajectory: Trajectory, *, potential_energies: Floats, values: Floats
) -> ObservableTarget:
    """Return an observable with the frames that its average is reweighted from.

    Args:
        target: the observable.
        trajectory: frames of the ensemble at its temperature.
        potential_energies: ``(n_frames,)`` [kJ/mol], with the parameters that made the trajectory.
        values: ``(n_frames,)``, the observable in each frame, in the target's unit.

    Raises:
        TargetError: the numbers of frames differ.
    """
    return replace(
        target,
        atomic_numbers=trajectory.atomic_numbers,
        positions=trajectory.positions,
        potential_energies=potential_energies,
        values=values,
    )
