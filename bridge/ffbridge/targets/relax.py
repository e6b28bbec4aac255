"""Minima of a potential, many at once, with dihedral angles held: what torsion drives and geometries are compared at.

Every system in every row is a minimization of its own, and one call of the potential serves all. Steps are those of
L-BFGS (J. Nocedal, Math. Comput. 35, 773 (1980)) within the constraints: gradients lose their part along the
derivatives of the held angles, and Newton's method brings the angles back after every step, so that each iterate has
them exactly. A minimum x* so found is where U's gradient has no other part, hence d U(x*(θ); θ)/dθ = ∂U/∂θ (envelope
theorem): the derivative of a relaxed energy needs no derivative of x*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import TargetError
from ffbridge.potential import Potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.arrays import constant
from ffbridge.targets.derivatives import is_tracked
from ffbridge.targets.internal import dihedral_angles, dihedral_gradients, wrapped

__all__ = ["HeldDihedrals", "Relaxed", "relax"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MEMORY = 20
"""Steps that L-BFGS remembers: with more, fewer calls of the potential, and more work between them."""

MOST_REFUSALS = 20
LONGEST_STEP = 0.01
"""How far an atom may move in one step [nm]."""


@dataclass(frozen=True, eq=False)
class HeldDihedrals:
    """Dihedral angles that minimizations hold.

    Attributes:
        rows: ``(n,)``, the row of positions.
        atoms: ``(n, 4)``, numbered over the bundle.
        angles: ``(n,)`` [rad].
    """

    rows: Ints
    atoms: Ints
    angles: Floats

    @classmethod
    def none(cls) -> HeldDihedrals:
        """Return no dihedrals."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, 4), dtype=np.int64), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Minima.

    Attributes:
        positions: ``(n_rows, n_atoms, 3)`` [nm].
        energies: ``(n_rows, n_systems)`` [kJ/mol].
        largest_gradient: ``(n_rows, n_systems)`` [kJ/mol/nm], of what is left within the constraints.
        converged: ``(n_rows, n_systems)``.
        iterations: calls of the potential.
    """

    positions: Floats
    energies: Floats
    largest_gradient: Floats
    converged: Bools
    iterations: int


def relax(
    U: Potential,
    x: Array,
    tables: Mapping[str, Array] | None = None,
    *,
    held: HeldDihedrals | None = None,
    tolerance: float = 0.01,
    max_iterations: int = 5000,
) -> Relaxed:
    """Return the minimum of every system in every row, each found from its own positions.

    Args:
        U: the potential, of any engine.
        x: positions, ``(n_rows, n_atoms, 3)`` [nm].
        tables: as the potential takes them; gradients that they carry are left behind.
        held: dihedral angles to hold; those of one system in one row must not depend on each other.
        tolerance: the largest component of the gradient within the constraints at which it ends [kJ/mol/nm].
        max_iterations: calls of the potential.

    Raises:
        TargetError: positions have another shape, or no step brings a held angle to its value.
        ExchangeError: tables are being traced, so that they have no values.
    """
    start = np.array(snapshot(x), dtype=np.float64)
    if start.ndim != 3:
        raise TargetError(f"positions: got shape {start.shape}, expected (n_rows, n_atoms, 3) [nm]")
    given = {name: snapshot(table) for name, table in (tables or {}).items()}
    own = {name: snapshot(t.values) for name, t in U.bundle.tables.items() if is_tracked(t.values)}
    problem = _Problem(U, {**own, **given}, held or HeldDihedrals.none())
    return _Minimization(problem, start).run(tolerance, max_iterations)


class _Problem:
    """Energies and gradients within the constraints. Scalars are ``(n_rows, n_systems)``."""

    def __init__(self, U: Potential, tables: Mapping[str, Array], held: HeldDihedrals) -> None:
        self._U, self._held = U, held
        self._tables = {name: constant(U, table) for name, table in tables.items()}
        offsets = snapshot(U.bundle.system_offsets).astype(np.int64)
        self._starts, self._sizes = offsets[:-1], np.diff(offsets)
        self._systems = np.searchsorted(offsets, held.atoms[:, 0], side="right") - 1
        # Dihedrals of one system and row are in different slots, so that a slot is one direction for each of them.
        seen: dict[tuple[int, int], int] = {}
        slots = []
        for key in zip(held.rows.tolist(), self._systems.tolist(), strict=True):
            slots.append(seen.get(key, 0))
            seen[key] = slots[-1] + 1
        self._slots = np.array(slots, dtype=np.int64)
        self._n_slots = max(slots, default=-1) + 1

    def evaluate(self, x: Floats) -> tuple[Floats, Floats]:
        """Return energies and gradients ``(n_rows, n_atoms, 3)``."""
        moved = constant(self._U, x)
        energy, forces = self._U.energy_and_forces(moved, self._tables)
        return np.array(snapshot(energy), dtype=np.float64), -np.array(snapshot(forces), dtype=np.float64)

    def dot(self, a: Floats, b: Floats) -> Floats:
        """Return the inner product of each system's part."""
        # Atoms and axes as one axis: a sum over an axis of three is many times slower.
        found: Floats = np.add.reduceat((a * b).reshape(len(a), -1), 3 * self._starts, axis=1)
        return found

    def largest(self, a: Floats) -> Floats:
        """Return the largest component of each system's part."""
        found: Floats = np.maximum.reduceat(np.abs(a).reshape(len(a), -1), 3 * self._starts, axis=1)
        return found

    def spread(self, scalars: Any) -> Any:
        """Return ``(n_rows, n_atoms, 1)``: each system's number on each of its atoms."""
        return np.repeat(scalars, self._sizes, axis=1)[..., None]

    def tangent(self, x: Floats, vector: Floats) -> Floats:
        """Return a vector without its part along the derivatives of held angles."""
        if not self._n_slots:
            return vector
        directions = self._directions(x)
        along = np.stack([self.dot(each, vector) for each in directions], axis=-1)
        return vector - self._combine(directions, along)

    def retract(self, x: Floats) -> Floats:
        """Return positions with all held angles at their values, by Newton's method."""
        if not self._n_slots:
            return x
        for _ in range(30):
            off = self._deviation(x)
            if np.abs(off).max() < 1e-11:
                return x
            # Not further than 0.3 rad at once: the angle is not linear in the positions.
            x = x - self._combine(self._directions(x), np.clip(off, -0.3, 0.3))
        worst = np.unravel_index(np.argmax(np.abs(off)), off.shape)
        raise TargetError(
            f"relax: a held dihedral of system {worst[1]} in row {worst[0]} is {np.degrees(off[worst]):.3g}° off and "
            "does not come to its angle: it may be about a straight bond angle"
        )

    def _deviation(self, x: Floats) -> Floats:
        """Return by how much held angles are off, ``(n_rows, n_systems, n_slots)`` [rad], 0 where there is none."""
        held = self._held
        found = np.zeros((len(x), len(self._sizes), self._n_slots))
        angles = _diagonal(dihedral_angles, x, held)
        found[held.rows, self._systems, self._slots] = wrapped(angles - held.angles)
        return found

    def _directions(self, x: Floats) -> Floats:
        """Return the derivatives of held angles, ``(n_slots, n_rows, n_atoms, 3)``."""
        found = np.zeros((self._n_slots, *x.shape))
        gradients = _diagonal(dihedral_gradients, x, self._held)
        np.add.at(found, (self._slots[:, None], self._held.rows[:, None], self._held.atoms), gradients)
        return found

    def _combine(self, directions: Floats, along: Floats) -> Floats:
        """Return Jᵀ (J Jᵀ)⁻¹ c, ``(n_rows, n_atoms, 3)``: the least displacement that changes the angles by c."""
        gram = np.stack([np.stack([self.dot(a, b) for b in directions], axis=-1) for a in directions], axis=-2)
        empty = np.einsum("...ii->...i", gram) == 0
        gram = gram + np.eye(len(directions)) * empty[..., None, :]
        try:
            factors = np.linalg.solve(gram, along[..., None])[..., 0]
        except np.linalg.LinAlgError as error:
            raise TargetError("relax: held dihedrals of one system depend on each other: hold fewer") from error
        found: Floats = np.zeros_like(directions[0])
        for slot, direction in enumerate(directions):
            found = found + self.spread(factors[..., slot]) * direction
        return found


