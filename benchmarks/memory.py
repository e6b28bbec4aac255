"""Peak working memory of a call, for each interaction and conformer; each in a process of its own.

The kernel's high-water mark of resident memory is set back after a call has been made once, and read after two more
calls. The allocator gives every large block back (``MALLOC_MMAP_THRESHOLD_``), so that what one call has used is not
there for the next.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import Record

__all__ = ["measure"]

N_CONFORMERS = 100
QUANTITIES = ("forces", "tables")


def measure(record: Record) -> None:
    """Fill in the record."""
    from benchmarks import engines
    from benchmarks.molecules import batch, drugs, n_interactions

    n_all = n_interactions(batch(drugs(), 1)[0]) * N_CONFORMERS
    for engine in engines.names():
        for quantity in QUANTITIES:
            for dtype in ("float64", "float32"):
                name = f"{quantity}, {N_CONFORMERS} conformers, {dtype}/{engine}"
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.memory", engine, quantity, dtype],
                    env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    record.skip(f"memory/{name}", done.stderr.strip().splitlines()[-1])
                else:
                    peak = max(float(json.loads(done.stdout.splitlines()[-1])), 1.0)
                    record.add(f"memory/{name}", [peak], unit="byte")
                    record.add(f"memory share/{name}", [peak / n_all], unit="byte")


def _peak(engine: str, quantity: str, dtype: str) -> float:
    """Bytes by which a call exceeds what the process holds before and after it."""
    from benchmarks import engines
    from benchmarks.molecules import batch, drugs

    bundle, x = batch(drugs(), N_CONFORMERS)
    call = engines.call(bundle.to("numpy", dtype=dtype), engine, quantity, x.astype(dtype))
    call()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = _status("VmRSS")
    for _ in range(2):
        call()
    return _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    print(json.dumps(_peak(*sys.argv[1:])))
