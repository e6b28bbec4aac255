"""ForceBalance: folders of targets ``TorsionProfile_SMIRNOFF``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import TargetError
from ffbridge.targets.kinds import TorsionDrive
from ffbridge.targets.libraries import library
from ffbridge.targets.molecules import check_geometry, mapped_molecule, mapped_smiles_of_file
from ffbridge.targets.readers.grid import grid_point, require_grid
from ffbridge.targets.reading import DAMAGES, Reading, read_entries, said
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_ANGSTROM

__all__ = ["read_torsion_profiles"]

Floats = NDArray[np.float64]


def read_torsion_profiles(folder: str | os.PathLike[str], *, partial: bool = False) -> Reading[TorsionDrive]:
    """Return the torsion drives of a target folder, or of all such folders in a folder.

    A target has ``metadata.json`` (dihedrals and grid), ``scan.xyz`` (geometries, Å), ``qdata.txt`` (the same
    geometries, Å, with energies, hartree) and ``input.sdf`` (the molecule).

    Args:
        folder: the folder.
        partial: keep drives of which grid points are missing; the provenance lists them. Where ``metadata.json`` has no
            ``grid_spacing``, nothing tells.

    Raises:
        TargetError: there is no target.
    """
    root = Path(folder)
    folders = (
        [root] if (root / "metadata.json").exists() else sorted(each.parent for each in root.glob("*/metadata.json"))
    )
    if not folders:
        raise TargetError(f"{root}: no metadata.json in it, nor in a folder of it: no target TorsionProfile_SMIRNOFF")
    return read_entries(((each.name, each) for each in folders), lambda name, each: _target(name, each, partial))


def _target(name: str, folder: Path, partial: bool) -> TorsionDrive:
    metadata = _metadata(folder)
    smiles = mapped_smiles_of_file(str(folder / "input.sdf"))
    molecule = mapped_molecule(smiles)
    numbers, scan = _scan(folder)
    coordinates, energies = _qdata(folder)
    positions = scan * NM_PER_ANGSTROM
    check_geometry(molecule, numbers, positions)
    grid = [grid_point(key, "metadata.json: torsion_grid_ids") for key in metadata["torsion_grid_ids"]]
    counts = {"torsion_grid_ids": len(grid), "scan.xyz": len(scan), "qdata.txt: ENERGY": len(energies)}
    if len(set(counts.values())) > 1:
        raise TargetError(f"{', '.join(f'{key} has {count}' for key, count in counts.items())}: expected as many each")
    if coordinates.shape != scan.shape or np.abs(coordinates - scan).max() > 1e-3:
        raise TargetError("qdata.txt: COORDS are not the geometries of scan.xyz")
    provenance: dict[str, Any] = {"source": "ForceBalance TorsionProfile_SMIRNOFF", "folder": name}
    provenance |= {key: metadata[key] for key in ("grid_spacing", "energy_upper_limit") if key in metadata}
    if metadata.get("grid_spacing"):
        spacing, ranges = metadata["grid_spacing"], metadata.get("dihedral_ranges")
        missing = require_grid(set(grid), spacing, ranges, partial=partial, field="torsion_grid_ids")
        if missing:
            provenance["missing_grid_points"] = [list(key) for key in missing]
    return TorsionDrive(
        name=name,
        smiles=smiles,
        atomic_numbers=numbers,
        dihedrals=np.array(metadata["dihedrals"]),
        energies=energies * KJ_PER_MOL_PER_HARTREE,
        angles=np.radians(np.array(grid, dtype=np.float64)),
        positions=positions,
        provenance=provenance,
    )


def _metadata(folder: Path) -> dict[str, Any]:
    metadata = _read(folder / "metadata.json", json.loads)
    for key in ("dihedrals", "torsion_grid_ids"):
        if not isinstance(metadata, dict) or not metadata.get(key):
            raise TargetError(f"metadata.json: {key}: missing")
    return dict(metadata)


def _scan(folder: Path) -> tuple[NDArray[np.int32], Floats]:
    """Return atomic numbers and geometries ``(n, n_atoms, 3)`` [Å]."""
    read = library("ase.io").read

    try:
        frames = read(folder / "scan.xyz", index=":", format="xyz")
    except DAMAGES as error:
        raise TargetError(f"scan.xyz: cannot be read: {said(error)}") from error
    numbers = frames[0].numbers.astype(np.int32)
    for number, frame in enumerate(frames):
        if not np.array_equal(frame.numbers, numbers):
            raise TargetError(f"scan.xyz: frame {number} has other atoms, or another order, than frame 0")
    return numbers, np.array([frame.positions for frame in frames])


def _qdata(folder: Path) -> tuple[Floats, Floats]:
    """Return geometries ``(n, n_atoms, 3)`` [Å] and energies ``(n,)`` [hartree]."""

    def parse(text: str) -> dict[str, list[list[float]]]:
        words = [line.split() for line in text.splitlines() if line.strip()]
        return {
            key: [[float(word) for word in line[1:]] for line in words if line[0] == key]
            for key in ("COORDS", "ENERGY")
        }

    found = _read(folder / "qdata.txt", parse)
    energies = [row for row in found["ENERGY"] if len(row) == 1]
    if not energies or len(energies) != len(found["ENERGY"]):
        raise TargetError("qdata.txt: ENERGY: missing, or not one number")
    if len({len(row) for row in found["COORDS"]}) != 1 or len(found["COORDS"][0]) % 3:
        raise TargetError("qdata.txt: COORDS: missing, or not the same number of coordinates for each geometry")
    return np.array(found["COORDS"]).reshape(len(found["COORDS"]), -1, 3), np.array(energies)[:, 0]


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TargetError(f"{path.name}: cannot be read: {error}") from error
