"""``ffbridge inspect``: what a bundle holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffbridge.bundle import Bundle

from .output import Json, console, print_json, print_table, shortened

__all__ = ["inspect"]


def inspect(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    *,
    keys: Annotated[bool, typer.Option("--keys", help="List every row of every table with its key.")] = False,
    json: Json = False,
) -> None:
    """Show a bundle's systems, terms, tables, provenance and content hash."""
    from ffbridge.io import load

    bundle = load(file)
    if json:
        print_json(_content(bundle))
        return
    console.print(f"{file}: {bundle.n_systems} systems, {bundle.n_atoms} atoms", markup=False)
    console.print(f"content hash {bundle.content_hash}\n", markup=False)
    for number, name in enumerate((bundle.system_names or ())[:10]):
        console.print(f"system {number}: {shortened(name, 100)}", markup=False)
    terms = [
        (name, term.form, len(term), term.mapping.kind, term.table, ", ".join(map(_setting, term.settings.items())))
        for name, term in bundle.terms.items()
    ]
    print_table("terms", ("name", "form", "interactions ", "mapping", "table", "settings"), terms)
    tables = [
        (name, len(table), ", ".join(_columns(table)), str(table.values.dtype), table.model or "—", _keys(table))
        for name, table in bundle.tables.items()
    ]
    print_table("tables", ("name", "rows ", "columns", "dtype", "model", "keys"), tables)
    if keys:
        _print_rows(bundle)
    if bundle.exceptions is not None:
        console.print(f"exceptions: {len(bundle.exceptions.pairs)} pairs")
    if bundle.constraints is not None:
        console.print(f"constraints: {len(bundle.constraints.pairs)}")
    for name, model in bundle.models.items():
        console.print(f"model {name} {model.version} ({model.framework}) {model.sha256}", markup=False)
    for name, value in bundle.provenance.items():
        console.print(f"{name}: {shortened(str(value), 300)}", markup=False)


_SHOWN_COLUMNS = 12


def _content(bundle: Bundle) -> dict[str, Any]:
    """Return the document with sizes and hash."""
    arrays = {
        path: {"shape": list(array.shape), "dtype": str(array.dtype)} for path, array in sorted(bundle.arrays().items())
    }
    return bundle.document() | {
        "content_hash": bundle.content_hash,
        "n_systems": bundle.n_systems,
        "n_atoms": bundle.n_atoms,
        "arrays": arrays,
    }


def _print_rows(bundle: Bundle) -> None:
    for name, table in bundle.tables.items():
        rows = [
            (
                row,
                *_numbers(values),
                *((key.id, shortened(key.pattern), "" if key.index is None else key.index) if key else ("", "", "")),
            )
            for row, (values, key) in enumerate(
                zip(table.values.tolist(), table.keys or [None] * len(table), strict=True)
            )
        ]
        columns = ("row ", *(f"{column} " for column in _columns(table)), "id", "pattern", "index ")
        print_table(f"table {name}", columns, rows)


def _columns(table: Any) -> list[str]:
    """Return the columns with their units; of a column that stands for many numbers the first and the last."""
    names = [name if unit == "1" else f"{name} [{unit}]" for name, unit in zip(table.columns, table.units, strict=True)]
    return names if len(names) <= _SHOWN_COLUMNS else [names[0], "…", names[-1]]


def _numbers(values: list[float]) -> list[str]:
    numbers = [f"{value:.8g}" for value in values]
    return numbers if len(numbers) <= _SHOWN_COLUMNS else [numbers[0], "…", numbers[-1]]


def _keys(table: Any) -> str:
    return "—" if table.keys is None else ", ".join(sorted({key.handler for key in table.keys}))


def _setting(item: tuple[str, Any]) -> str:
    return f"{item[0]}={item[1]}"
