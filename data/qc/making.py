"""From fragments to targets: everything that is computed for one fragment, and how the files hold it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ffbridge as fb
from data.qc.drives import SPACING, drive
from data.qc.fragments import FRAGMENTS, Fragment, atomic_numbers, driven, initial_positions, mapped_smiles
from data.qc.optimization import ANGSTROM_PER_BOHR, CONVERGENCE, LARGEST_TRUST, TRUST
from data.qc.programs import GFN2, Program
from data.qc.sampling import FLOOR, TEMPERATURE, hessian, minima, thermal_conformers
from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

__all__ = [
    "COMMAND",
    "KINDS",
    "POSITION_BITS",
    "add",
    "conformer_fields",
    "hessian_fields",
    "is_done",
    "make",
    "make_in",
    "path_of",
    "rounded",
    "with_hessian",
]

Floats = NDArray[np.float64]
Targets = dict[str, list[fb.targets.Target]]

COMMAND = "python -m data.qc"
N_THERMAL = 24
"""Conformers of the harmonic ensembles, shared by a fragment's minima."""

POSITION_BITS, FORCE_BITS, ENERGY_BITS, HESSIAN_BITS = 24, 8, 20, 0
"""Binary digits after the point that are kept: 6e-8 nm, 4e-3 kJ/mol/nm, 1e-6 kJ/mol, 1 kJ/mol/nm². Further digits are
noise of the self-consistent charges and of finite differences, and would double the size of the files. Positions are
rounded first: energies and forces are those of the positions in the file."""

KINDS = {
    "torsion_drive": "torsion_drives",
    "conformers": "conformers",
    "optimized_geometry": "optimized_geometries",
    "hessian": "hessians",
}
"""The file of each kind of target."""


def with_hessian(each: Fragment) -> bool:
    """Return whether the fragment's Hessian is kept: those that a fit may see."""
    return each.role == "training"


def path_of(folder: Path, role: str, kind: str) -> Path:
    """Return the file of one kind of targets."""
    return folder / role / f"{KINDS[kind]}.parquet"


def make(each: Fragment) -> Targets:
    """Return all targets of a fragment, by kind: some minutes of one processor."""
    program = GFN2(atomic_numbers(each))
    found = minima(program, atomic_numbers(each), initial_positions(each) / ANGSTROM_PER_BOHR)
    made: Targets = {kind: [] for kind in KINDS}
    for number, position in enumerate(found, start=1):
        fields = _fields(each, program, f"{each.name} minimum {number}")
        geometry = {"positions": rounded(position * NM_PER_BOHR, POSITION_BITS)}
        made["optimized_geometry"].append(fb.targets.OptimizedGeometry(**geometry, **fields))
    for number, pattern in enumerate(each.drives, start=1):
        _add_drive(made, each, program, found, number, pattern)
    _add_thermal(made, each, program, found)
    return {kind: targets for kind, targets in made.items() if targets}


