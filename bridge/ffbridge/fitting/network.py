"""Networks in PyTorch that make tables: fitted through any engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module, util
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import FitError
from ffbridge.exchange import to
from ffbridge.fingerprint import fingerprint
from ffbridge.fitting.models import FitModel, PartName, Weights
from ffbridge.fitting.settings import FitSettings
from ffbridge.fitting.split import Split
from ffbridge.snapshot import snapshot
from ffbridge.targets.matching import smiles_of
from ffbridge.writing import write_whole

__all__ = ["NetworkModel", "network_model"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A ``torch.nn.Module`` that returns the bundle of molecules, ``module(smiles) -> Bundle``, with gradients.

    Attributes:
        module: the network. Its parameters are the weights; its buffers do not move.
        smiles: of the molecules of each part of the targets.
    """

    module: Any
    smiles: Mapping[PartName, tuple[str, ...]]

    @cached_property
    def weights(self) -> dict[str, Floats]:
        """The network's parameters, as they were when the fit began."""
        return {name: np.array(snapshot(weight)) for name, weight in self.module.named_parameters()}

    @property
    def digest(self) -> str:
        """The fingerprint of the network."""
        return fingerprint(self.module)

    def bundle(self, part: PartName) -> Bundle:
        """Return what the network makes of the molecules of one part before the fit."""
        return self._made(part, {name: to(weight, "torch") for name, weight in self.weights.items()}).snapshot()

    def tables(self, part: PartName, weights: Weights) -> dict[str, Array]:
        """Return all tables that the network makes with other weights."""
        return {name: table.values for name, table in self._made(part, weights).tables.items()}

    def penalty(self, weights: Weights) -> Array | None:
        """Return None: weights have no prior."""
        return None

    def write(self, folder: Path, weights: Mapping[str, Floats]) -> Path:
        """Write the state dict, parameters and buffers, as ``weights.safetensors``; the module loads it."""
        state = {name: np.array(snapshot(array)) for name, array in self.module.state_dict().items()}
        path = folder / "weights.safetensors"
        write_whole(path, to_safetensors({**state, **{name: np.asarray(a, order="C") for name, a in weights.items()}}))
        return path

    def _made(self, part: PartName, weights: Weights) -> Bundle:
        from torch.func import functional_call

        made = functional_call(self.module, dict(weights), (self.smiles[part],))
        if not isinstance(made, Bundle):
            raise FitError(f"the network returned {type(made).__name__}, expected a bundle: module(smiles) -> Bundle")
        return made


def network_model(settings: FitSettings, split: Split) -> FitModel:
    """Return the network that a function makes, ``function(smiles, **options) -> torch.nn.Module``.

    The function is given the mapped SMILES of the molecules that the fit learns from.

    Raises:
        FitError: there is no such function, or it does not return a module.
    """
    import torch

    smiles: dict[PartName, tuple[str, ...]] = {"training": smiles_of(split.training)}
    if split.validation:
        smiles["validation"] = smiles_of(split.validation)
    make = _function(settings.model.source, f"{settings.file}: model.network")
    try:
        signature(make).bind(smiles["training"], **settings.model.options)
    except TypeError as error:
        raise FitError(
            f"{settings.file}: model.options: {settings.model.source} does not take them: {error}"
        ) from error
    module = make(smiles["training"], **settings.model.options)
    if not isinstance(module, torch.nn.Module):
        raise FitError(
            f"{settings.file}: model.network: {settings.model.source} returned {type(module).__name__}, expected a "
            "torch.nn.Module"
        )
    return NetworkModel(module, smiles)


def _function(source: str, where: str) -> Callable[..., Any]:
    place, _, name = source.rpartition(":")
    if place.endswith(".py"):
        path = Path(place).resolve()
        spec = util.spec_from_file_location(f"ffbridge_fit_{path.stem}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise FitError(f"{where}: there is no file {place}")
        module = util.module_from_spec(spec)
        sys.modules[spec.name] = module
        # As for a program: what stands beside it can be imported.
        with _importing_from(path.parent):
            spec.loader.exec_module(module)
    else:
        try:
            module = import_module(place)
        except ImportError as error:
            raise FitError(f"{where}: module {place!r} cannot be imported: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise FitError(f"{where}: {place} has no function {name!r}")
    return found  # type: ignore[no-any-return]


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
