"""The names of dtypes, the same for every framework."""

from __future__ import annotations

__all__ = ["FLOAT8", "STANDARD", "WIDE"]

WIDE = frozenset({"int64", "uint64", "float64", "complex128"})
"""Numbers made of 64-bit words."""

STANDARD = WIDE | {
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "float16",
    "float32",
    "complex64",
}
"""The dtypes that NumPy has by itself and every framework knows."""

FLOAT8 = frozenset({"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"})
"""The 8-bit floats that PyTorch, JAX and ml_dtypes share."""
