"""Exceptions of a bundle as an Interchange has them: one scale each for 1-2, 1-3 and 1-4 pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import UnsupportedError
from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.producers.connectivity import particle_pairs

__all__ = ["Scales"]

_TOLERANCE = 1e-9
"""How far fractions of one kind may differ, from rounding where they were found by division."""

_DEFAULTS = {"kept_charge": 0.8333333333, "kept_lj": 0.5}
"""SMIRNOFF's defaults for pairs that are three bonds apart."""


class Scales:
    """Which pairs of a bundle are 1-2, 1-3 and 1-4 pairs, and what its exceptions say of them.

    Args:
        bundle: one system, of NumPy arrays.
        bonds: the covalent bonds, ``(n_bonds, 2)``, by the bundle's numbers.
        parents: the atom that each particle counts as: itself, or the atom that a virtual site belongs to.
    """

    def __init__(self, bundle: Bundle, bonds: NDArray[np.int64], parents: NDArray[np.int64]) -> None:
        self._n_atoms, self._exceptions = bundle.n_atoms, bundle.exceptions
        self._pairs, self._separations = particle_pairs(bonds, parents)
        listed = np.zeros((0, 2), dtype=np.int64) if bundle.exceptions is None else np.asarray(bundle.exceptions.pairs)
        self._listed = listed.astype(np.int64)

    def of(self, name: str, weights: Floats) -> dict[str, float]:
        """Return ``scale_12``, ``scale_13``, ``scale_14`` (SMIRNOFF's default if no pair tells) and ``scale_15``.

        Args:
            name: ``kept_charge`` or ``kept_lj``.
            weights: 0 for particles that do not interact, ``(n_atoms,)``: what an exception says of them has no effect.

        Raises:
            UnsupportedError: the exceptions are others than scales of these pairs.
        """
        kept = np.zeros(0) if self._exceptions is None else getattr(self._exceptions, name).astype(np.float64)
        pairs = np.concatenate([self._pairs, self._listed])
        ranks, inverse = np.unique(pairs @ [self._n_atoms, 1], return_inverse=True)
        inverse = inverse.reshape(-1)
        fraction, separation = np.ones(len(ranks)), np.full(len(ranks), 4)
        separation[inverse[: len(self._pairs)]] = self._separations
        fraction[inverse[len(self._pairs) :]] = kept
        pairs = np.stack([ranks // self._n_atoms, ranks % self._n_atoms], axis=1)
        matters = (weights[pairs] != 0).all(axis=1)
        scales = {"scale_12": 0.0, "scale_13": 0.0, "scale_14": _DEFAULTS[name], "scale_15": 1.0}
        for wanted, group in ((0.0, separation <= 2), (1.0, separation == 4)):
            _check(pairs, fraction, separation, group & matters, wanted, name)
        fourth = (separation == 3) & matters
        if fourth.any():
            scales["scale_14"] = float(fraction[fourth][0])
            _check(pairs, fraction, separation, fourth, scales["scale_14"], name)
        return scales


_KINDS = ("of a virtual site and its atom", "of bonded atoms", "two bonds apart", "three bonds apart", "farther apart")


def _check(pairs: Any, fraction: Floats, separation: Any, group: Any, wanted: float, name: str) -> None:
    wrong = group & ~np.isclose(fraction, wanted, rtol=_TOLERANCE, atol=_TOLERANCE)
    if wrong.any():
        number = int(wrong.argmax())
        raise UnsupportedError(
            f"exceptions/{name}: the pair {pairs[number].tolist()}, {_KINDS[separation[number]]}, keeps "
            f"{fraction[number]:g}. An Interchange has one scale for all pairs that are three bonds apart, 0 for "
            f"nearer ones and 1 for others; here it would be {wanted:g}"
        )
