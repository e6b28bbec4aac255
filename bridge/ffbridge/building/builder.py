"""One molecule after another to a bundle file, in a process that does nothing else."""

from __future__ import annotations

import functools
import gc
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffbridge
from ffbridge.bundle import Bundle
from ffbridge.canonical import canonical_json
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.io import load, save
from ffbridge.producers.openff import from_interchange, load_force_field, parametrize
from ffbridge.producers.openff.resonance import shared_resonance_paths

from .records import Record

__all__ = ["Builder"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]+")
_LONGEST_NAME = 60


class Builder:
    """Makes bundle files with one force field, which is read once, as are the charge models.

    This is for a process of its own: what is in memory when it is ready is taken out of the garbage collector's sight
    for good (:func:`gc.freeze`).

    Args:
        force_field: name of the SMIRNOFF file.
        allow_undefined_stereo: whether molecules whose stereochemistry is open are taken as they are.

    Raises:
        MissingDependencyError: the OpenFF packages are not installed.
        UnsupportedError: the force field cannot be read.
    """

    def __init__(self, force_field: str, *, allow_undefined_stereo: bool = False) -> None:
        self._force_field = load_force_field(force_field)
        self._allow_undefined_stereo = allow_undefined_stereo
        self._recipe = {
            "force_field": force_field,
            "force_field_sha256": hashlib.sha256(self._force_field.to_string().encode()).hexdigest(),
            "allow_undefined_stereo": allow_undefined_stereo,
            "versions": _versions(),
        }
        self._caches: list[Any] = []
        self._settle()

    def build(self, record: Record, folder: Path) -> dict[str, Any]:
        """Write the bundle of a molecule, unless its file is there, and return what the manifest shall say of it.

        The file's name holds the digest of the record, of the force field and of the programs' versions, and the file
        holds it too: a file that is there and sound is the one that would be written again.
        """
        key = hashlib.sha256(canonical_json({"format": record.format, "text": record.text, **self._recipe})).hexdigest()
        path = folder / _file_name(record.name, key)
        found = _read_built(path, key)
        bundle = found or self._bundle(record, key)
        if found is None:
            save(bundle, path)
        return {
            "status": "built" if found is None else "kept",
            "file": path.name,
            "content_hash": bundle.content_hash,
            "input_sha256": key,
            "n_atoms": bundle.n_atoms,
        }

    def _bundle(self, record: Record, key: str) -> Bundle:
        bundle = self._parametrize(_molecule(record, self._allow_undefined_stereo))
        build = {"input_sha256": key, "name": record.name, **self._recipe}
        return replace(bundle, provenance={**bundle.provenance, "build": build})

    def _parametrize(self, molecule: Any) -> Bundle:
        with shared_resonance_paths():
            interchange = parametrize([molecule], force_field=self._force_field)
        bundle = from_interchange(interchange, force_field=self._force_field)
        for cache in self._caches:
            cache.cache_clear()
        return bundle

    def _settle(self) -> None:
        """Load everything that a molecule needs, then keep it out of the garbage collector's sight.

        Interchange looks at every object that the collector knows, for each molecule, to find the caches of its
        functions and clear them; that takes as long as all its other work together. Frozen objects it does not see, so
        those caches are found here, once, and cleared after each molecule: what they hold does not outlive it.
        """
        from openff.toolkit import Molecule

        self._parametrize(Molecule.from_smiles("C"))
        self._caches = list(_interchange_caches())
        gc.collect()
        gc.freeze()


def _interchange_caches() -> Iterator[Any]:
    for found in gc.get_objects():
        # Proxies may pretend to be of any class, and raise when asked; the type itself does not.
        if type(found) is functools._lru_cache_wrapper and found.__module__.startswith("openff.interchange"):
            yield found


def _versions() -> dict[str, str]:
    import openff.interchange
    import openff.toolkit

    return {
        "ffbridge": ffbridge.__version__,
        "openff-interchange": openff.interchange.__version__,
        "openff-toolkit": openff.toolkit.__version__,
    }


def _file_name(name: str, key: str) -> str:
    readable = _UNSAFE.sub("_", name)[:_LONGEST_NAME].lstrip(".")
    return f"{readable}-{key[:16]}.ffb" if readable else f"{key[:16]}.ffb"


def _read_built(path: Path, key: str) -> Bundle | None:
    """Return the bundle of an earlier run, or None if it is not there, is damaged, or was made otherwise."""
    if not path.exists():
        return None
    try:
        bundle = load(path)
    except BundleError:
        return None
    return bundle if bundle.provenance.get("build", {}).get("input_sha256") == key else None


def _molecule(record: Record, allow_undefined_stereo: bool) -> Any:
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        return _READERS[record.format](record.text, allow_undefined_stereo)


def _from_sdf(text: str, allow_undefined_stereo: bool) -> Any:
    from openff.toolkit import Molecule
    from rdkit import Chem

    # The toolkit says of a record that RDKit refuses only that it cannot be read; RDKit itself knows why.
    if Chem.MolFromMolBlock(text, removeHs=False) is None:
        unchecked = Chem.MolFromMolBlock(text, removeHs=False, sanitize=False)
        problems = [] if unchecked is None else Chem.DetectChemistryProblems(unchecked)
        reasons = "; ".join(problem.Message() for problem in problems) or "it is no record of an SD file"
        raise UnsupportedError(f"RDKit cannot read the record: {reasons}")
    stream = io.BytesIO(text.encode())
    return Molecule.from_file(stream, file_format="sdf", allow_undefined_stereo=allow_undefined_stereo)


def _from_smiles(text: str, allow_undefined_stereo: bool) -> Any:
    from openff.toolkit import Molecule

    return Molecule.from_smiles(text, allow_undefined_stereo=allow_undefined_stereo)


_READERS: dict[str, Callable[[str, bool], Any]] = {"sdf": _from_sdf, "smiles": _from_smiles}
