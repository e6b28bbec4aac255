"""The energy of a nonbonded form's pairs as the standard counts it: kept fractions, methods, coincident atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ffbridge.backend import Array, Backend
from ffbridge.energy.methods import METHODS, Method
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.vectors import safe_distances

__all__ = ["Distances", "PairEnergy"]


class Distances(NamedTuple):
    """Distances of pairs, ``(n_pairs, n_conformers)`` each, as all terms over these pairs take them for derivatives.

    Attributes:
        apart: where atoms do not coincide.
        safe: the distances, 1 where atoms coincide [nm].
        counted: what derivatives are multiplied by: 1, and 0 where atoms coincide.
    """

    apart: Array
    safe: Array
    counted: Array

    @classmethod
    def of(cls, xp: Any, r: Array) -> Distances:
        """Make them of distances [nm]."""
        apart, safe = safe_distances(xp, r)
        return cls(apart, safe, xp.astype(apart, r.dtype))


@dataclass(frozen=True)
class PairEnergy:
    """The energy of the pairs of one term.

    Attributes:
        backend: the framework of all arrays.
        form: the form's name.
        settings: the term's settings.
    """

    backend: Backend
    form: str
    settings: Mapping[str, Any]

    def energy(self, r: Array, kept: Array, excepted: Array, *parameters: Array) -> Array:
        """Return what is kept of each U; +inf where interacting atoms coincide, with all derivatives 0 there.

        Args:
            r: ``(n_pairs, n_conformers)`` [nm].
            kept: the fraction that is kept, ``(n_pairs, 1)``.
            excepted: which pairs are exceptions, ``(n_pairs, 1) bool``.
            parameters: of each pair, ``(n_pairs, 1)``.
        """
        xp = self.backend.namespace
        apart, safe = safe_distances(xp, r)
        each = kept * NONBONDED[self.form].energy(xp, self.settings, safe, *parameters)
        if method := self._method:
            each = each * method.evaluate(self.backend, self.settings, safe, excepted)
        return self._with_coincident(apart, kept, each)

    def derivatives(
        self, distances: Distances, kept: Array, excepted: Array, *parameters: Array
    ) -> tuple[Array, Array, Sequence[Array]]:
        """Return U, dU/dr and dU/d parameters, ``(n_pairs, n_conformers)`` each; arguments as for :meth:`energy`."""
        xp, apart, safe = self.backend.namespace, distances.apart, distances.safe
        u, du_dr, du_dp = NONBONDED[self.form].derivatives(xp, self.settings, safe, *parameters)
        if method := self._method:
            of_pairs = (self.backend, self.settings, safe, excepted)
            factor = method.evaluate(*of_pairs)
            du_dr = du_dr * factor + u * method.differentiate(*of_pairs)
            u, du_dp = u * factor, tuple(du * factor for du in du_dp)
        # Distances are safe, so what is left out is finite.
        counted = kept * distances.counted
        return self._with_coincident(apart, kept, kept * u), counted * du_dr, [counted * du for du in du_dp]

    def _with_coincident(self, apart: Array, kept: Array, each: Array) -> Array:
        """Return the energies, and +inf where atoms coincide of which something is kept."""
        xp = self.backend.namespace
        return xp.where(apart, each, xp.where(kept == 0, xp.zeros_like(kept), xp.inf))

    @property
    def _method(self) -> Method | None:
        """The method that multiplies the form's energy by a factor; None if there is no factor."""
        return METHODS.get(self.settings["method"])
