"""Checks of an engine: what one call leaves behind for the next, for other threads, and in memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np

from ffbridge.engine import Engine
from ffbridge.errors import UnsupportedError
from ffbridge.registry import get_engine
from ffbridge.testing.check import Case, Check, close, expect
from ffbridge.testing.memory import resident
from ffbridge.testing.samples import Sample, chosen

__all__ = ["CHECKS"]

_SAME = 1e-11
_THREADS = 8


def _once(engine: Engine) -> Iterator[Case]:
    yield ()


def _conformers(engine: Engine) -> str | None:
    """Leading axes of positions are conformers: one at a time gives the same as all at once, in any shape."""
    found = chosen(engine)
    U = found.potential(engine)
    x = np.stack([found.x[0] * (1 + 0.002 * number) for number in range(6)])
    each = [U.value_and_grad(conformer) for conformer in x]
    energy, forces = np.stack([one.energy for one in each]), np.stack([one.forces for one in each])
    n_systems, n_atoms = found.bundle.n_systems, found.bundle.n_atoms
    for batch in ((6,), (2, 3), (3, 1, 2)):
        whole = U.value_and_grad(x.reshape(*batch, n_atoms, 3))
        close(f"energy of conformers {batch}", whole.energy, energy.reshape(*batch, n_systems), _SAME)
        close(f"forces of conformers {batch}", whole.forces, forces.reshape(*batch, n_atoms, 3), _SAME)
        if engine.table_derivatives:
            for table in found.bundle.tables:
                summed = np.sum([one.tables[table] for one in each], axis=0)
                close(f"dU/d {table} of conformers {batch}", whole.tables[table], summed, 1e-10)
    return None


def _tables_followed(engine: Engine) -> str | None:
    """Each call uses the tables that it is given, and the bundle's own if it is given none, whatever came before."""
    found = chosen(engine)
    U = found.potential(engine)
    own, x = U(found.x), found.x
    for table, values in found.tables().items():
        changed, held = {table: found.tables(seed=1)[table]}, {table: found.tables(seed=2)[table]}
        for given in (changed, held):
            bundle = found.bundle.replace_table(table, given[table])
            expected = replace(found, bundle=bundle).potential(engine)(x)
            close(f"energy after the table {table} has changed", U(x, given), expected, _SAME)
        held[table][...] = changed[table]  # the same array, with other values
        expected = replace(found, bundle=found.bundle.replace_table(table, changed[table])).potential(engine)(x)
        close(f"energy after the array of table {table} has other values", U(x, held), expected, _SAME)
        close(
            f"forces after that, by {table}",
            U.value_and_grad(x, held).forces,
            U.value_and_grad(x, changed).forces,
            _SAME,
        )
        close(f"energy of the bundle's own tables after those of {table}", U(x), own, 0)
        close("energy of the bundle's own tables, given", U(x, {table: values}), own, _SAME)
    return None


def _inputs_left(engine: Engine) -> str | None:
    """A call changes neither positions nor tables, and its results don't change with them afterwards."""
    found = chosen(engine)
    U = found.potential(engine)
    x, tables = found.x.copy(), found.tables()
    first = U.value_and_grad(x, tables)
    energy, forces = first.energy.copy(), first.forces.copy()
    close("positions after a call", x, found.x, 0)
    for table, values in found.tables().items():
        close(f"table {table} after a call", tables[table], values, 0)
    x += 0.01
    U.value_and_grad(x, found.tables(seed=1))
    close("energy that was returned before", first.energy, energy, 0)
    close("forces that were returned before", first.forces, forces, 0)
    return None


def _single_precision(engine: Engine) -> str | None:
    """A bundle of float32 gives float32, near the other; float64 gives float64."""
    found = chosen(engine)
    double = found.potential(engine).value_and_grad(found.x)
    expect(str(double.energy.dtype) == str(double.forces.dtype) == "float64", "a float64 bundle gives another dtype")
    narrow = Sample(name=found.name, bundle=found.bundle.to("numpy", dtype="float32"), x=found.x.astype(np.float32))
    try:
        single = narrow.potential(engine).value_and_grad(narrow.x)
    except UnsupportedError as error:
        return f"float32: {error}"
    expect(str(single.energy.dtype) == str(single.forces.dtype) == "float32", "a float32 bundle gives another dtype")
    close("energy of a float32 bundle", single.energy, double.energy, 1e-3)
    close("forces of a float32 bundle", single.forces, double.forces, 1e-3)
    return None


def _threads(engine: Engine) -> str | None:
    """Eight threads evaluate one potential, each at positions of its own."""
    found = chosen(engine)
    U = found.potential(engine)
    points = [found.x * (1 + 0.002 * number) for number in range(_THREADS)]
    expected = [U.value_and_grad(x) for x in points]
    barrier = Barrier(_THREADS)

    def work(thread: int) -> str | None:
        barrier.wait()
        for _ in range(10):
            given = U.value_and_grad(points[thread])
            for what, one, other in (
                ("energy", given.energy, expected[thread].energy),
                ("forces", given.forces, expected[thread].forces),
            ):
                if not np.allclose(one, other, rtol=1e-9, atol=1e-9 * float(np.abs(other).max())):
                    return what
        return None

    with ThreadPoolExecutor(_THREADS) as pool:
        wrong = [what for what in pool.map(work, range(_THREADS)) if what]
    expect(not wrong, f"{len(wrong)} of {_THREADS} threads at once get a wrong {wrong and wrong[0]}")
    return None


def _flat_memory(engine: Engine) -> str | None:
    """A call is no heavier after many calls."""
    found = chosen(engine)
    U = found.potential(engine)
    x = np.concatenate([found.x] * 128)

    def evaluate(count: int) -> None:
        for _ in range(count):
            U.value_and_grad(x)
        gc.collect()

    evaluate(10)
    before = resident()
    if before is None:
        return "this system does not tell how much memory a process has"
    evaluate(60)
    grown = (resident() or 0) - before
    limit = max(60 * x.nbytes // 4, 8_000_000)
    expect(grown < limit, f"60 calls leave {grown / 1e6:.1f} MB behind; {limit / 1e6:.1f} MB would be a quarter of x")
    return None


def _evaluates(engine: Engine) -> str | None:
    """It evaluates something, and is found by its name."""
    expect(type(get_engine(engine.name)) is type(engine), f"the engine of the name {engine.name!r} is another one")
    chosen(engine)
    return None


CHECKS: tuple[Check[Engine], ...] = (
    Check(name="calls/evaluates", about="it evaluates one of the standard's vectors", cases=_once, run=_evaluates),
    Check(name="calls/conformers", about="leading axes of positions are conformers", cases=_once, run=_conformers),
    Check(
        name="calls/tables",
        about="each call uses the tables that it is given, and then the bundle's own again",
        cases=_once,
        run=_tables_followed,
    ),
    Check(
        name="calls/inputs",
        about="a call changes neither its inputs nor earlier results",
        cases=_once,
        run=_inputs_left,
    ),
    Check(
        name="calls/dtype",
        about="float32 bundles give float32, float64 ones float64",
        cases=_once,
        run=_single_precision,
    ),
    Check(name="threads/calls", about="eight threads evaluate one potential at once", cases=_once, run=_threads),
    Check(name="calls/flat-memory", about="calls leave no memory behind", cases=_once, run=_flat_memory),
)
