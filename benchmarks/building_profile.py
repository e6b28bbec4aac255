"""What making and keeping bundles spends its time on: the first five functions of each call, on large inputs.

``python -m benchmarks.building_profile after.json --before before.json --table building_profile.md`` profiles this
ffbridge, and writes it beside what an earlier one took, of the same script on the same machine. Times are processor
time of single calls without the profiler, the least of several; the profiler's shares are of time in a function itself.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DGLBACKEND", "pytorch")

import ffbridge as fb

__all__ = ["main"]

N_WATERS = 33_334
REPEATS = 5
SHOWN = 5


def main() -> None:
    """Profile, and write the figures and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, call in _calls(Path(folder)):
            found[name] = _profiled(call)
            print(f"{name}: {1e3 * found[name]['seconds']:.3g} ms", flush=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.table is not None and options.before is not None:
        before = json.loads(options.before.read_text(encoding="utf-8"))
        options.table.write_text(_table(before, found), encoding="utf-8")


def _calls(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    from benchmarks.bundles import _water_box
    from benchmarks.molecules import minidrugbank

    parts = [sample.bundle for sample in minidrugbank()]
    yield f"concatenate, {len(parts)} molecules", lambda: fb.concatenate(parts)
    yield from _kept(folder, fb.concatenate(parts), f"{len(parts)} molecules")
    yield from _graphs()
    for what, (system, topology) in (
        ("protein in water", _protein_in_water()),
        ("water", _water_box(N_WATERS)),
    ):
        size = f"{what}, {topology.getNumAtoms()} atoms"
        yield f"from_openmm, {size}", lambda system=system, topology=topology: fb.from_openmm(system, topology)
        yield from _kept(folder, fb.from_openmm(system, topology), size)


def _kept(folder: Path, bundle: fb.Bundle, size: str) -> Iterator[tuple[str, Callable[[], object]]]:
    path, other = folder / "read.ffb", folder / "written.ffb"
    fb.save(bundle, path)
    yield f"validate, {size}", lambda: fb.validate(bundle)
    yield f"save, {size}", lambda: fb.save(bundle, other)
    yield f"load, {size}", lambda: fb.load(path)


def _graphs() -> Iterator[tuple[str, Callable[[], object]]]:
    from benchmarks.bundles import LARGEST
    from benchmarks.molecules import _drug_molecules
    from ffbridge.demo.graphs import parametrized_graph
    from ffbridge.producers.openff import load_force_field, parametrize

    molecules, force_field = dict(_drug_molecules()), load_force_field()
    eight = parametrize(list(molecules.values()) * 8, force_field=force_field)
    yield (
        f"from_interchange, {8 * len(molecules)} molecules in one topology",
        lambda: fb.from_interchange(eight, force_field=force_field),
    )
    molecule = molecules[LARGEST]
    bundle = fb.from_interchange(parametrize([molecule], force_field=force_field), force_field=force_field)
    graph = parametrized_graph(molecule, bundle).graph
    yield f"espaloma_graph, {molecule.n_atoms} atoms", lambda: fb.espaloma_graph(molecule)
    yield f"from_espaloma, {molecule.n_atoms} atoms", lambda: fb.from_espaloma(graph)


def _protein_in_water() -> tuple[Any, Any]:
    """The protein in water that comes with OpenMM, by AMBER14 with PME and constrained bonds to hydrogen."""
    from openmm import app

    structure = app.PDBFile(str(Path(app.__file__).parent / "data" / "test.pdb"))
    field = app.ForceField("amber14-all.xml", "amber14/tip3p.xml")
    system = field.createSystem(structure.topology, nonbondedMethod=app.PME, constraints=app.HBonds)
    return system, structure.topology


def _profiled(call: Callable[[], object]) -> dict[str, Any]:
    call()
    seconds = []
    while len(seconds) < REPEATS or (sum(seconds) < 0.1):
        start = process_time()
        call()
        seconds.append(process_time() - start)
    profile = cProfile.Profile()
    repeats = max(1, int(0.1 / min(seconds)))
    profile.enable()
    for _ in range(repeats):
        call()
    profile.disable()
    stats = pstats.Stats(profile)
    own = sorted(((entry[2], place) for place, entry in stats.stats.items()), reverse=True)  # type: ignore[attr-defined]
    top = [{"function": _called(place), "share": each / stats.total_tt} for each, place in own[:SHOWN]]  # type: ignore[attr-defined]
    return {"seconds": min(seconds), "top": top}


def _called(place: tuple[str, int, str]) -> str:
    file, _, function = place
    if file == "~":
        return function.strip("<>").replace("built-in method ", "").replace("method ", "").replace("' of '", " of ")
    return f"{'/'.join(Path(file).parts[-2:])}:{function}"


def _table(before: dict[str, Any], after: dict[str, Any]) -> str:
    lines = [
        "# What making and keeping bundles spends its time on",
        "",
        "Processor time of one call, the least of at least five, and the first five functions by time of their own.",
        "How: `benchmarks/building_profile.py`.",
        "",
        "| call | before | after | |",
        "|---|---|---|---|",
    ]
    for name in after:
        old, new = before[name]["seconds"], after[name]["seconds"]
        lines.append(f"| {name} | {1e3 * old:.3g} ms | {1e3 * new:.3g} ms | {old / new:.2f}× |")
    for name in after:
        lines += ["", f"## {name}", "", "| before | share | after | share |", "|---|---|---|---|"]
        for old, new in zip(before[name]["top"], after[name]["top"], strict=True):
            lines.append(f"| `{old['function']}` | {old['share']:.0%} | `{new['function']}` | {new['share']:.0%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
