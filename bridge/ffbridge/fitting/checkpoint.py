"""Checkpoints: all that the rest of a fit depends on, in one safetensors file, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from ffbridge.errors import FitError
from ffbridge.fitting.optimizers import Memory
from ffbridge.writing import write_whole

__all__ = ["CHECKPOINT", "State", "read_checkpoint", "write_checkpoint"]

Floats = NDArray[np.float64]

CHECKPOINT = "checkpoint.safetensors"
FORMAT = "ffbridge-fit-1"


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """Where a fit is.

    Attributes:
        step: steps done.
        weights: now.
        best: those of the smallest watched loss.
        best_step: when that was.
        best_loss: it.
        counted_step: when the watched loss last decreased by as much as counts as improvement.
        counted_loss: what it was then.
        memory: the optimizer's.
        positions: relaxed geometries, by part and number of the target, such as ``training/0``.
    """

    step: int
    weights: Mapping[str, Floats]
    best: Mapping[str, Floats]
    best_step: int
    best_loss: float
    counted_step: int
    counted_loss: float
    memory: Memory
    positions: Mapping[str, Floats] = field(default_factory=dict)


def write_checkpoint(folder: Path, state: State, identity: str) -> None:
    """Write a state to a folder; the checkpoint before stays until the new one is whole.

    Raises:
        FitError: it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {f"memory/{name}": array for name, array in state.memory.arrays.items()}
    for group, weights in (("weights", state.weights), ("best", state.best)):
        arrays |= {f"{group}/{name}": array for name, array in weights.items()}
    arrays |= {f"positions/{number}": array for number, array in state.positions.items()}
    document = {
        "step": state.step,
        "best_step": state.best_step,
        "best_loss": state.best_loss,
        "counted_step": state.counted_step,
        "counted_loss": state.counted_loss,
        "memory": state.memory.values,
    }
    metadata = {"format": FORMAT, "identity": identity, "state": json.dumps(document)}
    content = to_safetensors({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)
    try:
        write_whole(folder / CHECKPOINT, content)
    except OSError as error:
        raise FitError(f"{folder / CHECKPOINT}: cannot be written: {error.strerror or error}") from error


def read_checkpoint(folder: Path, identity: str) -> State | None:
    """Return the state of a folder, or None if it has none yet.

    Raises:
        FitError: the checkpoint cannot be read, or is another fit's.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT or metadata.get("identity") != identity:
            raise FitError(f"{path}: is no checkpoint of this fit; remove it to begin again")
        document = json.loads(metadata["state"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        if isinstance(error, FitError):
            raise
        raise FitError(f"{path}: cannot be read: {error}; remove it to begin again") from error
    memory = Memory(_group(arrays, "memory"), document.pop("memory"))
    positions = _group(arrays, "positions")
    return State(
        weights=_group(arrays, "weights"), best=_group(arrays, "best"), memory=memory, positions=positions, **document
    )


def _group(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
