"""``ffbridge build`` beside a loop over plain ``Interchange.from_smirnoff``: molecules per second and core.

MiniDrugBank comes with openff-toolkit and is taken as a whole. Both have one process and one thread, and the same
molecules; the loop has its force field read and its charge model used once before the clock starts, as ``ffbridge
build`` has, which besides reads the molecules, and makes and writes the bundles. Processor time is compared, so that
other programs on the machine do not count; that of a run with one molecule is taken off, as the start. A molecule that
takes the loop longer than a limit is given up and does not count in the loop's mean; ``ffbridge build`` has the same
limit. Figures go to ``benchmarks/results/building.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import warnings
from contextlib import redirect_stderr
from itertools import islice
from pathlib import Path
from statistics import mean, median
from time import process_time

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ.setdefault("DGLBACKEND", "pytorch")

from ffbridge.building import build_bundles, read_records

__all__ = ["main"]

FORCE_FIELD = "openff_unconstrained-2.3.0.offxml"
LIMIT = 100
OUTPUT = Path(__file__).parent / "results" / "building.json"


def minidrugbank():
    """The path of the file."""
    import openff.toolkit

    return Path(openff.toolkit.__file__).parent / "data" / "molecules" / "MiniDrugBank.sdf"


def plain(source):
    """Processor seconds of each molecule by ``Interchange.from_smirnoff``, in a process that has done one before.

    Beside them the names of those that were given up.
    """
    from openff.interchange import Interchange
    from openff.toolkit import ForceField, Molecule
    from rdkit.rdBase import BlockLogs

    force_field = ForceField(FORCE_FIELD)
    with BlockLogs(), redirect_stderr(None):
        molecules = Molecule.from_file(str(source), allow_undefined_stereo=True)
    Interchange.from_smirnoff(force_field, Molecule.from_smiles("C").to_topology())
    seconds, given_up = [], []
    signal.signal(signal.SIGALRM, _give_up)
    for molecule in molecules:
        start = process_time()
        signal.alarm(LIMIT)
        try:
            Interchange.from_smirnoff(force_field, molecule.to_topology())
            seconds.append(process_time() - start)
        except _GivenUp:
            given_up.append(molecule.name)
        finally:
            signal.alarm(0)
    return seconds, given_up


class _GivenUp(BaseException):
    """The limit is over; no library takes this for a failure of its own."""


def _give_up(number, frame):
    raise _GivenUp


def built(source, folder, *, jobs=1):
    """What ``build_bundles`` reports, and the processor time of its workers [s]."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = build_bundles(
        source, folder, force_field=FORCE_FIELD, jobs=jobs, allow_undefined_stereo=True, seconds=LIMIT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return report, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    """Measure, print and write the figures; exit code 1 if one process is less than ten times as fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, help="the first so many; all if not given")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, first = folder / "molecules.sdf", folder / "first.sdf"
        records = list(islice(read_records(minidrugbank()), options.molecules))
        source.write_text("".join(record.text for record in records))
        first.write_text(records[0].text)
        _, start = built(first, folder / "first")
        report, whole = built(source, folder / "one")
        again, _ = built(source, folder / "one")
        two, _ = built(source, folder / "two", jobs=2)
        failures = [json.loads(line) for line in (folder / "one" / "failures.jsonl").read_text().splitlines()]
        seconds, given_up = plain(source)
        # The same molecules on both sides: those that the loop gave up cost `ffbridge build` most of its time.
        (folder / "same.sdf").write_text("".join(record.text for record in records if record.name not in given_up))
        same, whole_of_same = built(folder / "same.sdf", folder / "same")
    per_molecule = (whole_of_same - start) / (same.n_built - 1)
    results = {
        "force_field": FORCE_FIELD,
        "n_records": len(records),
        "n_built": report.n_built,
        "failures": failures,
        "plain from_smirnoff": {"n": len(seconds), "processor_seconds": mean(seconds), "median": median(seconds)},
        "plain from_smirnoff gave up": given_up,
        "ffbridge build": {"n": same.n_built, "processor_seconds": per_molecule},
        "ffbridge build, all": {"n": report.n_built, "processor_seconds": (whole - start) / (report.n_built - 1)},
        "molecules_per_second_and_core": {"plain from_smirnoff": 1 / mean(seconds), "ffbridge build": 1 / per_molecule},
        "speedup": mean(seconds) / per_molecule,
        "wall_seconds_with_start": {
            "one process": report.seconds,
            "one process, all there": again.seconds,
            "two processes": two.seconds,
        },
    }
    print(json.dumps(results, indent=2))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0 if results["speedup"] >= 10 else 1


if __name__ == "__main__":
    sys.exit(main())
