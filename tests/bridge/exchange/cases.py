"""What is expected of every exchange, as data: producer × consumer × dtype × layout.

An outcome is ``alias``; or a key of `COPIES`, a copy with that reason; or a key of `REFUSALS`; or ``-``, which the
producer cannot make. With ``copy=False`` every copy is refused, but for an ``immutable`` source, which is aliased.
"""

from __future__ import annotations

from typing import NamedTuple

PAIRS = ("numpy>torch", "numpy>jax", "torch>numpy", "torch>jax", "jax>numpy", "jax>torch")

COPIES = {
    "alignment": "memory that is not aligned to 64 bytes",
    "bits": "crosses as bits, which jax reinterprets by a copy",
    "broadcast": r"broadcast axes \(stride 0\)",
    "conj": "conjugate bit",
    "gaps": "strides with gaps",
    "immutable": "arrays of jax never change",
    "neg": "negative bit",
    "negative": "negative strides",
    "read-only": "the memory is read-only, and torch could write to it",
    "unaligned": "elements that are not aligned to their size",
}
"""Reasons, as regular expressions for `Transfer.reason`."""

PROMISES = frozenset({"immutable", "read-only"})
"""Reasons that do not hold for `share`, whose caller promises that nobody writes."""

REFUSALS = {
    "none": "has no dtype|no other framework has",
    "x64": "jax_enable_x64",
}
"""What the message of the refusal says. ``x64`` holds only while jax_enable_x64 is off; else the outcome is alias."""

LAYOUTS = """
             numpy>torch  numpy>jax   torch>numpy  torch>jax   jax>numpy  jax>torch
contiguous   alias        alias       alias        alias       alias      immutable
zero_d       alias        alias       alias        alias       alias      immutable
zero_size    alias        alias       alias        alias       alias      immutable
transposed   alias        alias       alias        alias       alias      immutable
size_one     alias        alias       alias        alias       -          -
offset       alias        alignment   alias        alignment   -          -
sliced       alias        gaps        alias        gaps        -          -
broadcast    read-only    broadcast   alias        broadcast   -          -
negative     negative     negative    -            -           -          -
read_only    read-only    alias       -            -           -          -
unaligned    unaligned    unaligned   unaligned    unaligned   -          -
conj         -            -           conj         conj        -          -
neg          -            -           neg          neg         -          -
"""

DTYPES = """
                 numpy>torch  numpy>jax   torch>numpy  torch>jax   jax>numpy  jax>torch
bool             alias        alias       alias        alias       alias      alias
int8             alias        alias       alias        alias       alias      alias
uint8            alias        alias       alias        alias       alias      alias
int16            alias        alias       alias        alias       alias      alias
uint16           alias        alias       alias        alias       alias      alias
int32            alias        alias       alias        alias       alias      alias
uint32           alias        alias       alias        alias       alias      alias
int64            alias        x64         alias        x64         alias      alias
uint64           alias        x64         alias        x64         alias      alias
float16          alias        alias       alias        alias       alias      alias
bfloat16         alias        bits        alias        alias       bits       alias
float32          alias        alias       alias        alias       alias      alias
float64          alias        x64         alias        x64         alias      alias
complex64        alias        alias       alias        alias       alias      alias
complex128       alias        x64         alias        x64         alias      alias
float8_e4m3fn    alias        bits        alias        alias       bits       alias
float8_e4m3fnuz  alias        bits        alias        alias       bits       alias
float8_e5m2      alias        bits        alias        alias       bits       alias
float8_e5m2fnuz  alias        bits        alias        alias       bits       alias
float8_e8m0fnu   alias        bits        alias        alias       bits       alias
float128         none         none        -            -           -          -
complex32        -            -           none         none        -          -
int4             -            -           -            -           none       none
"""


class Case(NamedTuple):
    """One exchange and its outcome by layout, or by dtype where that decides."""

    producer: str
    consumer: str
    dtype: str
    layout: str
    outcome: str


def _table(text: str) -> dict[str, dict[str, str]]:
    head, *rows = (line.split() for line in text.strip().splitlines())
    if head != list(PAIRS) or any(len(row) != len(PAIRS) + 1 for row in rows):
        raise ValueError(f"a row of the table does not have one outcome for each of {PAIRS}")
    return {row[0]: dict(zip(PAIRS, row[1:], strict=True)) for row in rows}


def _possible(dtype: str, layout: str) -> bool:
    """Whether the layout exists for the dtype: only complex numbers have conjugates, and single bytes are aligned."""
    if dtype in ("float128", "complex32", "int4"):
        return layout == "contiguous"
    if layout == "conj":
        return dtype in ("complex64", "complex128")
    if layout == "neg":
        return dtype in ("float32", "float64")
    if layout == "unaligned":
        return dtype != "bool" and not dtype.endswith("int8") and not dtype.startswith("float8")
    return True


def cases(*, x64: bool) -> list[Case]:
    """Every case of the two tables, with jax_enable_x64 off or on."""
    found = []
    for dtype, by_dtype in _table(DTYPES).items():
        for layout, by_layout in _table(LAYOUTS).items():
            for pair in PAIRS:
                first, second = by_dtype[pair], by_layout[pair]
                if "-" in (first, second) or not _possible(dtype, layout):
                    continue
                if first == "x64" and x64:
                    first = "alias"
                # A refusal for the dtype comes first, then the layout's reason, then the dtype's.
                outcome = first if first in REFUSALS or second == "alias" else second
                found.append(Case(*pair.split(">"), dtype, layout, outcome))
    return found
