"""Checks of a backend: the functions that energies and mappings are made of, and its automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.errors import ExchangeError, UnsupportedError
from ffbridge.exchange import to
from ffbridge.mapping import Identity, Linear, Mapping, Select
from ffbridge.registry import get_backend
from ffbridge.testing.arrays import take_home, there
from ffbridge.testing.check import Case, Check, close, expect

__all__ = ["CHECKS"]

Floats = np.ndarray[Any, Any]

_A, _B = np.random.default_rng(17).uniform(0.2, 2.0, size=(2, 3, 4))
_ROWS = np.array([2, 0, 0, 1], dtype=np.int32)

_FUNCTIONS: dict[str, Callable[[Any, Array, Array, Array], Array]] = {
    "arange": lambda xp, a, b, rows: xp.arange(5, dtype=a.dtype) + a[0, 0],
    "asarray": lambda xp, a, b, rows: xp.asarray([[1.0, 2.0], [0.5, -3.0]], dtype=a.dtype),
    "astype": lambda xp, a, b, rows: a * xp.astype(a > b, a.dtype),
    "atan2": lambda xp, a, b, rows: xp.atan2(a - 1, b - 1),
    "broadcast_to": lambda xp, a, b, rows: xp.broadcast_to(a[:1, :], (3, 4)) * b,
    "clip": lambda xp, a, b, rows: xp.clip(a - 1, min=0.0),
    "concat": lambda xp, a, b, rows: xp.concat([a, b], axis=0),
    "cos": lambda xp, a, b, rows: xp.cos(a),
    "exp": lambda xp, a, b, rows: xp.exp(-a),
    "finfo": lambda xp, a, b, rows: a + float(xp.finfo(a.dtype).eps) * 1e6,
    "floor": lambda xp, a, b, rows: xp.floor(3 * a - 1),
    "isdtype": lambda xp, a, b, rows: xp.asarray(
        [float(xp.isdtype(each.dtype, "real floating")) for each in (a, rows)], dtype=a.dtype
    ),
    "matmul": lambda xp, a, b, rows: xp.matmul(xp.permute_dims(a, (1, 0)), b),
    "permute_dims": lambda xp, a, b, rows: xp.permute_dims(xp.reshape(a, (3, 2, 2)), (2, 0, 1)),
    "reshape": lambda xp, a, b, rows: xp.reshape(a, (2, -1)),
    "round": lambda xp, a, b, rows: xp.round(3 * a),
    "searchsorted": lambda xp, a, b, rows: xp.take(
        a, xp.searchsorted(xp.arange(1, 3, dtype=rows.dtype), rows, side="right"), axis=0
    ),
    "sin": lambda xp, a, b, rows: xp.sin(a),
    "sqrt": lambda xp, a, b, rows: xp.sqrt(a),
    "stack": lambda xp, a, b, rows: xp.stack([a, b], axis=1),
    "sum": lambda xp, a, b, rows: xp.sum(a * b, axis=0),
    "take": lambda xp, a, b, rows: xp.take(a, rows, axis=0),
    "where": lambda xp, a, b, rows: xp.where(a > b, a, xp.zeros_like(b)) + xp.ones_like(a),
    "zeros": lambda xp, a, b, rows: a + xp.zeros((3, 4), dtype=a.dtype),
}
"""Calls of the functions that energies use, as they use them, by name."""

_SEGMENTS: dict[str, tuple[list[int], int, tuple[int, ...]]] = {
    "sorted": ([0, 0, 1, 2, 2, 2], 3, (2,)),
    "in any order": ([2, 0, 1, 0, 2, 0], 3, (2,)),
    "with empty segments": ([1, 4, 1], 6, (3,)),
    "empty at both ends": ([2, 2], 5, ()),
    "no rows": ([], 3, (2,)),
    "no segments": ([], 0, (2,)),
    "two trailing axes": ([1, 0, 1], 2, (2, 3)),
}
"""By name: the segment of each row, how many segments there are, the trailing axes."""


def _float(backend: Backend) -> str:
    return "float64" if "float64" in backend.capabilities.dtypes else "float32"


def _tolerance(backend: Backend) -> float:
    return 1e-13 if _float(backend) == "float64" else 1e-5


def _no_energies(backend: Backend) -> str | None:
    """Return why a backend cannot be used for energies, if it declares so: it has no segment_sum."""
    if type(backend).segment_sum is Backend.segment_sum:
        return "it does not implement segment_sum: it exchanges arrays, and evaluates no energies"
    return None


def _function(backend: Backend, name: str) -> str | None:
    if refused := _no_energies(backend):
        return refused
    call, dtype = _FUNCTIONS[name], _float(backend)
    a, b = _A.astype(dtype), _B.astype(dtype)
    found = call(backend.namespace, there(a, backend), there(b, backend), there(_ROWS, backend))
    expected = call(get_backend("numpy").namespace, a, b, _ROWS)
    close(f"{name}()", take_home(found), np.asarray(expected), _tolerance(backend))
    return None


def _beside(backend: Backend) -> str | None:
    """What `beside` gives makes arrays where another one is."""
    if refused := _no_energies(backend):
        return refused
    array = there(_ROWS, backend)
    made = backend.namespace.arange(3, dtype=array.dtype, **backend.beside(array))
    place, expected = backend.device(made), backend.device(array)
    expect(place == expected, f"an array made beside one on {expected} is on {place}")
    expect(take_home(made).tolist() == [0, 1, 2], "arange(3), made beside another array, is not 0, 1, 2")
    return None


def _segment_sum(backend: Backend, name: str) -> str | None:
    if refused := _no_energies(backend):
        return refused
    segments, n_segments, trailing = _SEGMENTS[name]
    values = np.random.default_rng(18).normal(size=(len(segments), *trailing)).astype(_float(backend))
    expected = np.zeros((n_segments, *trailing), values.dtype)
    np.add.at(expected, np.array(segments, dtype=int), values)
    found = backend.segment_sum(there(values, backend), there(np.array(segments, dtype=np.int32), backend), n_segments)
    expect(backend.dtype(found) == _float(backend), f"segment_sum of {_float(backend)} gives {backend.dtype(found)}")
    close("segment_sum()", take_home(found), expected, _tolerance(backend))
    return None


def _erfc(backend: Backend) -> str | None:
    if type(backend).erfc is Backend.erfc:
        return "it does not implement erfc, which the method 'timemachine' alone needs"
    points = np.array([[-3.0, -0.5, 0.0], [0.5, 2.0, 5.0]], dtype=_float(backend))
    expected = np.array([math.erfc(point) for point in points.reshape(-1).tolist()]).reshape(points.shape)
    found = take_home(backend.erfc(there(points, backend)))
    close("erfc()", found, expected, _tolerance(backend))
    return None


def _has_nan(backend: Backend) -> str | None:
    dtype = _float(backend)
    for values, expected in (([1.0, 2.0], False), ([1.0, math.nan], True), ([math.inf, 1.0], False)):
        found = backend.has_nan(there(np.array(values, dtype=dtype), backend))
        expect(bool(found) is expected, f"has_nan() of {values} is {found}")
    return None


# Mappings

_OFFSETS = np.array([0, 2, 2, 5, 6], dtype=np.int32)
_COLUMNS = np.array([1, 3, 0, 0, 2, 3], dtype=np.int32)
_WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25, 1.0, 3.0])
_INDEX = np.array([2, 0, 2, 2, 3], dtype=np.int32)

_MAPPINGS: dict[str, Floats] = {
    "identity": np.eye(5),
    "select": np.eye(5)[_INDEX],
    "linear": np.array([[0, 0.5, 0, -1, 0], [0, 0, 0, 0, 0], [2.25, 0, 1, 0, 0], [0, 0, 0, 3, 0]]),
}
"""The matrix M of each kind, written out. An interaction of the last has no entries, another lists a row twice."""


def _mapping(backend: Backend, kind: str) -> str | None:
    if refused := _no_energies(backend):
        return refused

    def take(array: Floats) -> Array:
        return there(array, backend)

    made: dict[str, Callable[[], Mapping]] = {
        "identity": Identity,
        "select": lambda: Select(take(_INDEX)),
        "linear": lambda: Linear(take(_OFFSETS), take(_COLUMNS), take(_WEIGHTS.astype(_float(backend)))),
    }
    mapping, matrix = made[kind](), _MAPPINGS[kind].astype(_float(backend))
    random = np.random.default_rng(19)
    table, cotangent = (random.normal(size=(length, 3)).astype(matrix.dtype) for length in matrix.shape[::-1])
    close("p = M table", take_home(mapping.apply(take(table))), matrix @ table, _tolerance(backend))
    found = take_home(mapping.pullback(take(cotangent), len(table)))
    close("Mᵀ dL/dp", found, matrix.T @ cotangent, _tolerance(backend))
    return None


# Automatic differentiation


def _gradient(backend: Backend) -> str | None:
    """Derivatives of Σ a² b, and second derivatives, against the formula; and nothing tracked leaves in silence."""
    if not backend.capabilities.automatic_differentiation:
        return _refuses_gradient(backend)
    tolerance = _tolerance(backend)
    a, b = (there(array.astype(_float(backend)), backend) for array in (_A, _B))
    xp = backend.namespace

    def function(a: Array, b: Array) -> Array:
        expect(backend.is_tracked(a), "is_tracked() is false of an array that is being differentiated")
        try:
            to(a, "numpy")
        except ExchangeError:
            return xp.sum(a * a * b)
        raise AssertionError("an array that carries a gradient left the framework without it, and without an error")

    by_a, by_b = backend.gradient(function, (a, b))
    close("d Σ a² b / da", take_home(by_a), 2 * _A * _B, tolerance)
    close("d Σ a² b / db", take_home(by_b), _A**2, tolerance)

    def slope(a: Array, b: Array) -> Array:
        return xp.sum(b * backend.gradient(lambda a: xp.sum(a * a * a), (a,))[0])

    by_a, by_b = backend.gradient(slope, (a, b))
    close("d Σ 3 a² b / da", take_home(by_a), 6 * _A * _B, tolerance)
    close("d Σ 3 a² b / db", take_home(by_b), 3 * _A**2, tolerance)
    return None


def _refuses_gradient(backend: Backend) -> str:
    try:
        backend.gradient(lambda a: a, (there(_A.astype(_float(backend)), backend),))
    except UnsupportedError:
        return "it declares no automatic differentiation"
    raise AssertionError("gradient() works, and the capabilities do not declare automatic_differentiation")


def _floating(backend: Backend) -> bool:
    return bool({"float32", "float64"} & backend.capabilities.dtypes) and "int32" in backend.capabilities.dtypes


def _cases(*names: str) -> Callable[[Backend], Iterator[Case]]:
    def cases(backend: Backend) -> Iterator[Case]:
        if _floating(backend):
            yield from ((name,) for name in names) if names else [()]

    return cases


CHECKS: tuple[Check[Backend], ...] = (
    Check(
        name="functions/namespace",
        about="the functions of the array API standard that energies use",
        cases=_cases(*_FUNCTIONS),
        run=_function,
    ),
    Check(
        name="functions/beside",
        about="arrays are made on the device of another one, by the options of beside()",
        cases=_cases(),
        run=_beside,
    ),
    Check(
        name="functions/segment_sum",
        about="sums of rows, of empty segments too",
        cases=_cases(*_SEGMENTS),
        run=_segment_sum,
    ),
    Check(name="functions/erfc", about="the complementary error function", cases=_cases(), run=_erfc),
    Check(name="functions/has_nan", about="has_nan() tells NaN from numbers", cases=_cases(), run=_has_nan),
    Check(name="mapping", about="p = M table and Mᵀ dL/dp, against matrices", cases=_cases(*_MAPPINGS), run=_mapping),
    Check(
        name="host/gradient",
        about="automatic differentiation, to second order, by formulas; what carries a gradient does not leave without",
        cases=_cases(),
        run=_gradient,
    ),
)
