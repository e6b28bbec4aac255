"""Bundles as potentials of timemachine: its parameters as arrays, without the program, and its own objects.

What differs from the standard is converted exactly, in :func:`program_parameters`:

- a dihedral has the opposite sign there, so the phase has too;
- an angle has a third parameter that stabilizes it where an arm vanishes; 0 gives the exact angle;
- an atom has (q √K, σ/2, √ε, w), with K the term's own Coulomb constant, so that energies are those of the bundle
  whatever constant timemachine uses elsewhere (138.935456); w, a fourth coordinate, is 0.

Its electrostatics is the method ``timemachine`` of the standard with a cutoff that is fixed in its source; its
Lennard-Jones is the method ``cutoff`` without a switch. Boxes are orthorhombic. Anything else is refused by name.
Source: ``timemachine/potentials/{bonded,nonbonded,potentials}.py`` of github:proteneer/timemachine, June 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ffbridge.backend import Array
from ffbridge.bundle import Bundle
from ffbridge.energy.mixing import root
from ffbridge.errors import UnsupportedError
from ffbridge.forms import Form, form
from ffbridge.registry import get_engine
from ffbridge.term import Exceptions, Term
from ffbridge.validate import validate

__all__ = [
    "BONDED_POTENTIALS",
    "SWITCH_CUTOFF",
    "TimemachinePotential",
    "program_parameters",
    "refuse",
    "timemachine_parameters",
    "to_timemachine",
]

Settings = Mapping[str, Any]
Columns = tuple[Array, ...]

SWITCH_CUTOFF = 1.2
"""The cutoff of its electrostatics [nm], which its source fixes whatever the argument says."""

_ANY_BETA = 2.0  # where no charges are: the parameter is asked for and has no effect


@dataclass(frozen=True, eq=False, kw_only=True)
class TimemachinePotential:
    """One potential of timemachine as arrays.

    Attributes:
        kind: its class in ``timemachine.potentials``.
        terms: the bundle's terms that it evaluates.
        arguments: what its class is made with, by name: indices, scale factors, β [1/nm], cutoff [nm].
        params: its parameters, in its own columns (module docstring): one row for each interaction, or each atom.
    """

    kind: str
    terms: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    params: npt.NDArray[np.floating]


def _bond(xp: Any, settings: Settings, k: Array, length: Array) -> Columns:
    return k, length


def _angle(xp: Any, settings: Settings, k: Array, angle: Array) -> Columns:
    return k, angle, xp.zeros_like(k)


def _torsion(xp: Any, settings: Settings, k: Array, phase: Array, periodicity: Array) -> Columns:
    # A whole number, not differentiable: rounding makes it so under automatic differentiation too.
    return k, -phase, xp.round(periodicity)


def _lennard_jones(xp: Any, settings: Settings, sigma: Array, epsilon: Array) -> Columns:
    nothing = xp.zeros_like(sigma)
    return nothing, 0.5 * sigma, root(xp, epsilon), nothing


def _coulomb(xp: Any, settings: Settings, charge: Array) -> Columns:
    nothing = xp.zeros_like(charge)
    return settings["coulomb_constant"] ** 0.5 * charge, nothing, nothing, nothing


_CONVERSIONS: dict[str, Callable[..., Columns]] = {
    "harmonic_bond": _bond,
    "harmonic_angle": _angle,
    "periodic_torsion": _torsion,
    "lennard_jones": _lennard_jones,
    "coulomb": _coulomb,
}
BONDED_POTENTIALS = {
    "harmonic_bond": "HarmonicBond",
    "harmonic_angle": "HarmonicAngle",
    "periodic_torsion": "PeriodicTorsion",
}
_EVALUATED: dict[str, dict[str, tuple[Any, ...]]] = {
    "lennard_jones": {
        "method": ("cutoff",),
        "mixing_rule": ("lorentz_berthelot",),
        "switch_distance": (),
        "dispersion_correction": (False,),
    },
    "coulomb": {"method": ("timemachine",), "cutoff": (SWITCH_CUTOFF,)},
}
"""The values of settings that timemachine evaluates, where it does not evaluate every one."""


def program_parameters(xp: Any, name: str, settings: Settings, columns: Columns) -> Array:
    """Return the parameters of a form's interactions in timemachine's columns; derivatives flow through it.

    At ε = 0 the derivative of √ε, which is infinite, is taken as 0.

    Args:
        xp: the namespace of the arrays.
        name: the form.
        settings: the term's settings.
        columns: ``(n, 1)`` each, the form's columns.

    Returns:
        ``(n, 2)`` for bonds, ``(n, 3)`` for angles and torsions, ``(n, 4)`` for Lennard-Jones (charges 0) and Coulomb
        (σ and ε 0).
    """
    return xp.concat(list(_CONVERSIONS[name](xp, settings, *columns)), axis=1)


def refuse(name: str, term: Term, declared: Form, bundle: Bundle) -> None:
    """Raise UnsupportedError where timemachine does not evaluate a term exactly, with what it evaluates instead."""
    if term.form not in _CONVERSIONS:
        raise UnsupportedError(
            f"terms/{name}: timemachine has no potential of the form {term.form!r}; it has {', '.join(_CONVERSIONS)}"
        )
    for setting, evaluated in _EVALUATED.get(term.form, {}).items():
        if setting in term.settings and term.settings[setting] not in evaluated:
            known = " or ".join(map(repr, evaluated)) or "none"
            raise UnsupportedError(
                f"terms/{name}/settings/{setting}: {term.settings[setting]!r}; timemachine evaluates {known} for the "
                f"form {term.form!r}"
            )
    if term.overrides is not None:
        raise UnsupportedError(f"terms/{name}/overrides: timemachine mixes the parameters of every pair")
    if term.settings.get("periodic") and bundle.box is not None and (bundle.box[:, ~np.eye(3, dtype=bool)] != 0).any():
        raise UnsupportedError("box: timemachine evaluates orthorhombic boxes only, and one of the systems' is not")


def timemachine_parameters(bundle: Bundle) -> tuple[TimemachinePotential, ...]:
    """Return timemachine's potentials for a bundle, as arrays: what :func:`to_timemachine` makes objects of.

    Each bonded term is one potential. Lennard-Jones and Coulomb together are ``Nonbonded``, in which every exception is
    excluded (``scale_factors``, the fraction *removed*, is 1), and ``NonbondedPairList`` of those exceptions that keep
    something (``rescale_mask``, the fraction *kept*, of charge and of Lennard-Jones).

    Args:
        bundle: one system, in any framework.

    Raises:
        ValidationError: the bundle does not follow the standard.
        UnsupportedError: timemachine does not evaluate a form, method or setting exactly, or there are several systems:
            in timemachine all atoms of a ``Nonbonded`` interact.
    """
    validate(bundle)
    bundle = bundle.snapshot()
    if bundle.n_systems != 1:
        raise UnsupportedError(
            f"system_offsets: {bundle.n_systems} systems, and all atoms of a timemachine potential interact: convert "
            "each by itself, [fb.to_timemachine(each) for each in fb.separate(bundle)], or evaluate them together, by "
            "fb.potential(bundle, engine='timemachine')"
        )
    for name, term in bundle.terms.items():
        refuse(name, term, form(term.form), bundle)
    bonded = [_bonded(bundle, name) for name, term in bundle.terms.items() if term.form in BONDED_POTENTIALS]
    return (*bonded, *_nonbonded(bundle))


def to_timemachine(bundle: Bundle) -> list[Any]:
    """Return timemachine's potentials for a bundle with its parameters bound (``BoundPotential``).

    Each is called with positions ``(n_atoms, 3)`` [nm] and the box: ``bundle.box[0]`` if nonbonded terms are periodic,
    else None (its CUDA implementations want a box that is large enough instead). The order is that of
    :func:`timemachine_parameters`, which tells the terms of each; errors likewise, and:

    Raises:
        MissingDependencyError: timemachine is not installed.
    """
    found = timemachine_parameters(bundle)
    potentials = get_engine("timemachine").framework.potentials
    return [getattr(potentials, each.kind)(**each.arguments).bind(each.params) for each in found]


def _bonded(bundle: Bundle, name: str) -> TimemachinePotential:
    term = bundle.terms[name]
    return TimemachinePotential(
        kind=BONDED_POTENTIALS[term.form],
        terms=(name,),
        arguments={"idxs": np.asarray(term.indices)},
        params=_parameters(bundle, name),
    )


def _parameters(bundle: Bundle, name: str) -> npt.NDArray[np.floating]:
    term, parameters = bundle.terms[name], bundle.parameters(name)
    columns = tuple(parameters[:, [number]] for number in range(parameters.shape[1]))
    found: npt.NDArray[np.floating] = program_parameters(np, term.form, term.settings, columns)
    return found


def _nonbonded(bundle: Bundle) -> tuple[TimemachinePotential, ...]:
    names = {
        kind: [name for name, term in bundle.terms.items() if term.form == kind]
        for kind in ("lennard_jones", "coulomb")
    }
    terms = tuple(name for found in names.values() for name in found)
    if not terms:
        return ()
    _refuse_together(bundle, names)
    params = np.zeros((bundle.n_atoms, 4), dtype=bundle.tables[bundle.terms[terms[0]].table].values.dtype)
    for name in terms:
        params[bundle.terms[name].indices[:, 0]] += _parameters(bundle, name)
    lennard_jones, coulomb = (next((bundle.terms[name] for name in found), None) for found in names.values())
    beta = coulomb.settings["beta"] if coulomb else _ANY_BETA
    cutoff = lennard_jones.settings["cutoff"] if lennard_jones else SWITCH_CUTOFF
    pairs, kept = _exceptions(bundle.exceptions)
    all_pairs = TimemachinePotential(
        kind="Nonbonded",
        terms=terms,
        arguments={
            "num_atoms": bundle.n_atoms,
            "exclusion_idxs": pairs,
            "scale_factors": np.ones_like(kept),
            "beta": beta,
            "cutoff": cutoff,
        },
        params=params,
    )
    some = (kept != 0).any(axis=1)
    # By the standard Lennard-Jones exceptions have no cutoff; that of electrostatics is in the switch itself.
    kept_pairs = TimemachinePotential(
        kind="NonbondedPairList",
        terms=terms,
        arguments={"idxs": pairs[some], "rescale_mask": kept[some], "beta": beta, "cutoff": np.inf},
        params=params,
    )
    return (all_pairs, kept_pairs) if some.any() else (all_pairs,)


def _exceptions(exceptions: Exceptions | None) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.floating]]:
    """Return the pairs ``(n, 2)`` and the fractions kept of charge and of Lennard-Jones ``(n, 2)``."""
    if exceptions is None:
        return np.zeros((0, 2), dtype=np.int32), np.zeros((0, 2))
    return np.asarray(exceptions.pairs), np.stack([exceptions.kept_charge, exceptions.kept_lj], axis=1)


def _refuse_together(bundle: Bundle, names: Mapping[str, list[str]]) -> None:
    """Raise where terms that timemachine evaluates each by itself do not fit into one of its potentials."""
    for kind, found in names.items():
        if len(found) > 1:
            raise UnsupportedError(
                f"terms/{found[1]}: a second term of the form {kind!r} beside {found[0]!r}; an atom of timemachine has "
                "one set of nonbonded parameters"
            )
    if not all(names.values()):
        return
    (lennard_jones,), (coulomb,) = ([(name, bundle.terms[name].settings) for name in found] for found in names.values())
    if lennard_jones[1]["cutoff"] < SWITCH_CUTOFF:
        raise UnsupportedError(
            f"terms/{lennard_jones[0]}/settings/cutoff: {lennard_jones[1]['cutoff']}; timemachine has one cutoff for "
            f"both nonbonded forms, and it must not end electrostatics before {SWITCH_CUTOFF} nm"
        )
    if lennard_jones[1]["periodic"] != coulomb[1]["periodic"]:
        raise UnsupportedError(
            f"terms/{coulomb[0]}/settings/periodic: differs from that of {lennard_jones[0]!r}; timemachine has one box "
            "for both nonbonded forms"
        )
