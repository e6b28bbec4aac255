"""Objectives: targets bound to a potential, as one loss of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import TargetError
from ffbridge.potential import Potential
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.targets.grouping import grouped
from ffbridge.targets.internal import InternalCoordinates, internal_coordinates
from ffbridge.targets.kinds import (
    ConformerTarget,
    DimerTarget,
    HessianTarget,
    ObservableTarget,
    OptimizedGeometry,
    TorsionDrive,
)
from ffbridge.targets.losses.energies import EnergyLoss, Offset
from ffbridge.targets.losses.geometries import GeometryLoss
from ffbridge.targets.losses.hessians import HessianCoordinates, HessianLoss
from ffbridge.targets.losses.interactions import InteractionLoss
from ffbridge.targets.losses.observables import ObservableLoss
from ffbridge.targets.losses.part import Part, Scales
from ffbridge.targets.matching import match, require_atoms
from ffbridge.targets.molecules import mapped_molecule
from ffbridge.targets.relaxation import relax_drives, relax_geometries
from ffbridge.targets.reweighting import LEAST_SAMPLES, Observable, effective_sample_size
from ffbridge.targets.target import Target

__all__ = ["Comparison", "Objective", "loss", "objective"]

Floats = NDArray[np.float64]
Tables = Mapping[str, Array]


class _Loss(Protocol):
    """What all losses of one kind are: what they need beside the tables, and the comparison."""

    moving: dict[str, Array]

    def parts(self, tables: Tables | None, moving: Mapping[str, Array]) -> list[Part]: ...


@dataclass(frozen=True, eq=False)
class Comparison:
    """One quantity of one target beside its reference, in NumPy.

    Attributes:
        target: the target's name.
        quantity: its name.
        unit: of both.
        predicted: ``(n,)``.
        reference: ``(n,)``.
    """

    target: str
    quantity: str
    unit: str
    predicted: Floats
    reference: Floats

    @property
    def rmse(self) -> float:
        """The root mean square of the differences, each number counted alike."""
        return float(np.sqrt(np.mean((self.predicted - self.reference) ** 2)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Objective:
    """A loss of a potential's tables: Σ over targets of weight × mean squared residual, by the sum of weights.

    Calls take tables as the potential does, and return arrays of its host; derivatives flow through them, under any
    transformation of the host. Make one by :func:`objective`.

    Attributes:
        targets: the targets.
        U: the potential.
        systems: of each target, its systems.
        scales: of residuals.
        offset: what is taken off the energies of each target.
        hessian: the coordinates in which Hessians are compared.
        observables: those that depend on the tables, by quantity.
        least_samples: below this effective sample size a reweighted average is warned of.
        positions: relaxed positions by the target's number, where it is not compared at its own.
        relaxed_at: the tables at which they were relaxed, if they were.
    """

    targets: tuple[Target, ...]
    U: Potential
    systems: tuple[tuple[int, ...], ...]
    scales: Scales = field(default_factory=Scales)
    offset: Offset = "mean"
    hessian: HessianCoordinates = "cartesian"
    observables: Mapping[str, Observable] = field(default_factory=dict)
    least_samples: float = LEAST_SAMPLES
    positions: Mapping[int, Floats] = field(default_factory=dict)
    relaxed_at: Tables | None = None
    _losses: dict[str, _Loss] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # At once: made within a trace, their constants would be of the trace.
        object.__setattr__(self, "_losses", self._made())

    def __call__(self, tables: Tables | None = None, constants: Mapping[str, Array] | None = None) -> Array:
        """Return the loss, without axes.

        Args:
            tables: as the potential takes them.
            constants: of this objective, or of what :meth:`relaxed` made of it: so that a function which the host has
                compiled is used with other geometries without being compiled again.

        Raises:
            TargetError: there are optimized geometries, and the objective is not relaxed.
        """
        residuals = self.residuals(tables, constants)
        return self.U.host.namespace.sum(residuals**2)

    def residuals(self, tables: Tables | None = None, constants: Mapping[str, Array] | None = None) -> Array:
        """Return ``(n,)`` without unit, whose squares sum to the loss; arguments as for the call."""
        xp = self.U.host.namespace
        total = sum(target.weight for target in self.targets)
        found = xp.concat([part.residuals(xp) for part in self.parts(tables, constants)])
        return found / total**0.5

    def parts(self, tables: Tables | None = None, constants: Mapping[str, Array] | None = None) -> list[Part]:
        """Return what is compared, by quantity; arguments as for the call."""
        geometries = self._of(OptimizedGeometry)
        if geometries and self.relaxed_at is None:
            raise TargetError(
                f"target {geometries[0][2].name!r}: an optimized geometry is compared at the potential's own minimum: "
                "call objective.relaxed(tables) first"
            )
        given = self.constants if constants is None else constants
        return [
            part
            for name, loss in self._losses.items()
            for part in loss.parts(tables, {key: given[f"{name}/{key}"] for key in loss.moving})
        ]

    @property
    def constants(self) -> dict[str, Array]:
        """The geometries, by name: what relaxation changes, in shapes that it does not."""
        return {f"{name}/{key}": array for name, loss in self._losses.items() for key, array in loss.moving.items()}

    def compare(self, tables: Tables | None = None) -> list[Comparison]:
        """Return every quantity of every target beside its reference: for reports and plots."""
        found = []
        for part in self.parts(tables):
            predicted, reference = snapshot(part.predicted), snapshot(part.reference)
            for number in dict.fromkeys(part.owner.tolist()):
                own = part.owner == number
                name = self.targets[number].name
                found.append(Comparison(name, part.quantity, part.unit, predicted[own], reference[own]))
        return found

    def effective_sample_sizes(self, tables: Tables | None = None) -> dict[str, float]:
        """Return, by target, by how many equal frames each reweighted average is made: few, and it cannot be trusted.

        The number of frames is the most that it can be; below a hundred or so, sample again with the present tables.
        """
        found = self._losses.get("observables")
        if not isinstance(found, ObservableLoss):
            return {}
        weights = found.frame_weights(tables, found.moving)
        names = [target.name for _, _, target in self._of(ObservableTarget)]
        return {name: float(effective_sample_size(each)) for name, each in zip(names, weights, strict=True)}

    def relaxed(
        self, tables: Tables | None = None, *, tolerance: float = 0.01, max_iterations: int = 5000
    ) -> Objective:
        """Return the objective with torsion drives and optimized geometries at the potential's own minima.

        Torsion drives keep their angles. The derivative of the loss by the tables is then the total one: of a relaxed
        energy by the envelope theorem, of a relaxed geometry by the implicit function theorem. It holds at these
        tables; after a change, relax again, which goes on from the positions found here.

        Args:
            tables: as the potential takes them; they must have values.
            tolerance: the largest component of the gradient that is left [kJ/mol/nm].
            max_iterations: calls of the potential.

        Raises:
            TargetError: a minimization does not converge.
            ExchangeError: tables are being traced.
        """
        options: dict[str, Any] = {"tolerance": tolerance, "max_iterations": max_iterations}
        found = dict(self.positions)
        found.update(relax_drives(self.U, self._of(TorsionDrive), found, tables, **options))
        found.update(relax_geometries(self.U, self._of(OptimizedGeometry), found, tables, **options))
        plain = {name: backend_of(table).detach(table) for name, table in (tables or {}).items()}
        return replace(self, positions=found, relaxed_at=plain)

    def _of(self, *kinds: type[Target]) -> list[tuple[int, int, Any]]:
        """Return the targets of some kinds, each with its number and the number of its first system."""
        return [
            (number, systems[0], target)
            for number, (target, systems) in enumerate(zip(self.targets, self.systems, strict=True))
            if isinstance(target, kinds)
        ]

    def _made(self) -> dict[str, _Loss]:
        """Return the losses by name: one for each kind, or group of it, whose targets share a call of the potential."""
        U, scales = self.U, self.scales
        found: dict[str, _Loss] = {}
        for name, kind in (("conformers", ConformerTarget), ("torsion_drives", TorsionDrive)):
            for place, (own, targets) in enumerate(grouped(U, self._of(kind))):
                found[f"{name}/{place}"] = EnergyLoss(
                    own, targets, scales=scales, offset=self.offset, positions=self.positions
                )
        if targets := self._of(DimerTarget):
            triples = [(number, _triple(self.systems[number]), target) for number, _, target in targets]
            found["dimers"] = InteractionLoss(U, triples, scales=scales)
        if targets := self._of(HessianTarget):
            internal = [_internal(target) for _, _, target in targets] if self.hessian == "internal" else ()
            found["hessians"] = HessianLoss(U, targets, scales=scales, coordinates=self.hessian, internal=internal)
        if (targets := self._of(OptimizedGeometry)) and self.relaxed_at is not None:
            minima = [self.positions[number] for number, _, _ in targets]
            internal = [_internal(target) for _, _, target in targets]
            found["geometries"] = GeometryLoss(U, targets, minima, internal, self.relaxed_at, scales=scales)
        if targets := self._of(ObservableTarget):
            found["observables"] = ObservableLoss(
                U, targets, scales=scales, observables=self.observables, least_samples=self.least_samples
            )
        return found


def _triple(systems: tuple[int, ...]) -> tuple[int, int, int]:
    dimer, first, second = systems
    return dimer, first, second


def _internal(target: HessianTarget | OptimizedGeometry) -> InternalCoordinates:
    if target.smiles is None:
        raise TargetError(f"target {target.name!r}: smiles: missing; internal coordinates follow its bonds")
    return internal_coordinates(mapped_molecule(target.smiles).bonds, target.n_atoms, target.positions)


def objective(
    targets: Sequence[Target],
    U: Potential,
    *,
    systems: Sequence[int | tuple[int, ...]] | None = None,
    scales: Scales | None = None,
    offset: Offset = "mean",
    hessian: HessianCoordinates = "cartesian",
    observables: Mapping[str, Observable] | None = None,
    least_samples: float = LEAST_SAMPLES,
) -> Objective:
    """Return targets bound to a potential, as one loss of its tables::

        bundle = fb.concatenate([make(smiles) for smiles in fb.targets.smiles_of(targets)])
        objective = fb.targets.objective(targets, fb.potential(bundle, "torch"))
        objective(chosen.tables(vector)).backward()

    Args:
        targets: of any kinds.
        U: the potential. Its bundle has each target's system; of a dimer, also each monomer's.
        systems: the system of each target (of a dimer, three: itself and its monomers); found by SMILES if None.
        scales: of residuals; :class:`Scales` has those that the field uses.
        offset: what is taken off the energies of each target before they are compared: their weighted ``mean``, or
            that of the conformer at the reference's ``minimum``.
        hessian: compare Hessians in ``cartesian`` or ``internal`` coordinates.
        observables: by quantity, functions of observables that depend on the tables (:data:`Observable`), such as one
            that makes a dipole moment of charges. ``potential_energy`` is known; all others are a target's own values.
        least_samples: an average that fewer effective samples make gives a :class:`~ffbridge.errors.ReweightingWarning`
            (where tables have values; a function that JAX has compiled cannot warn).

    Raises:
        TargetError: there are no targets, none has a weight, or a target does not fit its system.
    """
    given = tuple(targets)
    if not given or not sum(target.weight for target in given) > 0:
        raise TargetError(f"objective: got {len(given)} targets, expected at least one of a weight more than 0")
    if systems is None:
        found = match(given, U.bundle)
    else:
        found = tuple((each,) if isinstance(each, int) else tuple(each) for each in systems)
        if len(found) != len(given):
            raise TargetError(f"systems: got {len(found)}, expected one for each of {len(given)} targets")
    for target, own in zip(given, found, strict=True):
        wanted = 3 if isinstance(target, DimerTarget) else 1
        if len(own) != wanted:
            raise TargetError(f"target {target.name!r}: got {len(own)} systems, expected {wanted}")
        require_atoms(target, own, U.bundle)
    return Objective(
        targets=given,
        U=U,
        systems=found,
        scales=scales or Scales(),
        offset=offset,
        hessian=hessian,
        observables=observables or {},
        least_samples=least_samples,
    )


def loss(target: Target, U: Potential, tables: Tables | None = None, **options: Any) -> Array:
    """Return the loss of one target, without axes; options are those of :func:`objective`."""
    return objective([target], U, **options)(tables)
