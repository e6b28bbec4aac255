"""Trajectories, by MDTraj: the frames that an observable's average is reweighted from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import MissingDependencyError, TargetError
from ffbridge.targets.kinds import ObservableTarget
from ffbridge.targets.libraries import library
from ffbridge.targets.molecules import check_geometry, mapped_molecule
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
        MissingDependencyError: MDTraj needs another package for this format, which is not installed.
    """
    mdtraj = library("mdtraj")

    for file in (path, *([] if topology is None else [topology])):
        if not os.path.exists(file):
            raise TargetError(f"{os.fspath(file)}: there is no such file")
    options: dict[str, Any] = {} if topology is None else {"top": os.fspath(topology)}
    try:
        found = mdtraj.load(os.fspath(path), stride=stride, **options)
    except ImportError as error:
        needed = getattr(error.__cause__ or error.__context__, "name", None) or "another package"
        raise MissingDependencyError(
            f"{os.fspath(path)}: MDTraj needs {needed} for this format, which is not installed: pip install {needed}"
        ) from error
    except DAMAGES as error:
        advice = "" if topology is not None else "; if it does not hold the atoms, give a file that does (topology=)"
        raise TargetError(f"{os.fspath(path)}: MDTraj cannot read it{advice}: {said(error)}") from error
    _require_frames(path, len(found), stride)
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


def _require_frames(path: str | os.PathLike[str], found: int, stride: int) -> None:
    """Refuse a DCD file with fewer frames than its header says: MDTraj reads what is there of one that was cut."""
    with open(path, "rb") as file:
        header = file.read(12)
    if header[4:8] != b"CORD":
        return
    order: Literal["little", "big"] = "little" if header[0] else "big"
    stated = -(-int.from_bytes(header[8:12], order) // stride)
    if found < stated:
        raise TargetError(f"{os.fspath(path)}: {found} frames, and its header says {stated}: the file was cut")


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
        TargetError: the numbers of frames differ, or the atoms are in another order than the target's SMILES.
    """
    # Across periodic boundaries, bonded atoms may be far apart.
    if target.smiles is not None and trajectory.box is None:
        try:
            check_geometry(mapped_molecule(target.smiles), trajectory.atomic_numbers, trajectory.positions)
        except TargetError as error:
            raise TargetError(f"target {target.name!r}: {error}") from error
    return replace(
        target,
        atomic_numbers=trajectory.atomic_numbers,
        positions=trajectory.positions,
        potential_energies=potential_energies,
        values=values,
    )
