"""Every molecule of MiniDrugBank through OpenFF 2.3.0: energies and forces against OpenMM, and among engines.

MiniDrugBank comes with openff-toolkit. Limits: energies 1e-6 kJ/mol + 1e-9 |E| for each kind of force, forces 1e-6
(relative norm, for each kind too), engines among themselves 1e-12 (relative). Figures go to
``benchmarks/results/minidrugbank.json``. Takes some ten minutes, nearly all of it in NAGL; the few molecules in which
NAGL does not come to an end get other charges, and are listed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("JAX_ENABLE_X64", "1")

import numpy as np
from openff.interchange import Interchange

import ffbridge as fb
from ffbridge.concatenate import concatenate
from ffbridge.demo.reference import GROUPS, OpenMMReference
from ffbridge.producers.openff import from_interchange, load_force_field, parametrize

__all__ = ["main"]

ABSOLUTE, RELATIVE, FORCES, ENGINES = 1e-6, 1e-9, 1e-6, 1e-12
CHUNK = 32
NAGL_SECONDS = 100
OUTPUT = Path(__file__).parent / "results" / "minidrugbank.json"


@dataclass(frozen=True, eq=False)
class Case:
    """A molecule that OpenFF parametrizes, with what was measured."""

    name: str
    bundle: fb.Bundle
    positions: np.ndarray
    by_nagl: bool
    energy_ratio: dict[str, float]
    energy_difference: dict[str, float]
    force_difference: dict[str, float]
    seconds: dict[str, float]

    @property
    def passed(self):
        """Whether every energy and force is within its limit."""
        return max(self.energy_ratio.values()) <= 1 and max(self.force_difference.values()) <= FORCES


def read_minidrugbank():
    """The molecules that openff-toolkit can read, and {name: reason} of those that it cannot."""
    import openff.toolkit
    from rdkit import Chem
    from rdkit.rdBase import BlockLogs

    path = Path(openff.toolkit.__file__).parent / "data" / "molecules" / "MiniDrugBank.sdf"
    left_out = {}
    with BlockLogs(), redirect_stderr(None):
        molecules = openff.toolkit.Molecule.from_file(str(path), allow_undefined_stereo=True)
        read = {molecule.name for molecule in molecules}
        supplier = Chem.SDMolSupplier(str(path), removeHs=False, sanitize=False)
        for number, record in enumerate(supplier):
            name = supplier.GetItemText(number).splitlines()[0]
            if name not in read:
                faults = Chem.DetectChemistryProblems(record)
                left_out[name] = "cannot be read: " + "; ".join(fault.Message() for fault in faults)
    return molecules, left_out


def one_line(error):
    """An error as one line of text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


class TooSlow(BaseException):
    """NAGL did not come to an end in time. Not an Exception, for which OpenFF would try the next toolkit."""


