"""Targets of few conformers apart from those of many, so that a loss costs as much as its conformers.

A potential evaluates one conformer of every system at a time. With a thousand conformers of one molecule and ten of all
others, it would evaluate a thousand of each; so molecules with similar numbers have a potential of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.exchange import share
from ffbridge.potential import Potential
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.targets.derivatives import in_chunks
from ffbridge.term import Term

__all__ = ["grouped", "with_systems"]

Numbered = Sequence[tuple[int, int, Any]]

WASTE = 2.0
"""How many times the atoms that are needed may be evaluated before targets are grouped."""

ATOMS_OF_A_GROUP = 2**11
"""Atoms of a potential that is evaluated a chunk of conformers at a time (:mod:`ffbridge.targets.derivatives`): with
more, a chunk has so few conformers that loops over them are short, and a conformer costs twice as much."""


def grouped(U: Potential, targets: Numbered) -> list[tuple[Potential, list[tuple[int, int, Any]]]]:
    """Return potentials, each with its targets: all with the given one, unless that evaluates far more than is needed.

    Args:
        U: the potential.
        targets: each with its number and its system's; those returned have the systems of their own potential.
    """
    if not targets:
        return []
    offsets = snapshot(U.bundle.system_offsets)
    sizes = np.diff(offsets)
    counts = np.zeros(len(sizes), dtype=np.int64)
    for _, system, target in targets:
        counts[system] += len(target.energies)
    if counts.max() * sizes.sum() <= WASTE * (counts * sizes).sum():
        groups = [np.arange(len(sizes))]
    else:
        # Within a group numbers differ by less than a factor of 2.
        group = np.floor(np.log2(np.maximum(counts, 1))).astype(np.int64)
        groups = [np.flatnonzero((group == number) & (counts > 0)) for number in np.unique(group[counts > 0])]
    if in_chunks(U) and any(getattr(target, "forces", None) is not None for _, _, target in targets):
        groups = [part for systems in groups for part in _parts(systems, sizes)]
    if len(groups) == 1 and len(groups[0]) == len(sizes):
        return [(U, list(targets))]
    found = []
    for systems in groups:
        new = {int(old): place for place, old in enumerate(systems)}
        own = Potential(with_systems(U.bundle, systems), U.engine, U.host)
        found.append((own, [(n, new[system], target) for n, system, target in targets if system in new]))
    return found


def _parts(systems: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return systems in parts of about equal numbers of atoms, `ATOMS_OF_A_GROUP` or few more in each."""
    atoms = sizes[systems]
    n_parts = -(-int(atoms.sum()) // ATOMS_OF_A_GROUP)
    part = ((np.cumsum(atoms) - atoms / 2) * n_parts // atoms.sum()).astype(np.int64)
    return [systems[part == number] for number in np.unique(part)]


def with_systems(bundle: Bundle, systems: NDArray[np.int64]) -> Bundle:
    """Return some systems of a bundle, in ascending order. Tables stay whole, as :func:`ffbridge.separate` leaves them.

    Args:
        bundle: in any framework.
        systems: their numbers, ascending.
    """
    backend = backend_of(bundle.system_offsets)
    offsets = snapshot(bundle.system_offsets).astype(np.int64)
    atoms = np.concatenate([np.arange(offsets[number], offsets[number + 1]) for number in systems])
    new = np.full(bundle.n_atoms, -1)
    new[atoms] = np.arange(len(atoms))

    def place(values: NDArray[Any]) -> Array:
        return share(values.astype(np.int32), backend).array

    def kept(indices: Array) -> NDArray[np.int64]:
        return np.flatnonzero(new[snapshot(indices)[:, 0]] >= 0)

    def local(indices: Array) -> Array:
        return place(new[snapshot(indices)[kept(indices)]])

    def take(array: Array | None, rows: NDArray[np.int64]) -> Array | None:
        return None if array is None else backend_of(array).namespace.take(array, place(rows), axis=0)

    def term(given: Term) -> Term:
        return replace(given, indices=local(given.indices), mapping=given.mapping.take(place(kept(given.indices))))

    parts: dict[str, Any] = {}
    if bundle.exceptions is not None:
        rows = kept(bundle.exceptions.pairs)
        parts["exceptions"] = replace(
            bundle.exceptions,
            pairs=local(bundle.exceptions.pairs),
            kept_charge=take(bundle.exceptions.kept_charge, rows),
            kept_lj=take(bundle.exceptions.kept_lj, rows),
        )
    return replace(
        bundle,
        system_offsets=place(np.concatenate([[0], np.cumsum(np.diff(offsets)[systems])])),
        atomic_numbers=take(bundle.atomic_numbers, atoms),
        terms={name: term(each) for name, each in bundle.terms.items()},
        # What energies do not depend on.
        constraints=None,
        masses=None,
        bonds=None,
        box=take(bundle.box, systems),
        system_names=None,
        **parts,
    )
