"""Readers of targets and of molecules: inputs as bytes, most of them texts or JSON from which a file is written."""

from __future__ import annotations

import io
import json
import zlib
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import ffbridge as fb
from ffbridge.errors import FFBridgeError
from tests.bridge.targets.molecules import PEROXIDE, conformers, drive, noisy, peroxide

from .mutation import mutate_json_text, mutate_text

TYPES = ("float64", "float32", "int32", "int64", "string", "bool_", "list float64", "list int32", "list string")


def arrow(kind: str) -> Any:
    """An Arrow type by one of the names above."""
    import pyarrow

    inner = getattr(pyarrow, kind.rpartition(" ")[2])()
    return pyarrow.list_(inner) if kind.startswith("list") else inner


def read_targets(content: bytes, place: Path) -> None:
    """``fb.targets.load``: raw Parquet, or what a JSON text says of its columns; what is read comes back as it was."""
    path = place / "targets.parquet"
    if not write_table(content, path):
        return
    try:
        found = fb.targets.load(path)
    except FFBridgeError:
        return
    # Two more files: one of eight executions makes them.
    if found and not zlib.crc32(content) % 8:
        fb.targets.save(found, path)
        assert len(fb.targets.load(path)) == len(found)


def write_table(content: bytes, path: Path) -> bool:
    """Write raw Parquet, or the table that JSON describes; False if Arrow has no such table."""
    import pyarrow
    import pyarrow.parquet

    if content.startswith((b"PAR1", b"ARROW1")):
        path.write_bytes(content)
        return True
    try:
        described = json.loads(content)
        columns = {
            name: pyarrow.array(column["values"], arrow(column["type"]))
            for name, column in described["columns"].items()
        }
        fields = [
            pyarrow.field(name, array.type, metadata={"unit": described["columns"][name]["unit"]})
            for name, array in columns.items()
        ]
        table = pyarrow.Table.from_arrays(
            list(columns.values()), schema=pyarrow.schema(fields, metadata={"ffbridge": described["metadata"]})
        )
        pyarrow.parquet.write_table(table, path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, pyarrow.ArrowException):
        return False
    return True


def targets() -> list[bytes]:
    """A file of each kind, raw and as JSON describes it."""
    import pyarrow.parquet

    sample = conformers(PEROXIDE, noisy(peroxide(), 2), conformer_weights=np.array([1.0, 2.0]))
    numbers = sample.atomic_numbers
    made: list[fb.targets.Target] = [
        sample,
        drive(points=2),
        fb.targets.HessianTarget(
            name="h",
            smiles=PEROXIDE,
            atomic_numbers=numbers,
            positions=peroxide(),
            hessian=np.eye(12).reshape(4, 3, 4, 3),
        ),
        fb.targets.OptimizedGeometry(name="o", smiles=PEROXIDE, atomic_numbers=numbers, positions=peroxide()),
        fb.targets.ObservableTarget(name="d", quantity="density", value=1.0, unit="kg/m^3", temperature=300.0),
    ]
    found = []
    for target in made:
        with TemporaryDirectory() as folder:
            fb.targets.save([target], Path(folder) / "seed.parquet")
            raw = (Path(folder) / "seed.parquet").read_bytes()
        table = pyarrow.parquet.read_table(io.BytesIO(raw))
        columns = {
            field.name: {
                "type": f"{'list ' if hasattr(field.type, 'value_type') else ''}{_plain(field.type)}",
                "unit": (field.metadata or {}).get(b"unit", b"").decode(),
                "values": table.column(field.name).to_pylist(),
            }
            for field in table.schema
        }
        metadata = table.schema.metadata[b"ffbridge"].decode()
        found += [raw, json.dumps({"metadata": metadata, "columns": columns}).encode()]
    return found


def _plain(kind: Any) -> str:
    name = str(getattr(kind, "value_type", kind))
    return {"double": "float64", "float": "float32"}.get(name, name)


def mutate_table(content: bytes, random: Random) -> bytes:
    """Values of a table that JSON describes, or any bytes of a raw one."""
    return (
        mutate_text(content, random) if content.startswith((b"PAR1", b"ARROW1")) else mutate_json_text(content, random)
    )


def read_with(name: str, suffix: str, content: bytes, place: Path, **options: Any) -> None:
    """A reader of `fb.targets` that takes one file."""
    path = place / f"input{suffix}"
    path.write_bytes(content)
    try:
        getattr(fb.targets, name)(path, **options)
    except FFBridgeError:
        return


def read_profile(content: bytes, place: Path) -> None:
    """``read_torsion_profiles``: a folder whose files are the texts of a JSON object."""
    folder = place / "profile"
    folder.mkdir(exist_ok=True)
    try:
        files = json.loads(content)
        for name in PROFILE:
            (folder / name).unlink(missing_ok=True)
            if isinstance(files.get(name), str):
                (folder / name).write_text(files[name], errors="replace")
    except (ValueError, AttributeError, RecursionError):
        return
    try:
        fb.targets.read_torsion_profiles(folder, partial=len(content) % 2 == 0)
    except FFBridgeError:
        return


PROFILE = ("metadata.json", "input.sdf", "scan.xyz", "qdata.txt")


