"""descent: rows {smiles, coords, energy, forces} in Arrow, flattened, in kcal/mol and Å."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.errors import TargetError
from ffbridge.targets.conversion import ENERGIES, LENGTHS
from ffbridge.targets.kinds import ConformerTarget
from ffbridge.targets.libraries import library
from ffbridge.targets.molecules import check_geometry, mapped_molecule
from ffbridge.targets.reading import DAMAGES, Reading, read_entries, said

__all__ = ["read_descent"]

_COLUMNS = ("smiles", "coords", "energy", "forces")
_ENERGY, _LENGTH = ENERGIES["kcal/mol"], LENGTHS["angstrom"]


def read_descent(source: Any, *, level_of_theory: str | None = None) -> Reading[ConformerTarget]:
    """Return the energies and forces of a data set as descent keeps it, one target for each row.

    Args:
        source: a Parquet file, an Arrow file, a folder that ``datasets.Dataset.save_to_disk`` wrote, a
            ``pyarrow.Table``, or a ``datasets.Dataset``.
        level_of_theory: is not in the data.

    Raises:
        TargetError: it cannot be read, or lacks a column.
    """
    table = _table(source)
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise TargetError(
            f"column {missing[0]!r} is missing, expected {', '.join(_COLUMNS)}; there are: "
            f"{', '.join(table.column_names)}"
        )
    return read_entries(_rows(table), lambda name, row: _target(name, row, level_of_theory))


def _rows(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    columns = [name for name in ("id", *_COLUMNS) if name in table.column_names]
    for number in range(table.num_rows):
        row = {name: table.column(name)[number] for name in columns}
        named = row.get("id")
        yield (str(named.as_py()) if named is not None and named.is_valid else f"row {number}"), row


def _target(name: str, row: dict[str, Any], level_of_theory: str | None) -> ConformerTarget:
    smiles = row["smiles"].as_py()
    if not isinstance(smiles, str):
        raise TargetError("smiles: missing")
    molecule = mapped_molecule(smiles)
    energies = _flat(row, "energy") * _ENERGY
    shape = (len(energies), len(molecule.atomic_numbers), 3)
    positions = _shaped(_flat(row, "coords") * _LENGTH, shape, "coords")
    check_geometry(molecule, molecule.atomic_numbers, positions)
    forces = None
    if row["forces"].is_valid:
        forces = _shaped(_flat(row, "forces") * (_ENERGY / _LENGTH), shape, "forces")
    return ConformerTarget(
        name=name,
        smiles=smiles,
        atomic_numbers=molecule.atomic_numbers,
        energies=energies,
        positions=positions,
        forces=forces,
        level_of_theory=level_of_theory,
        provenance={"source": "descent"},
    )


def _flat(row: dict[str, Any], name: str) -> Any:
    if not row[name].is_valid:
        raise TargetError(f"{name}: missing")
    return np.asarray(row[name].values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _shaped(flat: Any, shape: tuple[int, ...], name: str) -> Any:
    if flat.size != np.prod(shape):
        raise TargetError(f"{name}: got {flat.size} numbers, expected {np.prod(shape)} for shape {shape}")
    return flat.reshape(shape)


def _table(source: Any) -> Any:
    pyarrow = library("pyarrow")
    library("pyarrow.parquet")

    if isinstance(source, pyarrow.Table):
        return source
    if not isinstance(source, str | os.PathLike):
        table = getattr(getattr(source, "data", None), "table", None)
        if not isinstance(table, pyarrow.Table):
            raise TargetError(f"got {type(source).__name__}, expected a path, a pyarrow.Table or a datasets.Dataset")
        return table
    path = Path(source)
    files = sorted(path.glob("*.arrow")) if path.is_dir() else [path]
    if not files:
        raise TargetError(f"{path}: the folder has no file *.arrow")
    try:
        return pyarrow.concat_tables([_one(file, pyarrow) for file in files])
    except (*DAMAGES, pyarrow.ArrowException) as error:
        raise TargetError(f"{path}: cannot be read as Arrow or Parquet: {said(error)}") from error


def _one(file: Path, pyarrow: Any) -> Any:
    """Read Parquet, or Arrow in either of its two forms: a file, or the stream that `datasets` writes."""
    with file.open("rb") as stream:
        magic = stream.read(6)
    if magic[:4] == b"PAR1":
        return pyarrow.parquet.ParquetFile(file).read()
    with pyarrow.OSFile(str(file)) as stream:
        opened = pyarrow.ipc.open_file(stream) if magic == b"ARROW1" else pyarrow.ipc.open_stream(stream)
        return opened.read_all()