def make_in(each: Fragment, folder: Path) -> Path:
    """Make all targets of a fragment, write them into a folder of their own, and return that: targets do not pickle."""
    own = folder / each.name
    for kind, targets in make(each).items():
        path = path_of(own, each.role, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        fb.targets.save(targets, path)
    return own


def _add_drive(made: Targets, each: Fragment, program: Program, starts: Floats, number: int, pattern: str) -> None:
    atoms = driven(each, pattern)
    profile = drive(program, atomic_numbers(each), starts, atoms)
    grid = _conformers(each, program, f"{each.name} grid {number}", profile.positions)
    fields = _fields(each, program, f"{each.name} drive {number}")
    fields["provenance"] |= {"pattern": pattern, "optimizations": profile.optimizations}
    made["conformers"].append(grid)
    made["torsion_drive"].append(
        fb.targets.TorsionDrive(
            dihedrals=np.array([atoms]),
            angles=np.radians(profile.angles[:, None]),
            energies=grid.energies,
            positions=grid.positions,
            **fields,
        )
    )


def _add_thermal(made: Targets, each: Fragment, program: Program, found: Floats) -> None:
    frames = []
    for number, position in enumerate(found):
        curvature = hessian(program, position)
        count = N_THERMAL // len(found) + (number < N_THERMAL % len(found))
        frames.append(thermal_conformers(f"{each.name} {number}", position, curvature, count))
        if number == 0 and with_hessian(each):
            made["hessian"].append(
                fb.targets.HessianTarget(
                    **hessian_fields(position, curvature),
                    **_fields(each, program, f"{each.name} hessian"),
                )
            )
    made["conformers"].append(_conformers(each, program, f"{each.name} thermal", np.concatenate(frames)))


def _conformers(each: Fragment, program: Program, name: str, positions: Floats) -> fb.targets.ConformerTarget:
    return fb.targets.ConformerTarget(
        **conformer_fields(program, rounded(positions * NM_PER_BOHR, POSITION_BITS)), **_fields(each, program, name)
    )


def conformer_fields(program: Program, positions: Floats) -> dict[str, Floats]:
    """Return positions ``(n_conformers, n_atoms, 3)`` [nm] with energies and forces there, as a target has them."""
    found = [program.energy_and_gradient(position / NM_PER_BOHR) for position in positions]
    energies = np.array([energy for energy, _ in found])
    gradients = np.array([gradient for _, gradient in found])
    return {
        "positions": positions,
        "energies": rounded((energies - energies.min()) * KJ_PER_MOL_PER_HARTREE, ENERGY_BITS),
        "forces": rounded(-gradients * (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR), FORCE_BITS),
    }


def hessian_fields(position: Floats, curvature: Floats) -> dict[str, Floats]:
    """Return a position [bohr] and the Hessian there [hartree/bohr²] as a target has them."""
    return {
        "positions": rounded(position * NM_PER_BOHR, POSITION_BITS),
        "hessian": rounded(curvature * (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR**2), HESSIAN_BITS),
    }


def rounded(values: Floats, bits: int) -> Floats:
    """Return values to so many binary digits after the point."""
    return np.round(values * 2.0**bits) / 2.0**bits


def _fields(each: Fragment, program: Program, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "smiles": mapped_smiles(each),
        "atomic_numbers": atomic_numbers(each),
        "level_of_theory": program.level_of_theory,
        "provenance": {
            "command": COMMAND,
            "family": each.family,
            "role": each.role,
            "program": program.stated,
            "optimizer": {"program": "geomeTRIC", "trust": [TRUST, LARGEST_TRUST]},
            "versions": {name: version(name) for name in ("geometric", "torsiondrive", "rdkit", "numpy")},
            "settings": _settings(each),
        },
    }


def _settings(each: Fragment) -> dict[str, Any]:
    """Return what decides about the numbers: where it differs from what a file states, the fragment is made again."""
    return {
        "grid_spacing": SPACING,
        "convergence": CONVERGENCE,
        "accuracy": GFN2.ACCURACY,
        "temperature": TEMPERATURE,
        "least_curvature": FLOOR,
        "thermal_conformers": N_THERMAL,
        "bits": [POSITION_BITS, FORCE_BITS, ENERGY_BITS, HESSIAN_BITS],
        "drives": list(each.drives),
    }


def _stored(path: Path) -> list[fb.targets.Target]:
    return list(fb.targets.load(path)) if path.exists() else []


def _owner(target: fb.targets.Target) -> str:
    """Return the name of the fragment that a target is of: the first word of its own."""
    return target.name.partition(" ")[0]


def is_done(each: Fragment, folder: Path) -> bool:
    """Return whether the files hold all targets of a fragment, made with the present settings."""
    for kind in KINDS:
        own = [target for target in _stored(path_of(folder, each.role, kind)) if _owner(target) == each.name]
        expected = kind != "hessian" or with_hessian(each)
        if bool(own) != expected or any(target.provenance["settings"] != _settings(each) for target in own):
            return False
    return True


def add(each: Fragment, made: Path, folder: Path) -> None:
    """Write a fragment's targets, found below `made`, in place of those below `folder`; fragments keep their order."""
    order = [known.name for known in FRAGMENTS]
    for kind in KINDS:
        path = path_of(folder, each.role, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        others = [target for target in _stored(path) if _owner(target) != each.name]
        own = [target for target in _stored(path_of(made, each.role, kind)) if _owner(target) == each.name]
        if others or own:
            fb.targets.save(sorted([*others, *own], key=lambda target: order.index(_owner(target))), path)
