"""OpenFF Evaluator: data sets of physical properties as JSON."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ffbridge.errors import TargetError
from ffbridge.targets.kinds import ObservableTarget
from ffbridge.targets.libraries import library
from ffbridge.targets.reading import Reading, read_entries, read_json

__all__ = ["read_evaluator"]

QUANTITIES = {
    "Density": ("density", "kg/m^3"),
    "DielectricConstant": ("dielectric_constant", "1"),
    "EnthalpyOfMixing": ("enthalpy_of_mixing", "kJ/mol"),
    "EnthalpyOfVaporization": ("enthalpy_of_vaporization", "kJ/mol"),
    "ExcessMolarVolume": ("excess_molar_volume", "cm^3/mol"),
    "HostGuestBindingAffinity": ("host_guest_binding_affinity", "kJ/mol"),
    "SolvationFreeEnergy": ("solvation_free_energy", "kJ/mol"),
}
"""Evaluator's properties: the quantity's name here, and the unit that values are converted to."""

_FACTOR = r"(?:[^\W\d]\w*(?:\s*(?:\*\*|\^)\s*\(?-?\d{1,2}\)?)?|\d{1,6}(?:\.\d{1,6})?)"
UNIT = re.compile(rf"\s*\(?{_FACTOR}(?:\)?\s*[*/ ]\s*\(?{_FACTOR})*\)?\s*")
"""Units that pint is given: names with small powers, multiplied and divided. It would work out ``9**9**9**9`` too."""

LONGEST_UNIT = 200

PHASES = {1: "solid", 2: "liquid", 4: "gas"}
"""Evaluator's phases are sums of these."""


def read_evaluator(path: str | os.PathLike[str]) -> Reading[ObservableTarget]:
    """Return the measured properties of a ``PhysicalPropertyDataSet`` that was saved as JSON.

    Raises:
        TargetError: the file cannot be read, or is no data set.
    """
    file = Path(path)
    content = read_json(file)
    entries = content.get("properties") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not str(content.get("@type", "")).endswith("PhysicalPropertyDataSet"):
        raise TargetError(f"{file}: no PhysicalPropertyDataSet of OpenFF Evaluator")
    return read_entries(((_name(number, each), each) for number, each in enumerate(entries)), _target)


def _name(number: int, entry: Any) -> str:
    return str(entry.get("id", number) if isinstance(entry, dict) else number)


def _target(name: str, entry: dict[str, Any]) -> ObservableTarget:
    kind = str(entry.get("@type", "")).rpartition(".")[2]
    if kind not in QUANTITIES:
        raise TargetError(f"@type: {entry.get('@type')!r}, expected a property of: {', '.join(QUANTITIES)}")
    quantity, unit = QUANTITIES[kind]
    state = entry.get("thermodynamic_state") or {}
    components, fractions = _substance(entry.get("substance") or {})
    uncertainty = _number(entry, "uncertainty", unit)
    temperature = _number(state, "temperature", "K")
    value = _number(entry, "value", unit)
    if value is None or temperature is None:
        raise TargetError(f"{'value' if value is None else 'thermodynamic_state.temperature'}: missing")
    return ObservableTarget(
        name=name,
        quantity=quantity,
        value=value,
        unit=unit,
        # Evaluator writes 0 where the source states no uncertainty.
        uncertainty=uncertainty or None,
        temperature=temperature,
        pressure=_number(state, "pressure", "bar"),
        phase=_phase(entry.get("phase")),
        components=components,
        mole_fractions=fractions,
        provenance={"source": "OpenFF Evaluator", "measured": entry.get("source") or {}},
    )


def _number(entry: dict[str, Any], field: str, unit: str) -> float | None:
    """Return a quantity in a unit, None if it is not there."""
    from tokenize import TokenError

    stored = entry.get(field)
    if stored is None:
        return None
    if not isinstance(stored, dict) or not isinstance(stored.get("value"), int | float):
        raise TargetError(f"{field}: got {stored!r}, expected a value with a unit")
    if not stored.get("unit"):
        raise TargetError(f"{field}: the unit is missing, expected one of {unit}")
    text = stored["unit"]
    if not isinstance(text, str) or len(text) > LONGEST_UNIT or not UNIT.fullmatch(text):
        raise TargetError(f"{field}: the unit {str(text)[:LONGEST_UNIT]!r} is no product of units and their powers")
    try:
        found = _units().Quantity(float(stored["value"]), text).to("dimensionless" if unit == "1" else unit)
    except (library("pint").PintError, TokenError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise TargetError(f"{field}: the unit {text!r} does not convert to {unit}: {error}") from error
    return float(found.magnitude)


@cache
def _units() -> Any:
    return library("pint").UnitRegistry(cache_folder=None)


def _phase(stored: Any) -> str | None:
    if stored is None:
        return None
    number = stored.get("value") if isinstance(stored, dict) else stored
    if not isinstance(number, int) or not 0 <= number < 8:
        raise TargetError(f"phase: got {stored!r}, expected a sum of 1 (solid), 2 (liquid) and 4 (gas)")
    return "+".join(name for bit, name in PHASES.items() if number & bit) or None


def _substance(stored: dict[str, Any]) -> tuple[tuple[str, ...], Any]:
    """Return the SMILES of the components, and their mole fractions; None where an amount is a number of molecules."""
    components = stored.get("components") or []
    if not components:
        raise TargetError("substance: components: missing")
    amounts = stored.get("amounts") or {}
    smiles, fractions = [], []
    for component in components:
        text = component.get("smiles")
        if not text:
            raise TargetError("substance: components: smiles: missing")
        role = (component.get("role") or {}).get("value", "")
        for amount in amounts.get(f"{text}{{{role}}}") or amounts.get(text) or [{}]:
            smiles.append(text)
            is_fraction = str(amount.get("@type", "")).endswith("MoleFraction")
            fractions.append(amount.get("value") if is_fraction else None)
    return tuple(smiles), None if None in fractions else np.array(fractions, dtype=np.float64)
