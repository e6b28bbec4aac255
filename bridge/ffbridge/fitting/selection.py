"""The parameters that a fit moves, as one vector for the bundles of training and of validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.errors import FitError
from ffbridge.fitting.settings import ParameterSettings
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.table import ParameterKey, Table
from ffbridge.targets.arrays import beside
from ffbridge.trainable import Trainable, trainable

__all__ = ["Moving", "Selection", "select"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moving:
    """A parameter that moves.

    Attributes:
        table: its table.
        key: its row's.
        column: its column.
        unit: of the column.
    """

    table: str
    key: ParameterKey
    column: str
    unit: str

    @property
    def attribute(self) -> str:
        """The column, with the number that torsions have, from 1: ``k2``."""
        return self.column if self.key.index is None else f"{self.column}{self.key.index + 1}"


@dataclass(frozen=True, eq=False)
class Selection:
    """Selected parameters of a bundle, and the same of other bundles.

    Attributes:
        moving: what each number of the vector is.
        chosen: the selection in the bundle that it was made of.
        scale: ``(n,)``, of each parameter, in its unit.
    """

    moving: tuple[Moving, ...]
    chosen: Trainable
    scale: Floats

    @property
    def initial(self) -> Floats:
        """The values before the fit, ``(n,)``."""
        return np.array(snapshot(self.chosen.initial), dtype=np.float64)

    def of(self, bundle: Bundle) -> Part:
        """Return the same parameters in another bundle; those that it does not use are no part of it."""
        places = {(each.table, each.key, each.column): number for number, each in enumerate(self.moving)}
        rows: dict[str, dict[str, list[ParameterKey]]] = {}
        for each in self.moving:
            table = bundle.tables.get(each.table)
            if table is not None and each.key in (table.keys or ()):
                rows.setdefault(each.table, {}).setdefault(each.column, []).append(each.key)
        if not rows:
            return Part(None, np.zeros(0, dtype=np.int32))
        chosen = trainable(bundle, rows)
        named = _named(bundle, chosen)
        return Part(chosen, np.array([places[each.table, each.key, each.column] for each in named], dtype=np.int32))


@dataclass(frozen=True, eq=False)
class Part:
    """Where parameters of a vector are in the tables of one bundle.

    Attributes:
        chosen: the parameters that it uses; None if there are none.
        places: of each, in the vector.
    """

    chosen: Trainable | None
    places: NDArray[np.int32]

    def tables(self, vector: Array) -> dict[str, Array]:
        """Return the bundle's tables with the values of the vector; derivatives flow through."""
        if self.chosen is None:
            return {}
        xp = backend_of(vector).namespace
        return self.chosen.tables(xp.take(vector, beside(vector, self.places), axis=0))

    def updated(self, bundle: Bundle, vector: Floats) -> Bundle:
        """Return the bundle with the values of the vector in its tables."""
        tables = {name: replace(bundle.tables[name], values=values) for name, values in self.tables(vector).items()}
        return replace(bundle, tables={**bundle.tables, **tables})


def select(bundle: Bundle, wanted: Sequence[ParameterSettings], *, where: str) -> Selection:
    """Return the parameters that settings name, each once, with the scale of the last that names it.

    Args:
        bundle: of the targets that the fit learns from.
        wanted: which parameters.
        where: the file of the settings, for messages.

    Raises:
        FitError: the bundle has no such section, attribute, id or pattern.
        BundleError: the attribute is a whole number, which does not move.
    """
    scales: dict[tuple[str, str, ParameterKey], float] = {}
    for number, each in enumerate(wanted):
        place = f"{where}: parameters[{number}]"
        tables = {
            name: table
            for name, table in bundle.tables.items()
            if any(key.handler == each.handler for key in table.keys or ())
        }
        if not tables:
            known = sorted({key.handler for table in bundle.tables.values() for key in table.keys or ()})
            raise FitError(
                f"{place}.handler: the training targets use no parameters of {each.handler!r}; they use those of "
                f"{', '.join(known)}"
            )
        for name, table in tables.items():
            column, index = _column(table, each, place)
            for key in _keys(table, each, index, place):
                scales[name, column, key] = each.scale
    rows: dict[str, dict[str, list[ParameterKey]]] = {}
    for name, column, key in scales:
        rows.setdefault(name, {}).setdefault(column, []).append(key)
    chosen = trainable(bundle, rows)
    moving = _named(bundle, chosen)
    return Selection(moving, chosen, np.array([scales[each.table, each.column, each.key] for each in moving]))


def _column(table: Table, wanted: ParameterSettings, place: str) -> tuple[str, int | None]:
    """Return the column that an attribute names, and which of several values, from 0."""
    if wanted.attribute in table.columns:
        return wanted.attribute, None
    numbered = re.fullmatch(r"([a-z]+)([1-9]\d*)", wanted.attribute)
    if numbered and numbered[1] in table.columns:
        return numbered[1], int(numbered[2]) - 1
    raise FitError(
        f"{place}.attribute: {wanted.handler} has no {wanted.attribute!r}, expected one of {', '.join(table.columns)}"
    )


def _keys(table: Table, wanted: ParameterSettings, index: int | None, place: str) -> list[ParameterKey]:
    keys = [key for key in table.keys or () if key.handler == wanted.handler and index in (None, key.index)]
    for what, names in (("ids", wanted.ids), ("patterns", wanted.patterns)):
        known = {_name(key, what) for key in keys}
        if unknown := [name for name in names if name not in known]:
            raise FitError(
                f"{place}.{what}: the training targets use no {wanted.handler} {unknown[0]!r} with {wanted.attribute}; "
                f"they use: {', '.join(sorted(known))}"
            )
    if not keys:
        raise FitError(f"{place}.attribute: the training targets use no {wanted.handler} with {wanted.attribute}")
    if not wanted.ids and not wanted.patterns:
        return keys
    return [key for key in keys if key.id in wanted.ids or key.pattern in wanted.patterns]


def _name(key: ParameterKey, what: str) -> str:
    return key.id if what == "ids" else key.pattern


def _named(bundle: Bundle, chosen: Trainable) -> tuple[Moving, ...]:
    """Return what the numbers of a selection's vector are, by keys."""
    found = []
    for each in chosen.parameters:
        table: Table = bundle.tables[each.table]
        keys: Mapping[int, ParameterKey] | tuple[ParameterKey, ...] = table.keys or ()
        unit = table.units[table.columns.index(each.column)]
        found.append(Moving(each.table, keys[each.row], each.column, unit))
    return tuple(found)
