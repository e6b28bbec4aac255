"""Nonbonded methods without images: each multiplies a form's energy of a pair by a factor f(r) that ends at a cutoff.

The energy of a pair is its kept fraction × u(r) × f(r), u that of the form. A method without cutoff has no entry. Where
a method spares the pairs of exceptions, theirs is the fraction × u(r) at any distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

from ffbridge.backend import Array, Backend

__all__ = ["METHODS", "PLAIN_METHOD", "Method"]

Settings = Mapping[str, Any]

PLAIN_METHOD = "no_cutoff"
"""The method whose factor is 1."""


@dataclass(frozen=True)
class Method:
    """The factor of a method.

    Attributes:
        factor: ``(backend, settings, r) -> f`` for 0 < r < cutoff.
        slope: ``(backend, settings, r) -> df/dr``, likewise.
        spares_exceptions: whether pairs of exceptions have the factor 1, and no cutoff.
        needs_erfc: whether it calls `Backend.erfc`, which not every backend has.
    """

    factor: Callable[[Backend, Settings, Array], Array]
    slope: Callable[[Backend, Settings, Array], Array]
    spares_exceptions: bool
    needs_erfc: bool = False

    def evaluate(self, backend: Backend, settings: Settings, r: Array, excepted: Array) -> Array:
        """Return f ``(n_pairs, n_conformers)``, exactly 0 beyond the cutoff.

        Args:
            backend: the framework of the arrays.
            settings: the term's settings.
            r: ``(n_pairs, n_conformers)`` [nm], positive.
            excepted: ``(n_pairs, 1) bool``, the pairs of exceptions.
        """
        return self._within(self.factor, 1.0, backend, settings, r, excepted)

    def differentiate(self, backend: Backend, settings: Settings, r: Array, excepted: Array) -> Array:
        """Return df/dr [1/nm], exactly 0 beyond the cutoff; arguments as for :meth:`evaluate`."""
        return self._within(self.slope, 0.0, backend, settings, r, excepted)

    def _within(
        self,
        function: Callable[[Backend, Settings, Array], Array],
        spared: float,
        backend: Backend,
        settings: Settings,
        r: Array,
        excepted: Array,
    ) -> Array:
        """Evaluate within the cutoff; other pairs in its middle, and drop that: their derivative is 0 and never NaN."""
        xp, cutoff = backend.namespace, settings["cutoff"]
        within = r < cutoff
        value = xp.where(within, function(backend, settings, xp.where(within, r, 0.5 * cutoff)), 0.0)
        return xp.where(excepted, spared, value) if self.spares_exceptions else value


def _switch(backend: Backend, settings: Settings, r: Array) -> Array:
    """Return S = 1 - 10x³ + 15x⁴ - 6x⁵ from the switch distance on (OpenMM User Guide, "NonbondedForce"), 1 before."""
    x, _ = _switched_part(backend, settings, r)
    return 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)


def _switch_slope(backend: Backend, settings: Settings, r: Array) -> Array:
    x, width = _switched_part(backend, settings, r)
    return -30.0 * x**2 * (1.0 - x) ** 2 / width


def _switched_part(backend: Backend, settings: Settings, r: Array) -> tuple[Array, float]:
    """Return how much of the way from the switch distance to the cutoff lies behind, and the length of that way."""
    start = settings.get("switch_distance", settings["cutoff"])
    width = settings["cutoff"] - start or 1.0
    return backend.namespace.where(r > start, (r - start) / width, 0.0), width


def _screened_and_switched(backend: Backend, settings: Settings, r: Array) -> Array:
    """Return erfc(βr) cos³(π/2 (r/rc)⁸) (timemachine, ``potentials/nonbonded.py``, switched_direct_space_pme)."""
    return backend.erfc(settings["beta"] * r) * backend.namespace.cos(_switch_angle(settings, r)) ** 3


def _screened_and_switched_slope(backend: Backend, settings: Settings, r: Array) -> Array:
    xp, beta, angle = backend.namespace, settings["beta"], _switch_angle(settings, r)
    cosine = xp.cos(angle)
    screening = -2.0 * beta / sqrt(pi) * xp.exp(-((beta * r) ** 2)) * cosine**3
    # The angle goes with r⁸, so its derivative is 8/r times itself.
    return screening - backend.erfc(beta * r) * 3.0 * cosine**2 * xp.sin(angle) * 8.0 * angle / r


def _switch_angle(settings: Settings, r: Array) -> Array:
    return 0.5 * pi * (r / settings["cutoff"]) ** 8


METHODS = {
    "cutoff": Method(_switch, _switch_slope, spares_exceptions=True),
    "timemachine": Method(
        _screened_and_switched, _screened_and_switched_slope, spares_exceptions=False, needs_erfc=True
    ),
}
"""The methods with a factor by their name in the standard."""
