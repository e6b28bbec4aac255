"""QCArchive's records, live and as JSON, whole and damaged. They are made by qcportal's own classes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import TargetError
from ffbridge.targets.internal import dihedral_angles
from ffbridge.targets.readers.grid import missing_points
from ffbridge.units import KJ_PER_MOL_PER_HARTREE

from .molecules import PEROXIDE, bundle, peroxide
from .records import GRID, attempts, molecule, optimization, torsion_drive

pytest.importorskip("qcportal", reason="qcportal is not installed")


def as_json(record):
    return json.loads(record.model_dump_json())


@pytest.mark.parametrize("form", ["live", "json", "file", "mapping", "several"])
def test_the_lowest_attempt_of_each_grid_point_is_taken(form, tmp_path):
    record = torsion_drive(attempts())
    sources = {
        "live": record,
        "json": as_json(record),
        "file": tmp_path / "records.json",
        "mapping": {"record 7": record},
        "several": [record],
    }
    sources["file"].write_text(record.model_dump_json())
    (target,) = fb.targets.read_torsion_drives(sources[form]).complete()
    assert target.name == "record 7"
    assert target.level_of_theory == "b3lyp-d3bj/dzvp"
    assert target.smiles == PEROXIDE
    assert target.dihedrals.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(np.degrees(target.angles[:, 0]), GRID)
    energies = (-150.0005 + 0.001 * np.arange(4)) * KJ_PER_MOL_PER_HARTREE
    np.testing.assert_allclose(target.energies, energies, rtol=1e-14)
    found = np.degrees(dihedral_angles(target.positions, target.dihedrals))[:, 0]
    np.testing.assert_allclose(np.cos(np.radians(found - GRID)), 1, atol=1e-10)
    # What was read goes through a potential.
    assert float(fb.targets.loss(target, fb.potential(bundle(PEROXIDE), "numpy"))) > 0


def test_exports_of_ones_own(tmp_path):
    """Keywords at the top, one attempt for each grid point, ``final_energies``, and no status; or an older server's."""
    whole = as_json(torsion_drive(attempts()))
    points = {key: each[0] for key, each in whole["optimization_records"].items()}
    for each in points.values():
        each["final_energies"] = each.pop("energies")
    exported = {"keywords": whole["specification"]["keywords"], "optimizations": points}
    for source in (exported, [exported], exported | {"status": "COMPLETE"}):
        (target,) = fb.targets.read_torsion_drives(source).complete()
        np.testing.assert_allclose(np.degrees(target.angles[:, 0]), GRID)
        energies = np.array([points[f"[{angle}]"]["final_energies"][-1] for angle in GRID])
        np.testing.assert_allclose(target.energies, energies * KJ_PER_MOL_PER_HARTREE, rtol=1e-14)
    (rejected,) = fb.targets.read_torsion_drives(exported | {"status": "RUNNING"}).rejected
    assert rejected.reason == "status: got 'RUNNING', expected 'complete'"
    with pytest.raises(TargetError, match="got int, expected records, or the path of a JSON file"):
        fb.targets.read_torsion_drives(5)


def without(angle):
    return {key: value for key, value in attempts().items() if key != angle}


def failed_at(angle):
    return {**attempts(), angle: [attempts()[angle][2]]}


@pytest.mark.parametrize("made", [without(90), failed_at(90)], ids=["absent", "failed"])
def test_missing_grid_points(made):
    reading = fb.targets.read_torsion_drives([torsion_drive(made), torsion_drive(attempts(), number=8)])
    assert [target.name for target in reading.targets] == ["record 8"]
    (rejected,) = reading.rejected
    assert rejected.entry == "record 7"
    assert rejected.reason.startswith("optimizations: 1 of 4 grid points are missing: (90,) [degrees]")
    assert repr(reading) == "Reading(1 targets, 1 rejected)"
    with pytest.raises(TargetError, match=r"1 of 2 entries are rejected:\n  record 7: optimizations: 1 of 4"):
        reading.complete()
    (kept,) = fb.targets.read_torsion_drives(torsion_drive(made), partial=True).complete()
    assert len(kept.energies) == 3
    assert kept.provenance["missing_grid_points"] == [[90]]


def damaged(change):
    record = as_json(torsion_drive(attempts()))
    change(record)
    return record


def first(record):
    return record["optimization_records"]["[-90]"][1]


