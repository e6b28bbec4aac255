"""The arctangent of two numbers, of operations that become vector instructions, as a call of a library does not.

After atan of the Cephes library (S. L. Moshier, Methods and Programs for Mathematical Functions, 1989): rational
approximation below 0.66, to less than 2e-16.
"""

from __future__ import annotations

import math
from typing import Any

from ffbridge_backends.engines.native.compiled.lanes import inlined

__all__ = ["arctangent"]


@inlined
def arctangent(y: Any, x: Any) -> Any:
    """Return atan2(y, x) for y ≥ 0, in [0, π]; 0 if both are 0."""
    side = abs(x)
    large, small = max(side, y), min(side, y)
    # atan(b/a) = π/4 + atan((b - a)/(b + a)).
    turned = small > 0.66 * large
    above, below = (small - large, small + large) if turned else (small, large)
    t = above / (below if below != 0 else 1.0)
    z = t * t
    p = -8.750608600031904122785e-1
    p = p * z - 1.615753718733365076637e1
    p = p * z - 7.500855792314704667340e1
    p = p * z - 1.228866684490136173410e2
    p = p * z - 6.485021904942025371773e1
    q = z + 2.485846490142306297962e1
    q = q * z + 1.650270098316988542046e2
    q = q * z + 4.328810604912902668951e2
    q = q * z + 4.853903996359136964868e2
    q = q * z + 1.945506571482613964425e2
    angle = t + t * (z * p / q)
    angle = angle + 0.25 * math.pi if turned else angle
    # Large and small were exchanged, and x was turned to the right.
    angle = 0.5 * math.pi - angle if y > side else angle
    return math.pi - angle if x < 0 else angle
