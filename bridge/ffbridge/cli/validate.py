"""``ffbridge validate``: whether files follow the standard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, console, print_json

__all__ = ["validate"]


def validate(
    files: Annotated[list[Path], typer.Argument(help="Bundles.")],
    *,
    json: Json = False,
) -> None:
    """Check bundles against the standard and list every fault. Exit code 1 if there is any."""
    faults = {str(file): _faults(file) for file in files}
    if json:
        print_json({file: {"valid": not found, "faults": found} for file, found in faults.items()})
    else:
        for file, found in faults.items():
            console.print(f"{file}: {'valid' if not found else f'{len(found)} fault(s)'}", markup=False)
            for fault in found:
                console.print(f"  {fault}", markup=False)
    if any(faults.values()):
        raise typer.Exit(1)


def _faults(file: Path) -> list[str]:
    from ffbridge.errors import FFBridgeError, ValidationError
    from ffbridge.io import load
    from ffbridge.validate import validate as check

    try:
        check(load(file))
    except ValidationError as error:
        return list(error.faults)
    except FFBridgeError as error:
        return [" ".join(str(error).split())]
    return []
