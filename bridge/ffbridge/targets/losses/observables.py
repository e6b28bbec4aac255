"""Averages over ensembles, reweighted from stored trajectories."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from ffbridge.backend import Array
from ffbridge.errors import ReweightingWarning, TargetError
from ffbridge.exchange import share
from ffbridge.potential import Potential
from ffbridge.targets.arrays import constant
from ffbridge.targets.frames import pack
from ffbridge.targets.kinds import ObservableTarget
from ffbridge.targets.losses.part import Part, Scales
from ffbridge.targets.reweighting import (
    LEAST_SAMPLES,
    OBSERVABLES,
    Observable,
    effective_sample_size,
    potential_energy,
    reweighting,
)

__all__ = ["ObservableLoss"]

Tables = Mapping[str, Array]


class ObservableLoss:
    """Averages of several targets, by one call of the potential.

    Args:
        U: the potential.
        targets: with trajectories, each with its number and its system's.
        scales: of residuals; a target's own uncertainty goes before them.
        observables: those that depend on parameters, by quantity, beside :data:`OBSERVABLES`.
        least_samples: warn of a target whose effective sample size is less.
    """

    def __init__(
        self,
        U: Potential,
        targets: Sequence[tuple[int, int, ObservableTarget]],
        *,
        scales: Scales,
        observables: Mapping[str, Observable] | None = None,
        least_samples: float = LEAST_SAMPLES,
    ) -> None:
        self._U, self._least_samples = U, least_samples
        self._targets = [target for _, _, target in targets]
        self._frames = pack(U, [(system, np.asarray(target.positions)) for _, system, target in targets])
        self.moving = {"x": self._frames.x}
        self._places = [constant(U, each.energies(U.bundle.n_systems)) for each in self._frames.placed]
        self._sampled = [constant(U, np.asarray(target.potential_energies)) for target in self._targets]
        known = {**OBSERVABLES, **(observables or {})}
        self._observables = [_of(target, known) for target in self._targets]
        self._values = [constant(U, np.asarray(target.values)) for target in self._targets]
        self._reference = constant(U, np.array([target.value for target in self._targets]))
        scale = [target.uncertainty or scales.observable * abs(target.value) or 1.0 for target in self._targets]
        self._scale = constant(U, np.array(scale))
        self._weights = constant(U, np.array([target.weight for target in self._targets]))
        self._owner = np.array([number for number, _, _ in targets])

    def frame_weights(self, tables: Tables | None, moving: Mapping[str, Array]) -> list[Array]:
        """Return the weight of every frame with the given tables, ``(n_frames,)`` for each target."""
        return self._frame_weights(self._energies(tables, moving))

    def parts(self, tables: Tables | None, moving: Mapping[str, Array]) -> list[Part]:
        """Return the reweighted averages with the given tables; ReweightingWarning if few frames make one."""
        xp = self._U.host.namespace
        energies = self._energies(tables, moving)
        weights = self._frame_weights(energies)
        self._warn(weights)
        averages = [
            xp.sum(w * values) for w, values in zip(weights, self._found(energies, tables, moving), strict=True)
        ]
        return [
            Part(
                quantity="observable",
                unit="the target's own",
                predicted=xp.stack(averages),
                reference=self._reference,
                scale=self._scale,
                weights=self._weights,
                owner=self._owner,
            )
        ]

    def _energies(self, tables: Tables | None, moving: Mapping[str, Array]) -> list[Array]:
        xp = self._U.host.namespace
        energies = xp.reshape(self._U(moving["x"], tables), (-1,))
        return [xp.take(energies, places, axis=0) for places in self._places]

    def _frame_weights(self, energies: Sequence[Array]) -> list[Array]:
        return [
            reweighting(each, sampled, target.temperature)
            for each, sampled, target in zip(energies, self._sampled, self._targets, strict=True)
        ]

    def _found(self, energies: Sequence[Array], tables: Tables | None, moving: Mapping[str, Array]) -> list[Array]:
        """Return the observable in every frame, ``(n_frames,)`` for each target."""
        found = list(self._values)
        for number, observable in enumerate(self._observables):
            if observable is None:
                continue
            placed = self._frames.placed[number]
            x = moving["x"][int(placed.rows[0]) : int(placed.rows[-1]) + 1, placed.atoms, :]
            found[number] = observable(x, energies[number], self._all(tables))
            if tuple(found[number].shape) != tuple(energies[number].shape):
                target = self._targets[number]
                raise TargetError(
                    f"target {target.name!r}: the observable {target.quantity!r} returned shape "
                    f"{tuple(found[number].shape)}, expected {tuple(energies[number].shape)}: a number for each frame"
                )
        return found

    def _all(self, tables: Tables | None) -> dict[str, Array]:
        own = {name: table.values for name, table in self._U.bundle.tables.items()}
        return {name: share(table, self._U.host).array for name, table in {**own, **(tables or {})}.items()}

    def _warn(self, weights: Sequence[Array]) -> None:
        """Warn of averages that few frames make; under a trace nothing is known of them."""
        host = self._U.host
        for target, each in zip(self._targets, weights, strict=True):
            if not host.has_values(each):
                continue
            size, n_frames = float(effective_sample_size(host.detach(each))), len(np.asarray(target.values))
            if size < self._least_samples:
                warnings.warn(
                    f"target {target.name!r}: its average is made by {size:.3g} effective samples of {n_frames}, fewer "
                    f"than {self._least_samples:g}: the parameters are far from those that made the trajectory; sample "
                    "again with the present ones",
                    ReweightingWarning,
                    stacklevel=2,
                )


def _of(target: ObservableTarget, known: Mapping[str, Observable]) -> Observable | None:
    """Return a target's observable, None if it is its stored values."""
    found = known.get(target.quantity)
    if found is potential_energy and target.unit != "kJ/mol":
        raise TargetError(f"target {target.name!r}: unit: got {target.unit!r}, expected kJ/mol of a potential energy")
    return found
