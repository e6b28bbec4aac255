"""What can be fitted: the tables of a force field or of a bundle, through one vector; networks stand beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.concatenate import concatenate
from ffbridge.errors import FitError
from ffbridge.exporters.offxml import SECTIONS, to_force_field
from ffbridge.fitting.selection import Part, Selection, select
from ffbridge.fitting.settings import FitSettings
from ffbridge.fitting.split import Split
from ffbridge.hashing import content_digest
from ffbridge.io import load, save
from ffbridge.registry import backend_of
from ffbridge.targets.arrays import beside
from ffbridge.targets.matching import smiles_of
from ffbridge.targets.prior import Prior
from ffbridge.writing import write_whole

__all__ = ["FitModel", "PartName", "TablesModel", "fit_model", "parametrized"]

Floats = NDArray[np.float64]
Weights: TypeAlias = Mapping[str, Array]
PartName = Literal["training", "validation"]

VECTOR = "parameters"


class FitModel(Protocol):
    """What is fitted: named weights, of which tables are made."""

    @property
    def weights(self) -> dict[str, Floats]:
        """The weights before the fit."""
        ...

    @property
    def digest(self) -> str:
        """What tells this model from others: a digest of what the fit starts from."""
        ...

    def bundle(self, part: PartName) -> Bundle:
        """Return the systems of one part of the targets, with the values before the fit."""
        ...

    def tables(self, part: PartName, weights: Weights) -> dict[str, Array]:
        """Return the tables of that bundle that depend on the weights, through which derivatives flow."""
        ...

    def penalty(self, weights: Weights) -> Array | None:
        """Return what the weights add to the loss; None if nothing."""
        ...

    def write(self, folder: Path, weights: Mapping[str, Floats]) -> Path:
        """Write what was fitted, and return the file."""
        ...


@dataclass(frozen=True, eq=False)
class TablesModel:
    """Parameters of a force field or of a bundle; the weights are their changes in units of their scales.

    Attributes:
        bundles: of the parts of the targets.
        selection: the parameters that move.
        prior_weight: of the prior.
        force_field: the ``openff.toolkit.ForceField`` that is written; None for a bundle.
    """

    bundles: Mapping[PartName, Bundle]
    selection: Selection
    prior_weight: float
    force_field: Any = None

    @property
    def weights(self) -> dict[str, Floats]:
        """The changes before the fit: none."""
        return {VECTOR: np.zeros(len(self.selection.moving))}

    @property
    def digest(self) -> str:
        """A digest of the force field's text, or of the bundles' content."""
        if self.force_field is not None:
            return content_digest(self.force_field.to_string().encode(), {})
        return self.bundles["training"].content_hash

    def bundle(self, part: PartName) -> Bundle:
        """Return the systems of one part of the targets, with the values before the fit."""
        return self.bundles[part]

    def values(self, weights: Weights) -> Any:
        """Return the parameters' values, ``(n,)``, each in its unit."""
        changes = weights[VECTOR]
        return beside(changes, self.selection.initial) + beside(changes, self.selection.scale) * changes

    def tables(self, part: PartName, weights: Weights) -> dict[str, Array]:
        """Return the tables of that bundle in which parameters move."""
        return self._parts[part].tables(self.values(weights))

    def penalty(self, weights: Weights) -> Array | None:
        """Return the prior, prior_weight · Σ ((v - v₀) / scale)²."""
        changes = weights[VECTOR]
        return self.prior_weight * backend_of(changes).namespace.sum(changes**2)

    @property
    def prior(self) -> Prior:
        """The values before the fit with the scales as widths, to ask what the data say beyond them."""
        return Prior(self.selection.initial, self.selection.scale)

    def updated(self, part: PartName, weights: Mapping[str, Floats]) -> Bundle:
        """Return the bundle of one part with the values of the weights."""
        return self._parts[part].updated(self.bundles[part], self.values(weights))

    def write(self, folder: Path, weights: Mapping[str, Floats]) -> Path:
        """Write the force field, ``force-field.offxml``, or the bundle, ``fitted.ffb``."""
        fitted = self.updated("training", weights)
        if self.force_field is None:
            path = folder / "fitted.ffb"
            save(fitted, path)
        else:
            path = folder / "force-field.offxml"
            write_whole(path, to_force_field(fitted, self.force_field).to_string().encode())
        return path

    @cached_property
    def _parts(self) -> dict[PartName, Part]:
        return {part: self.selection.of(bundle) for part, bundle in self.bundles.items()}


def fit_model(settings: FitSettings, split: Split) -> FitModel:
    """Return what the settings say is to be fitted, for the molecules of the targets.

    Raises:
        FitError: parameters are asked for that the training targets do not use, or that cannot be written; or a
            molecule has no parameters.
        UnsupportedError: the force field cannot be read.
        BundleError: the bundle cannot be read.
    """
    if settings.model.kind == "network":
        from ffbridge.fitting.network import network_model

        return network_model(settings, split)
    targets = {"training": split.training, "validation": split.validation}
    force_field = None
    bundles: dict[PartName, Bundle]
    if settings.model.kind == "bundle":
        whole = load(settings.model.source)
        bundles = {"training": whole, "validation": whole}
    else:
        from ffbridge.producers.openff import load_force_field

        source = settings.model.source
        force_field = load_force_field(source if source.endswith(".offxml") else f"{source}.offxml")
        for number, each in enumerate(settings.parameters):
            if each.handler not in SECTIONS or each.attribute.rstrip("0123456789") not in SECTIONS[each.handler]:
                known = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in SECTIONS.items())
                raise FitError(
                    f"{settings.file}: parameters[{number}]: got {each.handler!r} with {each.attribute!r}, expected "
                    f"what can be written to a force field: {known}"
                )
        bundles = {part: parametrized(smiles_of(given), force_field) for part, given in targets.items() if given}  # type: ignore[misc]
    selection = select(bundles["training"], settings.parameters, where=str(settings.file))
    return TablesModel(bundles, selection, settings.prior_weight, force_field)


def parametrized(smiles: Iterable[str], force_field: Any) -> Bundle:
    """Return one bundle of molecules by mapped SMILES, one system each, atoms in the order of the map numbers.

    Raises:
        FitError: a molecule has no parameters.
    """
    from openff.interchange.exceptions import InterchangeException
    from openff.toolkit import Molecule
    from openff.toolkit.utils.exceptions import OpenFFToolkitException

    from ffbridge.producers.openff import from_interchange, parametrize

    found = []
    for each in smiles:
        try:
            molecule = Molecule.from_mapped_smiles(each, allow_undefined_stereo=True)
            made = parametrize([molecule], force_field=force_field)
        except (InterchangeException, OpenFFToolkitException, ValueError) as error:
            reason = " ".join(str(error).split())
            raise FitError(f"{each!r} gets no parameters from the force field: {reason}") from error
        found.append(from_interchange(made, force_field=force_field))
    return concatenate(found)
