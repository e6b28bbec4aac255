"""The molecules that the suite runs on: the demo's eight drugs, and those of MiniDrugBank, made once and kept on disk.

OpenFF 2.3.0 with charges by NAGL, or by Gasteiger where NAGL takes more than a few seconds; conformers are the given
one with seeded noise. The cache is a folder that git ignores; what a peer needs beside the bundles is kept there too,
if the peer can be imported when the cache is made.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ffbridge as fb
from benchmarks import peers
from ffbridge.energy.plan import plan
from ffbridge.errors import FFBridgeError

__all__ = ["Sample", "batch", "cache_folder", "drugs", "evenly", "minidrugbank", "n_interactions", "parametrized_drugs"]

_NOISE = 0.003
_NAGL_SECONDS = 5


@dataclass(frozen=True, eq=False)
class Sample:
    """A molecule: its bundle, its positions ``(n_atoms, 3)`` [nm], and its index in its set."""

    index: int
    bundle: fb.Bundle
    x: np.ndarray


def cache_folder() -> Path:
    """The folder of what is made once; ``FFBRIDGE_BENCHMARKS`` names another."""
    return Path(os.environ.get("FFBRIDGE_BENCHMARKS", Path(__file__).parent.parent / ".benchmarks"))


def drugs() -> list[Sample]:
    """The eight drugs of the demo."""
    return _cached("drugs", _drug_molecules)


def minidrugbank() -> list[Sample]:
    """The molecules of MiniDrugBank that the OpenFF packages can read and parametrize, 352 of 371 records."""
    return _cached("minidrugbank", _minidrugbank_molecules)


def parametrized_drugs():
    """The drugs as ``(name, openff Molecule, Interchange)``, made anew: they are not in the cache."""
    from ffbridge.producers.openff import load_force_field, parametrize

    force_field = load_force_field()
    return [(name, molecule, parametrize([molecule], force_field=force_field)) for name, molecule in _drug_molecules()]


def evenly(samples: Sequence[Sample], n: int) -> list[Sample]:
    """So many of the samples, evenly from small to large, so that subsets of different size are alike."""
    ordered = sorted(samples, key=lambda sample: n_interactions(sample.bundle))
    return [ordered[int(place)] for place in (np.arange(n) + 0.5) * len(ordered) / n]


def batch(samples: Sequence[Sample], n_conformers: int) -> tuple[fb.Bundle, np.ndarray]:
    """One bundle of the samples, and conformers ``(n_conformers, n_atoms, 3)``; ``(n_atoms, 3)`` if it is one."""
    x = np.concatenate([sample.x for sample in samples])
    if n_conformers > 1:
        x = x + np.random.default_rng(5).normal(scale=_NOISE, size=(n_conformers, *x.shape))
    return fb.concatenate([sample.bundle for sample in samples]), x


def n_interactions(bundle: fb.Bundle) -> int:
    """Bonded interactions and pairs; a pair with Coulomb and Lennard-Jones energies counts once."""
    structure, arrays = plan(bundle.snapshot())
    return sum(len(arrays[f"{prefix}/systems"]) for prefix in {term.pairs or term.name for term in structure.terms})


def _cached(name, molecules) -> list[Sample]:
    folder = cache_folder() / name
    if not (folder / "made.json").exists():
        _make(folder, molecules())
    try:
        return _load(folder)
    except FFBridgeError:
        # A bundle of an older standard.
        _make(folder, molecules())
        return _load(folder)


def _load(folder: Path) -> list[Sample]:
    with np.load(folder / "positions.npz") as positions:
        return [
            Sample(index, fb.load(folder / f"{index}.ffb"), positions[str(index)]) for index in range(len(positions))
        ]


def _make(folder: Path, molecules) -> None:
    from benchmarks.minidrugbank import interchange_of
    from ffbridge.producers.openff import load_force_field

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"making {folder.name}, once", flush=True)
    force_field, rng = load_force_field(), np.random.default_rng(2020)
    interchanges, positions, left_out = [], {}, {}
    for name, molecule in molecules:
        try:
            interchange, _ = interchange_of(molecule, seconds=_NAGL_SECONDS)
            bundle = fb.from_interchange(interchange, force_field=force_field)
        except Exception as error:  # noqa: BLE001  a molecule that cannot be parametrized is listed
            left_out[name] = f"{type(error).__name__}: {error}"[:200]
            continue
        fb.save(bundle, folder / f"{len(interchanges)}.ffb")
        given = molecule.conformers[0].m_as("nm")
        positions[str(len(interchanges))] = given + rng.normal(scale=_NOISE, size=given.shape)
        interchanges.append(interchange)
    np.savez(folder / "positions.npz", **positions)
    if "smee" in peers.found():
        peers.save_smee(interchanges, folder / "smee.pt")
    (folder / "made.json").write_text(json.dumps({"n": len(interchanges), "left_out": left_out}, indent=1))


def _drug_molecules():
    from ffbridge.demo.molecules import DRUGS
    from ffbridge.producers.openff import read_molecules

    found = []
    for name, smiles in DRUGS.items():
        (molecule,) = read_molecules(smiles)
        molecule.generate_conformers(n_conformers=1)
        found.append((name, molecule))
    return found


def _minidrugbank_molecules():
    import openff.toolkit
    from rdkit.rdBase import BlockLogs

    path = Path(openff.toolkit.__file__).parent / "data" / "molecules" / "MiniDrugBank.sdf"
    with BlockLogs(), redirect_stderr(None), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        molecules = openff.toolkit.Molecule.from_file(str(path), allow_undefined_stereo=True)
    return [(molecule.name, molecule) for molecule in molecules]
