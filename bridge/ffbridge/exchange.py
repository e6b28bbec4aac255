"""Arrays from any framework to any other, by DLPack: aliased where that is safe, else copied with a reason, or refused.

The source is looked at in its own framework first (`Backend.check`, `dtype`, `layout`), then compared with what the
consumer declares (`Capabilities`); only then is it handed over, in `_import`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn
from weakref import WeakSet

from ffbridge.backend import HOST, Array, Backend
from ffbridge.dtypes import FLOAT8
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout, Obstacle, obstacle
from ffbridge.registry import backend_of, get_backend

__all__ = ["Transfer", "share", "to", "transfer"]


_ASKED = Obstacle("a copy was asked for", "")
_BITS = {
    **{f"{kind}{size}": f"uint{size}" for kind in ("int", "uint", "float") for size in (8, 16, 32, 64)},
    **dict.fromkeys(FLOAT8 | {"bool"}, "uint8"),
    "bfloat16": "uint16",
    "complex64": "uint64",
}
_PROBED: WeakSet[type] = WeakSet()


@dataclass(frozen=True, slots=True)
class Transfer:
    """An array that has crossed, and how.

    Attributes:
        array: in the framework that was asked for.
        zero_copy: it shares the memory of the source (or is the source).
        reason: why it was copied; None if it was not.
    """

    array: Array
    zero_copy: bool
    reason: str | None


def to(
    array: Array,
    backend: str | Backend,
    *,
    copy: bool | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Array:
    """The array in another framework.

    Args:
        array: any array of a registered backend; scalars and lists are not arrays.
        backend: the framework wanted: "numpy", "torch", "jax", "cupy", or what a plug-in adds.
        copy: None aliases the memory where neither side can break a promise of the other (read-only stays unwritten,
            immutable stays unchanged), else copies. True always gives memory of its own. False never copies, and
            accepts a writable alias of an immutable array.
        device: where the array shall be, as "cpu" or "cuda:0"; None leaves it where it is.
        dtype: cast to this dtype, as "float32"; None keeps the dtype, or refuses where the framework cannot hold it.

    Returns:
        The array itself if it is of that backend already. An alias is the same memory: writing through one changes the
        other, which neither framework's bookkeeping (torch's version counter, XLA's constants) will notice.

    Raises:
        ExchangeError: the array is traced, carries a gradient, has no dense buffer, has a dtype or device that the
            other does not have, or would need a copy under ``copy=False``. The message says what to do.
    """
    return _exchange(array, backend, copy, device, dtype, False)[0]


def transfer(
    array: Array,
    backend: str | Backend,
    *,
    copy: bool | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Transfer:
    """As `to`, and how the array crossed: aliased, or copied and why."""
    moved, reason = _exchange(array, backend, copy, device, dtype, False)
    return Transfer(moved, reason is None, reason)


def share(array: Array, backend: str | Backend, *, device: str | None = None, dtype: str | None = None) -> Transfer:
    """As `transfer`, for arrays that nobody writes to by contract: those of bundles, graphs and potentials.

    So read-only and immutable memory is aliased too, even where the other framework would let one write to it.
    """
    moved, reason = _exchange(array, backend, None, device, dtype, True)
    return Transfer(moved, reason is None, reason)


def _exchange(
    array: Array, backend: str | Backend, copy: bool | None, device: str | None, dtype: str | None, shared: bool
) -> tuple[Array, str | None]:
    consumer = backend if isinstance(backend, Backend) else get_backend(backend)
    producer = backend_of(array)
    if producer is not consumer:
        return _across(array, producer, consumer, copy, device, dtype, shared)
    if copy is not True and device is None and dtype is None:
        return array, None
    return _within(array, consumer, copy, device, dtype)


def _within(
    array: Array, backend: Backend, copy: bool | None, device: str | None, dtype: str | None
) -> tuple[Array, str | None]:
    cast = None if dtype is None else _cast(array, backend, backend, dtype)
    move = None if device is None else _move(array, backend, backend, device)
    found = cast or move or (_ASKED if copy else None)
    if found is None:
        return array, None
    if copy is False:
        _refuse(array, backend, backend, found)
    return backend.copy(array, dtype=dtype if cast else None, device=device if move else None), found.reason


def _across(
    array: Array,
    producer: Backend,
    consumer: Backend,
    copy: bool | None,
    device: str | None,
    dtype: str | None,
    shared: bool,
) -> tuple[Array, str | None]:
    producer.check(array)
    if device is not None and _crosses_host(array, producer, consumer, device):
        return _through_host(array, producer, consumer, copy, device, dtype)
    reason, late, private = None, None, False
    if dtype is not None or device is not None:
        array, reason, late, private = _prepare(array, producer, consumer, copy, device, dtype)
    name = _admit(array, producer, consumer)
    can, gives = consumer.capabilities, producer.capabilities
    if not private:
        layout = None
        if not producer.suits(array, can.strides) or (can.alignment > 1 and producer.address(array) % can.alignment):
            layout = producer.layout(array)
        found = layout and (
            obstacle(layout, strides=can.strides, alignment=can.alignment) or _flagged(layout, producer, consumer)
        )
        in_place = found is None
        if in_place and late is None:
            found = _copied(consumer) or (_ASKED if copy else _promise(layout, producer, consumer, copy, shared))
        if found is not None:
            reason = reason or found.reason
            if copy is False:
                _refuse(array, producer, consumer, found)
            if not in_place:
                array = producer.copy(array)
            elif not can.copies:
                # The framework that writes copies in one call; an immutable one would trace and compile a copy.
                array, late = (array, {}) if gives.immutable else (producer.copy(array), late)
    array, carried = _hand_over(array, producer, consumer, copy, name)
    return (array if late is None else consumer.copy(array, **late)), reason or carried


def _crosses_host(array: Array, producer: Backend, consumer: Backend, device: str) -> bool:
    """Whether neither side can move the array: the producer does not reach `device`, the consumer not where it is."""
    here, there = producer.capabilities.devices, consumer.capabilities.devices
    target = _kind(device)
    return target in there and target not in here and _kind(producer.device(array)) not in there


def _through_host(
    array: Array, producer: Backend, consumer: Backend, copy: bool | None, device: str, dtype: str | None
) -> tuple[Array, str | None]:
    found = _move(array, producer, consumer, device)
    if found is not None and copy is False:
        _refuse(array, producer, consumer, found)
    if (name := dtype or producer.dtype(array)) not in consumer.capabilities.dtypes:
        _refuse(array, producer, consumer, _no_dtype(consumer, name))
    if "cpu" in producer.capabilities.devices:
        host = _exchange(array, HOST, None, "cpu", dtype, True)[0]
    else:
        host = _exchange(producer.to_host(array), HOST, None, None, dtype, True)[0]
    if "cpu" in consumer.capabilities.devices:
        moved = _exchange(host, consumer, None, device, dtype, True)[0]
    else:
        moved = consumer.from_host(host, device)
    return moved, found.reason if found else None


def _prepare(
    array: Array, producer: Backend, consumer: Backend, copy: bool | None, device: str | None, dtype: str | None
) -> tuple[Array, str | None, dict[str, str] | None, bool]:
    """Casts and moves in the producer what it can.

    Returns:
        The array, the reason if it is or will be copied, what is left to the consumer, whether it is new already.
    """
    cast = None if dtype is None else _cast(array, producer, consumer, dtype)
    move = None if device is None else _move(array, producer, consumer, device)
    found = cast or move
    if found is None:
        return array, None, None, False
    if copy is False:
        _refuse(array, producer, consumer, found)
    early: dict[str, str] = {}
    late: dict[str, str] = {}
    if cast and dtype:
        (early if dtype in producer.capabilities.dtypes else late)["dtype"] = dtype
    if move and device:
        (early if _kind(device) in producer.capabilities.devices else late)["device"] = device
    if early:
        array = producer.copy(array, **early)
    return array, found.reason, late or None, bool(early)


def _admit(array: Array, producer: Backend, consumer: Backend) -> str:
    """The dtype's name, if the consumer can hold such an array where it is."""
    can = consumer.capabilities
    name = producer.dtype(array)
    if name not in can.dtypes:
        _refuse(array, producer, consumer, _no_dtype(consumer, name))
    where = producer.device(array)
    if where not in can.devices and _kind(where) not in can.devices:
        reason = f"{consumer.name} has no arrays on {where}"
        target = "cpu" if "cpu" in can.devices else min(can.devices)
        _refuse(array, producer, consumer, Obstacle(reason, f'move it explicitly, with device="{target}"'))
    return name


