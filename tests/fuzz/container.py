"""Safetensors files in parts that a mutation can take hold of: the document, the arrays, the header's text."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass, field

import numpy as np
import rfc8785

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
SIZES = {name: np.dtype(dtype).itemsize for name, dtype in DTYPES.items()} | {"BF16": 2, "F8_E4M3": 1}


@dataclass
class Tensor:
    """A stored array: safetensors' name of the dtype, shape, bytes."""

    dtype: str
    shape: list[int]
    data: bytes

    def array(self):
        """The array; a flat one if NumPy cannot hold its shape."""
        flat = np.frombuffer(self.data, dtype=DTYPES[self.dtype])
        fits = len(self.shape) <= 64 and math.prod(size for size in self.shape if size) < 2**50
        return flat.reshape(self.shape) if fits else flat


@dataclass
class Container:
    """A bundle file that is not checked in any way."""

    document: str | None
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """The content hash, by the text of the standard."""
        digest = hashlib.sha256(b"ffbridge-content-1\n")

        def text(content: bytes) -> None:
            digest.update(struct.pack("<Q", len(content)) + content)

        text((self.document or "").encode(errors="surrogatepass"))
        digest.update(struct.pack("<Q", len(self.tensors)))
        for name in sorted(self.tensors, key=lambda each: each.encode(errors="surrogatepass")):
            tensor = self.tensors[name]
            text(name.encode(errors="surrogatepass"))
            text(DTYPES.get(tensor.dtype, "bfloat16").encode())
            shape = [min(max(size, 0), 2**64 - 1) for size in tensor.shape]
            digest.update(struct.pack(f"<{1 + len(shape)}Q", len(shape), *shape) + tensor.data)
        return digest.hexdigest()

    def entries(self) -> dict[str, object]:
        """The header, with a hash that is right unless the metadata hold one."""
        metadata = {} if self.document is None else {"ffbridge": self.document, "ffbridge_sha256": self.digest()}
        header: dict[str, object] = {"__metadata__": metadata | self.metadata}
        end = 0
        for name, tensor in self.tensors.items():
            start, end = end, end + len(tensor.data)
            header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
        return header

    def pack(self) -> bytes:
        """The file."""
        return join(json.dumps(self.entries()).encode(), b"".join(each.data for each in self.tensors.values()))


def join(header: bytes, data: bytes) -> bytes:
    """A safetensors file of a header's text and data."""
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def split(content: bytes) -> tuple[bytes, bytes] | None:
    """The header's text and the data; None if there is no header."""
    if len(content) < 10:
        return None
    (length,) = struct.unpack("<Q", content[:8])
    return None if length > len(content) - 8 else (content[8 : 8 + length], content[8 + length :])


def unpack(content: bytes) -> Container | None:
    """The parts of a file that is sound as safetensors and has NumPy's dtypes; None for another one."""
    if (parts := split(content)) is None:
        return None
    try:
        header = json.loads(parts[0])
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            tensor = Tensor(entry["dtype"], list(entry["shape"]), parts[1][start:end])
            if not all(type(size) is int for size in tensor.shape):
                return None
            if math.prod(tensor.shape) * SIZES[tensor.dtype] != len(tensor.data) or min(tensor.shape, default=0) < 0:
                return None
            tensors[name] = tensor
        document = metadata.get("ffbridge")
        "".join([document if isinstance(document, str) else "", *tensors]).encode()
        return Container(document if isinstance(document, str) else None, tensors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def written(document: object) -> str:
    """A document's text, canonical where it has such a form."""
    try:
        return rfc8785.dumps(document).decode()
    except (ValueError, RecursionError):
        return json.dumps(document)
