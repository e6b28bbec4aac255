"""Every producer, consumer, dtype and layout: aliased, copied or refused as the table in `cases` says, bit for bit."""

from __future__ import annotations

import contextlib
import re

import pytest

from ffbridge.errors import ExchangeError
from ffbridge.exchange import share, to, transfer
from ffbridge.registry import backends, get_backend

from .arrays import content, dtype_name, make, pointer
from .cases import COPIES, PROMISES, REFUSALS, Case, cases

INSTALLED = {info.name for info in backends() if info.available}


def params(*, x64: bool) -> list:
    return [
        pytest.param(case, id="-".join(case[:4]))
        for case in cases(x64=x64)
        if {case.producer, case.consumer} <= INSTALLED and (not x64 or "jax" in case[:2])
    ]


def x64_scope(case: Case, on: bool):
    if "jax" not in case[:2]:
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(on)


def check_refused(case: Case, made, reason: str, **options):
    with pytest.raises(ExchangeError, match=reason) as caught:
        transfer(made.array, case.consumer, **options)
    assert case.dtype in str(caught.value)


def check_result(case: Case, made, result, reason: str | None):
    """`reason` is None for an alias."""
    assert result.zero_copy is (reason is None), result.reason
    assert result.reason is None if reason is None else re.search(reason, result.reason)
    assert dtype_name(case.consumer, result.array) == case.dtype
    assert tuple(result.array.shape) == tuple(made.array.shape)
    assert content(case.consumer, result.array) == made.content
    assert content(case.producer, made.array) == made.content  # the source is as it was
    if case.layout != "zero_size":
        same = pointer(case.consumer, result.array) == pointer(case.producer, made.array)
        assert same is (reason is None)


def check_case(case: Case):
    made = make(case.producer, case.dtype, case.layout)
    if case.outcome in REFUSALS:
        for options in ({}, {"copy": True}, {"copy": False}):
            check_refused(case, made, REFUSALS[case.outcome], **options)
        return
    reason = COPIES.get(case.outcome)
    check_result(case, made, transfer(made.array, case.consumer), reason)
    # What the array has already changes nothing.
    check_result(case, made, transfer(made.array, case.consumer, dtype=case.dtype, device="cpu"), reason)
    check_result(case, made, share(made.array, case.consumer), None if case.outcome in PROMISES else reason)
    own = transfer(made.array, case.consumer, copy=True)
    check_result(
        case, made, own, reason if reason and case.outcome not in (*PROMISES, "bits") else "a copy was asked for"
    )
    if reason is None or case.outcome == "immutable":
        check_result(case, made, transfer(made.array, case.consumer, copy=False), None)
    else:
        check_refused(case, made, reason, copy=False)


@pytest.mark.parametrize("case", params(x64=False))
def test_the_table(case):
    check_case(case)


@pytest.mark.parametrize("case", params(x64=True))
def test_the_table_with_x64(case):
    with x64_scope(case, True):
        check_case(case)


def test_the_table_is_complete():
    found = cases(x64=False)
    seen = {case.dtype for case in found}
    for name in INSTALLED & {"numpy", "torch", "jax"}:
        assert get_backend(name).capabilities.dtypes <= seen
    assert {case.outcome for case in found} == {"alias", *COPIES, *REFUSALS}


@pytest.mark.parametrize("backend", sorted(INSTALLED))
def test_an_array_of_the_same_backend_is_returned_itself(backend):
    array = to(make("numpy", "float32", "contiguous").array, backend, device=None)
    for options in ({}, {"copy": False}, {"dtype": "float32"}, {"device": get_backend(backend).device(array)}):
        assert to(array, backend, **options) is array
    moved = transfer(array, get_backend(backend))
    assert moved.array is array
    assert (moved.zero_copy, moved.reason) == (True, None)


@pytest.mark.parametrize("backend", sorted(INSTALLED & {"numpy", "torch", "jax"}))
def test_a_copy_within_a_backend_is_memory_of_its_own(backend):
    made = make(backend, "float32", "contiguous")
    moved = transfer(made.array, backend, copy=True)
    assert (moved.zero_copy, moved.reason) == (False, "a copy was asked for")
    assert pointer(backend, moved.array) != pointer(backend, made.array)
    assert content(backend, moved.array) == made.content


@pytest.mark.parametrize("there", sorted(INSTALLED))
@pytest.mark.parametrize("here", sorted(INSTALLED))
@pytest.mark.parametrize("dtype", ["bool", "int32", "float32", "complex64"])
def test_any_two_backends_round_trip(here, there, dtype):
    """Also backends that the table does not know: plug-ins."""
    if "cpu" not in get_backend(here).capabilities.devices & get_backend(there).capabilities.devices:
        pytest.skip("one of the two has no arrays on the CPU")
    source = make("numpy", dtype, "contiguous")
    start = to(source.array, here)
    back = to(to(to(start, there), here), "numpy")
    assert back.dtype == source.array.dtype
    assert back.tobytes() == source.content
