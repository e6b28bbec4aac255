"""SPICE: an HDF5 file with one group for each molecule (P. Eastman et al., Sci. Data 10, 11 (2023))."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import numpy as np

from ffbridge.errors import FFBridgeError, TargetError
from ffbridge.targets.conversion import energy_factor, force_factor, length_factor
from ffbridge.targets.kinds import ConformerTarget
from ffbridge.targets.libraries import library
from ffbridge.targets.molecules import check_geometry, mapped_molecule
from ffbridge.targets.reading import DAMAGES, Reading, read_entries, said

__all__ = ["read_spice"]


def read_spice(
    path: str | os.PathLike[str],
    *,
    groups: Collection[str] | None = None,
    subsets: Collection[str] | None = None,
    level_of_theory: str = "wb97m-d3bj/def2-tzvppd",
) -> Reading[ConformerTarget]:
    """Return the energies and forces of a SPICE file, one target for each group.

    Energies are ``dft_total_energy``, forces minus ``dft_total_gradient`` where the group has that. Units are those
    that each dataset's attribute ``units`` states.

    Args:
        path: the file.
        groups: names of the groups to read; all if None.
        subsets: read only groups of these subsets.
        level_of_theory: is not in the file.

    Raises:
        TargetError: the file cannot be read, or lacks a group that is asked for.
    """
    h5py = library("h5py")

    try:
        with h5py.File(path, "r") as file:
            return _entries(file, os.fspath(path), groups, subsets, level_of_theory)
    except FFBridgeError:
        raise
    except DAMAGES as error:
        raise TargetError(f"{os.fspath(path)}: cannot be read as HDF5: {said(error)}") from error


def _entries(
    file: Any, path: str, groups: Collection[str] | None, subsets: Collection[str] | None, level_of_theory: str
) -> Reading[ConformerTarget]:
    names = list(file) if groups is None else list(groups)
    if missing := [name for name in names if name not in file]:
        raise TargetError(f"{path}: has no group {missing[0]!r}")
    wanted = [name for name in names if subsets is None or _text(file[name], "subset") in subsets]

    def read(name: str, file: Any) -> ConformerTarget:
        return _target(name, file[name], level_of_theory)

    return read_entries(((name, file) for name in wanted), read)


def _target(name: str, group: Any, level_of_theory: str) -> ConformerTarget:
    smiles = _text(group, "smiles")
    molecule = mapped_molecule(smiles)
    numbers = np.asarray(_dataset(group, "atomic_numbers")[()])
    positions = _converted(group, "conformations", length_factor)
    check_geometry(molecule, numbers, positions)
    forces = -_converted(group, "dft_total_gradient", force_factor) if "dft_total_gradient" in group else None
    return ConformerTarget(
        name=name,
        smiles=smiles,
        atomic_numbers=numbers,
        energies=_converted(group, "dft_total_energy", energy_factor),
        positions=positions,
        forces=forces,
        level_of_theory=level_of_theory,
        provenance={"source": "SPICE", "group": name, "subset": _text(group, "subset")},
    )


def _dataset(group: Any, name: str) -> Any:
    if name not in group:
        raise TargetError(f"{name}: missing")
    return group[name]


def _converted(group: Any, name: str, factor: Any) -> Any:
    dataset = _dataset(group, name)
    unit = dataset.attrs.get("units")
    return np.asarray(dataset[()], dtype=np.float64) * factor(unit.decode() if isinstance(unit, bytes) else unit, name)


def _text(group: Any, name: str) -> str:
    value = np.asarray(_dataset(group, name)[()]).reshape(-1)
    if len(value) != 1:
        raise TargetError(f"{name}: got {len(value)} texts, expected one")
    return value[0].decode() if isinstance(value[0], bytes) else str(value[0])