def _diagonal(function: Any, x: Floats, held: HeldDihedrals) -> Floats:
    """Return what a function gives for each held dihedral in its own row."""
    # The four atoms of each dihedral as a molecule of its own.
    corners = x[held.rows[:, None], held.atoms]
    found: Floats = function(corners, np.array([[0, 1, 2, 3]]))[:, 0]
    return found


@dataclass(eq=False)
class _Minimization:
    """The state of all minimizations: positions, gradients within the constraints, and the memory of L-BFGS."""

    problem: _Problem
    x: Floats
    steps: deque[Floats] = field(default_factory=lambda: deque(maxlen=MEMORY))
    changes: deque[Floats] = field(default_factory=lambda: deque(maxlen=MEMORY))
    curvatures: deque[Floats] = field(default_factory=lambda: deque(maxlen=MEMORY))
    squares: deque[Floats] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def run(self, tolerance: float, max_iterations: int) -> Relaxed:
        problem = self.problem
        x = problem.retract(self.x)
        energy, gradient = problem.evaluate(x)
        gradient = problem.tangent(x, gradient)
        direction, scale = self._direction(x, gradient)
        count, refusals = 1, np.zeros(energy.shape, dtype=np.int64)
        while count < max_iterations and (active := problem.largest(gradient) > tolerance).any():
            step = problem.spread(np.where(active, scale, 0.0)) * direction
            trial = problem.retract(x + step)
            trial_energy, trial_gradient = problem.evaluate(trial)
            trial_gradient = problem.tangent(trial, trial_gradient)
            count += 1
            expected = problem.dot(gradient, direction) * scale
            # Near the minimum, energies differ by less than they are rounded to.
            rounding = 1e-12 * (1 + np.abs(energy))
            accepted = active & (trial_energy <= energy + 1e-4 * expected + rounding)
            here = problem.spread(accepted)
            self._remember(np.where(here, trial - x, 0.0), np.where(here, trial_gradient - gradient, 0.0), accepted)
            x, gradient = np.where(here, trial, x), np.where(here, trial_gradient, gradient)
            energy = np.where(accepted, trial_energy, energy)
            # Where the step was refused, half of it is tried; after many times, the steepest descent.
            refusals = np.where(accepted, 0, refusals + active)
            lost = refusals > MOST_REFUSALS
            self._forget(lost)
            refusals[lost] = 0
            new_direction, new_scale = self._direction(x, gradient)
            direction = np.where(problem.spread(accepted | lost), new_direction, direction)
            scale = np.where(accepted | lost, new_scale, scale / 2)
        left = problem.largest(gradient)
        return Relaxed(x, energy, left, left <= tolerance, count)

    def _direction(self, x: Floats, gradient: Floats) -> tuple[Floats, Floats]:
        """Return where to go, and the largest factor, at most 1, by which no atom goes further than it may."""
        dot, spread = self.problem.dot, self.problem.spread
        q, factors = gradient, []
        for s, y, rho in zip(self.steps, self.changes, self.curvatures, strict=True):
            factors.append(rho * dot(s, q))
            q = q - spread(factors[-1]) * y
        q = q * spread(self._inverse_curvature())
        for s, y, rho, alpha in reversed(list(zip(self.steps, self.changes, self.curvatures, factors, strict=True))):
            q = q + spread(alpha - rho * dot(y, q)) * s
        direction = -self.problem.tangent(x, q)
        uphill = dot(direction, gradient) >= 0
        direction = np.where(spread(uphill), -gradient * 1e-6, direction)
        longest = self.problem.largest(direction)
        return direction, np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-300))

    def _inverse_curvature(self) -> Any:
        """Return s·y / y·y of the latest step of each system; that of a bond where there is none."""
        found = np.full((len(self.x), len(self.problem._sizes)), 1e-6)
        for curvature, square in zip(reversed(self.curvatures), reversed(self.squares), strict=True):
            bent = curvature > 0
            found = np.where(bent, 1 / np.where(bent, curvature * square, 1.0), found)
        return found

    def _remember(self, step: Floats, change: Floats, accepted: Bools) -> None:
        """Put a step before the others; nothing for the systems that did not take it."""
        product = self.problem.dot(step, change)
        bent = accepted & (product > 1e-14)
        self.steps.appendleft(step)
        self.changes.appendleft(change)
        # Where this is zero, the step has no part in directions.
        self.curvatures.appendleft(np.where(bent, 1 / np.where(bent, product, 1), 0))
        self.squares.appendleft(self.problem.dot(change, change))

    def _forget(self, lost: Bools) -> None:
        for curvature in self.curvatures:
            curvature[lost] = 0
