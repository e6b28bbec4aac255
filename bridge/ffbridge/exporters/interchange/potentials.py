"""Rows of tables as potentials of an Interchange, under the keys that an Interchange knows them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.mapping import Identity, Mapping, Select
from ffbridge.table import ParameterKey, Table

__all__ = ["Potentials", "rows_of"]

Indices = NDArray[np.int64]


class Potentials:
    """The potentials of one collection, in the order in which they are added.

    A row with a key keeps the key's pattern, a SMIRKS mostly, as its name, and the key's index as ``mult``. A row
    without one, such as an output of a model, is named for its term and the first interaction that uses it.

    Args:
        handler: what the potentials are said to come from.
        handlers: what an Interchange calls the origins that keys of rows may name, where it knows them; rows of another
            origin come from `handler`, and their names begin with the origin.

    Attributes:
        potentials: ``PotentialKey`` to ``Potential``.
    """

    def __init__(self, handler: str, handlers: dict[str, str] | None = None) -> None:
        self.potentials: dict[Any, Any] = {}
        self._handler = handler
        self._handlers = {handler: handler} if handlers is None else handlers

    def add(
        self,
        names: Sequence[str],
        rows: Indices | None,
        table: Table,
        parameters: Floats,
        units: dict[str, str],
        **more: Any,
    ) -> list[Any]:
        """Add the rows that interactions use, and return the ``PotentialKey`` of each interaction.

        Args:
            names: of the interactions, for rows without a key.
            rows: of the table, ``(n_terms,)``; None where parameters are sums of several rows: then interactions share
                a potential if their parameters are equal.
            table: the table.
            parameters: of each interaction, p = M θ, ``(n_terms, n_columns)``.
            units: unit of each column, as pint reads it.
            **more: further parameters that every potential states.
        """
        from openff.units import Quantity

        first, index = _first_uses(rows, parameters)
        known = None if rows is None else table.keys
        keys = []
        for interaction in first.tolist():
            values = zip(units.items(), parameters[interaction].tolist(), strict=True)
            named = {column: Quantity(value, unit) for (column, unit), value in values}
            key = None if known is None or rows is None else known[int(rows[interaction])]
            keys.append(self.put(key, names[interaction], {**named, **more}))
        return [keys[number] for number in index.tolist()]

    def put(self, known: ParameterKey | None, otherwise: str, parameters: dict[str, Any]) -> Any:
        """Add one potential, and return its ``PotentialKey``.

        Args:
            known: the key of the row, if it has one.
            otherwise: its name if it has none.
            parameters: quantities by name.
        """
        from openff.interchange.components.potentials import Potential
        from openff.interchange.models import PotentialKey

        handler, name, mult = self._handler, otherwise, None
        if known is not None:
            handler = self._handlers.get(known.handler, handler)
            name = known.pattern if known.handler in self._handlers else f"{known.handler} {known.pattern}"
            mult = known.index
        key = PotentialKey(id=name, mult=mult, associated_handler=handler)
        if key in self.potentials:
            key = PotentialKey(id=f"{name} {otherwise}", mult=mult, associated_handler=handler)
        self.potentials[key] = Potential(parameters=parameters)
        return key


def rows_of(mapping: Mapping, n_terms: int) -> Indices | None:
    """Return the row of each interaction, ``(n_terms,)``, if each has one; None under a linear mapping.

    Args:
        mapping: of a term, of NumPy arrays.
        n_terms: number of its interactions.
    """
    if isinstance(mapping, Select):
        return np.asarray(mapping.index)
    return np.arange(n_terms) if isinstance(mapping, Identity) else None


def _first_uses(rows: Indices | None, parameters: Floats) -> tuple[Indices, Indices]:
    """Return the first interaction that uses each potential, ascending, and the potential of each interaction."""
    if rows is None:
        _, first, inverse = np.unique(parameters, axis=0, return_index=True, return_inverse=True)
    else:
        _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    ranks = np.argsort(order)
    return first[order], ranks[inverse.reshape(-1)]
