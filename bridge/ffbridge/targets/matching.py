"""Which systems of a bundle a target is about: those of the same mapped SMILES."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import TargetError
from ffbridge.snapshot import snapshot
from ffbridge.targets.kinds import DimerTarget, ObservableTarget
from ffbridge.targets.molecules import mapped_molecule, part_of_smiles
from ffbridge.targets.target import Target

__all__ = ["match", "require_atoms", "smiles_of"]


def smiles_of(targets: Iterable[Target]) -> tuple[str, ...]:
    """Return the mapped SMILES of every system that targets need, each once: what to make a bundle of.

    A dimer needs three: itself and each monomer, whose atoms are numbered in the dimer's order.

    Raises:
        TargetError: a target has no SMILES.
    """
    return tuple(dict.fromkeys(smiles for target in targets for smiles in _systems(target)))


def _systems(target: Target) -> tuple[str, ...]:
    if target.smiles is None:
        raise TargetError(f"target {target.name!r}: smiles: missing, so that nothing says which system it is about")
    if isinstance(target, DimerTarget):
        monomers = (tuple(np.flatnonzero(target.monomers == number).tolist()) for number in (0, 1))
        return target.smiles, *(part_of_smiles(target.smiles, atoms) for atoms in monomers)
    return (target.smiles,)


def match(targets: Sequence[Target], bundle: Bundle) -> tuple[tuple[int, ...], ...]:
    """Return, for each target, the numbers of its systems: one, or three for a dimer.

    A bundle of one system without a name is the system of every target.

    Raises:
        TargetError: the bundle has no such system.
    """
    names = bundle.system_names
    if names is None:
        if bundle.n_systems > 1:
            raise TargetError(
                f"the bundle has {bundle.n_systems} systems without names: nothing says which target is about which. "
                "Give the systems yourself (systems=...)"
            )
        return tuple((0,) * (3 if isinstance(target, DimerTarget) else 1) for target in targets)
    known = {_canonical(name): number for number, name in reversed(list(enumerate(names)))}
    hashes = {target.bundle for target in targets if target.smiles is None}
    whole = bundle.content_hash if hashes - {None} else None
    return tuple(_of(target, known, whole, bundle.n_systems) for target in targets)


def _of(target: Target, known: dict[str, int], whole: str | None, n_systems: int) -> tuple[int, ...]:
    if target.smiles is None and target.bundle is not None:
        if target.bundle != whole or n_systems != 1:
            raise TargetError(
                f"target {target.name!r}: bundle: is about the bundle {target.bundle}, got {whole} of {n_systems} "
                "systems"
            )
        return (0,)
    found = []
    for smiles in _systems(target):
        number = known.get(_canonical(smiles))
        if number is None:
            raise TargetError(
                f"target {target.name!r}: smiles: the bundle has no system {smiles!r}, which is this target's; its "
                f"systems begin with {next(iter(known))!r}. Make it of fb.targets.smiles_of(targets), or give the "
                "systems yourself (systems=...)"
            )
        found.append(number)
    return tuple(found)


@lru_cache(maxsize=65536)
def _canonical(smiles: str) -> str:
    """Return text that is equal for equal mapped molecules; the text itself if it is no mapped SMILES."""
    try:
        return mapped_molecule(smiles).smiles
    except TargetError:
        return smiles


def require_atoms(target: Target, systems: Sequence[int], bundle: Bundle) -> None:
    """Raise TargetError unless systems have the target's atoms, in its order."""
    offsets, elements = snapshot(bundle.system_offsets), snapshot(bundle.atomic_numbers)
    for system, own in zip(systems, _elements(target), strict=True):
        if not 0 <= system < bundle.n_systems:
            raise TargetError(f"target {target.name!r}: system {system}, and the bundle has {bundle.n_systems}")
        found = elements[offsets[system] : offsets[system + 1]]
        if not np.array_equal(found, own):
            raise TargetError(
                f"target {target.name!r}: atomic_numbers: {own.tolist()}, and system {system} of the bundle has "
                f"{found.tolist()}: another molecule, or its atoms in another order"
            )


def _elements(target: Target) -> list[NDArray[np.int32]]:
    whole = getattr(target, "atomic_numbers", None)
    if whole is None:
        raise TargetError(f"target {target.name!r}: atomic_numbers: missing")
    if isinstance(target, DimerTarget):
        return [whole, *(whole[target.monomers == number] for number in (0, 1))]
    if isinstance(target, ObservableTarget) and not target.has_trajectory:
        raise TargetError(f"target {target.name!r}: positions: missing; an average is reweighted from a trajectory")
    return [whole]
