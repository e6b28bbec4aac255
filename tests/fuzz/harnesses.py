"""What is fuzzed: a function of bytes for each reader, which raises only where a promise of SECURITY.md is broken.

A reader may refuse anything, with an error of ffbridge. What it accepts is checked: a bundle validates, and is the same
once it was saved and loaded again.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import ffbridge as fb
from ffbridge.canonical import canonical_json
from ffbridge.errors import FFBridgeError
from ffbridge.rules import find_faults

from . import readers
from .container import DTYPES, unpack
from .mutation import mutate_bundle, mutate_json_text, mutate_text
from .seeds import bundles

CORPUS = Path(__file__).parent / "corpus"
Run = Callable[[bytes, Path], None]


@dataclass(frozen=True)
class Harness:
    """One reader under test.

    Attributes:
        run: reads the bytes, for which it may use a folder; raises where a promise is broken.
        mutate: changes an input in a way that the reader does not see through at once.
        seeds: inputs to begin with, beside those of the corpus.
    """

    run: Run
    mutate: Callable[[bytes, Random], bytes]
    seeds: Callable[[], list[bytes]]


@cache
def folder() -> Path:
    """A folder of this process in memory, where there is such a place."""
    memory = Path("/dev/shm")
    return Path(mkdtemp(prefix="ffbridge-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))


def read_bundle(content: bytes, place: Path) -> None:
    """``fb.load``: what it accepts has the hash that it states, validates, and comes back from a file of its own."""
    path = place / "input.ffb"
    path.write_bytes(content)
    try:
        bundle = fb.load(path)
    except FFBridgeError:
        return
    if zlib.crc32(content) % 8:
        return
    fb.validate(bundle)
    again = place / "again.ffb"
    fb.save(bundle, again)
    found = fb.load(again)
    assert found.document() == bundle.document()
    assert found.content_hash == bundle.content_hash


def check_parts(content: bytes, place: Path) -> None:
    """``fb.validate``: faults are reported, and never raised, of any document and arrays; what has none is a bundle."""
    container = unpack(content)
    if container is None or container.document is None:
        return
    try:
        document = json.loads(container.document)
        if not isinstance(document, dict):
            return
        canonical_json(document)
    except (FFBridgeError, ValueError, RecursionError):
        return
    held = {name: tensor.array() for name, tensor in container.tensors.items() if tensor.dtype in DTYPES}
    if find_faults(document, held):
        return
    bundle = fb.Bundle.from_parts(document, held)
    fb.validate(bundle)
    if zlib.crc32(content) % 8 == 0:
        path = place / "valid.ffb"
        fb.save(bundle, path)
        assert fb.load(path).content_hash == bundle.content_hash


def mutate_parts(content: bytes, random: Random) -> bytes:
    """Values of arrays and of the document, whose file is sound."""
    changed = mutate_bundle(content, random)
    return changed if unpack(changed) is not None else content


HARNESSES: dict[str, Harness] = {
    "bundle": Harness(read_bundle, mutate_bundle, bundles),
    "validate": Harness(check_parts, mutate_parts, bundles),
    "targets": Harness(readers.read_targets, readers.mutate_table, readers.targets),
    "evaluator": Harness(partial(readers.read_with, "read_evaluator", ".json"), mutate_json_text, readers.evaluator),
    "qcarchive": Harness(readers.read_records, mutate_json_text, readers.records),
    "torsion_profiles": Harness(readers.read_profile, readers.mutate_profile, readers.profile),
    "extended_xyz": Harness(readers.extended_xyz, mutate_text, readers.xyz),
    "descent": Harness(readers.read_descent, readers.mutate_table, readers.descent),
    "spice": Harness(partial(readers.read_with, "read_spice", ".hdf5"), mutate_text, readers.spice),
    "trajectory": Harness(
        partial(readers.read_with, "read_trajectory", ".pdb"), mutate_text, lambda: [readers.PDB.encode()]
    ),
    "molecules": Harness(
        readers.read_molecules, mutate_text, lambda: [readers.SDF.encode(), b"smiles name\nCCO ethanol\nO\twater\n"]
    ),
}
