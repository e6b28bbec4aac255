"""A second program: ``python -m data.qc.hartree_fock`` writes ``data/qc/hartree_fock`` by PySCF. What is there stays.

Energies and forces at geometries of torsion drives, which are GFN2-xTB's, so that the README can say how far its
profiles are from those of Hartree-Fock theory; of the smallest fragment, a minimum and the Hessian there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import ffbridge as fb
from data.qc.fragments import Fragment, atomic_numbers, fragment, mapped_smiles
from data.qc.making import POSITION_BITS, conformer_fields, hessian_fields, path_of, rounded
from data.qc.optimization import CONVERGENCE, minimum
from data.qc.programs import HartreeFock
from ffbridge.units import NM_PER_BOHR

__all__ = ["DRIVES", "HESSIANS", "main", "make_drive", "make_hessian", "stored"]

HERE = Path(__file__).parent
COMMAND = "python -m data.qc.hartree_fock"
ROLE = "hartree_fock"
DRIVES = ("butane",)
HESSIANS = ("butane",)
KINDS = ("conformers", "optimized_geometry", "hessian")


def make_drive(each: Fragment, source: Path = HERE) -> fb.targets.ConformerTarget:
    """Return energies and forces at the drive's geometries from 0 to 180 degrees: the others are mirror images."""
    drives = _by_name(path_of(source, each.role, "torsion_drive"))
    drive = drives[f"{each.name} drive 1"]
    assert isinstance(drive, fb.targets.TorsionDrive)
    half = np.round(np.degrees(drive.angles[:, 0])) >= 0
    fields = conformer_fields(HartreeFock(atomic_numbers(each)), drive.positions[half])
    extra = {"geometries": {"target": drive.name, "level_of_theory": drive.level_of_theory, "least_angle": 0}}
    return fb.targets.ConformerTarget(name=f"{each.name} grid 1", **fields, **_fields(each, extra))


def make_hessian(each: Fragment, source: Path = HERE) -> tuple[fb.targets.OptimizedGeometry, fb.targets.HessianTarget]:
    """Return a minimum, from GFN2-xTB's lowest one, and the Hessian there."""
    start = _by_name(path_of(source, each.role, "optimized_geometry"))[f"{each.name} minimum 1"]
    assert isinstance(start, fb.targets.OptimizedGeometry)
    program = HartreeFock(atomic_numbers(each))
    position = minimum(program, atomic_numbers(each), start.positions / NM_PER_BOHR)
    fields = _fields(each, {"optimizer": {"program": "geomeTRIC", "start": start.name, "convergence": CONVERGENCE}})
    return (
        fb.targets.OptimizedGeometry(
            name=start.name, positions=rounded(position * NM_PER_BOHR, POSITION_BITS), **fields
        ),
        fb.targets.HessianTarget(
            name=f"{each.name} hessian", **hessian_fields(position, program.hessian(position)), **fields
        ),
    )


def stored(folder: Path = HERE) -> dict[str, dict[str, fb.targets.Target]]:
    """Return the targets of the files, by kind and name."""
    return {kind: _by_name(path_of(folder, ROLE, kind)) for kind in KINDS}


def _by_name(path: Path) -> dict[str, fb.targets.Target]:
    return {target.name: target for target in fb.targets.load(path)} if path.exists() else {}


def _fields(each: Fragment, provenance: dict[str, Any]) -> dict[str, Any]:
    program = HartreeFock(atomic_numbers(each))
    return {
        "smiles": mapped_smiles(each),
        "atomic_numbers": atomic_numbers(each),
        "level_of_theory": program.level_of_theory,
        "provenance": {"command": COMMAND, "family": each.family, "program": program.stated, **provenance},
    }


def _write(folder: Path, kind: str, target: fb.targets.Target) -> None:
    path = path_of(folder, ROLE, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    fb.targets.save([*_by_name(path).values(), target], path)


def main() -> int:
    """Make what is missing, and write each target as soon as it is there."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", metavar="fragment", help=f"of {', '.join(DRIVES)}; all of them if none")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the files (data/qc)")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(DRIVES)):
        parser.error(f"{unknown[0]!r} is not computed by PySCF; these are: {', '.join(DRIVES)}")
    begin = perf_counter()
    for each in map(fragment, options.names or DRIVES):
        there = stored(options.output)
        if f"{each.name} grid 1" not in there["conformers"]:
            _write(options.output, "conformers", make_drive(each))
            print(f"{each.name}: energies and forces after {perf_counter() - begin:.0f} s", flush=True)
        if each.name in HESSIANS and f"{each.name} hessian" not in there["hessian"]:
            for kind, target in zip(("optimized_geometry", "hessian"), make_hessian(each), strict=True):
                _write(options.output, kind, target)
            print(f"{each.name}: Hessian after {perf_counter() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
