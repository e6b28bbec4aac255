"""Writes all vectors. They are data: a change of one that is published is a change of the standard."""

from __future__ import annotations

from ffbridge_spec import vectors

from . import energy, invalid, valid
from .write import as_text


def main() -> None:
    for kind, maker in (("valid", valid), ("invalid", invalid), ("energy", energy)):
        folder = vectors(kind)
        folder.mkdir(parents=True, exist_ok=True)
        for name, vector in maker.vectors().items():
            (folder / f"{name}.json").write_text(as_text(vector), encoding="utf-8")
        for name, content in getattr(maker, "files", dict)().items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
