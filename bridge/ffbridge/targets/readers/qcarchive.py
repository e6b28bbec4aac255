"""QCArchive: records of torsion drives and optimizations, live from ``qcportal`` or as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import TargetError
from ffbridge.targets.kinds import OptimizedGeometry, TorsionDrive
from ffbridge.targets.molecules import atomic_numbers_of, check_geometry, mapped_molecule
from ffbridge.targets.readers.grid import GridPoint, grid_point, require_grid
from ffbridge.targets.reading import Reading, read_entries, read_json
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

__all__ = ["read_optimizations", "read_torsion_drives"]

_SMILES = "canonical_isomeric_explicit_hydrogen_mapped_smiles"
_OF_A_RECORD = {"specification", "keywords", "optimizations", "optimization_records", "final_molecule"}


def read_torsion_drives(source: Any, *, partial: bool = False) -> Reading[TorsionDrive]:
    """Return the torsion drives among records of QCArchive.

    At each grid point the attempt of lowest energy is taken. Failed attempts count for nothing.

    Args:
        source: a ``TorsiondriveRecord``, several of them (a sequence, or a mapping from names), or the path of a JSON
            file that holds such (``record.model_dump_json()`` of records that were fetched with
            ``include=["optimizations", "**"]``; one, a list, a mapping from names).
        partial: keep drives of which grid points are missing; the provenance lists them.

    Raises:
        TargetError: the file cannot be read, or holds no records.
    """
    return read_entries(_records(source), lambda name, record: _torsion_drive(name, record, partial))


def read_optimizations(source: Any) -> Reading[OptimizedGeometry]:
    """Return the final geometries among optimization records of QCArchive; `source` as for torsion drives."""
    return read_entries(_records(source), _optimization)


def _torsion_drive(name: str, record: Any, partial: bool) -> TorsionDrive:
    _require_complete(record)
    # Exports of one's own have them at the top.
    keywords = _get(record, "specification", "keywords") or _get(record, "keywords")
    if keywords is None:
        raise TargetError("specification.keywords: missing")
    points = {key: _lowest(attempts, key) for key, attempts in _attempts(record).items()}
    found = {key: attempt for key, attempt in sorted(points.items()) if attempt is not None}
    if not found:
        raise TargetError("optimizations: no grid point has an optimization with energies")
    missing = require_grid(
        found.keys(),
        _get(keywords, "grid_spacing"),
        _get(keywords, "dihedral_ranges"),
        partial=partial,
        field="optimizations",
    )
    energies, molecules = [], []
    for key, (energy, molecule) in found.items():
        if molecule is None:
            raise TargetError(f"optimizations[{list(key)}]: final_molecule: missing; fetch the record with it")
        energies.append(energy)
        molecules.append(molecule)
    smiles, numbers, positions = _conformers(molecules)
    provenance: dict[str, Any] = {"source": "QCArchive", "record": _get(record, "id")}
    if missing:
        provenance["missing_grid_points"] = [list(key) for key in missing]
    return TorsionDrive(
        name=name,
        smiles=smiles,
        atomic_numbers=numbers,
        dihedrals=np.array(_need(keywords, "dihedrals")),
        energies=np.array(energies) * KJ_PER_MOL_PER_HARTREE,
        angles=np.radians(np.array(list(found), dtype=np.float64)),
        positions=positions,
        level_of_theory=_level_of_theory(_get(record, "specification", "optimization_specification")),
        provenance=provenance,
    )


def _optimization(name: str, record: Any) -> OptimizedGeometry:
    _require_complete(record)
    smiles, numbers, positions = _conformers([_need(record, "final_molecule")])
    return OptimizedGeometry(
        name=name,
        smiles=smiles,
        atomic_numbers=numbers,
        positions=positions[0],
        level_of_theory=_level_of_theory(_get(record, "specification")),
        provenance={"source": "QCArchive", "record": _get(record, "id")},
    )


def _attempts(record: Any) -> dict[GridPoint, list[Any]]:
    """Return the optimizations at each grid point. In a record's JSON they are ``optimization_records``."""
    stored = record.get("optimization_records") if isinstance(record, Mapping) else None
    found = stored if stored is not None else _get(record, "optimizations")
    if not isinstance(found, Mapping):
        raise TargetError(
            "optimization_records: missing; fetch the record with its optimizations and their molecules "
            '(include=["optimizations", "**"])'
        )
    # One attempt may stand without a list of them.
    return {_key(key): [each] if isinstance(each, Mapping) else list(each) for key, each in found.items()}


