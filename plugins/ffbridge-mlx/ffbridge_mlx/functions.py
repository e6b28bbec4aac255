"""MLX's functions as the array API standard has them, in double precision where MLX computes them in single.

MLX 0.32 evaluates ``sin``, ``cos`` and ``exp`` of float64 by float32 (errors of 1e-8); ``atan2``, ``power`` and the
arithmetic are exact to the last digit, and what is missing follows from them.
"""

from __future__ import annotations

import math
from typing import Any

from ffbridge.backend import Array

__all__ = ["Functions"]


class Functions:
    """``mlx.core`` with a few functions in the place of its own.

    Args:
        core: the module ``mlx.core``.
    """

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def clip(self, x: Array, min: Any = None, max: Any = None) -> Array:  # noqa: A002  (the standard's names)
        """Each element, between two limits."""
        return self._core.clip(x, min, max)

    def sin(self, x: Array) -> Array:
        """The sine of each element."""
        return self._sine_and_cosine(x)[0] if self._is_double(x) else self._core.sin(x)

    def cos(self, x: Array) -> Array:
        """The cosine of each element."""
        return self._sine_and_cosine(x)[1] if self._is_double(x) else self._core.cos(x)

    def exp(self, x: Array) -> Array:
        """The exponential of each element: a power of e, whose own rounding costs 5e-17 x."""
        return self._core.power(math.e, x) if self._is_double(x) else self._core.exp(x)

    def _is_double(self, x: Array) -> bool:
        return bool(x.dtype == self._core.float64)

    def _sine_and_cosine(self, x: Array) -> tuple[Array, Array]:
        """Of x = a + d, where a is the angle whose sine s and cosine c MLX gives, and d is at most some 1e-7.

        sin(a + d) = s + c d - s d²/2 and cos(a + d) = c - s d - c d²/2, up to d³/6 = 1e-22.
        """
        mx = self._core
        x = x - 2 * math.pi * mx.round(x / (2 * math.pi))
        s, c = mx.sin(x), mx.cos(x)
        norm = mx.sqrt(s * s + c * c)
        s, c = s / norm, c / norm
        d = x - mx.atan2(s, c)
        d = d - 2 * math.pi * mx.round(d / (2 * math.pi))
        return s + d * (c - s * d / 2), c - d * (s + c * d / 2)
