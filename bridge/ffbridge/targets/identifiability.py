"""Which parameters data determine, and which combinations of parameters they cannot tell apart.

Near the fitted parameters v₀ a loss changes as |J (v - v₀)|², J the derivatives of the residuals. Beside it stands a
Gaussian prior of widths w, so with data of noise σ the parameters in units of their widths have the covariance
C = (SᵀS + 1)⁻¹, S = J diag(w) / σ. The determinacy of a parameter, 1 - Cᵢᵢ, is the share of its prior variance that the
data take away: 0 for one that they do not see, 1 for one that they fix. Of a combination along a right singular vector
of S, of singular value s, it is s² / (1 + s²), and their sum is the number of parameters that the data determine
(D. J. C. MacKay, Neural Comput. 4, 415 (1992), section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import TargetError
from ffbridge.snapshot import snapshot
from ffbridge.table import ParameterKey
from ffbridge.targets.arrays import constant
from ffbridge.targets.objective import Objective
from ffbridge.targets.prior import Prior
from ffbridge.trainable import Parameter, Trainable

__all__ = ["Combination", "Determinacy", "Identifiability", "identifiability"]

Floats = NDArray[np.float64]

ENOUGH = 0.9
"""The determinacy below which a parameter counts as not determined: its error is more than 0.3 of its width."""

_NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Determinacy:
    """How well the data determine one parameter.

    Attributes:
        parameter: its table, row and column.
        key: where it comes from; None if its table has no keys.
        unit: of its column.
        determinacy: 0 to 1, the share of its prior variance that the data take away.
        error: its standard error given data and prior, in its unit.
    """

    parameter: Parameter
    key: ParameterKey | None
    unit: str
    determinacy: float
    error: float

    def __str__(self) -> str:
        """Return table, identifier and column, such as ``bonds/b84/length``."""
        name = str(self.parameter.row)
        if self.key is not None:
            name = self.key.id or self.key.pattern
            name += "" if self.key.index is None else f"[{self.key.index}]"
        return f"{self.parameter.table}/{name}/{self.parameter.column}"


@dataclass(frozen=True)
class Combination:
    """A direction in which parameters may move together, and the data hardly notice.

    Attributes:
        members: the parameters that move, the one that moves most, in units of its width, first.
        coefficients: by how much each moves, in its own unit, when the first moves by its width.
    """

    members: tuple[Determinacy, ...]
    coefficients: tuple[float, ...]

    def __str__(self) -> str:
        """Return the members with their coefficients."""
        parts = zip(self.members, self.coefficients, strict=True)
        return ", ".join(f"{member} by {coefficient:.4g} {member.unit}" for member, coefficient in parts)


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What data say about a vector of parameters.

    Attributes:
        parameters: what each number of the vector is.
        keys: where each comes from; None for tables without keys.
        units: of each.
        widths: of the prior, ``(n,)``, in these units.
        singular_values: of S, ``(n,)``, in descending order.
        directions: its right singular vectors as rows, ``(n, n)``, in units of the widths.
    """

    parameters: tuple[Parameter, ...]
    keys: tuple[ParameterKey | None, ...]
    units: tuple[str, ...]
    widths: Floats
    singular_values: Floats
    directions: Floats

    @cached_property
    def each(self) -> tuple[Determinacy, ...]:
        """How well each parameter is determined, in the vector's order."""
        given = zip(self.parameters, self.keys, self.units, self.determinacy, self.errors, strict=True)
        return tuple(
            Determinacy(parameter, key, unit, float(share), float(error))
            for parameter, key, unit, share, error in given
        )

    @property
    def determinacy(self) -> Floats:
        """1 - Cᵢᵢ, ``(n,)``."""
        share: Floats = self.of_directions @ self.directions**2
        return share

    @property
    def errors(self) -> Floats:
        """Standard errors given data and prior, ``(n,)``, in the parameters' units."""
        variance = (1 / (1 + self.singular_values**2)) @ self.directions**2
        errors: Floats = self.widths * np.sqrt(variance)
        return errors

    @property
    def of_directions(self) -> Floats:
        """s² / (1 + s²) of each direction, ``(n,)``."""
        shares: Floats = self.singular_values**2 / (1 + self.singular_values**2)
        return shares

    @property
    def n_determined(self) -> float:
        """How many parameters, or combinations of them, the data determine."""
        return float(self.of_directions.sum())

    def undetermined(self, *, below: float = ENOUGH) -> tuple[Determinacy, ...]:
        """Return the parameters whose determinacy is less than `below`."""
        return tuple(each for each in self.each if each.determinacy < below)

    def combinations(self, *, below: float = ENOUGH) -> tuple[Combination, ...]:
        """Return independent combinations that span all directions whose determinacy is less than `below`.

        Of all such bases it is one of few members in each: a parameter that the data do not see at all stands alone.
        """
        basis = _few_members(self.directions[self.of_directions < below])
        found = []
        for row in basis:
            members = [int(i) for i in np.argsort(-np.abs(row), kind="stable") if abs(row[i]) >= _NEGLIGIBLE]
            coefficients = tuple(float(row[i] / row[members[0]] * self.widths[i]) for i in members)
            found.append(Combination(tuple(self.each[i] for i in members), coefficients))
        return tuple(found)


