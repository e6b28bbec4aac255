"""Inputs that fuzzing found, run again, and new ones: whatever a file holds, a reader keeps its promises.

`make fuzz` goes on from here for as long as one likes, with libFuzzer's coverage as a guide.
"""

from __future__ import annotations

import contextlib
import warnings
from random import Random

import pytest

import ffbridge as fb
from ffbridge.errors import FFBridgeError

from .container import Container, Tensor, unpack, written
from .harnesses import CORPUS, HARNESSES

NEW = 150
NEEDS = {
    "targets": "pyarrow",
    "descent": "pyarrow",
    "evaluator": "pint",
    "qcarchive": "rdkit",
    "torsion_profiles": "ase",
    "extended_xyz": "ase",
    "spice": "h5py",
    "trajectory": "mdtraj",
}

by_name = pytest.mark.parametrize("name", HARNESSES)


def harness(name):
    """The harness, where the library is that its reader needs; what that library warns of is its own affair."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    return HARNESSES[name]


@pytest.fixture(autouse=True)
def silent():
    logs = contextlib.nullcontext()
    with contextlib.suppress(ImportError):
        from rdkit.rdBase import BlockLogs

        logs = BlockLogs()
    with warnings.catch_warnings(), logs:
        warnings.simplefilter("ignore")
        yield


@by_name
def test_inputs_of_the_corpus(name, tmp_path):
    found = harness(name)
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    assert inputs
    for content in inputs:
        found.run(content, tmp_path)


@by_name
def test_new_inputs(name, tmp_path):
    """Mutations of the seeds and of each other, the same in each run."""
    found, random = harness(name), Random(7)
    pool = found.seeds()
    for content in pool:
        found.run(content, tmp_path)
    for _ in range(NEW):
        content = found.mutate(random.choice(pool), random)
        found.run(content, tmp_path)
        if len(content) < 10_000:
            pool.append(content)


def test_seeds_are_read():
    """Inputs of which nothing is accepted would test the first check alone."""
    found = [unpack(content) for content in HARNESSES["bundle"].seeds()]
    assert all(found)
    assert sum(each.document is not None for each in found) == len(found)


def test_the_harness_sees_an_error_that_is_none_of_ffbridge(monkeypatch, tmp_path):
    monkeypatch.setattr(fb, "load", lambda path: {}["key"])
    with pytest.raises(KeyError):
        HARNESSES["bundle"].run(b"", tmp_path)


def test_the_harness_sees_a_wrong_bundle(monkeypatch, tmp_path):
    """One that comes back with another document."""
    content = next(each for each in HARNESSES["bundle"].seeds() if accepted(each, tmp_path))
    # The harness compares some of the inputs; a member that is not read changes which.
    container = unpack(content)
    contents = [Container(container.document, container.tensors, {"x": str(number)}).pack() for number in range(40)]

    def run_all():
        for each in contents:
            HARNESSES["bundle"].run(each, tmp_path)

    run_all()
    monkeypatch.setattr(fb, "save", save_changed)
    with pytest.raises((AssertionError, FFBridgeError)):
        run_all()


def accepted(content, folder):
    path = folder / "seed.ffb"
    path.write_bytes(content)
    try:
        fb.load(path)
    except FFBridgeError:
        return False
    return True


def save_changed(bundle, path):
    document = bundle.document() | {"provenance": {"changed": True}}
    tensors = {name: Tensor("I32", list(array.shape), array.tobytes()) for name, array in bundle.arrays().items()}
    path.write_bytes(Container(written(document), tensors).pack())
