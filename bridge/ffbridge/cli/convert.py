"""``ffbridge convert``: molecules to a bundle, or a bundle to another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffbridge.bundle import Bundle
from ffbridge.producers.openff import DEFAULT_FORCE_FIELD

from .output import Json, console, print_json

__all__ = ["convert"]


def convert(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="An SDF file, a SMILES string, or a bundle (.ffb).")],
    output: Annotated[Path, typer.Argument(help="The bundle to write.")],
    *,
    force_field: Annotated[str, typer.Option(help="SMIRNOFF force field for molecules.")] = DEFAULT_FORCE_FIELD,
    together: Annotated[bool, typer.Option("--together", help="All molecules form one system.")] = False,
    dtype: Annotated[str | None, typer.Option(help="Floating-point type to cast to: float32, float64.")] = None,
    json: Json = False,
) -> None:
    """Write molecules with the parameters of a force field, or a bundle with another dtype, as a bundle."""
    from ffbridge.io import load, save

    bundle = load(source) if source.endswith(".ffb") else _parametrized(source, force_field, together)
    if dtype is not None:
        bundle = bundle.to("numpy", dtype=dtype)
    save(bundle, output)
    if json:
        print_json({"output": str(output), "content_hash": bundle.content_hash, "bundle": repr(bundle)})
    else:
        console.print(f"{output}: {bundle!r}", markup=False)


def _parametrized(source: str, force_field: str, together: bool) -> Bundle:
    """Return the bundle of a file's molecules, one system for each unless they are to be together."""
    from ffbridge.concatenate import concatenate
    from ffbridge.producers.openff import from_interchange, load_force_field, parametrize, read_molecules

    molecules = read_molecules(source)
    loaded = load_force_field(force_field)

    def bundle_of(members: list[Any]) -> Bundle:
        return from_interchange(parametrize(members, force_field=loaded), force_field=loaded)

    return concatenate([bundle_of(members) for members in ([molecules] if together else [[m] for m in molecules])])
