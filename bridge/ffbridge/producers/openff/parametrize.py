"""Molecules through a SMIRNOFF force field: what stands before `from_interchange`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ffbridge.errors import MissingDependencyError, UnsupportedError

from .nagl import cached_nagl

__all__ = ["DEFAULT_FORCE_FIELD", "load_force_field", "parametrize", "read_molecules"]

DEFAULT_FORCE_FIELD = "openff_unconstrained-2.3.0.offxml"


@cache
def load_force_field(name: str = DEFAULT_FORCE_FIELD) -> Any:
    """Return an ``openff.toolkit.ForceField`` by its file name, read once.

    Raises:
        MissingDependencyError: the OpenFF packages are not installed.
        UnsupportedError: the file cannot be read as a SMIRNOFF force field.
    """
    toolkit = _toolkit()
    try:
        return toolkit.ForceField(name)
    except (OSError, toolkit.utils.exceptions.OpenFFToolkitException) as error:
        raise UnsupportedError(
            f"force field {name!r} cannot be read: {_one_line(error)}. Give a file, or one that the OpenFF packages "
            f"carry, such as {DEFAULT_FORCE_FIELD}"
        ) from error


def read_molecules(source: str) -> list[Any]:
    """Return the molecules of an SDF file, or the one of a SMILES string, as ``openff.toolkit.Molecule``.

    Raises:
        MissingDependencyError: the OpenFF packages are not installed.
        UnsupportedError: the file or the SMILES cannot be read, or leaves its stereochemistry open.
    """
    toolkit = _toolkit()
    from rdkit.rdBase import BlockLogs

    is_file = Path(source).suffix.lower() == ".sdf"
    try:
        with BlockLogs():
            if not is_file:
                return [toolkit.Molecule.from_smiles(source)]
            found = toolkit.Molecule.from_file(source, file_format="sdf")
    except (OSError, ValueError, toolkit.utils.exceptions.OpenFFToolkitException) as error:
        what = "an SDF file" if is_file else "SMILES"
        raise UnsupportedError(f"{source!r} cannot be read as {what}: {_one_line(error)}") from error
    return found if isinstance(found, list) else [found]


def parametrize(molecules: Iterable[Any], *, force_field: Any = None) -> Any:
    """Return the Interchange of one system that consists of these molecules, with NAGL models kept in memory.

    Args:
        molecules: ``openff.toolkit.Molecule`` objects.
        force_field: an ``openff.toolkit.ForceField``; OpenFF 2.3.0, unconstrained, if None.
    """
    from openff.interchange import Interchange

    force_field = load_force_field() if force_field is None else force_field
    topology = _toolkit().Topology.from_molecules(list(molecules))
    with warnings.catch_warnings(), cached_nagl():
        # Interchange looks at every object in memory to clear its caches, which wakes others' deprecation warnings.
        warnings.simplefilter("ignore")
        return Interchange.from_smirnoff(force_field, topology)


def _toolkit() -> Any:
    try:
        import openff.interchange
        import openff.toolkit
    except ImportError as error:
        raise MissingDependencyError(
            f"the OpenFF packages are needed for this and cannot be imported ({error}); install them with: "
            "pip install 'ffbridge[openff,dgl]', or conda-forge's openff-interchange and openff-nagl"
        ) from error
    return openff.toolkit


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " …"
