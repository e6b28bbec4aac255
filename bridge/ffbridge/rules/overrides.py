"""Checks of overrides: pairs of a nonbonded term's parameters that are not mixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ffbridge.forms import Form, forms
from ffbridge.rules.fault import Fault, listed
from ffbridge.rules.topology import repeated_rows

__all__ = ["faults"]

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]


def faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield the breaks of the rules O. That the table exists is checked with the document."""
    for name, term in document["terms"].items():
        form = forms().get(term["form"])
        if form is None or "overrides" not in term:
            continue
        if reason := _reason_against(form, term):
            yield Fault(f"terms/{name}/overrides", reason, "O-2")
        pairs, values = arrays.get(f"terms/{name}/overrides/pairs"), arrays.get(f"tables/{term['table']}/values")
        if pairs is not None and values is not None:
            yield from _pair_faults(f"terms/{name}/overrides/pairs", term["table"], pairs, len(values))


def _reason_against(form: Form, term: Mapping[str, Any]) -> str:
    if not form.mixing_rules:
        return f"the form {form.name} does not mix parameters, so that there is nothing to override"
    if term["mapping"] == "linear":
        return "the mapping linear gives atoms sums of rows; overrides are for pairs of rows: use select or identity"
    if term.get("settings", {}).get("method") == "ljpme":
        return "the method ljpme is a sum over products of the atoms' own parameters; pairs with others have none"
    return ""


def _pair_faults(path: str, table: str, pairs: Array, n_params: int) -> Iterator[Fault]:
    if (bad := (pairs < 0) | (pairs >= n_params)).any():
        message = f"rows of table {table} must be in [0, {n_params}), found {pairs[bad][0]}"
        yield Fault(f"{path}{listed(bad)}", message, "O-3")
    if (bad := pairs[:, 0] > pairs[:, 1]).any():
        yield Fault(f"{path}{listed(bad)}", "the first row of a pair must not be greater than the second", "O-3")
    if (bad := repeated_rows(pairs)).any():
        yield Fault(f"{path}{listed(bad)}", "each pair must stand once", "O-3")
