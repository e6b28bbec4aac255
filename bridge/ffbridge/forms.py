"""The standard's functional forms, as the registry of the specification declares them (``forms-1.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

from ffbridge.errors import UnknownNameError
from ffbridge_spec import load_forms

__all__ = ["Column", "Form", "InternalCoordinate", "form", "forms"]


@dataclass(frozen=True)
class Column:
    """One column of a form's tables.

    Attributes:
        name: the column's name, such as ``k``.
        unit: its unit, such as ``kJ/mol/nm^2``; ``1`` if it has none.
        integer: whether the values must be whole numbers. Such a column is not differentiable: derivatives with
            respect to it are zero by definition.
        minimum: the least value allowed, if there is one.
        shape: the settings that are the lengths of a column that stands for many numbers, such as ``(size, size)``;
            empty for a column that is one.
    """

    name: str
    unit: str
    integer: bool = False
    minimum: float | None = None
    shape: tuple[str, ...] = ()


@dataclass(frozen=True)
class InternalCoordinate:
    """One of the internal coordinates that a bonded form is a function of.

    Attributes:
        kind: ``distance``, ``angle`` or ``dihedral``.
        atoms: its atoms, as places in a row of a term's indices, in the order in which the coordinate takes them.
    """

    kind: str
    atoms: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """What the standard says about one functional form; its formula is evaluated by :mod:`ffbridge.energy`.

    Attributes:
        name: the form's name in the standard.
        kind: ``bonded`` (a row of indices is one interaction), ``nonbonded`` (a row is one atom; pairs are derived) or
            ``virtual_site`` (a row is a particle and its parents, which place it).
        arity: atoms per row of a term's indices.
        columns: the columns of its tables, in order, as the registry declares them; :meth:`columns_for` has one for
            each number.
        energy: the formula, for people; normative text and prefactors stand in ``spec/bundle.md``.
        position: of a virtual site, instead of an energy.
        coordinates: the internal coordinates that a bonded form's formula takes, in order; a nonbonded form takes the
            distance of a pair, and has none here.
        methods: the nonbonded methods it may be evaluated with.
        mixing_rules: the mixing rules that may combine its parameters; empty if it needs none.
        exceptions: which fraction of the bundle's exceptions scales it: ``kept_charge`` or ``kept_lj``.
        settings: the settings that it needs beside its method's own.
        repeated_atoms: whether atoms of a row may be equal if they are of different coordinates.
    """

    name: str
    kind: Literal["bonded", "nonbonded", "virtual_site"]
    arity: int
    columns: tuple[Column, ...]
    energy: str = ""
    position: str = ""
    coordinates: tuple[InternalCoordinate, ...] = ()
    methods: tuple[str, ...] = ()
    mixing_rules: tuple[str, ...] = ()
    exceptions: str | None = None
    settings: tuple[str, ...] = ()
    repeated_atoms: bool = False

    def lengths(self, settings: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
        """Return the lengths of each declared column, by a term's settings: ``()`` for one that is one number."""
        return tuple(tuple(int(settings[name]) for name in column.shape) for column in self.columns)

    def columns_for(self, settings: Mapping[str, Any]) -> tuple[Column, ...]:
        """Return the columns of the tables of a term with these settings, one for each number.

        A column of the lengths (24, 24) is ``NAME_0_0``, ``NAME_0_1``, … ``NAME_23_23``.
        """
        return _one_for_each_number(self.columns, self.lengths(settings))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order, as declared."""
        return tuple(column.name for column in self.columns)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the columns, in order, as declared."""
        return tuple(column.unit for column in self.columns)


@cache
def _one_for_each_number(columns: tuple[Column, ...], lengths: tuple[tuple[int, ...], ...]) -> tuple[Column, ...]:
    return tuple(
        replace(column, name="_".join([column.name, *map(str, place)]), shape=())
        for column, each in zip(columns, lengths, strict=True)
        for place in product(*map(range, each))
    )


@cache
def forms() -> MappingProxyType[str, Form]:
    """Return every form of the standard by name."""
    declared: dict[str, dict[str, Any]] = load_forms()["forms"]
    return MappingProxyType({name: _read(name, dict(entry)) for name, entry in declared.items()})


def form(name: str) -> Form:
    """Return the form of that name.

    Raises:
        UnknownNameError: the standard has no such form.
    """
    try:
        return forms()[name]
    except KeyError:
        raise UnknownNameError(
            f"unknown form {name!r}; the standard (version {load_forms()['version']}) has: {', '.join(sorted(forms()))}"
        ) from None


def _read(name: str, entry: dict[str, Any]) -> Form:
    columns = tuple(Column(**column | {"shape": tuple(column.get("shape", ()))}) for column in entry.pop("columns"))
    taken = entry.pop("coordinates", ())
    coordinates = tuple(InternalCoordinate(coordinate["kind"], tuple(coordinate["atoms"])) for coordinate in taken)
    listed = {part: tuple(entry.pop(part, ())) for part in ("methods", "mixing_rules", "settings")}
    return Form(name=name, columns=columns, coordinates=coordinates, **(entry | listed))
