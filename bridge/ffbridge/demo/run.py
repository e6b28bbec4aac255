"""The demo itself: real molecules on both roads, through a file, in every engine, against OpenMM."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.concatenate import concatenate
from ffbridge.exchange import share, transfer
from ffbridge.graph import read_graph
from ffbridge.io import load, save
from ffbridge.registry import backend_of
from ffbridge.validate import validate

from .checks import compare_engines, compare_roads, compare_with_openmm, evaluate, reach_graph
from .graphs import parametrized_graph
from .molecules import Drug, load_drugs
from .report import Check, MoleculeSummary, Report, TransferSummary

__all__ = ["ENGINES", "run_demo"]

ENGINES = ("numpy", "torch", "jax")


def run_demo(*, engines: Sequence[str] = ENGINES) -> Report:
    """Return what the demo finds.

    Args:
        engines: what to compare with OpenMM; the first is what the others are compared with.

    Raises:
        MissingDependencyError: OpenFF, DGL, OpenMM or an engine's framework is not installed.
        ExchangeError: JAX is among the engines and does not hold float64 (``JAX_ENABLE_X64``).
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "OpenFF: parameters and NAGL charges"):
        drugs = load_drugs()
    with _timed(seconds, "DGL graphs"):
        graphs = [parametrized_graph(drug.molecule, drug.bundle) for drug in drugs]
    with _timed(seconds, "bundle: concatenate, save, load, validate"):
        joined = concatenate([drug.bundle for drug in drugs])
        batch, file_bytes = _through_a_file(joined)
    x = np.concatenate([drug.positions for drug in drugs])
    results = {}
    for engine in engines:
        with _timed(seconds, f"engine {engine}"):
            results[engine] = evaluate(batch, x, engine)
    with _timed(seconds, "OpenMM"):
        checks, energies = compare_with_openmm(drugs, batch, results)
    with _timed(seconds, "comparisons"):
        checks += compare_engines(results)
        checks += compare_roads(drugs, graphs, results[engines[0]])
        checks.append(reach_graph(drugs[0], graphs[0]))
        checks.append(_file_check(joined, batch))
    return Report(
        molecules=tuple(_summary(drug, energy) for drug, energy in zip(drugs, energies.tolist(), strict=True)),
        batch=repr(batch),
        content_hash=batch.content_hash,
        file_bytes=file_bytes,
        transfers=_transfers(batch, graphs[0].graph, engines),
        checks=tuple(checks),
        seconds=seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], what: str) -> Iterator[None]:
    start = perf_counter()
    yield
    seconds[what] = perf_counter() - start


def _summary(drug: Drug, energy: float) -> MoleculeSummary:
    return MoleculeSummary(
        name=drug.name,
        n_atoms=drug.bundle.n_atoms,
        n_interactions=sum(len(term) for term in drug.bundle.terms.values()),
        n_parameters=sum(len(table) for table in drug.bundle.tables.values()),
        energy=energy,
    )


def _through_a_file(bundle: Bundle) -> tuple[Bundle, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drugs.ffb"
        save(bundle, path)
        loaded = load(path)
        validate(loaded)
        return loaded, path.stat().st_size


def _file_check(saved: Bundle, loaded: Bundle) -> Check:
    before, after = saved.arrays(), loaded.arrays()
    differing = len(before.keys() ^ after.keys())
    differing += sum(not np.array_equal(before[path], after[path]) for path in before.keys() & after.keys())
    differing += saved.document() != loaded.document()
    differing += saved.content_hash != loaded.content_hash
    return Check("arrays, document and hash", "loaded", "saved", float(differing), 0.0, "1")


def _transfers(batch: Bundle, graph: Any, engines: Sequence[str]) -> tuple[TransferSummary, ...]:
    """Return how arrays crossed: bundle to frameworks, a DGL graph to frameworks, and a case that has to copy."""
    others = [engine for engine in engines if engine != "numpy"]
    charges = batch.tables["electrostatics"].values
    field = read_graph(graph).node_field("n1", "h0")
    made = [_crossing("bundle: table of charges", charges, other) for other in others]
    made += [_crossing("DGL: features of atoms", field, other) for other in ("numpy", *others) if other != "torch"]
    if "jax" in others and "torch" in others:
        # torch could write into an immutable array, so `to` and `transfer` copy it; `share`, used above, does not.
        immutable = share(charges, "jax").array
        made.append(_crossing("JAX array given to the user", immutable, "torch", by_contract=False))
    return tuple(made)


def _crossing(what: str, array: Any, target: str, *, by_contract: bool = True) -> TransferSummary:
    crossed = share(array, target) if by_contract else transfer(array, target)
    source, target_backend = backend_of(array), backend_of(crossed.array)
    return TransferSummary(
        what=what,
        source=source.name,
        target=target,
        source_address=source.address(array),
        target_address=target_backend.address(crossed.array),
        zero_copy=crossed.zero_copy,
        reason=crossed.reason or "",
    )
