"""Changes of JSON values, arrays and files that keep the rest whole: what lies behind the first check is met."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from .container import DTYPES, SIZES, Container, Tensor, join, split, unpack, written

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "x",
        "bonds",
        "1.0",
        "1.7",
        "1.0\n",
        "\ud800",
        "\x1b[2J",
        "a" * 200,
        "../x",
        "__metadata__",
    ),
    *(0, 1, -1, 2, 3, 4, 1.5, 1e-300, 1e17, 1e300, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400),
    *([], {}, [0], [[]], {"a": {}}, ["k", "length"], {"handler": "a", "pattern": "b"}),
    *("harmonic_bond", "cmap", "lennard_jones", "coulomb", "identity", "select", "linear", "no_cutoff", "pme"),
)
NUMBERS = (0, 1, 2, 3, -1, 7, 127, 255, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, 2**63, 2**64 - 1)


def mutate_json(value: Any, random: Random) -> Any:
    """Return the value with one node changed, removed, repeated, moved or put deeper, in place."""
    places = list(_places(value))
    if not places or random.random() < 0.02:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    kind = random.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = copy.deepcopy(random.choice(VALUES))
    elif kind == 2:
        other, where = random.choice(places)
        holder[key] = copy.deepcopy(other[where])
    elif kind == 3 and isinstance(holder, dict):
        holder[random.choice((*holder, "x", "bonds", "a/b", "a\n", ""))] = holder.pop(key)
    elif kind == 4 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key])] * random.choice((1, 2, 70))
    elif kind == 5:
        holder[key] = [holder[key]] if random.random() < 0.5 else {"x": holder[key]}
    else:
        holder[key] = _near(holder[key], random)
    return value


def _places(value: Any):
    """Yield each (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _near(value: Any, random: Random) -> Any:
    if isinstance(value, bool) or value is None:
        return random.choice(VALUES)
    if isinstance(value, int | float):
        return random.choice(
            (value + 1, value - 1, -value, value * 2, float(value) if abs(value) < 1e300 else 0, str(value))
        )
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + random.choice(("", "\n", "0", "é", " ", '"', "_")) + value[at + random.randrange(2) :]
    return random.choice(VALUES)


def mutate_text(content: bytes, random: Random) -> bytes:
    """Return bytes with a few of them changed, cut out, repeated or put in."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(content) + 1)
        kind = random.randrange(5)
        if kind == 0 and content:
            at = min(at, len(content) - 1)
            content = content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + content[at + random.randrange(1, 16) :]
        elif kind == 2:
            content = content[:at] + content[at : at + random.randrange(1, 64)] + content[at:]
        elif kind == 3:
            content = content[:at] + random.choice(WORDS) + content[at:]
        else:
            content = content[: at if random.random() < 0.1 else len(content)]
    return content


WORDS = (
    *(
        b"0",
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[" * 2000,
        b'"',
        b",",
        b"\n",
        b"\t",
        b" ",
        b"\\ud800",
    ),
    *(b"18446744073709551615", b"9" * 5000, b"\xff", b"\x00", b"C", b"[H:1]", b"1.0", b'"a":', b"\xe2\x80\xa8"),
)


def mutate_json_text(content: bytes, random: Random) -> bytes:
    """Return JSON text with its value changed, or the text itself."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_text(content, random)
    if random.random() < 0.15:
        return mutate_text(content, random)
    try:
        for _ in range(random.choice((1, 1, 2, 3))):
            value = mutate_json(value, random)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate_text(content, random)


def mutate_bundle(content: bytes, random: Random) -> bytes:
    """Return a bundle file with its document, an array, the header or any bytes changed; mostly with a right hash."""
    container = unpack(content)
    kind = random.random()
    if container is None or kind < 0.06:
        return mutate_text(content, random)
    if kind < 0.16:
        header, data = split(content) or (b"", b"")
        changed = mutate_json_text(header, random) if random.random() < 0.7 else mutate_text(header, random)
        return join(changed, data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if container.document is None or random.random() < 0.5:
            random.choice(ARRAYS)(container, random)
        else:
            container.document = mutate_json_text(container.document.encode(), random).decode(errors="replace")
            if random.random() < 0.9:
                container.document = _canonical(container.document)
    if random.random() < 0.05:
        container.metadata = {random.choice(("ffbridge_sha256", "ffbridge", "x")): random.choice(("", "0" * 64, "{}"))}
    return container.pack()


def _canonical(text: str) -> str:
    try:
        return written(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _pick(container: Container, random: Random) -> Tensor | None:
    return container.tensors[random.choice(list(container.tensors))] if container.tensors else None


def _element(container: Container, random: Random) -> None:
    tensor = _pick(container, random)
    if tensor is None or not tensor.data or tensor.dtype not in DTYPES:
        return
    flat = tensor.array().reshape(-1).copy()
    at = random.randrange(len(flat))
    value = flat[at].item()
    choices = (value + 1, value - 1, flat[random.randrange(len(flat))], *NUMBERS)
    if flat.dtype.kind == "f":
        choices += (float("nan"), float("inf"), -0.0, 1e300, -1e308, 1e-310, 0.5)
    with contextlib.suppress(OverflowError), np.errstate(over="ignore", invalid="ignore"):
        flat[at] = random.choice(choices)
    tensor.data = flat.tobytes()


def _shape(container: Container, random: Random) -> None:
    if (tensor := _pick(container, random)) is None:
        return
    kind = random.randrange(6)
    count = len(tensor.data) // SIZES[tensor.dtype]
    if kind == 0:
        tensor.shape = [count]
    elif kind == 1:
        tensor.shape = [1] * random.choice((1, 2, 33, 70)) + tensor.shape
    elif kind == 2 and tensor.shape:
        tensor.shape = tensor.shape[::-1]
    elif kind == 3:
        tensor.shape, tensor.data = [0, *random.sample((1, 2, 2**31, 2**62, 2**63 - 1), 2)], b""
    elif kind == 4 and tensor.shape and tensor.shape[0] > 0:
        row = len(tensor.data) // tensor.shape[0]
        tensor.data = tensor.data[row:] if random.random() < 0.5 else tensor.data + tensor.data[:row]
        tensor.shape[0] = len(tensor.data) // row if row else 0
    else:
        tensor.shape, tensor.data = [0, *tensor.shape[1:]], b""


def _dtype(container: Container, random: Random) -> None:
    if (tensor := _pick(container, random)) is None:
        return
    new = random.choice(list(SIZES))
    if new in DTYPES and tensor.dtype in DTYPES and random.random() < 0.7:
        array = tensor.array()
        tensor.data = array.astype(DTYPES[new], casting="unsafe").tobytes() if array.dtype.kind != "f" else b""
        if array.dtype.kind == "f":
            tensor.data = b"\0" * (array.size * SIZES[new])
    elif SIZES[new] != SIZES[tensor.dtype]:
        return
    tensor.dtype = new


def _place(container: Container, random: Random) -> None:
    """Remove an array, rename it, repeat it under another name, or exchange two."""
    if not container.tensors:
        container.tensors["masses"] = Tensor("F64", [0], b"")
        return
    names = list(container.tensors)
    name, other = random.choice(names), random.choice(names)
    kind = random.randrange(4)
    if kind == 0:
        del container.tensors[name]
    elif kind == 1:
        container.tensors[random.choice(PATHS)] = container.tensors.pop(name)
    elif kind == 2:
        container.tensors[random.choice(PATHS)] = copy.deepcopy(container.tensors[name])
    else:
        tensors = container.tensors
        tensors[name], tensors[other] = tensors[other], tensors[name]


PATHS = (
    *("masses", "bonds", "box", "exceptions/pairs", "exceptions/kept_lj", "constraints/pairs", "constraints/lengths"),
    *("tables/bonds/values", "terms/bonds/mapping/index", "terms/bonds/mapping/offsets", "terms/bonds/mapping/weights"),
    *(
        "models/net/w",
        "models/net/",
        "models//w",
        "models/net",
        "",
        "/",
        "../x",
        "tables/x/values",
        "terms/x/overrides/pairs",
    ),
)
ARRAYS: tuple[Callable[[Container, Random], None], ...] = (_element, _element, _element, _shape, _dtype, _place)
