"""Energy and forces of acetaminophen (20 atoms) as a DGL graph: espaloma, and the engines on the graph's bundle."""

from __future__ import annotations

from collections.abc import Callable

import ffbridge as fb
from benchmarks import engines, peers
from benchmarks.molecules import drugs
from benchmarks.timing import Record
from ffbridge.demo.graphs import parametrized_graph
from ffbridge.producers.openff import read_molecules

__all__ = ["measure"]


def measure(record: Record) -> None:
    """Fill in the record."""
    sample = drugs()[0]
    (molecule,) = read_molecules("CC(=O)Nc1ccc(O)cc1")
    graph = parametrized_graph(molecule, sample.bundle).graph
    bundle = fb.from_espaloma(graph)
    expected = float(fb.potential(bundle, engine="numpy")(sample.x)[0])
    prefix = f"graph/{bundle.n_atoms} atoms"
    calls: dict[str, Callable[[], object]] = {
        f"{prefix}/{engine}": engines.call(bundle, engine, "forces", sample.x)
        for engine in (*engines.names(), engines.COMPILED)
    }
    if "espaloma" in peers.found():
        calls[f"{prefix}/espaloma"] = peers.espaloma_call(graph, sample.x, expected)
    record.compare(calls, seconds=4.0)
