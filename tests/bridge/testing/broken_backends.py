"""The example plug-in's backend, broken in one way each."""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace

import numpy as np

from ffbridge.layout import contiguous_strides
from ffbridge_strict import CAPABILITIES, StrictBackend


class Space:
    """array-api-strict with another `from_dlpack`."""

    def __init__(self, module, from_dlpack):
        self._module = module
        self.from_dlpack = from_dlpack

    def __getattr__(self, name):
        return getattr(self._module, name)


class Importing(StrictBackend):
    """Makes its arrays of NumPy's by a method of its own."""

    @property
    def namespace(self):
        return Space(self.framework, lambda source: self.framework.from_dlpack(self.take(np.from_dlpack(source))))

    def take(self, array):
        return array


class WrongStrides(StrictBackend):
    def layout(self, array):
        found = super().layout(array)
        return found._replace(strides=contiguous_strides(found.shape, found.itemsize))


class CopiesWhereItAliases(Importing):
    def take(self, array):
        return array.copy()


class Dangling(Importing):
    """Remembers an address, and not whose it is."""

    def take(self, array):
        if not array.flags.c_contiguous or not array.size:
            return array.copy()
        memory = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
        return np.frombuffer(memory, array.dtype).reshape(array.shape)


class Leaking(Importing):
    kept = ()

    def take(self, array):
        self.kept = (*self.kept, array)
        return array


class Narrowing(Importing):
    """float64 in name, float32 in digits."""

    def take(self, array):
        with np.errstate(over="ignore", invalid="ignore"):
            return array.astype(np.float32).astype(np.float64) if array.dtype == np.float64 else array


class LosesEmptySegments(StrictBackend):
    """By `reduceat`, which gives the next segment's first row where a segment is empty."""

    def segment_sum(self, values, segments, n_segments):
        rows, numbers = np.from_dlpack(values), np.from_dlpack(segments)
        order = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[order], np.arange(n_segments))
        inside = np.minimum(starts, max(len(rows) - 1, 0))
        sums = (
            np.add.reduceat(rows[order], inside)
            if len(rows) and n_segments
            else np.zeros((n_segments, *rows.shape[1:]))
        )
        return self.framework.asarray(sums, dtype=values.dtype)


class SharesScratch(StrictBackend):
    """Copies by way of memory that all threads have in common."""

    scratch = np.zeros(4096)

    def copy(self, array, *, dtype=None, device=None):
        if array.ndim == 2 and str(array.dtype).endswith("float32") and dtype is None:
            values = np.from_dlpack(array)
            self.scratch[: values.size] = values.reshape(-1)
            time.sleep(0.0002)
            return self.framework.asarray(self.scratch[: values.size].reshape(values.shape), dtype=array.dtype)
        return super().copy(array, dtype=dtype, device=device)


class ClaimsHalfPrecision(StrictBackend):
    capabilities = replace(CAPABILITIES, dtypes=CAPABILITIES.dtypes | {"float16"})


class ClaimsToBeImmutable(StrictBackend):
    """So it is given read-only memory as if it could not be written, and writes to it."""

    capabilities = replace(CAPABILITIES, immutable=True, keeps_read_only=False, versioned=False)


class CopiesNothing(StrictBackend):
    def copy(self, array, *, dtype=None, device=None):
        if dtype in (None, self.dtype(array)) and device is None:
            return array
        return super().copy(array, dtype=dtype, device=device)


class TransposesMappings(StrictBackend):
    """Sums by columns what is to be summed by rows: Mᵀ where M was asked for."""

    def segment_sum(self, values, segments, n_segments):
        summed = super().segment_sum(values, segments, n_segments)
        if values.ndim != 2 or values.shape[0] < n_segments:
            return summed
        return self.framework.take(values, self.framework.arange(n_segments), axis=0)


BROKEN = {
    WrongStrides: ("exchange/layout", "layout has strides"),
    CopiesWhereItAliases: ("exchange/aliases", "said to be an alias, and is none"),
    Dangling: ("lifetime/source-kept", "let go of while an alias"),
    Leaking: ("lifetime/source-released", "still held after its last alias"),
    Narrowing: ("exchange/from-numpy", "the values are not those of the source"),
    LosesEmptySegments: ("functions/segment_sum", r"segment_sum\(\): got"),
    SharesScratch: ("threads/exchange", "of 24 exchanges in each of 8 threads"),
    ClaimsHalfPrecision: ("exchange/from-numpy", "float16"),
    ClaimsToBeImmutable: ("exchange/read-only", "changed NumPy's read-only memory"),
    CopiesNothing: ("exchange/to-numpy", "two copies have one address"),
    TransposesMappings: ("mapping", "Mᵀ dL/dp: got"),
}
"""Each broken backend: a check that fails it, and what the reason says."""
