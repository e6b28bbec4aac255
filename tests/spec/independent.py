"""A reader and writer of the standard from its text alone, in plain Python: nothing of ffbridge, NumPy or safetensors.

It makes the vectors' hashes and files, so that ffbridge is compared with another program.
"""

from __future__ import annotations

import hashlib
import json
import struct

CODES = {
    "bool": ("BOOL", "?"),
    "int32": ("I32", "i"),
    "int64": ("I64", "q"),
    "float16": ("F16", "e"),
    "float32": ("F32", "f"),
    "float64": ("F64", "d"),
}
"""dtype of the standard: the name that safetensors has for it, and Python's format character."""


def u64(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def values_of(array):
    """The bytes of an array of a vector (`dtype`, `shape`, `data`), little-endian in C order."""
    character = CODES[array["dtype"]][1]
    number = float if character in "efd" else int
    return struct.pack(f"<{len(array['data'])}{character}", *(number(value) for value in array["data"]))


def records(arrays):
    content = u64(len(arrays))
    for name in sorted(arrays, key=str.encode):
        array = arrays[name]
        for text in (name.encode(), array["dtype"].encode()):
            content += u64(len(text)) + text
        content += u64(len(array["shape"]), *array["shape"]) + values_of(array)
    return content


def content_hash(document: bytes, arrays) -> str:
    """Section 9.2 of the standard."""
    return hashlib.sha256(b"ffbridge-content-1\n" + u64(len(document)) + document + records(arrays)).hexdigest()


def fingerprint(weights) -> str:
    """Section 8 of the standard."""
    return hashlib.sha256(b"ffbridge-weights-1\n" + records(weights)).hexdigest()


def safetensors_file(metadata, arrays) -> bytes:
    """A safetensors file; `metadata` and `arrays` are lists of pairs, in which a name may stand twice."""
    members, data = [], b""
    if metadata is not None:
        inner = ",".join(f"{json.dumps(name)}:{json.dumps(text)}" for name, text in metadata)
        members.append(f'"__metadata__":{{{inner}}}')
    for name, array in arrays:
        start = len(data)
        data += values_of(array)
        entry = {"dtype": CODES[array["dtype"]][0], "shape": array["shape"], "data_offsets": [start, len(data)]}
        members.append(f"{json.dumps(name)}:{json.dumps(entry)}")
    header = ("{" + ",".join(members) + "}").encode()
    header += b" " * (-len(header) % 8)
    return u64(len(header)) + header + data


def bundle_file(document: bytes, arrays) -> bytes:
    """A bundle file as section 9.1 of the standard has it."""
    metadata = [("ffbridge", document.decode()), ("ffbridge_sha256", content_hash(document, arrays))]
    return safetensors_file(metadata, sorted(arrays.items()))


def merge_patch(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def broken(vector, valid):
    """The document and arrays of an invalid vector that changes a valid one."""
    base = valid[vector["base"]]
    document = merge_patch(base["document"], vector.get("document", {}))
    changed = {**base["arrays"], **vector.get("arrays", {})}
    return document, {path: array for path, array in changed.items() if array is not None}
