"""Checks of a backend: bundles and graphs whose arrays are its own are what they are in NumPy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.resources import as_file
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ffbridge.backend import Backend
from ffbridge.bundle import Bundle
from ffbridge.errors import BundleFileError, ExchangeError
from ffbridge.graph import Graph, read_graph, write_graph
from ffbridge.graph.libraries import GRAPH_LIBRARIES, IMPORTED_AS
from ffbridge.graph.model import EdgeSet, NodeSet
from ffbridge.io import load, save
from ffbridge.registry import backend_of, backends
from ffbridge.snapshot import snapshot
from ffbridge.testing import vectors
from ffbridge.testing.arrays import take_home, there
from ffbridge.testing.check import Case, Check, expect
from ffbridge.validate import validate
from ffbridge_spec import vectors as vector_folder

__all__ = ["CHECKS"]


def _undeclared(backend: Backend, arrays: dict[str, Any]) -> str | None:
    """Return which dtype of some arrays a backend does not declare, after an error that names it."""
    for path, array in arrays.items():
        if (dtype := str(array.dtype)) not in backend.capabilities.dtypes:
            try:
                there(array, backend)
            except ExchangeError as error:
                expect(dtype in str(error), f"{path}: the refusal of {dtype} does not name it: {error}")
                return f"{backend.name} does not declare {dtype}"
            expect(False, f"{path}: {dtype} is not among the dtypes that {backend.name} declares, and was taken")
    return None


def _moved(source: Bundle, backend: Backend) -> Bundle:
    device = None if "cpu" in backend.capabilities.devices else backend.devices()[0]
    return source.to(backend.name, device=device)


def _valid(backend: Backend, name: str) -> str | None:
    vector = vectors.load("valid")[name]
    arrays = vectors.arrays(vector)
    if refused := _undeclared(backend, arrays):
        return refused
    moved = _moved(vectors.bundle(vector), backend)
    validate(moved)
    owners = {backend_of(array).name for array in moved.arrays().values()}
    expect(owners == {backend.name}, f"the arrays of bundle.to({backend.name!r}) are of {', '.join(sorted(owners))}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.ffb"
        save(moved, path)
        found = load(path)
    if vector["document"]["version"] == "1.0":  # a bundle is written with the version of its writer
        expect(moved.content_hash == found.content_hash == vector["sha256"], "the content hash is not the vector's")
    _equal(found.arrays(), arrays)
    return None


def _equal(found: Any, expected: dict[str, Any]) -> None:
    expect(found.keys() == expected.keys(), "arrays were lost or added")
    for path, array in expected.items():
        home = take_home(found[path])
        expect(home.dtype == array.dtype, f"{path}: {array.dtype} became {home.dtype}")
        expect(home.shape == array.shape, f"{path}: shape {array.shape} became {home.shape}")
        expect(
            home.tobytes() == np.ascontiguousarray(array).tobytes(), f"{path}: the values are not those of the source"
        )


def _invalid(backend: Backend, name: str) -> str | None:
    """The rule that a vector breaks is found in the backend's arrays; files are refused before there are any."""
    from ffbridge.rules import find_faults

    vector = vectors.load("invalid")[name]
    if "file" in vector:
        _refused_file(vector)
        return None
    document, arrays = vectors.broken(vector)
    # Weights of models may have any dtype; those that the backend does not declare are looked at where they are.
    apart = {path for path in arrays if path.startswith("models/")}
    if refused := _undeclared(backend, {path: array for path, array in arrays.items() if path not in apart}):
        return refused
    seen = {path: array if path in apart else snapshot(there(array, backend)) for path, array in arrays.items()}
    found = {(fault.path, fault.rule) for fault in find_faults(document, seen)}
    expect((vector["path"], vector["rule"]) in found, f"{vector['rule']} at {vector['path']} is not found, but {found}")
    return None


def _refused_file(vector: vectors.Vector) -> None:
    with as_file(vector_folder("invalid") / vector["file"]) as path:
        try:
            load(path)
        except BundleFileError as error:
            expect(f"[{vector['rule']}]" in str(error), f"the error does not name {vector['rule']}: {error}")
            return
    expect(False, f"the file {vector['file']} was read, and breaks {vector['rule']}")


