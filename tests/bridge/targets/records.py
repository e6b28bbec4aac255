"""Records of QCArchive, made by qcportal's own classes: torsion drives and optimizations of hydrogen peroxide."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.units import NM_PER_BOHR

from .molecules import PEROXIDE, peroxide

SPACING = 90
GRID = (-90, 0, 90, 180)


def molecule(angle, symbols=("H", "O", "O", "H"), smiles=PEROXIDE):
    from qcportal.molecules import Molecule

    return Molecule(
        symbols=list(symbols),
        geometry=(peroxide(np.radians(angle)) / NM_PER_BOHR).reshape(-1),
        extras={"canonical_isomeric_explicit_hydrogen_mapped_smiles": smiles} if smiles else {},
        fix_com=True,
        fix_orientation=True,
    )


def base(number, kind):
    return {
        "id": number,
        "record_type": kind,
        "is_service": kind == "torsiondrive",
        "properties": None,
        "status": "complete",
        "manager_name": None,
        "created_on": "2024-01-01T00:00:00Z",
        "modified_on": "2024-01-01T00:00:00Z",
        "owner_user": None,
    }


QC = {"program": "psi4", "driver": "deferred", "method": "b3lyp-d3bj", "basis": "dzvp"}
OPTIMIZATION = {"program": "geometric", "qc_specification": QC}


def optimization(number, energies, final, status="complete"):
    from qcportal.optimization import OptimizationRecord

    return OptimizationRecord(
        **(base(number, "optimization") | {"status": status}),
        specification=OPTIMIZATION,
        initial_molecule_id=1,
        final_molecule_id=2,
        energies=energies,
        final_molecule=final,
    )


def torsion_drive(attempts, *, spacing=SPACING, number=7, **change):
    """A record; `attempts` are optimizations by grid angle."""
    pytest.importorskip("qcportal", reason="qcportal is not installed")
    from qcportal.torsiondrive import TorsiondriveRecord

    keywords = {"dihedrals": [[0, 1, 2, 3]], "grid_spacing": [spacing]}
    return TorsiondriveRecord(
        **(base(number, "torsiondrive") | change),
        specification={"optimization_specification": OPTIMIZATION, "keywords": keywords},
        optimization_records={f"[{angle}]": records for angle, records in attempts.items()},
    )


def attempts():
    """Two at each grid angle; the second is the lower one at -90 and 90, the first elsewhere; a third failed."""
    found = {}
    for number, angle in enumerate(GRID):
        energies = [-150.0 + 0.001 * number, -150.0005 + 0.001 * number]
        if angle in (0, 180):
            energies.reverse()
        # The higher attempt ended 1° off, so that taking it shows in the geometry.
        found[angle] = [
            optimization(10 * number + k, [energy + 0.01, energy], molecule(angle + (energy > min(energies))))
            for k, energy in enumerate(energies)
        ]
        found[angle].append(optimization(10 * number + 5, None, None, status="error"))
    return found
