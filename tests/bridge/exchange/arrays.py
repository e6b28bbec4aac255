"""Makes the arrays of the table in their own frameworks, and looks at the results without ffbridge."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

SHAPE = (3, 4)


class Made(NamedTuple):
    """An array and what it must hold: the bytes of its elements in C order."""

    array: Any
    content: bytes


def bits(dtype: np.dtype, shape: tuple[int, ...], seed: int = 7) -> np.ndarray:
    """Random bit patterns, NaNs and infinities among them, as an array aligned to 64 bytes."""
    count = int(np.prod(shape)) * dtype.itemsize
    buffer = np.empty(count + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    data = buffer[start : start + count]
    data[:] = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, count)
    return data.view(dtype).reshape(shape)


def numpy_dtype(name: str) -> np.dtype:
    """NumPy's dtype of that name, through ml_dtypes where NumPy has none."""
    if name.startswith(("bfloat", "float8", "int4")):
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def make(producer: str, dtype: str, layout: str) -> Made:
    """The array of a case."""
    return {"numpy": make_numpy, "torch": make_torch, "jax": make_jax}[producer](dtype, layout)


def make_numpy(dtype: str, layout: str) -> Made:
    kind = numpy_dtype(dtype)
    source = bits(kind, (8, 8))
    if layout == "unaligned":
        buffer = np.frombuffer(bytearray(source.tobytes() + b"\0"), np.uint8)
        shifted = buffer[(buffer.ctypes.data + 1) % 2 :][: 12 * kind.itemsize]
        array = shifted.view(kind).reshape(SHAPE)
        assert not array.flags.aligned
    else:
        array = {
            "contiguous": lambda: bits(kind, SHAPE),
            "zero_d": lambda: bits(kind, ()),
            "zero_size": lambda: bits(kind, (0, 4)),
            "transposed": lambda: source.T,
            "size_one": lambda: np.ndarray((1, 4), kind, source, strides=(5 * kind.itemsize, kind.itemsize)),
            "offset": lambda: source.reshape(-1)[1:13].reshape(SHAPE),
            "sliced": lambda: source[:3, ::2],
            "broadcast": lambda: np.broadcast_to(source[:1, :4], SHAPE),
            "negative": lambda: source[::-1, :4],
            "read_only": lambda: bits(kind, SHAPE),
        }[layout]()
    if layout == "read_only":
        array.flags.writeable = False
    return Made(array, array.tobytes())


def make_torch(dtype: str, layout: str) -> Made:
    import torch

    kind = getattr(torch, dtype)
    size = kind.itemsize

    def own(shape: tuple[int, ...]) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "ComplexHalf support is experimental", UserWarning)
            tensor = torch.empty(shape, dtype=kind)
        content = torch.from_numpy(bits(np.dtype(bool if dtype == "bool" else np.uint8), (tensor.numel() * size,)))
        tensor.reshape(-1).view(torch.uint8).copy_(content.view(torch.uint8))
        return tensor

    source = own((8, 8))
    if layout == "unaligned":
        raw = bytearray(source.reshape(-1).view(torch.uint8).numpy().tobytes() + b"\0")
        start = np.frombuffer(raw, np.uint8).ctypes.data
        tensor = torch.frombuffer(raw, dtype=kind, count=12, offset=(start + 1) % 2).reshape(SHAPE)
        assert tensor.data_ptr() % 2
    else:
        tensor = {
            "contiguous": lambda: own(SHAPE),
            "zero_d": lambda: own(()),
            "zero_size": lambda: own((0, 4)),
            "transposed": lambda: source.T,
            "size_one": lambda: source.as_strided((1, 4), (5, 1)),
            "offset": lambda: source.reshape(-1)[1:13].reshape(SHAPE),
            "sliced": lambda: source[:3, ::2],
            "broadcast": lambda: source[:1, :4].expand(SHAPE),
            "conj": lambda: own(SHAPE).conj(),
            "neg": lambda: torch.complex(own(SHAPE), own(SHAPE)).conj().imag,
        }[layout]()
    return Made(tensor, content("torch", tensor))


def make_jax(dtype: str, layout: str) -> Made:
    import jax

    with jax.enable_x64(True):
        source = bits(numpy_dtype(dtype), {"zero_d": (), "zero_size": (0, 4)}.get(layout, SHAPE))
        if dtype == "int4":
            return Made(jax.numpy.ones(3, "int4"), b"")
        if layout == "transposed":
            # XLA lays an array out otherwise than in C order only when told to.
            from jax.experimental.layout import Format, Layout

            array = jax.device_put(source, Format(Layout((1, 0)), jax.sharding.SingleDeviceSharding(jax.devices()[0])))
            assert array.format.layout.major_to_minor == (1, 0)
        else:
            array = jax.device_put(source, may_alias=False)
        return Made(array, source.tobytes())


def content(framework: str, array: Any) -> bytes:
    """The bytes of the elements in C order, by the framework's own means."""
    if framework == "torch":
        import torch

        resolved = array.resolve_conj().resolve_neg().contiguous()
        return resolved.reshape(-1).view(torch.uint8).numpy().tobytes() if resolved.numel() else b""
    return np.asarray(array).tobytes()


def pointer(framework: str, array: Any) -> int:
    """The address of the first element, by the framework's own means."""
    if framework == "torch":
        return array.data_ptr()
    if framework == "jax":
        return array.unsafe_buffer_pointer()
    return array.ctypes.data


def dtype_name(framework: str, array: Any) -> str:
    """The dtype's name."""
    return str(array.dtype).removeprefix("torch.")
