"""Rows of tables as potentials of an Interchange, under the keys that an Interchange knows them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.exporters.openmm.parameters import Floats
from ffbridge.mapping import Linear, Mapping, Select
from ffbridge.table import ParameterKey, Table

__all__ = ["Potentials", "first_uses"]


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
        mapping: Mapping,
        table: Table,
        parameters: Floats,
        units: dict[str, str],
        **more: Any,
    ) -> list[Any]:
        """Add the rows that interactions use, and return the ``PotentialKey`` of each interaction.

        Args:
            names: of the interactions, for rows without a key.
            mapping: of these interactions, of NumPy arrays.
            table: the table.
            parameters: of each interaction, p = M θ, ``(n_terms, n_columns)``.
            units: unit of each column, as pint reads it.
            **more: further parameters that every potential states.
        """
        from openff.units import Quantity

        first, index = first_uses(mapping, parameters)
        rows = mapping.index[first] if isinstance(mapping, Select) else first
        known = None if isinstance(mapping, Linear) else table.keys
        keys = []
        for interaction, row in zip(first.tolist(), rows.tolist(), strict=True):
            values = zip(units.items(), parameters[interaction].tolist(), strict=True)
            named = {column: Quantity(value, unit) for (column, unit), value in values}
            keys.append(self.put(None if known is None else known[row], names[interaction], {**named, **more}))
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


def first_uses(mapping: Mapping, parameters: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first interaction that uses each potential, ascending, and the potential of each interaction.

    Interactions share a potential if they share a row; under a linear mapping, if their parameters are equal.
    """
    if isinstance(mapping, Select):
        _, first, inverse = np.unique(mapping.index, return_index=True, return_inverse=True)
    elif isinstance(mapping, Linear):
        _, first, inverse = np.unique(parameters, axis=0, return_index=True, return_inverse=True)
    else:
        first = inverse = np.arange(len(parameters))
    order = np.argsort(first)
    ranks = np.argsort(order)
    return first[order], ranks[inverse.reshape(-1)]