DAMAGES = {
    "status: got 'error', expected 'complete'": lambda r: r.update(status="error"),
    "specification.keywords: missing": lambda r: r["specification"].pop("keywords"),
    "dihedrals: missing": lambda r: r["specification"]["keywords"].pop("dihedrals"),
    "grid_spacing: got None, expected whole degrees": lambda r: r["specification"]["keywords"].pop("grid_spacing"),
    "optimization_records: missing; fetch the record with": lambda r: r.pop("optimization_records"),
    "optimizations\\[\\[-90\\]\\]: final_molecule: missing": lambda r: first(r).pop("final_molecule"),
    "optimizations\\[\\[-90\\]\\]: energies: nan, expected finite": lambda r: first(r).update(energies=[float("nan")]),
    "smiles: the molecule has no canonical_isomeric": lambda r: first(r)["final_molecule"].pop("extras"),
    "symbols: molecule 1 has other atoms, or another order": lambda r: r["optimization_records"]["[0]"][0][
        "final_molecule"
    ].update(symbols=["O", "H", "O", "H"]),
    "geometry: molecule 0 has 9 numbers, expected 12": lambda r: first(r)["final_molecule"].update(geometry=[0.0] * 9),
    "optimizations: no grid point has an optimization": lambda r: r.update(optimization_records={}),
    "optimizations: 'first' is no grid point": lambda r: r["optimization_records"].update(first=[]),
    "positions: nan at index \\(0, 0, 0\\)": lambda r: first(r)["final_molecule"]["geometry"].__setitem__(0, np.nan),
}


@pytest.mark.parametrize(("message", "change"), DAMAGES.items(), ids=range(len(DAMAGES)))
def test_damaged_records_are_named(message, change):
    good = torsion_drive(attempts(), number=8)
    reading = fb.targets.read_torsion_drives([damaged(change), good])
    assert len(reading.targets) == 1
    with pytest.raises(TargetError, match=f"record 7: {message}"):
        reading.complete()


def test_atoms_in_another_order_than_the_smiles():
    wrong = "[O:1]([H:2])[O:3][H:4]"
    made = {angle: [optimization(1, [-1.0], molecule(angle, smiles=wrong))] for angle in GRID}
    (rejected,) = fb.targets.read_torsion_drives(torsion_drive(made)).rejected
    assert rejected.reason.startswith("atomic_numbers: atom 0 is element 1, and map number 1 of smiles is element 8")
    swapped = "[H:4][O:2][O:3][H:1]"
    made = {angle: [optimization(1, [-1.0], molecule(angle, smiles=swapped))] for angle in GRID}
    (rejected,) = fb.targets.read_torsion_drives(torsion_drive(made)).rejected
    assert "has the bonded atoms" in rejected.reason
    assert "the atoms are in another order" in rejected.reason


def test_optimizations():
    record = optimization(3, [-1.0, -2.0], molecule(110))
    for source in (record, as_json(record)):
        (target,) = fb.targets.read_optimizations(source).complete()
        assert target.name == "record 3"
        assert target.level_of_theory == "b3lyp-d3bj/dzvp"
        np.testing.assert_allclose(target.positions, peroxide(np.radians(110)), atol=1e-12)
    without = optimization(3, [-1.0], None)
    (rejected,) = fb.targets.read_optimizations([without]).rejected
    assert rejected.reason.startswith("final_molecule: missing, and cannot be fetched: Record is not connected")
    (rejected,) = fb.targets.read_optimizations([as_json(without)]).rejected
    assert rejected.reason == "final_molecule: missing"


def test_files_that_hold_no_records_are_refused(tmp_path):
    path = tmp_path / "records.json"
    with pytest.raises(TargetError, match="records.json: cannot be read as JSON"):
        fb.targets.read_torsion_drives(path)
    path.write_text("3")
    with pytest.raises(TargetError, match="records.json: holds a int, expected records"):
        fb.targets.read_torsion_drives(path)


@pytest.mark.parametrize(
    ("found", "spacing", "ranges", "missing"),
    [
        ([(-90,), (0,), (90,), (180,)], [90], None, []),
        ([(-90,), (0,), (90,), (-180,)], [90], None, []),
        ([(-30,), (0,)], [30], [(-30, 30)], [(30,)]),
        ([(170,), (180,), (190,)], [10], [(170, 190)], []),
        ([(a, b) for a in (0, 180) for b in (-60, 60, 180)], [180, 120], None, []),
        ([(0, 60)], [180, 120], [(0, 0), (60, 180)], [(0, 180)]),
    ],
)
def test_grids(found, spacing, ranges, missing):
    assert missing_points(found, spacing, ranges) == missing