def _copied(consumer: Backend) -> Obstacle | None:
    """What a consumer does that aliases nothing."""
    if not consumer.capabilities.copies:
        return None
    return Obstacle(f"{consumer.name} copies whatever it imports", "allow a copy (copy=None)")


def _promise(
    layout: Layout | None, producer: Backend, consumer: Backend, copy: bool | None, shared: bool
) -> Obstacle | None:
    """The promise that the consumer could break by writing to the memory."""
    can = consumer.capabilities
    if shared or can.immutable or can.keeps_read_only:
        return None
    if producer.capabilities.immutable:
        # copy=False is the caller's word that nobody will write.
        reason = f"arrays of {producer.name} never change, and {consumer.name} could write to them"
        return None if copy is False else Obstacle(reason, "")
    if layout is None or layout.writable:
        return None
    return Obstacle(f"the memory is read-only, and {consumer.name} could write to it", "allow a copy (copy=None)")


def _flagged(layout: Layout, producer: Backend, consumer: Backend) -> Obstacle | None:
    """The flag of read-only memory, where one side can neither leave it out nor the other be told."""
    gives = producer.capabilities
    if layout.writable or consumer.capabilities.versioned or gives.immutable or gives.hides_read_only:
        return None
    return Obstacle(f"the memory is read-only, of which {consumer.name} cannot be told", "allow a copy (copy=None)")


