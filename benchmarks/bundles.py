"""Making and keeping bundles: from an Interchange, an espaloma graph, an OpenMM System; joined, validated, in files.

Each beside what it depends on (``Interchange.from_smirnoff``) or another program that does the same (espaloma's graph
builder); for one molecule, for batches up to 352, and for a box of water of 100,000 atoms.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import ffbridge as fb
from benchmarks import peers
from benchmarks.molecules import Sample, batch, evenly, minidrugbank, parametrized_drugs
from benchmarks.timing import Record
from ffbridge.demo.graphs import parametrized_graph
from ffbridge.producers.openff import load_force_field, parametrize

__all__ = ["measure"]

BATCHES = (8, 32, 88, 176, 352)
LARGEST = "benzylpenicillin"
N_WATERS = 33_334


def measure(record: Record) -> None:
    """Fill in the record."""
    molecules(record)
    batches(record)
    water(record)


def molecules(record: Record) -> None:
    """One molecule of 40 atoms, and the eight drugs for what Interchange takes itself."""
    made = parametrized_drugs()
    force_field = load_force_field()
    calls = {}
    for name, molecule, interchange in made:
        if name == LARGEST:
            bundle = fb.from_interchange(interchange, force_field=force_field)
            graph = parametrized_graph(molecule, bundle).graph
            size = f"{bundle.n_atoms} atoms"
            calls[f"molecule/{size}/from_espaloma"] = lambda graph=graph: fb.from_espaloma(graph)
            calls[f"molecule/{size}/espaloma_graph"] = lambda molecule=molecule: fb.espaloma_graph(molecule)
            if "espaloma" in peers.found():
                calls[f"molecule/{size}/espaloma's builder"] = peers.espaloma_builder(molecule)
    record.compare(calls, seconds=4.0)

    def parametrize_all() -> list[Any]:
        return [parametrize([molecule], force_field=force_field) for _, molecule, _ in made]

    def convert_all() -> list[Any]:
        return [fb.from_interchange(interchange, force_field=force_field) for _, _, interchange in made]

    record.compare(
        {
            "molecule/eight drugs/Interchange.from_smirnoff, NAGL kept in memory": parametrize_all,
            "molecule/eight drugs/from_interchange": convert_all,
        },
        seconds=6.0,
    )


def batches(record: Record) -> None:
    """Batches of molecules: joined, validated, written and read."""
    samples = minidrugbank()
    for n in BATCHES[:1] if record.quick else BATCHES:
        chosen = samples if n == len(samples) else evenly(samples, min(n, len(samples)))
        _one_batch(record, chosen, n)


def _one_batch(record: Record, chosen: list[Sample], n: int) -> None:
    parts = [sample.bundle for sample in chosen]
    bundle, _ = batch(chosen, 1)
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "read.ffb", Path(folder) / "written.ffb"
        fb.save(bundle, path)
        record.add(f"bundle/{n} molecules/file", [float(path.stat().st_size)], unit="byte")
        record.compare(
            {
                f"bundle/{n} molecules/concatenate": lambda: fb.concatenate(parts),
                f"bundle/{n} molecules/validate": lambda: fb.validate(bundle),
                f"bundle/{n} molecules/save": lambda: fb.save(bundle, other),
                f"bundle/{n} molecules/load": lambda: fb.load(path),
            },
            seconds=3.0,
        )


def water(record: Record) -> None:
    """A box of water as OpenMM has it: from_openmm, validate, save, load."""
    if "openmm" not in peers.found():
        record.skip("bundle/water box/from_openmm", "OpenMM is not installed")
        return
    start = perf_counter()
    system, topology = _water_box(N_WATERS // 100 if record.quick else N_WATERS)
    n_atoms = topology.getNumAtoms()
    record.add(f"bundle/{n_atoms} atoms/OpenMM's ForceField.createSystem", [perf_counter() - start])
    bundle = fb.from_openmm(system, topology)
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "read.ffb", Path(folder) / "written.ffb"
        fb.save(bundle, path)
        record.add(f"bundle/{n_atoms} atoms/file", [float(path.stat().st_size)], unit="byte")
        record.compare(
            {
                f"bundle/{n_atoms} atoms/from_openmm": lambda: fb.from_openmm(system, topology),
                f"bundle/{n_atoms} atoms/concatenate two": lambda: fb.concatenate([bundle, bundle]),
                f"bundle/{n_atoms} atoms/validate": lambda: fb.validate(bundle),
                f"bundle/{n_atoms} atoms/save": lambda: fb.save(bundle, other),
                f"bundle/{n_atoms} atoms/load": lambda: fb.load(path),
            },
            seconds=6.0,
        )


def _water_box(n_waters: int) -> tuple[Any, Any]:
    """A System and Topology of flexible TIP3P waters, with PME; positions take no part in it."""
    from openmm import app, unit

    topology = app.Topology()
    chain = topology.addChain()
    oxygen, hydrogen = app.Element.getBySymbol("O"), app.Element.getBySymbol("H")
    for _ in range(n_waters):
        residue = topology.addResidue("HOH", chain)
        atoms = [topology.addAtom(n, e, residue) for n, e in (("O", oxygen), ("H1", hydrogen), ("H2", hydrogen))]
        topology.addBond(atoms[0], atoms[1])
        topology.addBond(atoms[0], atoms[2])
    # 33.4 molecules to the cubic nanometre.
    edge = float(np.cbrt(n_waters / 33.4))
    topology.setPeriodicBoxVectors(np.diag([edge] * 3) * unit.nanometer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        field = app.ForceField("amber14/tip3p.xml")
    system = field.createSystem(
        topology, nonbondedMethod=app.PME, nonbondedCutoff=1.0 * unit.nanometer, rigidWater=False, removeCMMotion=False
    )
    return system, topology
