"""Checks of the settings of terms against what their form and method need, and against the box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ffbridge.forms import Form, forms
from ffbridge.rules.fault import Fault, listed, shown
from ffbridge.rules.topology import TOLERANCE
from ffbridge_spec import load_forms

__all__ = ["faults"]

Arrays = Mapping[str, np.ndarray[Any, Any]]

_WEIGHT_SUMS = {"origin_weights": 1, "x_weights": 0, "y_weights": 0}


def faults(document: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    """Yield the breaks of the rules S."""
    for name, term in document["terms"].items():
        form = forms().get(term["form"])
        if form is not None:
            yield from _term_faults(f"terms/{name}/settings", form, term.get("settings", {}), arrays)


def _term_faults(path: str, form: Form, settings: Mapping[str, Any], arrays: Arrays) -> Iterator[Fault]:
    if form.kind != "nonbonded":
        yield from _own_faults(path, form, settings)
        yield from _weight_faults(path, form, settings)
        return
    method = settings.get("method")
    if method not in form.methods:
        yield Fault(f"{path}/method", f"{shown(method)}; the form {form.name} has: {', '.join(form.methods)}", "S-3")
        return
    about = load_forms()["methods"][method]
    yield from _member_faults(path, form, method, about, settings)
    if form.mixing_rules and (rule := settings.get("mixing_rule")) is not None and rule not in form.mixing_rules:
        known = ", ".join(form.mixing_rules)
        yield Fault(f"{path}/mixing_rule", f"{shown(rule)}; the form {form.name} has: {known}", "S-5")
    if settings.get("switch_distance", 0) >= settings.get("cutoff", np.inf):
        yield Fault(f"{path}/switch_distance", "must be less than the cutoff", "S-6")
    if settings.get("repulsion_exponent", np.inf) <= settings.get("attraction_exponent", 0):
        yield Fault(f"{path}/repulsion_exponent", "must be greater than the attraction exponent", "S-9")
    if about.get("periodic", settings.get("periodic", False)):
        yield from _box_faults(path, method, settings.get("cutoff", 0), arrays.get("box"))


def _own_faults(path: str, form: Form, settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield settings of a form without methods that are missing, or are not its own."""
    takes = ", ".join(form.settings) or "none"
    if extra := sorted(set(settings) - set(form.settings)):
        yield Fault(path, f"{', '.join(extra)} not known to the form {form.name}; its settings: {takes}", "S-2")
    if missing := sorted(set(form.settings) - set(settings)):
        yield Fault(path, f"{', '.join(missing)} missing; settings of the form {form.name}: {takes}", "S-2")


def _weight_faults(path: str, form: Form, settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield weights of parents that are too few or too many, or do not define a frame."""
    n_parents = form.arity - 1
    for name, total in _WEIGHT_SUMS.items():
        weights = settings.get(name) if name in form.settings else None
        if weights is None:
            continue
        if len(weights) != n_parents:
            yield Fault(f"{path}/{name}", f"{len(weights)} weights; {form.name} has {n_parents} parents", "S-10")
        elif abs(sum(weights) - total) > TOLERANCE:
            yield Fault(f"{path}/{name}", f"the weights must sum to {total}, and sum to {sum(weights):g}", "G-9")


def _member_faults(
    path: str, form: Form, method: str, about: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Fault]:
    required = {"method", *form.settings, *about["required"]}
    allowed = required | set(about["optional"])
    if missing := sorted(required - set(settings)):
        yield Fault(path, f"{', '.join(missing)} missing: {form.name} by the method {method} needs it", "S-4")
    if extra := sorted(set(settings) - allowed):
        takes = ", ".join(sorted(allowed))
        yield Fault(
            path, f"{', '.join(extra)} not known to {form.name} by the method {method}, which takes: {takes}", "S-4"
        )


def _box_faults(path: str, method: str, cutoff: float, box: np.ndarray[Any, Any] | None) -> Iterator[Fault]:
    if box is None:
        yield Fault(
            path, f"the method {method} is periodic, and the bundle has no box: give one box for each system", "S-7"
        )
        return
    shortest = np.diagonal(box, axis1=1, axis2=2).min(axis=1)
    if (bad := (2 * cutoff > shortest * (1 + TOLERANCE)) & (shortest > 0)).any():
        width = shortest[bad][0]
        yield Fault(
            f"box{listed(bad)}",
            f"a width of {width:g} nm is less than twice the cutoff of {path} ({cutoff:g} nm)",
            "S-8",
        )
