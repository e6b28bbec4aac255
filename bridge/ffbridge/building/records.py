"""The molecules of a file as texts, read one after another and not yet understood: that is left to the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ffbridge.errors import MissingDependencyError, UnsupportedError

__all__ = ["Record", "count_records", "read_records"]

_ROWS = 4096
"""Rows of a Parquet file in memory at once."""


@dataclass(frozen=True)
class Record:
    """A molecule as it stands in its file.

    Attributes:
        number: its place in the file, from 1.
        name: what the file calls it; may be empty, and need not be unique.
        format: ``sdf`` or ``smiles``.
        text: the record of the SD file, or the SMILES.
    """

    number: int
    name: str
    format: str
    text: str


def read_records(source: Path) -> Iterator[Record]:
    """Yield the molecules of a file: SD file, SMILES (one to a line, a name may follow), or Parquet.

    A Parquet file needs a column ``smiles``; a column ``name`` or ``id`` names the molecules.

    Raises:
        UnsupportedError: the file has another suffix, cannot be read, or is Parquet without a column ``smiles``.
        MissingDependencyError: pyarrow is needed for Parquet, and not installed.
    """
    reader = _READERS.get(source.suffix.lower())
    if reader is None:
        raise UnsupportedError(f"{source}: suffix {source.suffix!r} is none of {', '.join(sorted(_READERS))}")
    try:
        for number, (name, format_, text) in enumerate(reader(source), start=1):
            yield Record(number=number, name=name, format=format_, text=text)
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedError(f"{source} cannot be read: {error}") from error


def count_records(source: Path) -> int:
    """Return how many molecules a file holds; see :func:`read_records`."""
    return sum(1 for _ in read_records(source))


def _read_sdf(source: Path) -> Iterator[tuple[str, str, str]]:
    lines: list[str] = []
    with source.open(encoding="utf-8") as stream:
        for line in stream:
            lines.append(line)
            if line.startswith("$$$$"):
                yield lines[0].strip(), "sdf", "".join(lines)
                lines = []
    if any(line.strip() for line in lines):
        yield lines[0].strip(), "sdf", "".join(lines)


def _read_smiles(source: Path) -> Iterator[tuple[str, str, str]]:
    with source.open(encoding="utf-8") as stream:
        for line in stream:
            smiles, _, name = line.strip().partition(" ") if "\t" not in line else line.strip().partition("\t")
            if smiles and smiles.lower() != "smiles":
                yield name.strip(), "smiles", smiles


def _read_parquet(source: Path) -> Iterator[tuple[str, str, str]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise MissingDependencyError(
            f'reading Parquet needs pyarrow, which cannot be imported ({error}); pip install "ffbridge[openff]"'
        ) from error
    try:
        table = parquet.ParquetFile(source)
    except ArrowInvalid as error:
        raise UnsupportedError(f"{source} cannot be read as Parquet: {error}") from error
    columns = table.schema_arrow.names
    if "smiles" not in columns:
        raise UnsupportedError(f"{source}: expected a column 'smiles', got the columns {', '.join(columns)}")
    names = next((column for column in ("name", "id") if column in columns), None)
    for batch in table.iter_batches(batch_size=_ROWS, columns=["smiles", *([names] if names else [])]):
        for row in batch.to_pylist():
            name = row.get(names) if names else None
            yield "" if name is None else str(name), "smiles", row["smiles"] or ""


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, str, str]]]] = {
    ".parquet": _read_parquet,
    ".sdf": _read_sdf,
    ".smi": _read_smiles,
}
