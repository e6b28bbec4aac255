"""Extended XYZ, by ASE: geometries with energies and forces. The format states no units, so the caller does."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from ffbridge.errors import TargetError
from ffbridge.targets.conversion import energy_factor, length_factor
from ffbridge.targets.kinds import ConformerTarget
from ffbridge.targets.libraries import library
from ffbridge.targets.molecules import check_geometry, mapped_molecule
from ffbridge.targets.reading import DAMAGES, Reading, read_entries, said

__all__ = ["read_extended_xyz"]

_COLUMNS = re.compile(r":[RILS]:(\d+)")
"""How many numbers each of the columns has that ``Properties`` declares."""


def read_extended_xyz(
    path: str | os.PathLike[str],
    *,
    energy_unit: str,
    length_unit: str = "angstrom",
    smiles: str | None = None,
    smiles_key: str = "smiles",
    energy_key: str = "energy",
    forces_key: str = "forces",
    level_of_theory: str | None = None,
) -> Reading[ConformerTarget]:
    """Return the energies, and forces, of an extended XYZ file, one target for each mapped SMILES.

    Args:
        path: the file.
        energy_unit: ``eV`` (as ASE writes), ``hartree``, ``kcal/mol`` or ``kJ/mol``; forces are that by `length_unit`.
        length_unit: ``angstrom``, ``bohr`` or ``nm``.
        smiles: mapped SMILES of all frames; if None, each frame's comment has it.
        smiles_key: its name there.
        energy_key: name of the energy in the comment.
        forces_key: name of the forces among the columns; a target has forces if all its frames do.
        level_of_theory: is not in the file.

    Raises:
        TargetError: the file cannot be read, or a unit is not known.
    """
    iread = library("ase.io").iread

    energy = energy_factor(energy_unit, "energy_unit")
    length = length_factor(length_unit, "length_unit")
    groups: dict[str, list[Any]] = {}
    _check_counts(path)
    try:
        for number, frame in enumerate(iread(path, index=":", format="extxyz")):
            groups.setdefault(smiles or frame.info.get(smiles_key) or f"frame {number}", []).append((number, frame))
    except DAMAGES as error:
        raise TargetError(f"{os.fspath(path)}: cannot be read as extended XYZ: {said(error)}") from error

    def target(name: str, frames: list[Any]) -> ConformerTarget:
        if name.startswith("frame "):
            raise TargetError(f"{smiles_key}: missing in the comment of {name}, and no SMILES was given")
        molecule = mapped_molecule(name)
        for number, frame in frames:
            if not np.array_equal(frame.numbers, molecule.atomic_numbers):
                raise TargetError(f"species: frame {number} has the atoms in another order than the SMILES")
        positions = np.array([frame.positions for _, frame in frames]) * length
        check_geometry(molecule, molecule.atomic_numbers, positions)
        forces = [_result(frame, forces_key, "arrays") for _, frame in frames]
        return ConformerTarget(
            name=name,
            smiles=name,
            atomic_numbers=molecule.atomic_numbers,
            energies=np.array([_energy(number, frame, energy_key) for number, frame in frames]) * energy,
            positions=positions,
            forces=None if any(each is None for each in forces) else np.array(forces) * (energy / length),
            level_of_theory=level_of_theory,
            provenance={"source": "extended XYZ"},
        )

    return read_entries(groups.items(), target)


def _energy(number: int, frame: Any, key: str) -> float:
    found = _result(frame, key, "info")
    if found is None:
        raise TargetError(f"{key}: missing in frame {number}")
    return float(found)


def _result(frame: Any, key: str, place: str) -> Any:
    """Return what a frame has under a name: ASE moves the names that it knows to a calculator's results."""
    results = frame.calc.results if frame.calc is not None else {}
    return results.get(key, getattr(frame, place).get(key))


def _check_counts(path: str | os.PathLike[str]) -> None:
    """Raise TargetError for a frame that claims more atoms, or numbers in a column, than the file has room for.

    ASE would look for all of them. What is no frame is left to ASE, and a file that cannot be opened too.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return
    # Where ASE's `readline` ends a line, and not at the other separators that `splitlines` knows.
    lines, start = text.removesuffix("\n").split("\n"), 0
    while start < len(lines) and lines[start].strip():
        try:
            n_atoms = int(lines[start])
        except ValueError:
            return
        left = max(len(lines) - start - 2, 0)
        if n_atoms > left:
            claim, room = f"{lines[start].strip()[:20]} atoms", f"{left} lines are left for them"
            raise TargetError(f"{_line(path, start)} says {claim}, and {room}")
        comment = lines[start + 1] if start + 1 < len(lines) else ""
        for count in _COLUMNS.findall(comment):
            if len(count) > 9 or int(count) > len(text):
                claim, room = f"{count[:20]} numbers in a column", f"the file has {len(text)} characters"
                raise TargetError(f"{_line(path, start + 1)} says {claim}, and {room}")
        start += 2 + max(n_atoms, 0)
        while start < len(lines) and lines[start].lstrip().startswith("VEC"):
            start += 1


def _line(path: str | os.PathLike[str], index: int) -> str:
    return f"{os.fspath(path)}: cannot be read as extended XYZ: line {index + 1}"
