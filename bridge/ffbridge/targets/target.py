"""What all targets are: named data with units, weights and provenance, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import TargetError
from ffbridge.targets.columns import Sizes, checked, columns

__all__ = ["MoleculeTarget", "Target"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """Data that a potential is to reproduce.

    Fields are those of the standard (``spec/targets.md``), in its units; arrays are NumPy's and read-only.

    Attributes:
        name: names the target, also in messages.
        smiles: mapped SMILES, map number i for atom i - 1; None if the target has no atoms of its own.
        bundle: content hash of the bundle that the target was made for, if it was made for one.
        weight: among other targets, 0 or more.
        level_of_theory: method and basis, such as ``b3lyp-d3bj/dzvp``.
        provenance: where it comes from (any JSON).

    Raises:
        TargetError: a field is missing, of a wrong type or shape, or not finite.
    """

    name: str
    smiles: str | None = None
    bundle: str | None = None
    weight: float = 1.0
    level_of_theory: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        sizes: Sizes = {}
        try:
            for column in columns(self.kind):
                object.__setattr__(self, column.name, checked(column, getattr(self, column.name), sizes))
            object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
            if self.weight < 0:
                raise TargetError(f"weight: got {self.weight}, expected 0 or more")
            self._check()
        except TargetError as error:
            raise TargetError(f"target {self.name!r}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same target again, checked and read-only: in a deep copy, or in another process."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return _remade, (type(self), state | {"provenance": dict(self.provenance)})

    def _check(self) -> None:
        """Raise TargetError for what the columns alone cannot say; the message begins with the field's name."""


def _remade(kind: type[Target], state: Mapping[str, Any]) -> Target:
    return kind(**state)


@dataclass(frozen=True, eq=False, kw_only=True)
class MoleculeTarget(Target):
    """Data of atoms.

    Attributes:
        atomic_numbers: ``(n_atoms,) int32``, in the order of the SMILES's map numbers.
    """

    atomic_numbers: Ints

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atomic_numbers)

    def _check(self) -> None:
        if not self.smiles and not self.bundle:
            raise TargetError("smiles: missing; a target needs a mapped SMILES, or the content hash of its bundle")
        if (self.atomic_numbers < 1).any():
            atom = int(np.argmax(self.atomic_numbers < 1))
            raise TargetError(f"atomic_numbers: {self.atomic_numbers[atom]} at atom {atom}, expected an element")
        weights = getattr(self, "conformer_weights", None)
        if weights is not None and ((weights < 0).any() or not weights.any()):
            raise TargetError(f"conformer_weights: got {weights}, expected 0 or more, not all 0")
