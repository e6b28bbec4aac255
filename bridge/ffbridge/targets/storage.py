"""Files of targets: Parquet, one kind a file, with the schema that the standard states (``spec/targets.md``)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.errors import TargetError
from ffbridge.targets.columns import Column, Sizes, columns, kinds, shape_of_flat, version
from ffbridge.targets.kinds import KINDS
from ffbridge.targets.libraries import library
from ffbridge.targets.reading import DAMAGES, said
from ffbridge.targets.target import Target
from ffbridge.writing import write_whole

__all__ = ["arrow_schema", "load", "save"]

FORMAT = "ffbridge-targets"
METADATA = b"ffbridge"

StrPath = str | os.PathLike[str]


def arrow_schema(kind: str) -> Any:
    """Return the ``pyarrow.Schema`` of a kind, with units and version in its metadata.

    Raises:
        UnknownNameError: there is no such kind.
    """
    pyarrow = library("pyarrow")

    types = {"string": pyarrow.string(), "json": pyarrow.string(), "float64": pyarrow.float64()}
    types["int32"] = pyarrow.int32()

    def of(column: Column) -> Any:
        inner = types[column.type]
        arrow = inner if column.shape is None else pyarrow.list_(pyarrow.field("element", inner, nullable=False))
        metadata = {"unit": column.unit} if column.unit else None
        return pyarrow.field(column.name, arrow, nullable=column.optional, metadata=metadata)

    stated = json.dumps({"format": FORMAT, "kind": kind, "version": version()}, sort_keys=True)
    return pyarrow.schema([of(column) for column in columns(kind)], metadata={METADATA: stated})


def save(targets: Iterable[Target], path: StrPath) -> None:
    """Write targets of one kind to one Parquet file, one row each.

    Numbers are kept to the last bit. `path` holds the old file or the whole new one, never a part.

    Args:
        targets: at least one, all of one kind.
        path: the file, by custom with the suffix ``.parquet``; replaced if it exists.

    Raises:
        TargetError: there are none, they are of several kinds, two have one name, or the file cannot be written.
    """
    pyarrow, parquet = library("pyarrow"), library("pyarrow.parquet")

    given = tuple(targets)
    found = sorted({target.kind for target in given})
    if len(found) != 1:
        raise TargetError(
            f"{os.fspath(path)} is not written: a file holds targets of one kind, got "
            f"{'none' if not found else 'the kinds ' + ', '.join(found)}"
        )
    _require_names(given, f"{os.fspath(path)} is not written: ")
    schema = arrow_schema(found[0])
    stored = {
        column.name: pyarrow.array(
            [_stored(column, getattr(target, column.name)) for target in given], schema.field(column.name).type
        )
        for column in columns(found[0])
    }
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pydict(stored, schema=schema), sink, compression="zstd")
    try:
        write_whole(Path(path), sink.getvalue().to_pybytes())
    except OSError as error:
        raise TargetError(f"{os.fspath(path)}: cannot be written: {error.strerror or error}") from error


def _require_names(targets: Sequence[Target], where: str) -> None:
    seen: set[str] = set()
    for target in targets:
        if target.name in seen:
            raise TargetError(f"{where}two targets have the name {target.name!r}")
        seen.add(target.name)


def _stored(column: Column, value: Any) -> Any:
    if column.type == "json":
        return json.dumps(dict(value), sort_keys=True, allow_nan=False)
    return value.reshape(-1) if isinstance(value, np.ndarray) else value


def load(path: StrPath) -> tuple[Target, ...]:
    """Read the targets of a file, each checked.

    Raises:
        TargetError: the file cannot be read, is of another format, version or kind, a column is missing or in another
            type or unit, or a row breaks its kind's rules.
    """
    pyarrow, parquet = library("pyarrow"), library("pyarrow.parquet")

    try:
        table = parquet.ParquetFile(path).read()
    except (*DAMAGES, pyarrow.ArrowException) as error:
        raise TargetError(f"{os.fspath(path)}: cannot be read as Parquet: {said(error)}") from error
    kind = _kind(table.schema.metadata or {}, path)
    _require_schema(table.schema, arrow_schema(kind), path)
    read = {column.name: table.column(column.name).combine_chunks() for column in columns(kind)}
    found = tuple(_row(kind, read, row, path) for row in range(table.num_rows))
    _require_names(found, f"{os.fspath(path)}: ")
    return found


def _kind(metadata: Mapping[bytes, bytes], path: StrPath) -> str:
    try:
        stated = json.loads(metadata[METADATA])
        form, kind, number = stated["format"], stated["kind"], stated["version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise TargetError(
            f"{os.fspath(path)}: a Parquet file without the metadata 'ffbridge': no targets of this standard. "
            "What other programs write is read by fb.targets.read_descent and its like"
        ) from error
    if form != FORMAT or str(number).partition(".")[0] != version().partition(".")[0]:
        raise TargetError(f"{os.fspath(path)}: {form!r} of version {number}, expected {FORMAT!r} of {version()}")
    if kind not in kinds():
        raise TargetError(f"{os.fspath(path)}: holds targets of kind {kind!r}; known are: {', '.join(kinds())}")
    return str(kind)


def _require_schema(found: Any, expected: Any, path: StrPath) -> None:
    unknown = sorted(set(found.names) - set(expected.names))
    if unknown:
        raise TargetError(f"{os.fspath(path)}: column {unknown[0]!r} is none of this kind's")
    for field in expected:
        if field.name not in found.names:
            raise TargetError(f"{os.fspath(path)}: column {field.name!r} is missing")
        other = found.field(field.name)
        units = [(each.metadata or {}).get(b"unit", b"").decode() for each in (other, field)]
        if not _alike(other.type, field.type):
            raise TargetError(f"{os.fspath(path)}: column {field.name!r} is {other.type}, expected {field.type}")
        if units[0] != units[1]:
            raise TargetError(
                f"{os.fspath(path)}: column {field.name!r} has the unit {units[0]!r}, expected {units[1]!r}"
            )


def _alike(found: Any, expected: Any) -> bool:
    """Return whether a column has the type, in either of the two sizes that Arrow has for texts and lists."""
    types = library("pyarrow").types
    if types.is_list(expected):
        return (types.is_list(found) or types.is_large_list(found)) and _alike(found.value_type, expected.value_type)
    if types.is_string(expected):
        return bool(types.is_string(found) or types.is_large_string(found))
    return bool(found == expected)


def _row(kind: str, read: Mapping[str, Any], row: int, path: StrPath) -> Target:
    sizes: Sizes = {}
    try:
        fields = {column.name: _value(column, read[column.name][row], sizes) for column in columns(kind)}
        return KINDS[kind](**fields)
    except (TargetError, ValueError, RecursionError) as error:
        raise TargetError(f"{os.fspath(path)}: row {row}: {error}") from error


def _value(column: Column, scalar: Any, sizes: Sizes) -> Any:
    if not scalar.is_valid:
        if column.optional:
            return None
        raise TargetError(f"{column.name}: missing")
    if column.type == "json":
        value = json.loads(scalar.as_py())
        if not isinstance(value, dict):
            raise TargetError(f"{column.name}: got a JSON {type(value).__name__}, expected an object")
        return value
    if column.shape is None or column.is_text:
        return scalar.as_py()
    flat = scalar.values.to_numpy(zero_copy_only=False)
    shape = shape_of_flat(column, len(flat), sizes)
    sizes.update({axis: size for axis, size in zip(column.shape, shape, strict=True) if isinstance(axis, str)})
    return flat.reshape(shape)
