"""From the tables of a bundle back into a SMIRNOFF force field."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.snapshot import snapshot
from ffbridge.table import ParameterKey, Table

__all__ = ["SECTIONS", "to_force_field"]

SECTIONS = {
    "Bonds": ("length", "k"),
    "Angles": ("angle", "k"),
    "ProperTorsions": ("k", "phase"),
    "ImproperTorsions": ("k", "phase"),
    "vdW": ("sigma", "epsilon"),
}
"""The sections of a force field that tables are written to, and the columns of each that may change."""

IMPROPER_PERMUTATIONS = 3.0
SAME = 1e-12
"""Numbers that differ by less, relatively, differ by conversions of units alone, and are left as they are written."""


def to_force_field(bundle: Bundle, force_field: Any) -> Any:
    """Return a force field with the parameters of a bundle, all else as it is::

        fb.to_force_field(fitted, force_field).to_file("fitted.offxml")

    The rows of bonds, angles, proper and improper torsions and van der Waals interactions are found by their keys,
    section, SMIRKS and number, and written to their parameters; a torsion's k is multiplied by its idivf. Values that
    the bundle has as the force field states them stay as they are, to the letter. Charges are not written: the force
    field states how they are made.

    Args:
        bundle: of any framework; its tables come from `force_field`, by :func:`ffbridge.from_interchange`.
        force_field: the ``openff.toolkit.ForceField``; it is not changed.

    Raises:
        BundleError: a table of these sections has no keys, or a key is not in the force field.
        UnsupportedError: a periodicity has changed, or a parameter is not a finite number.
    """
    written = deepcopy(force_field)
    for name, table in bundle.tables.items():
        handlers = {key.handler for key in table.keys or ()}
        for handler in sorted(handlers & SECTIONS.keys()):
            _write(written, name, table, handler)
    return written


def _write(force_field: Any, name: str, table: Table, handler: str) -> None:
    values = snapshot(table.values)
    section = force_field.get_parameter_handler(handler)
    parameters = {each.smirks: each for each in section.parameters}
    units = dict(zip(table.columns, table.units, strict=True))
    for row, key in enumerate(table.keys or ()):
        if key.handler != handler:
            continue
        if key.pattern not in parameters:
            raise BundleError(
                f"tables/{name}: {key} is not in the section {handler!r} of the force field: the bundle was made with "
                "another one"
            )
        parameter = parameters[key.pattern]
        _require_periodicity(parameter, key, dict(zip(table.columns, values[row].tolist(), strict=True)), name)
        for column in SECTIONS[handler]:
            value = float(values[row, table.columns.index(column)])
            if not np.isfinite(value):
                raise UnsupportedError(f"tables/{name}: {column} of {key} is {value}, which no force field states")
            _set(parameter, key, column, value * _factor(section, parameter, key, column), units[column])


def _require_periodicity(parameter: Any, key: ParameterKey, row: dict[str, float], name: str) -> None:
    if "periodicity" in row and int(row["periodicity"]) != parameter.periodicity[key.index or 0]:
        raise UnsupportedError(
            f"tables/{name}: the periodicity of {key} is {row['periodicity']:g}, and the force field's is "
            f"{parameter.periodicity[key.index or 0]}: a whole number does not move in a fit"
        )


def _factor(section: Any, parameter: Any, key: ParameterKey, column: str) -> float:
    """Return by what a value is multiplied to be the force field's: idivf of a torsion's k, 1 of all else."""
    if column != "k" or "Torsions" not in key.handler:
        return 1.0
    stated = None if parameter.idivf is None else parameter.idivf[key.index or 0]
    if stated is None:
        stated = section.default_idivf
    return IMPROPER_PERMUTATIONS if stated == "auto" else float(stated)


def _set(parameter: Any, key: ParameterKey, column: str, value: float, unit: str) -> None:
    """Set an attribute, in the unit in which it is stated, unless it has the value already."""
    from openff.units import Quantity

    attribute = _attribute(key, column)
    old = getattr(parameter, attribute)
    if not np.isclose(old.m_as(unit), value, rtol=SAME, atol=0):
        setattr(parameter, attribute, Quantity(value, unit).to(old.units))


def _attribute(key: ParameterKey, column: str) -> str:
    """Return the name of an attribute of a parameter: ``k2_bondorder1`` of a torsion that is interpolated."""
    number = "" if key.index is None else str(key.index + 1)
    between = re.search(r"bondorder(\d+)$", key.id)
    return column + number + (f"_{between[0]}" if between and column in ("k", "length") else "")