def profile() -> list[bytes]:
    """A drive of hydrogen peroxide as ForceBalance has it."""
    from rdkit import Chem

    molecule = Chem.AddHs(Chem.MolFromSmiles("OO"))
    molecule = Chem.RenumberAtoms(molecule, [2, 0, 1, 3])
    molecule.AddConformer(Chem.Conformer(4))
    grid = (-90, 0, 90, 180)
    metadata = {"dihedrals": [[0, 1, 2, 3]], "grid_spacing": [90], "torsion_grid_ids": [[a] for a in grid]}
    scan = qdata = ""
    for angle in grid:
        x = peroxide(np.radians(angle)) * 10
        scan += "4\n\n" + "".join(f"{s} {a:.6f} {b:.6f} {c:.6f}\n" for s, (a, b, c) in zip("HOOH", x, strict=True))
        qdata += "JOB 0\nCOORDS " + " ".join(f"{value:.6f}" for value in x.reshape(-1)) + "\nENERGY -150.0\n\n"
    texts = (json.dumps(metadata), Chem.MolToMolBlock(molecule) + "$$$$\n", scan, qdata)
    return [json.dumps(dict(zip(PROFILE, texts, strict=True))).encode()]


def mutate_profile(content: bytes, random: Random) -> bytes:
    """One of the four texts, its JSON by values."""
    try:
        files = json.loads(content)
        name = random.choice(PROFILE)
        change = mutate_json_text if name == "metadata.json" else mutate_text
        files[name] = change(files[name].encode(), random).decode(errors="replace")
        return json.dumps(files).encode()
    except (ValueError, AttributeError, TypeError, KeyError):
        return mutate_json_text(content, random)


def evaluator() -> list[bytes]:
    """A data set of two properties."""
    from tests.bridge.targets.test_measured import entry

    kind = "openff.evaluator.datasets.datasets.PhysicalPropertyDataSet"
    return [json.dumps({"@type": kind, "properties": [entry(), entry(identity="b", uncertainty=None)]}).encode()]


def records() -> list[bytes]:
    """A torsion drive and an optimization as QCArchive has them."""
    smiles = {"canonical_isomeric_explicit_hydrogen_mapped_smiles": PEROXIDE}
    specification = {"qc_specification": {"method": "b3lyp", "basis": "dzvp"}}

    def molecule(angle: float) -> dict[str, Any]:
        geometry = (peroxide(np.radians(angle)) / 0.0529177).reshape(-1).tolist()
        return {"symbols": list("HOOH"), "geometry": geometry, "extras": smiles}

    optimizations = {f"[{a}]": [{"energies": [-1.0, -2.0], "final_molecule": molecule(a)}] for a in (-90, 0, 90, 180)}
    keywords = {"dihedrals": [[0, 1, 2, 3]], "grid_spacing": [90]}
    torsion = {
        "id": 7,
        "status": "complete",
        "specification": {"keywords": keywords, "optimization_specification": specification},
        "optimization_records": optimizations,
    }
    optimization = {"id": 8, "status": "complete", "specification": specification, "final_molecule": molecule(90)}
    return [json.dumps(each).encode() for each in (torsion, [optimization], {"a": torsion})]


def read_records(content: bytes, place: Path) -> None:
    """Both readers of QCArchive's records."""
    for name in ("read_torsion_drives", "read_optimizations"):
        read_with(name, ".json", content, place)


def xyz() -> list[bytes]:
    """Two frames with energies and forces."""
    frames = ""
    for x in noisy(peroxide(), 2) * 10:
        frames += f'4\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 smiles="{PEROXIDE}" pbc="F F F"\n'
        frames += "".join(f"{s} {a:.6f} {b:.6f} {c:.6f} 0.1 0.2 0.3\n" for s, (a, b, c) in zip("HOOH", x, strict=True))
    return [frames.encode()]


def spice() -> list[bytes]:
    """One group, in HDF5."""
    import h5py

    from tests.bridge.targets.test_readers import spice_group

    sink = io.BytesIO()
    with h5py.File(sink, "w") as file:
        spice_group(file, "peroxide", conformers(PEROXIDE, noisy(peroxide(), 2)))
    return [sink.getvalue()]


def descent() -> list[bytes]:
    """Two rows, as JSON describes them and as Parquet."""
    x = noisy(peroxide(), 2) * 10
    columns = {
        "smiles": {"type": "string", "unit": "", "values": [PEROXIDE, None]},
        "coords": {"type": "list float64", "unit": "", "values": [x.reshape(-1).tolist(), []]},
        "energy": {"type": "list float64", "unit": "", "values": [[1.0, 2.0], None]},
        "forces": {"type": "list float64", "unit": "", "values": [x.reshape(-1).tolist(), None]},
    }
    return [json.dumps({"metadata": "", "columns": columns}).encode()]


def read_descent(content: bytes, place: Path) -> None:
    """``read_descent`` of Parquet or Arrow."""
    path = place / "descent.parquet"
    if not write_table(content, path):
        return
    try:
        fb.targets.read_descent(path)
    except FFBridgeError:
        return


PDB = """CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1
ATOM      1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
ATOM      2  H1  HOH A   1       0.957   0.000   0.000  1.00  0.00           H
ATOM      3  H2  HOH A   1      -0.240   0.927   0.000  1.00  0.00           H
END
"""
SDF = """water
     made by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 O   0  0
    1.0000    0.0000    0.0000 H   0  0
   -1.0000    0.0000    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""


def read_molecules(content: bytes, place: Path) -> None:
    """Records of ``ffbridge build``: an SD file, SMILES or Parquet; their texts are left to a process of its own."""
    from ffbridge.building import read_records as records_of

    suffix = ".parquet" if content.startswith(b"PAR1") else ".sdf" if b"V2000" in content else ".smi"
    path = place / f"molecules{suffix}"
    path.write_bytes(content)
    try:
        for record in records_of(path):
            json.dumps(vars(record)).encode()
    except FFBridgeError:
        return


extended_xyz = partial(read_with, "read_extended_xyz", ".xyz", energy_unit="eV")
