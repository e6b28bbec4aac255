"""``ffbridge energy``: the energy of a bundle at given positions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ffbridge.bundle import Bundle

from .output import Json, console, print_json, print_table

__all__ = ["energy"]


def energy(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    *,
    positions: Annotated[Path, typer.Option(help="Positions: .npy (nm), .sdf or .pdb.")],
    engine: Annotated[str, typer.Option(help="What evaluates it: numpy, torch, jax, …")] = "numpy",
    forces: Annotated[Path | None, typer.Option(help="Write the forces (kJ/mol/nm) to this .npy file.")] = None,
    json: Json = False,
) -> None:
    """Evaluate a bundle: energies by term in kJ/mol, and forces if wanted."""
    from ffbridge.io import load
    from ffbridge.potential import potential
    from ffbridge.producers.positions import read_positions

    bundle = load(file)
    x = read_positions(positions, bundle.atomic_numbers)
    function = potential(bundle, engine)
    by_term = {name: _numpy(values) for name, values in function.by_term(x).items()}
    total = np.sum(list(by_term.values()), axis=0)
    if forces is not None:
        np.save(forces, _numpy(function.value_and_grad(x).forces))
    if json:
        content = {"unit": "kJ/mol", "engine": engine, "total": total.tolist()}
        print_json(content | {"terms": {name: values.tolist() for name, values in by_term.items()}})
        return
    _print_energies(bundle, by_term | {"total": total})
    if forces is not None:
        console.print(f"forces [kJ/mol/nm] written to {forces}", markup=False)


def _print_energies(bundle: Bundle, energies: dict[str, Any]) -> None:
    """Print one row for each conformer of each system."""
    flat = {name: values.reshape(-1, bundle.n_systems) for name, values in energies.items()}
    rows = [
        (conformer, system, *(f"{values[conformer, system]:.8f}" for values in flat.values()))
        for conformer in range(len(flat["total"]))
        for system in range(bundle.n_systems)
    ]
    print_table("energies [kJ/mol]", ("conformer ", "system ", *(f"{name} " for name in flat)), rows)


def _numpy(array: Any) -> Any:
    from ffbridge.exchange import to

    return to(array, "numpy")