def identifiability(
    objective: Objective,
    chosen: Trainable,
    prior: Prior,
    *,
    vector: Array | None = None,
    noise: float = 1.0,
) -> Identifiability:
    """Return which of the selected parameters the objective's data determine::

        found = fb.targets.identifiability(objective, chosen, prior, vector=fitted)
        for each in found.undetermined():
            print(each, each.determinacy)

    Derivatives are central differences of the residuals, two evaluations for each parameter: every engine has those,
    in no more memory than one evaluation and the derivatives take. They are exact where residuals are linear.

    Args:
        objective: the data; a relaxed objective is looked at with its geometries where they are.
        chosen: the parameters.
        prior: its widths are the units in which parameters are measured, and how far they may move without data.
        vector: where to look, ``(n,)``; the bundle's own values if None.
        noise: the root of the loss that is as good as zero. 1: residuals as large as their scales are expected.

    Raises:
        TargetError: the noise is not more than 0, the vector or the prior has another length than the selection, or the
            vector or the data's derivatives are not finite.
    """
    at = _checked(chosen, prior, vector, noise)
    _, singular_values, directions = np.linalg.svd(np.linalg.qr(_slopes(objective, chosen, at, prior.width), mode="r"))
    # Fewer residuals than parameters: the directions that are left have no residual.
    missing = len(at) - len(singular_values)
    tables = objective.U.bundle.tables
    of = [tables[parameter.table] for parameter in chosen.parameters]
    return Identifiability(
        parameters=chosen.parameters,
        keys=tuple(
            None if table.keys is None else table.keys[each.row]
            for table, each in zip(of, chosen.parameters, strict=True)
        ),
        units=tuple(
            table.units[table.columns.index(each.column)] for table, each in zip(of, chosen.parameters, strict=True)
        ),
        widths=prior.width,
        singular_values=np.concatenate([singular_values, np.zeros(missing)]) / noise,
        directions=directions,
    )


def _checked(chosen: Trainable, prior: Prior, vector: Array | None, noise: float) -> NDArray[np.floating]:
    """Return the vector at which to look, in NumPy; TargetError for what :func:`identifiability` refuses."""
    n = len(chosen.parameters)
    at = np.array(snapshot(chosen.initial if vector is None else vector))
    if at.shape != (n,) or prior.width.shape != (n,):
        raise TargetError(
            f"identifiability: got a vector of shape {at.shape} and a prior of {prior.width.shape}, expected ({n},): "
            "one number for each selected parameter"
        )
    if not np.isfinite(at).all():
        bad = int(np.argmin(np.isfinite(at)))
        table, row, column = chosen.parameters[bad]
        raise TargetError(f"identifiability: vector: got {at[bad]} for tables/{table}/{column} of row {row}")
    if not noise > 0:
        raise TargetError(f"noise: got {noise}, expected more than 0")
    return at


def _slopes(objective: Objective, chosen: Trainable, at: NDArray[np.floating], widths: Floats) -> Floats:
    """Return the derivatives of the residuals by the parameters in units of their widths, ``(n_residuals, n)``."""
    host, constants = objective.U.host, objective.constants

    def residuals(tables: Mapping[str, Array], constants: Mapping[str, Array]) -> Array:
        return objective.residuals(tables, constants)

    compiled = host.fused(residuals)
    # Between truncation, which grows with the step, and rounding, which grows as it falls.
    step = float(np.finfo(at.dtype).eps) ** 0.25

    def moved(number: int, sign: int) -> Floats:
        there = at.copy()
        there[number] += sign * step * widths[number]
        tables = chosen.tables(constant(objective.U, there))
        return np.asarray(snapshot(compiled(tables, constants)), dtype=np.float64)

    columns = []
    for number, parameter in enumerate(chosen.parameters):
        column = (moved(number, 1) - moved(number, -1)) / (2 * step)
        if not np.isfinite(column).all():
            raise TargetError(
                f"identifiability: the derivative by tables/{parameter.table}/{parameter.column} of row "
                f"{parameter.row} is not finite: the parameters are far from any that fit"
            )
        columns.append(column)
    return np.stack(columns, axis=1)


def _few_members(basis: Floats) -> Floats:
    """Return the same space's reduced row echelon form, each row's largest entry 1, pivots chosen largest first."""
    rows = basis.copy()
    for number in range(len(rows)):
        # Columns of pivots before hold zeros in the rows that are left.
        row, column = divmod(int(np.argmax(np.abs(rows[number:]))), rows.shape[1])
        rows[[number, number + row]] = rows[[number + row, number]]
        rows[number] /= rows[number, column]
        others = np.arange(len(rows)) != number
        rows[others] -= rows[others, column, None] * rows[number]
    scaled: Floats = rows / np.abs(rows).max(axis=1, keepdims=True, initial=0)
    return scaled
