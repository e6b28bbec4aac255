"""What one evaluation of a loss and its gradient costs: conformers per second, peak memory, and how both grow.

Molecules of MiniDrugBank with OpenFF 2.3.0, conformers with noise, energies and (for engines with second derivatives)
forces as targets; the gradient is that by bonds', angles', torsions' and Lennard-Jones parameters, 1,200 or so numbers.
Every case runs in a process of its own, on one thread. Time is the processor's, the least of two calls after one that
compiles; memory is how much the process grows at most, from when targets and potential are made. The growth is the
exponent p of cost ~ nᵖ, fitted over three sizes: 1 is linear.

Processes keep the memory that they free (`KEEP`). glibc gives arrays of more than 32 MiB back to the system, which
clears their pages again at every call: from 100 molecules with 50 conformers on, a loss in PyTorch spends more than
half of its time so. That made its growth from smaller sizes 1.4, where the arithmetic's is 1.0.

    python -m benchmarks.targets             # writes benchmarks/results/targets.json and targets.md; --again: anew
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import process_time

import numpy as np

from benchmarks.molecules import cache_folder

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results"
ENGINES = {"torch": ("torch", (False, True)), "native": ("torch", (False,)), "jax": ("jax", (False, True))}
"""By engine, its host, and whether to take forces as targets too."""

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""Settings of glibc's malloc: memory that is freed stays with the process."""

MOLECULES, CONFORMERS = 200, 50
SIZES = ((50, 50), (100, 50), (200, 12), (200, 25), (200, 50))
SELECT = {
    "bonds": ["k", "length"],
    "angles": ["k", "angle"],
    "proper_torsions": ["k"],
    "improper_torsions": ["k"],
    "vdw": ["sigma", "epsilon"],
}


def measure(engine: str, host: str, forces: bool, n_molecules: int, n_conformers: int) -> dict:
    """The cost of one case, in this process."""
    if host == "torch":
        import torch

        torch.set_num_threads(1)
        scope = nullcontext()
    else:
        import jax

        scope = jax.enable_x64(True)
    with scope:
        objective, chosen = _objective(engine, host, forces, n_molecules, n_conformers)
        evaluate = (_in_torch if host == "torch" else _in_jax)(objective, chosen)
        before = _peak()
        first = _seconds(evaluate)
        seconds = min(_seconds(evaluate) for _ in range(2))
    return {
        "engine": engine,
        "host": host,
        "targets": _kind(forces),
        "molecules": n_molecules,
        "conformers": n_molecules * n_conformers,
        "atoms": objective.U.bundle.n_atoms,
        "parameters": len(chosen.parameters),
        "first_seconds": first,
        "seconds": seconds,
        "conformers_per_second": n_molecules * n_conformers / seconds,
        "peak_mib": _peak() - before,
    }


def _kind(forces):
    return "energies, forces" if forces else "energies"


def _name(case):
    return case["engine"], case["targets"], case["molecules"], case["conformers"]


def _objective(engine, host, forces, n_molecules, n_conformers):
    import ffbridge as fb
    from benchmarks.molecules import evenly, minidrugbank

    rng, targets = np.random.default_rng(0), []
    samples = evenly(minidrugbank(), n_molecules)
    for number, sample in enumerate(samples):
        x = sample.x + rng.normal(scale=0.003, size=(n_conformers, *sample.x.shape))
        targets.append(
            fb.targets.ConformerTarget(
                name=str(number),
                bundle="that of the benchmark",
                atomic_numbers=sample.bundle.atomic_numbers,
                energies=rng.normal(scale=10, size=n_conformers),
                forces=rng.normal(scale=100, size=x.shape) if forces else None,
                positions=x,
            )
        )
    bundle = fb.concatenate([sample.bundle for sample in samples])
    U = fb.potential(bundle, engine, host=host)
    return fb.targets.objective(targets, U, systems=range(n_molecules)), fb.trainable(bundle, SELECT)


def _in_torch(objective, chosen):
    import torch

    vector = torch.tensor(np.array(chosen.initial)).requires_grad_()

    def evaluate():
        vector.grad = None
        objective(chosen.tables(vector)).backward()

    return evaluate


