"""Charges as the field that espaloma's Coulomb energy reads, where the bundle's electrostatics is espaloma's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.producers.espaloma.exceptions import exceptions
from ffbridge.producers.espaloma.source import Source
from ffbridge.snapshot import snapshot
from ffbridge.units import COULOMB_CONSTANT

from .rows import Rows, take

__all__ = ["charge_field"]

_CONSTANT_TOLERANCE = 1e-7
"""How far the Coulomb constant may be off espaloma's, relative: programs differ in the eighth digit."""

_FRACTION_TOLERANCE = 1e-8
"""How far the kept fraction of a 1-4 pair may be off espaloma's 5/6, which force fields write with ten digits."""


def charge_field(source: Source, bundle: Bundle, rows: Rows) -> Array:
    """Return the charges [e] of the nodes ``n1``, ``(n_atoms, 1)``.

    Raises:
        UnsupportedError: the electrostatics has a method, a constant or exceptions that espaloma does not have.
        GraphError: an atom has no charge.
    """
    for name in rows.terms:
        _check_settings(name, bundle.term(name).settings)
    n_atoms = int(source.sizes.sum())
    counts = np.bincount(rows.atoms[:, 0], minlength=n_atoms)
    if (counts != 1).any():
        atom = int((counts != 1).argmax())
        raise GraphError(f"terms/{', '.join(rows.terms)}: atom {atom} has {int(counts[atom])} charges, expected one")
    _check_exceptions(source, bundle)
    return take(source, rows.values, np.argsort(rows.atoms[:, 0]))


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    if settings["method"] != "no_cutoff":
        raise UnsupportedError(
            f"terms/{name}: espaloma's Coulomb energy is without a cutoff (no_cutoff), and the method is "
            f"{settings['method']!r}; leave the term out by terms="
        )
    constant = settings["coulomb_constant"]
    if abs(constant / COULOMB_CONSTANT - 1) > _CONSTANT_TOLERANCE:
        raise UnsupportedError(
            f"terms/{name}: the Coulomb constant {constant} kJ nm/(mol e^2) is not espaloma's, {COULOMB_CONSTANT:.6f}"
        )


def _check_exceptions(source: Source, bundle: Bundle) -> None:
    """Raise unless each pair of the bundle keeps the fraction that the graph gives it: 0, 5/6 or 1."""
    n_atoms = int(source.sizes.sum())
    pairs, kept, _ = exceptions(source)
    own = bundle.exceptions
    own_pairs = np.empty((0, 2), dtype=np.int64) if own is None else snapshot(own.pairs).astype(np.int64)
    own_kept = np.empty(0) if own is None else snapshot(own.kept_charge)
    keys, place = np.unique(np.concatenate([pairs, own_pairs]) @ [n_atoms, 1], return_inverse=True)
    by_graph, by_bundle = (
        _spread(place[: len(pairs)], kept, len(keys)),
        _spread(place[len(pairs) :], own_kept, len(keys)),
    )
    wrong = np.abs(by_graph - by_bundle) > _FRACTION_TOLERANCE
    if wrong.any():
        key = int(wrong.argmax())
        raise UnsupportedError(
            f"exceptions: atoms {[int(keys[key]) // n_atoms, int(keys[key]) % n_atoms]} keep {by_bundle[key]:.10g} of "
            f"their Coulomb energy, and {by_graph[key]:.10g} in the graph, whose nodes 'nonbonded' and 'onefour' say "
            "so; leave the charges out by terms= if that is meant"
        )


def _spread(places: NDArray[np.int64], kept: NDArray[np.floating[Any]], size: int) -> NDArray[np.float64]:
    """Return the fraction at each place; a pair without an exception keeps all."""
    spread = np.ones(size)
    spread[places] = kept
    return spread
