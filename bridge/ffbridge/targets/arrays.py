"""NumPy's arrays brought to where others are: the same framework, device and, for reals, dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.exchange import share
from ffbridge.potential import Potential
from ffbridge.registry import backend_of

__all__ = ["beside", "constant"]


def beside(array: Array, values: NDArray[Any]) -> Array:
    """Return values in the framework and on the device of an array; reals in its dtype, integers as int32.

    The array may be traced: then the values go where its framework puts them.
    """
    backend = backend_of(array)
    where = backend.device(array)
    device = where if where.partition(":")[0] in backend.capabilities.devices else None
    if values.dtype.kind in "iu":
        return share(values.astype(np.int32), backend, device=device).array
    return share(values, backend, device=device, dtype=backend.dtype(array)).array


def constant(U: Potential, values: NDArray[Any]) -> Array:
    """Return values as an array of a potential's host, in its tables' dtype, on the device of its bundle."""
    table = next((table.values for table in U.bundle.tables.values()), None)
    if table is not None and backend_of(table) is U.host:
        return beside(table, values)
    if values.dtype.kind in "iu":
        return share(values.astype(np.int32), U.host).array
    dtype = "float64" if table is None else backend_of(table).dtype(table)
    return share(values, U.host, dtype=dtype).array