def _key(key: Any) -> GridPoint:
    try:
        return grid_point(json.loads(key) if isinstance(key, str) else key, "optimizations")
    except ValueError as error:
        raise TargetError(f"optimizations: {key!r} is no grid point, expected such as '[-90]'") from error


def _lowest(attempts: Iterable[Any], key: GridPoint) -> tuple[float, Any] | None:
    """Return energy [hartree] and molecule of the lowest attempt; None if none of them has energies."""
    ended = [(energies[-1], attempt) for attempt in attempts if (energies := _energies(attempt))]
    if not ended:
        return None
    if bad := [energy for energy, _ in ended if not np.isfinite(energy)]:
        raise TargetError(f"optimizations[{list(key)}]: energies: {bad[0]}, expected finite numbers")
    energy, attempt = min(ended, key=lambda each: each[0])
    return energy, _get(attempt, "final_molecule")


def _energies(attempt: Any) -> list[float]:
    """Return the energies of an optimization, step by step [hartree]; none if it has none."""
    found = _get(attempt, "energies")
    if found is None:
        found = _get(attempt, "final_energies")
    if found is None:
        return []
    return [float(each) for each in ([found] if isinstance(found, int | float) else found)]


def _conformers(molecules: list[Any]) -> tuple[str, NDArray[np.int32], NDArray[np.float64]]:
    """Return mapped SMILES, atomic numbers, and positions ``(n, n_atoms, 3)`` [nm] of QCSchema molecules."""
    symbols = [str(each) for each in _need(molecules[0], "symbols")]
    for number, molecule in enumerate(molecules):
        if [str(each) for each in _need(molecule, "symbols")] != symbols:
            raise TargetError(f"symbols: molecule {number} has other atoms, or another order, than molecule 0")
    smiles = _mapped_smiles(molecules[0])
    numbers = atomic_numbers_of(symbols)
    rows = [np.asarray(_need(molecule, "geometry"), dtype=np.float64).reshape(-1) for molecule in molecules]
    for number, row in enumerate(rows):
        if row.size != 3 * len(symbols):
            raise TargetError(f"geometry: molecule {number} has {row.size} numbers, expected {3 * len(symbols)}")
    positions = np.stack(rows).reshape(len(rows), -1, 3) * NM_PER_BOHR
    check_geometry(mapped_molecule(smiles), numbers, positions)
    return smiles, numbers, positions


def _mapped_smiles(molecule: Any) -> str:
    for place in ("extras", "identifiers"):
        smiles = _get(molecule, place, _SMILES)
        if isinstance(smiles, str) and smiles:
            return smiles
    raise TargetError(f"smiles: the molecule has no {_SMILES} in extras or identifiers")


def _level_of_theory(specification: Any) -> str | None:
    method, basis = (_get(specification, "qc_specification", name) for name in ("method", "basis"))
    return "/".join(str(part) for part in (method, basis) if part) or None


def _require_complete(record: Any) -> None:
    status = _get(record, "status")
    status = getattr(status, "value", status)
    # Older servers wrote it in capitals; exports of one's own may have none.
    if status is not None and str(status).lower() != "complete":
        raise TargetError(f"status: got {status!r}, expected 'complete'")


def _get(item: Any, *path: str) -> Any:
    """Return what a record or its JSON holds under a path, None if it is not there."""
    for name in path:
        try:
            item = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
        except RuntimeError as error:
            # A live record would fetch what it lacks, and has no client any more.
            raise TargetError(f"{name}: missing, and cannot be fetched: {error}") from error
        if item is None:
            return None
    return item


def _need(item: Any, *path: str) -> Any:
    found = _get(item, *path)
    if found is None:
        raise TargetError(f"{'.'.join(path)}: missing")
    return found


def _records(source: Any) -> list[tuple[str, Any]]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        source = read_json(path)
        if not isinstance(source, list | dict):
            raise TargetError(f"{path}: holds a {type(source).__name__}, expected records")
    if isinstance(source, Mapping) and not _OF_A_RECORD & source.keys():
        return [(str(name), record) for name, record in source.items()]
    single = isinstance(source, Mapping) or hasattr(source, "specification")
    if not single and not isinstance(source, Iterable):
        raise TargetError(f"got {type(source).__name__}, expected records, or the path of a JSON file that holds them")
    each = [source] if single else list(source)
    return [(f"record {_get(record, 'id') or number}", record) for number, record in enumerate(each)]
