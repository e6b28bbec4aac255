"""The same by a second program: ``python -m data.qc.second_program`` writes ``data/qc/dft`` by PySCF, B3LYP/6-31G*.

Of the smallest fragments: the minimum, the analytic Hessian there, and energies and forces of the torsion drive's
geometries, which are GFN2-xTB's. So Hessians of another program are there to be read and fitted, and the README can say
how far GFN2-xTB's torsion profiles are from those of density-functional theory.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import ffbridge as fb
from data.qc.fragments import Fragment, atomic_numbers, fragment, mapped_smiles
from data.qc.making import KINDS, POSITION_BITS, conformer_fields, hessian_fields, path_of, rounded
from data.qc.optimization import CONVERGENCE, minimum
from data.qc.programs import PySCF
from ffbridge.units import NM_PER_BOHR

__all__ = ["NAMES", "main", "make"]

HERE = Path(__file__).parent
COMMAND = "python -m data.qc.second_program"
NAMES = ("butane", "anisole")


def make(each: Fragment, folder: Path) -> dict[str, fb.targets.Target]:
    """Return the targets of a fragment, by kind; the geometries of its drive are read from the files."""
    program = PySCF(atomic_numbers(each), functional="b3lyp", basis="6-31g*")
    fields = {
        "smiles": mapped_smiles(each),
        "atomic_numbers": atomic_numbers(each),
        "level_of_theory": program.level_of_theory,
        "provenance": {"command": COMMAND, "program": program.stated, "settings": {"convergence": CONVERGENCE}},
    }
    grid, start = _read(each, folder)
    position = minimum(program, atomic_numbers(each), start.positions / NM_PER_BOHR)
    conformers = fb.targets.ConformerTarget(name=grid.name, **conformer_fields(program, grid.positions), **fields)
    geometry = fb.targets.OptimizedGeometry(
        name=start.name, positions=rounded(position * NM_PER_BOHR, POSITION_BITS), **fields
    )
    curvature = hessian_fields(position, program.hessian(position))
    hessian = fb.targets.HessianTarget(name=f"{each.name} hessian", **curvature, **fields)
    return {"conformers": conformers, "optimized_geometry": geometry, "hessian": hessian}


def _read(each: Fragment, folder: Path) -> tuple[fb.targets.ConformerTarget, fb.targets.OptimizedGeometry]:
    """Return what GFN2-xTB found: the drive's geometries, the lowest minimum."""
    conformers, minima = (
        {target.name: target for target in fb.targets.load(path_of(folder, each.role, kind))}
        for kind in ("conformers", "optimized_geometry")
    )
    grid, start = conformers[f"{each.name} grid 1"], minima[f"{each.name} minimum 1"]
    assert isinstance(grid, fb.targets.ConformerTarget)
    assert isinstance(start, fb.targets.OptimizedGeometry)
    return grid, start


def main() -> int:
    """Make what is missing, and write each fragment as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m data.qc.second_program", description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the files (data/qc)")
    options = parser.parse_args()
    paths = {kind: path_of(options.output, "dft", kind) for kind in KINDS if kind != "torsion_drive"}
    stored = {kind: list(fb.targets.load(path)) if path.exists() else [] for kind, path in paths.items()}
    for name in NAMES:
        if all(any(target.name.startswith(f"{name} ") for target in targets) for targets in stored.values()):
            print(f"{name} is there")
            continue
        begin = perf_counter()
        for kind, target in make(fragment(name), options.output).items():
            stored[kind] = [each for each in stored[kind] if each.name != target.name] + [target]
            paths[kind].parent.mkdir(parents=True, exist_ok=True)
            fb.targets.save(stored[kind], paths[kind])
        print(f"{name} after {perf_counter() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