@contextmanager
def processor_time(seconds):
    """Raise TooSlow in the block when it has used up so much processor time."""

    def stop(*_):
        raise TooSlow(f"more than {seconds} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def interchange_of(molecule, *, seconds=NAGL_SECONDS):
    """The Interchange of a molecule, and whether its charges are NAGL's.

    NAGL enumerates resonance forms, which are too many in a few molecules. Those get Gasteiger charges: where charges
    come from makes no difference to the comparison.
    """
    try:
        with processor_time(seconds):
            return parametrize([molecule]), True
    except TooSlow:
        charged = type(molecule)(molecule)
        charged.assign_partial_charges("gasteiger")
        force_field, topology = load_force_field(), molecule.to_topology()
        return Interchange.from_smirnoff(force_field, topology, charge_from_molecules=[charged]), False


def measure(molecule, rng):
    """Parametrize a molecule and compare NumPy's energies and forces with OpenMM's."""
    start = perf_counter()
    interchange, by_nagl = interchange_of(molecule)
    parametrized = perf_counter()
    bundle = from_interchange(interchange)
    produced = perf_counter()
    given = molecule.conformers[0].m_as("nm")
    x = given + rng.normal(scale=0.005, size=given.shape)
    ratio, difference, forces_off = {}, {}, {}
    for group, (energy, forces) in OpenMMReference.from_interchange(interchange).evaluate(x).items():
        terms = {name: bundle.terms[name] for name in GROUPS[group] if name in bundle.terms}
        if not terms:
            continue
        part = replace(bundle, terms=terms, tables={term.table: bundle.tables[term.table] for term in terms.values()})
        found = fb.potential(part, "numpy").value_and_grad(x)
        difference[group] = abs(float(found.energy[0]) - energy)
        ratio[group] = difference[group] / (ABSOLUTE + RELATIVE * abs(energy))
        forces_off[group] = relative(found.forces, forces)
    seconds = {"from_smirnoff": parametrized - start, "from_interchange": produced - parametrized}
    return Case(molecule.name, bundle, x, by_nagl, ratio, difference, forces_off, seconds)


def compare_engines(cases, engine):
    """The largest relative difference of an engine from NumPy, over batches of molecules."""
    worst = {"energy": 0.0, "energy by term": 0.0, "forces": 0.0, "dU/d tables": 0.0}
    for start in range(0, len(cases), CHUNK):
        chunk = cases[start : start + CHUNK]
        batch = concatenate([case.bundle for case in chunk])
        x = np.concatenate([case.positions for case in chunk])
        expected, found = (fb.potential(batch, name) for name in ("numpy", engine))
        terms, mine = expected.by_term(x), found.by_term(x)
        whole, other = expected.value_and_grad(x), found.value_and_grad(x)
        differences = {
            "energy": relative(as_numpy(other.energy), whole.energy),
            "energy by term": max(relative(as_numpy(mine[name]), terms[name]) for name in terms),
            "forces": relative(as_numpy(other.forces), whole.forces),
            "dU/d tables": max(relative(as_numpy(other.tables[name]), whole.tables[name]) for name in whole.tables),
        }
        worst = {what: max(worst[what], value) for what, value in differences.items()}
    return worst


def relative(found, expected):
    """The norm of the difference over the norm of what was expected."""
    scale = np.linalg.norm(expected)
    return float(np.linalg.norm(found - expected) / scale) if scale else float(np.linalg.norm(found))


def as_numpy(array):
    """An array of any framework, without its gradient, in NumPy."""
    return fb.to(array.detach() if hasattr(array, "detach") else array, "numpy")


def main():
    """Measure, print and write the figures; exit code 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, help="measure the first molecules only, and write no file")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    molecules, left_out = read_minidrugbank()
    n_records = len(molecules) + len(left_out)
    cases = []
    for number, molecule in enumerate(molecules[: options.limit]):
        try:
            case = measure(molecule, rng)
        except Exception as error:  # noqa: BLE001  whatever a molecule fails with is the figure here
            left_out[molecule.name] = f"not parametrized: {one_line(error)}"
            print(f"{number} {molecule.name}: {left_out[molecule.name]}", flush=True)
            continue
        cases.append(case)
        verdict = "ok" if case.passed else f"DIFFERS {case.energy_difference} {case.force_difference}"
        print(f"{number} {case.name}: {case.bundle.n_atoms} atoms, {verdict}", flush=True)
    engines = {engine: compare_engines(cases, engine) for engine in ("torch", "jax")}
    groups = sorted({group for case in cases for group in case.energy_difference})
    failed = [case.name for case in cases if not case.passed]
    agree = all(value <= ENGINES for worst in engines.values() for value in worst.values())
    spent = {what: [case.seconds[what] for case in cases if case.by_nagl] for what in cases[0].seconds}
    results = {
        "force_field": "openff_unconstrained-2.3.0.offxml",
        "n_records": n_records,
        "n_compared": len(cases),
        "n_passed": len(cases) - len(failed),
        "failed": failed,
        "left_out": left_out,
        "gasteiger_charges": [case.name for case in cases if not case.by_nagl],
        "largest_energy_difference_kj_per_mol": {
            group: max(case.energy_difference.get(group, 0.0) for case in cases) for group in groups
        },
        "largest_relative_force_difference": {
            group: max(case.force_difference.get(group, 0.0) for case in cases) for group in groups
        },
        "largest_relative_difference_from_numpy": engines,
        "median_seconds": {what: median(values) for what, values in spent.items()},
        "from_interchange_over_from_smirnoff": sum(spent["from_interchange"]) / sum(spent["from_smirnoff"]),
    }
    print(json.dumps(results, indent=2))
    if options.limit is None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 1 if failed or not agree else 0


if __name__ == "__main__":
    sys.exit(main())
