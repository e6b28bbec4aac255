"""A force field beside the data: ``python -m data.qc.comparison [force field]`` prints the tables of the README.

The first has, of each drive, the root mean square error of the profile on the data's own geometries and on those that
the force field relaxes to, and of each fragment that of the forces. The second has the torsion parameters that act on
the driven bonds, with those drives of the files that share them.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from openff.toolkit import ForceField, Molecule

import ffbridge as fb
from data.qc.fragments import FRAGMENTS, Fragment, driven, mapped_smiles
from data.qc.making import is_done, path_of
from ffbridge.producers.openff import parametrize

__all__ = ["DEFAULT", "main", "shared_parameters", "table"]

HERE = Path(__file__).parent
DEFAULT = "openff_unconstrained-2.3.0.offxml"


def table(targets: Sequence[fb.targets.Target], force_field: Any) -> dict[str, dict[str, float]]:
    """Return errors by target: ``relative energy`` and ``relaxed`` [kJ/mol], ``force`` [kJ/mol/nm]."""
    molecules = [Molecule.from_mapped_smiles(smiles) for smiles in fb.targets.smiles_of(targets)]
    made = [fb.from_interchange(parametrize([molecule], force_field=force_field)) for molecule in molecules]
    fixed = fb.targets.objective(targets, fb.potential(fb.concatenate(made), "native"))
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for comparison in fixed.compare():
        found[comparison.target][comparison.quantity] = comparison.rmse
    drives = [target for target in targets if isinstance(target, fb.targets.TorsionDrive)]
    relaxed = fb.targets.objective(drives, fixed.U).relaxed()
    for comparison in relaxed.compare():
        found[comparison.target]["relaxed"] = comparison.rmse
    return found


def shared_parameters(
    force_field: Any, fragments: Sequence[Fragment] = FRAGMENTS
) -> dict[str, list[tuple[Fragment, int]]]:
    """Return, by the id of a torsion parameter, the drives on whose bond it acts: fragment and number."""
    found: dict[str, list[tuple[Fragment, int]]] = defaultdict(list)
    for each in fragments:
        topology = Molecule.from_mapped_smiles(mapped_smiles(each)).to_topology()
        (labels,) = force_field.label_molecules(topology)
        for number, pattern in enumerate(each.drives, start=1):
            bond = set(driven(each, pattern)[1:3])
            acting = {one.id for atoms, one in labels["ProperTorsions"].items() if set(atoms[1:3]) == bond}
            for name in acting:
                found[name].append((each, number))
    return dict(sorted(found.items(), key=lambda item: int("".join(filter(str.isdigit, item[0])))))


def _rows(folder: Path, force_field: Any) -> Iterator[tuple[str, ...]]:
    for role in ("training", "held_out"):
        drives = fb.targets.load(path_of(folder, role, "torsion_drive"))
        conformers = [each for each in fb.targets.load(path_of(folder, role, "conformers")) if "grid" not in each.name]
        errors = table([*drives, *conformers], force_field)
        for drive in drives:
            assert isinstance(drive, fb.targets.TorsionDrive)
            name, _, number = drive.name.partition(" drive ")
            barrier, atoms = np.ptp(drive.energies), drive.dihedrals[0].tolist()
            own, thermal = errors[drive.name], errors[f"{name} thermal"]
            yield (
                f"{name} {number}",
                drive.provenance["family"],
                role.replace("_", " "),
                "-".join(map(str, atoms)),
                f"{barrier:.1f}",
                f"{own['relative energy']:.2f}",
                f"{own['relaxed']:.2f}",
                f"{thermal['force']:.0f}",
            )


def _markdown(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m data.qc.comparison", description=__doc__)
    parser.add_argument("force_field", nargs="?", default=DEFAULT, help=f"an offxml file ({DEFAULT})")
    parser.add_argument("--folder", type=Path, default=HERE, help="folder of the files (data/qc)")
    options = parser.parse_args()
    force_field = ForceField(options.force_field)
    header = ("drive", "family", "role", "dihedral", "range", "fixed", "relaxed", "forces")
    print(_markdown(header, _rows(options.folder, force_field)), end="\n\n")
    stored = [each for each in FRAGMENTS if is_done(each, options.folder)]
    shared = (
        (name, *(", ".join(f"{e.name} {n}" for e, n in drives if e.role == role) for role in ("training", "held_out")))
        for name, drives in shared_parameters(force_field, stored).items()
    )
    print(_markdown(("parameter", "training drives", "held-out drives"), shared))
    return 0


if __name__ == "__main__":
    sys.exit(main())
