"""Makes the arrays of the table in their own frameworks, and looks at the results without ffbridge."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from ffbridge.testing.arrays import SHAPE, bits, numpy_array, numpy_dtype


class Made(NamedTuple):
    """An array and what it must hold: the bytes of its elements in C order."""

    array: Any
    content: bytes


def make(producer: str, dtype: str, layout: str) -> Made:
    """The array of a case."""
    return {"numpy": make_numpy, "torch": make_torch, "jax": make_jax}[producer](dtype, layout)


def make_numpy(dtype: str, layout: str) -> Made:
    array = numpy_array(dtype, layout)
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
