"""Separation: the systems of a bundle, each as a bundle of its own; what concatenation does, undone."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.exchange import share
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.term import Term

__all__ = ["separate"]


def separate(bundle: Bundle) -> tuple[Bundle, ...]:
    """Return one bundle for each system, in order; atoms are numbered from 0 in each.

    Tables stay whole: each bundle has the very tables of the given one, rows of other systems included, so that the
    same ``tables=`` fit all of them and gradients reach the same arrays. Every bundle has every term, without
    interactions where the system has none.

    Args:
        bundle: one or more systems, in any framework.

    Raises:
        ExchangeError: indices are being traced.
    """
    split = _Separation(bundle)
    atoms = [slice(start, stop) for start, stop in zip(split.offsets[:-1], split.offsets[1:], strict=True)]
    terms = {name: split.term(term) for name, term in bundle.terms.items()}
    parts: dict[str, list[Any]] = {
        "system_offsets": [split.place(np.array([0, size])) for size in np.diff(split.offsets)],
        "atomic_numbers": [bundle.atomic_numbers[each] for each in atoms],
        "exceptions": split.group(bundle.exceptions),
        "constraints": split.group(bundle.constraints),
    }
    if bundle.masses is not None:
        parts["masses"] = [bundle.masses[each] for each in atoms]
    if bundle.bonds is not None:
        parts["bonds"] = split.local(bundle.bonds, split.rows(bundle.bonds))
    if bundle.box is not None:
        parts["box"] = [bundle.box[number : number + 1] for number in range(bundle.n_systems)]
    if bundle.system_names is not None:
        parts["system_names"] = [(name,) for name in bundle.system_names]
    return tuple(
        replace(
            bundle,
            terms={name: each[number] for name, each in terms.items()},
            **{name: each[number] for name, each in parts.items()},
        )
        for number in range(bundle.n_systems)
    )


class _Separation:
    """What of a bundle belongs to which system. Lists have one entry for each system."""

    def __init__(self, bundle: Bundle) -> None:
        self._backend = backend_of(bundle.system_offsets)
        self.offsets = snapshot(bundle.system_offsets).astype(np.int64)

    def place(self, indices: NDArray[Any]) -> Array:
        """Return indices as int32 in the bundle's framework."""
        return share(indices.astype(np.int32), self._backend).array

    def rows(self, atoms: Array) -> list[NDArray[np.int32]]:
        """Return the rows of each system. The atoms of a row are all in one, so the first tells."""
        system = np.searchsorted(self.offsets, snapshot(atoms)[:, 0], side="right") - 1
        order = np.argsort(system, kind="stable").astype(np.int32)
        return np.split(order, np.searchsorted(system[order], np.arange(1, len(self.offsets) - 1)))

    def local(self, atoms: Array, rows: list[NDArray[np.int32]]) -> list[Array]:
        """Return rows of atom indices, numbered from the first atom of their system."""
        values = snapshot(atoms)
        return [self.place(values[each] - start) for each, start in zip(rows, self.offsets[:-1], strict=True)]

    def group(self, group: Any) -> list[Any]:
        """Return the exceptions or constraints of each system."""
        if group is None:
            return [None] * (len(self.offsets) - 1)
        rows = self.rows(group.pairs)
        parts = {}
        for name in (part.name for part in fields(group)):
            array = getattr(group, name)
            parts[name] = self.local(array, rows) if name == "pairs" else [_take(array, each) for each in rows]
        return [type(group)(**{name: each[number] for name, each in parts.items()}) for number in range(len(rows))]

    def term(self, term: Term) -> list[Term]:
        """Return the interactions of each system."""
        rows = self.rows(term.indices)
        return [
            replace(term, indices=indices, mapping=term.mapping.take(self.place(each)))
            for indices, each in zip(self.local(term.indices, rows), rows, strict=True)
        ]


def _take(array: Array, rows: NDArray[np.int32]) -> Array:
    backend = backend_of(array)
    return backend.namespace.take(array, share(rows, backend).array, axis=0)