def _in_jax(objective, chosen):
    import jax

    vector, constants = jax.numpy.asarray(np.array(chosen.initial)), objective.constants
    compiled = jax.jit(jax.value_and_grad(lambda vector, constants: objective(chosen.tables(vector), constants)))
    return lambda: jax.block_until_ready(compiled(vector, constants))


def _seconds(call) -> float:
    start = process_time()
    call()
    return process_time() - start


def _peak() -> float:
    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def growth(cases: list[dict], of: str, by: str) -> float:
    """The exponent of a cost in a size, by least squares of the logarithms."""
    sizes, costs = (np.log([case[key] for case in cases]) for key in (by, of))
    return float(np.polyfit(sizes, costs, 1)[0])


def _run(arguments: list[str]) -> dict:
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.targets", "--case", *arguments],
        env=os.environ | single | flags | KEEP,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(made.stdout.splitlines()[-1])


def _summary(cases: list[dict]) -> list[dict]:
    """For each engine and kind of targets: the largest case, and how the cost grows."""
    found = []
    for engine, kind in dict.fromkeys((case["engine"], case["targets"]) for case in cases):
        own = [case for case in cases if (case["engine"], case["targets"]) == (engine, kind)]
        of_conformers = [case for case in own if case["molecules"] == MOLECULES]
        of_molecules = [case for case in own if case["conformers"] == case["molecules"] * CONFORMERS]
        largest = max(own, key=lambda case: case["conformers"])
        grown = {
            f"{cost}_by_{by}": growth(some, key, by)
            for cost, key in (("seconds", "seconds"), ("memory", "peak_mib"))
            for by, some in (("conformers", of_conformers), ("molecules", of_molecules))
        }
        found.append(largest | grown)
    return found


def _table(summary: list[dict]) -> str:
    lines = [
        "# One loss and its gradient: 10,000 conformers of 200 molecules of MiniDrugBank",
        "",
        "Written by `python -m benchmarks.targets`; one thread, processor time; memory that is freed stays with the",
        f"process (`{' '.join(f'{name}={value}' for name, value in KEEP.items())}`). The last columns",
        "are the exponents p of time ~ nᵖ and of memory ~ nᵖ; 1 is linear, less has a constant part.",
        "",
        "| engine, host | targets | conformers/s | peak memory, MiB | first call, s "
        "| time by conformers | by molecules | memory by conformers | by molecules |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for case in summary:
        lines.append(
            f"| `{case['engine']}`, `{case['host']}` | {case['targets']} | {case['conformers_per_second']:,.0f} | "
            f"{case['peak_mib']:,.0f} | {case['first_seconds']:.1f} | {case['seconds_by_conformers']:.2f} | "
            f"{case['seconds_by_molecules']:.2f} | {case['memory_by_conformers']:.2f} | "
            f"{case['memory_by_molecules']:.2f} |"
        )
    if older := [f"`{case['engine']}` with {case['targets']}" for case in summary if "note" in case]:
        lines += ["", f"Measured at an earlier time, without that setting: {'; '.join(older)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all cases, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", nargs=5, metavar=("ENGINE", "HOST", "FORCES", "MOLECULES", "CONFORMERS"))
    parser.add_argument("--again", action="store_true", help="measure what was measured before too")
    arguments = parser.parse_args()
    if case := arguments.case:
        print(json.dumps(measure(case[0], case[1], case[2] == "1", int(case[3]), int(case[4]))))
        return
    kept = cache_folder() / "targets.jsonl"
    kept.parent.mkdir(exist_ok=True)
    if arguments.again:
        kept.unlink(missing_ok=True)
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    cases = []
    for engine, (host, kinds) in ENGINES.items():
        for forces in kinds:
            for size in SIZES:
                wanted = (engine, _kind(forces), size[0], size[0] * size[1])
                case = next((case for case in known if _name(case) == wanted), None)
                if case is None:
                    case = _run([engine, host, str(int(forces)), *map(str, size)])
                    with kept.open("a") as file:
                        file.write(json.dumps(case) + "\n")
                cases.append(case)
                print(json.dumps(case), flush=True)
            _write(cases)


def _write(cases: list[dict]) -> None:
    summary = _summary(cases)
    (RESULTS / "targets.json").write_text(json.dumps({"summary": summary, "cases": cases}, indent=1) + "\n")
    (RESULTS / "targets.md").write_text(_table(summary))
    print(_table(summary))


if __name__ == "__main__":
    main()