def _import(array: Array, producer: Backend, consumer: Backend) -> Array:
    if type(array) not in _PROBED:
        _probe(array, producer)
    exported = producer.export(array, versioned=consumer.capabilities.versioned)
    try:
        return consumer.namespace.from_dlpack(exported)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ExchangeError(
            f"{consumer.name} cannot import {_what(array, producer)}: {type(error).__name__}: {error}"
        ) from error


def _hand_over(
    array: Array, producer: Backend, consumer: Backend, copy: bool | None, dtype: str
) -> tuple[Array, str | None]:
    """The array in the consumer, and the reason if its dtype has made it be copied."""
    if dtype not in consumer.capabilities.carried and dtype not in producer.capabilities.carried:
        return _import(array, producer, consumer), None
    if HOST not in (producer.name, consumer.name) and not (_reinterprets(producer) and _reinterprets(consumer)):
        host = get_backend(HOST)
        array, first = _hand_over(array, producer, host, copy, dtype)
        array, second = _hand_over(array, host, consumer, copy, dtype)
        return array, first or second
    return _import_bits(array, producer, consumer, copy, dtype)


def _reinterprets(backend: Backend) -> bool:
    return type(backend).view is not Backend.view


def _import_bits(
    array: Array, producer: Backend, consumer: Backend, copy: bool | None, dtype: str
) -> tuple[Array, str | None]:
    """Hands over unsigned integers of the same size, for dtypes that one side cannot move by DLPack."""
    copier = next((side for side in (producer, consumer) if side.capabilities.view_copies), None)
    found = copier and Obstacle(
        f"{dtype} crosses as bits, which {copier.name} reinterprets by a copy", 'cast it, as with dtype="float32"'
    )
    if found and copy is False:
        _refuse(array, producer, consumer, found)
    bits = _import(producer.view(array, _BITS[dtype]), producer, consumer)
    return consumer.view(bits, dtype), found.reason if found else None


def _probe(array: Array, producer: Backend) -> None:
    """Exports once per type, by itself: consumers retry on any TypeError, and so mask a producer's fault."""
    producer.check(array)  # again: torch.compile may have taken up its tracing here
    exported = producer.export(array, versioned=False)
    try:
        try:
            exported.__dlpack__(max_version=(1, 0))
        except TypeError:
            exported.__dlpack__()
    except Exception as error:
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        raise ExchangeError(
            f"{kind}.__dlpack__ of the backend {producer.name!r} fails: {type(error).__name__}: {error}"
        ) from error
    _PROBED.add(type(array))


def _cast(array: Array, producer: Backend, consumer: Backend, dtype: str) -> Obstacle | None:
    """What a cast to `dtype` means: None if the array has it already."""
    name = producer.dtype(array)
    if dtype == name:
        return None
    if dtype not in consumer.capabilities.dtypes:
        _refuse(array, producer, consumer, _no_dtype(consumer, dtype))
    if name.startswith("complex") and not dtype.startswith("complex"):
        lost = Obstacle(f"a cast from {name} to {dtype} would drop the imaginary part", "take the real part first")
        _refuse(array, producer, consumer, lost)
    return Obstacle(f"cast from {name} to {dtype}", f'leave out dtype="{dtype}"')


def _move(array: Array, producer: Backend, consumer: Backend, device: str) -> Obstacle | None:
    """What a move to `device` means: None if the array is there already."""
    where = producer.device(array)
    if device in (where, _kind(where)):
        return None
    if _kind(device) not in consumer.capabilities.devices:
        known = ", ".join(sorted(consumer.capabilities.devices))
        reason = f"{consumer.name} has no device {device!r}"
        _refuse(array, producer, consumer, Obstacle(reason, f"its kinds of devices are: {known}"))
    return Obstacle(f"moved from {where} to {device}", f'leave out device="{device}"')


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _no_dtype(consumer: Backend, dtype: str) -> Obstacle:
    remedy = consumer.capabilities.refused.get(dtype)
    if remedy:
        return Obstacle(f"{consumer.name} does not hold {dtype} now", remedy)
    known = ", ".join(sorted(consumer.capabilities.dtypes))
    return Obstacle(f"{consumer.name} has no dtype {dtype!r}", f"cast it, with dtype= one of {known}")


def _what(array: Array, producer: Backend) -> str:
    return (
        f"an array of {producer.name} ({producer.dtype(array)}, shape {tuple(array.shape)}, {producer.device(array)})"
    )


def _refuse(array: Array, producer: Backend, consumer: Backend, found: Obstacle) -> NoReturn:
    remedy = f"; {found.remedy}" if found.remedy else ""
    raise ExchangeError(f"{_what(array, producer)} does not cross to {consumer.name} as asked: {found.reason}{remedy}")
