"""Values of an array of any framework, as they are now, in NumPy: for files, digests and checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffbridge.exchange import share
from ffbridge.registry import backend_of

__all__ = ["snapshot"]

Array = Any


def snapshot(array: Array) -> np.ndarray[Any, Any]:
    """Return the values of an array on the host, as a read-only NumPy array that may alias it.

    A gradient that the array carries is left behind: the values are data from here on.

    Raises:
        ExchangeError: it is no array, has no values (it is being traced), or a dtype that NumPy does not have.
    """
    values: np.ndarray[Any, Any] = share(backend_of(array).detach(array), "numpy", device="cpu").array.view()
    values.flags.writeable = False
    return values