# Graphs


def _graph() -> Graph:
    """A batch of two graphs of two types of nodes: an isolated node, parallel edges, fields of several shapes."""
    random = np.random.default_rng(23)
    atoms = NodeSet(
        count=5,
        fields={"x": random.normal(size=(5, 3)).astype(np.float32), "z": np.arange(5, dtype=np.int32)},
        batch_sizes=np.array([3, 2], dtype=np.int64),
    )
    terms = NodeSet(
        count=3,
        fields={"k": random.normal(size=(3, 1)).astype(np.float32)},
        batch_sizes=np.array([2, 1], dtype=np.int64),
    )
    edges = EdgeSet(
        src=np.array([0, 0, 2, 3], dtype=np.int64),
        dst=np.array([0, 0, 1, 2], dtype=np.int64),
        fields={"weight": random.normal(size=(4, 2)).astype(np.float32)},
        batch_sizes=np.array([3, 1], dtype=np.int64),
    )
    return Graph(nodes={"atom": atoms, "term": terms}, edges={("atom", "in", "term"): edges})


def _homogeneous() -> Graph:
    """A batch of two graphs of one type, for libraries that have no others."""
    nodes = _graph().nodes["atom"]
    edges = EdgeSet(
        src=np.array([0, 1, 3], dtype=np.int64),
        dst=np.array([1, 0, 4], dtype=np.int64),
        fields={"weight": np.array([[0.5], [0.25], [2.0]], dtype=np.float32)},
        batch_sizes=np.array([2, 1], dtype=np.int64),
    )
    return Graph(nodes={"_N": nodes}, edges={("_N", "_E", "_N"): edges})


def _graph_cases(backend: Backend) -> Iterator[Case]:
    yield ("alone",)
    import_names = {name: package for package, name in IMPORTED_AS.items()}
    usable = {info.name for info in backends() if info.available}
    for library in sorted(GRAPH_LIBRARIES):
        framework = {"dgl": "torch", "pyg": "torch", "jraph": "jax"}.get(library, library)
        if importlib.util.find_spec(import_names.get(library, library)) and framework in usable:
            yield (library,)


def _round_trip(backend: Backend, library: str) -> str | None:
    """To the backend; then through a graph library, if one is named; to the backend again, and to NumPy."""
    source = _homogeneous() if library in ("jraph", "alone") else _graph()
    needed = {str(array.dtype) for array in source.arrays().values()} - backend.capabilities.dtypes - {"int64"}
    if needed or not {"int64", "int32"} & backend.capabilities.dtypes:
        return f"{backend.name} does not declare {', '.join(sorted(needed)) or 'int32'}"
    device = None if "cpu" in backend.capabilities.devices else backend.devices()[0]
    moved = source.to(backend.name, device=device)
    owners = {backend_of(array).name for array in moved.arrays().values()}
    expect(owners == {backend.name}, f"the arrays of graph.to({backend.name!r}) are of {', '.join(sorted(owners))}")
    if library != "alone":
        moved = read_graph(write_graph(moved.to("numpy", device="cpu"), library)).to(backend.name, device=device)
    found, expected = moved.to("numpy", device="cpu").arrays(), source.arrays()
    expect(found.keys() == expected.keys(), f"fields were lost or added: {sorted(found.keys() ^ expected.keys())}")
    for path, array in expected.items():
        expect(np.array_equal(found[path], array), f"{path}: the values are not those of the source")
    return None


CHECKS: tuple[Check[Backend], ...] = (
    Check(
        name="bundle/valid",
        about="bundles of its arrays are valid, have the vector's content hash, and go through files",
        cases=lambda backend: ((name,) for name in vectors.load("valid")),
        run=_valid,
    ),
    Check(
        name="bundle/invalid",
        about="what is wrong with a bundle is found in its arrays, with the rule and the place",
        cases=lambda backend: ((name,) for name in vectors.load("invalid")),
        run=_invalid,
    ),
    Check(
        name="graph/round-trip",
        about="graphs go to it, through the graph libraries that are installed, and come back",
        cases=_graph_cases,
        run=_round_trip,
    ),
)
