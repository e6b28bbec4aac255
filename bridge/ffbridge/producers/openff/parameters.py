"""Parameters of an Interchange collection: one table row per force-field parameter, and the row of each interaction.

A collection holds ``key_map`` (atoms -> PotentialKey) and ``potentials`` (PotentialKey -> values), in different orders.
Rows are numbered here in the order in which ``key_map`` first uses them. Two keys are one parameter if they name the
same handler, pattern and index; equal values alone do not make them one. A parameter that is interpolated by bond order
has one row for each bond order that the force field states, and its interactions are weighted sums of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.forms import form
from ffbridge.mapping import Linear, Select
from ffbridge.table import ParameterKey, Table

__all__ = ["Parameters", "magnitudes", "read_parameters"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]

NO_SITES: Mapping[Any, int] = MappingProxyType({})

PER_MOLECULE = frozenset({"molecules_with_preset_charges", "ExternalSource"})
"""Handlers, beside those whose names end in ``Handler``, whose pattern is a mapped SMILES and no SMIRKS."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """What a collection says, before it is brought into the columns of a form.

    Attributes:
        atoms: ``(n_terms, arity) int32``, atoms of each interaction, in the order of the collection.
        mapping: from rows to interactions.
        keys: key of each row. Those of rows for interpolation end their id in the bond order, such as ``bondorder2``.
        values: the named values of each row, as quantities.
        where: the collection's name, for messages.
    """

    atoms: Indices
    mapping: Select | Linear
    keys: tuple[ParameterKey, ...]
    values: tuple[dict[str, Any], ...]
    where: str

    @property
    def index(self) -> Indices:
        """The row of each interaction, ``(n_terms,) int32``.

        Raises:
            UnsupportedError: parameters are interpolated.
        """
        if isinstance(self.mapping, Linear):
            raise UnsupportedError(
                f"collection {self.where!r}: parameters are interpolated by bond order (WrappedPotential), and "
                "from_interchange understands that of bonds, angles and torsions only"
            )
        index: Indices = self.mapping.index
        return index

    def column(self, name: str, unit: str) -> Floats:
        """Return one named value of every row, ``(n_params,)`` in that unit."""
        try:
            return magnitudes([values[name] for values in self.values], unit)
        except KeyError:
            known = sorted({key for values in self.values for key in values})
            raise UnsupportedError(
                f"collection {self.where!r}: expected every potential to state {name!r}; they state {', '.join(known)}"
            ) from None

    def table(self, form_name: str) -> Table:
        """Return the rows as a table of a form. A torsion's k is the source's k / idivf.

        Raises:
            BundleError: a column that must hold whole numbers does not, or an idivf is 0.
        """
        declared = form(form_name)
        values = np.empty((len(self.keys), len(declared.columns)))
        for position, column in enumerate(declared.columns):
            found = self.column(column.name, column.unit)
            if column.name == "k" and "idivf" in self.values[0]:
                found = found / self._divisors()
            values[:, position] = self._whole(found, column.name) if column.integer else found
        return Table(values=values, columns=declared.column_names, units=declared.units, keys=self.keys)

    def _divisors(self) -> Floats:
        divisors = self.column("idivf", "1")
        if not divisors.all():
            raise BundleError(f"collection {self.where!r}: {self.keys[int(divisors.argmin())]} has idivf 0")
        return divisors

    def _whole(self, values: Floats, name: str) -> Floats:
        # Quantities that went through a unit conversion may be off a whole number by rounding.
        rounded = np.rint(values)
        wrong = np.abs(values - rounded) > 1e-9
        if wrong.any():
            row = int(wrong.argmax())
            raise BundleError(
                f"collection {self.where!r}: expected a whole number as {name}, got {values[row]} ({self.keys[row]})"
            )
        return rounded


def read_parameters(
    collection: Any,
    *,
    where: str,
    force_field: Any = None,
    key_map: Mapping[Any, Any] | None = None,
    sites: Mapping[Any, int] = NO_SITES,
) -> Parameters:
    """Return the parameters of a collection of an Interchange.

    Args:
        collection: the collection.
        where: its name.
        force_field: the ``ForceField`` it was made with, for the parameters' ids.
        key_map: its interactions; a part of them, if not all are meant. There must be at least one.
        sites: number of each virtual site that may be among them.

    Raises:
        UnsupportedError: a parameter is interpolated between bond orders of different idivf.
        BundleError: the force field has no parameter of that pattern.
    """
    key_map = collection.key_map if key_map is None else key_map
    rows: dict[tuple[Any, ...], int] = {}
    sources: list[_Source] = []
    entries: list[tuple[int, float]] = []
    counts: list[int] = []
    parts: dict[Any, list[tuple[str, Any, float]]] = {}
    for place, key in key_map.items():
        # What a virtual site has in another collection comes from its own section.
        handler = "VirtualSites" if place in sites else key.associated_handler or where
        identity = (handler, key.id, key.mult, key.bond_order)
        if identity not in parts:
            parts[identity] = _parts(collection.potentials[key], f"collection {where!r}: the parameter {key.id!r}")
        counts.append(len(parts[identity]))
        for end, potential, weight in parts[identity]:
            # The ends do not depend on the bond order in between.
            row = rows.setdefault((*identity[:3], end) if end else (*identity, end), len(rows))
            if row == len(sources):
                sources.append(_Source(handler, key.id, key.mult, end, potential))
            entries.append((row, weight))
    keys = tuple(
        ParameterKey(handler=source.section, pattern=source.pattern, id=name, index=source.mult)
        for source, name in zip(sources, _ids(sources, force_field), strict=True)
    )
    atoms = np.array([(sites[key],) if key in sites else key.atom_indices for key in key_map], dtype=np.int32)
    return Parameters(
        atoms, _mapping(counts, entries), keys, tuple(each.potential.parameters for each in sources), where
    )


class _Source(NamedTuple):
    """Where a row comes from."""

    handler: str
    pattern: str
    mult: int | None
    end: str
    potential: Any

    @property
    def section(self) -> str:
        # Charges of per-molecule models carry the name of the handler's class instead of the force field's section.
        return self.handler.removesuffix("Handler")


def _parts(potential: Any, what: str) -> list[tuple[str, Any, float]]:
    """Return what a potential is the weighted sum of: names that tell apart, potentials, weights."""
    from openff.interchange.components.potentials import WrappedPotential

    if not isinstance(potential, WrappedPotential):
        return [("", potential, 1.0)]
    if len({str(part.parameters.get("idivf")) for part in potential._inner_data}) > 1:
        raise UnsupportedError(
            f"{what} is interpolated between bond orders of different idivf, which no weighted sum of its k expresses"
        )
    return [(f"bondorder{part.map_key}", part, float(weight)) for part, weight in potential._inner_data.items()]


def _mapping(counts: list[int], entries: list[tuple[int, float]]) -> Select | Linear:
    columns = np.array([row for row, _ in entries], dtype=np.int32)
    weights = np.array([weight for _, weight in entries])
    if set(counts) <= {1} and (weights == 1).all():
        return Select(columns)
    return Linear(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), columns, weights)


def magnitudes(quantities: Sequence[Any], unit: str) -> Floats:
    """Return the magnitudes of pint quantities in a unit; plain numbers count as dimensionless.

    One conversion is done for each unit that occurs, whatever the number of quantities.

    Raises:
        UnsupportedError: a quantity has another dimension.
    """
    from openff.units import Quantity
    from pint import DimensionalityError

    groups: dict[Any, list[int]] = {}
    for position, quantity in enumerate(quantities):
        groups.setdefault(getattr(quantity, "units", "1"), []).append(position)
    result = np.empty(len(quantities))
    for source, positions in groups.items():
        values = np.array(
            [getattr(quantities[position], "m", quantities[position]) for position in positions], dtype=float
        )
        try:
            result[positions] = Quantity(values, source).m_as(unit)
        except DimensionalityError as error:
            raise UnsupportedError(f"expected a quantity in {unit}, got one in {source}: {error}") from error
    return result


def _ids(sources: Iterable[_Source], force_field: Any) -> list[str]:
    """Return the force field's id of each row; empty where it has none, or is not known."""
    lookups: dict[str, Callable[[str], str]] = {}
    ids: list[str] = []
    for source in sources:
        handler, name = source.handler, ""
        if force_field is not None and handler not in PER_MOLECULE and not handler.endswith("Handler"):
            if handler not in lookups:
                lookups[handler] = _lookup(force_field, handler)
            name = lookups[handler](source.pattern)
        ids.append(f"{name} {source.end}".strip())
    return ids


def _lookup(force_field: Any, handler: str) -> Callable[[str], str]:
    known = force_field.registered_parameter_handlers
    # An Interchange has one name for the sections of virtual sites; plug-ins put theirs before it.
    section = next((name for name in known if handler == "VirtualSites" and name.endswith(handler)), handler)
    if section not in known:
        raise BundleError(
            f"force_field: it has no section {handler!r}; pass the one that the Interchange was made with"
        )
    names = {
        # An Interchange names virtual sites by more than their SMIRKS.
        " ".join([each.smirks, each.name, each.match] if handler == "VirtualSites" else [each.smirks]): each.id or ""
        for each in force_field.get_parameter_handler(section).parameters
    }

    def find(pattern: str) -> str:
        try:
            return names[pattern]
        except KeyError:
            raise BundleError(
                f"force_field: its section {handler!r} has no pattern {pattern!r}; pass the one that the Interchange "
                "was made with"
            ) from None

    return find
