"""Bundles of real molecules with the method `timemachine`, and timemachine's figures for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ffbridge as fb
from ffbridge.forms import form

MOLECULES = ("acetaminophen", "ibuprofen", "sulfanilamide")
CONSTANT = 138.935456
"""timemachine's Coulomb constant [kJ nm/(mol e²)]."""
TERMS = {
    "bond": ("bonds",),
    "angle": ("angles",),
    "torsion": ("proper_torsions", "improper_torsions"),
    "nonbonded_pairs": ("vdw", "electrostatics"),
}
"""Terms of the bundles by the name of timemachine's figures."""

_BONDED = {
    "bonds": ("harmonic_bond", "Bonds"),
    "angles": ("harmonic_angle", "Angles"),
    "proper_torsions": ("periodic_torsion", "ProperTorsions"),
    "improper_torsions": ("periodic_torsion", "ImproperTorsions"),
}
VDW = {"method": "cutoff", "mixing_rule": "lorentz_berthelot", "cutoff": 1.2, "periodic": False}
COULOMB = {"method": "timemachine", "coulomb_constant": CONSTANT, "cutoff": 1.2, "beta": 2.0, "periodic": False}


def load(name):
    with np.load(Path(__file__).parent / "data" / "timemachine" / f"{name}.npz") as file:
        return dict(file)


def table(name, values):
    declared = form(name)
    return fb.Table(np.asarray(values, dtype=float), declared.column_names, declared.units)


def exceptions(figures):
    """Every pair that is left out or scaled, in the order of its first and second atom."""
    n_atoms = len(figures["atomic_numbers"])
    kept = {
        tuple(pair): fractions
        for pair, fractions in zip(figures["pairs/idx"].tolist(), figures["pairs/kept_charge_lj"], strict=True)
    }
    pairs = [(i, j) for i in range(n_atoms) for j in range(i + 1, n_atoms)]
    fractions = np.array([kept.get(pair, (0.0, 0.0)) for pair in pairs])
    some = (fractions != 1).any(axis=1)
    return fb.Exceptions(np.array(pairs, dtype=np.int32)[some], fractions[some, 0], fractions[some, 1])


def bundle(figures, *, vdw=None, coulomb=None, **parts):
    """One molecule, every interaction with parameters of its own; settings may be replaced."""
    tables, terms = {}, {}
    for name, (kind, source) in _BONDED.items():
        tables[name] = table(kind, figures[f"{source}/params"])
        terms[name] = fb.Term(kind, figures[f"{source}/idx"].astype(np.int32), name, fb.Identity())
    atoms = np.arange(len(figures["atomic_numbers"]), dtype=np.int32)[:, None]
    tables["vdw"] = table("lennard_jones", np.column_stack([figures["sigma"], figures["epsilon"]]))
    tables["electrostatics"] = table("coulomb", figures["charge"][:, None])
    terms["vdw"] = fb.Term("lennard_jones", atoms, "vdw", fb.Identity(), VDW | (vdw or {}))
    terms["electrostatics"] = fb.Term("coulomb", atoms, "electrostatics", fb.Identity(), COULOMB | (coulomb or {}))
    return fb.Bundle(
        system_offsets=np.array([0, len(atoms)], dtype=np.int32),
        atomic_numbers=figures["atomic_numbers"].astype(np.int32),
        tables=tables,
        terms=terms,
        exceptions=exceptions(figures),
        **parts,
    )


def table_derivatives(figures):
    """timemachine's dU/d table, summed over conformers, by the chain rule written out here.

    With its parameters (q √K, σ/2, √ε) and phases of opposite sign: dU/dq = √K dU/dp₀, dU/dσ = dU/dp₁ / 2,
    dU/dε = dU/dp₂ / (2 √ε), dU/dphase = −dU/dp₁.
    """
    by_kind = {kind: figures[f"timemachine/{kind}/du_dp"].sum(axis=0) for kind in TERMS}
    torsions = by_kind["torsion"] * [1, -1, 0]
    n_propers = len(figures["ProperTorsions/idx"])
    charge, sigma, root_epsilon, _ = by_kind["nonbonded_pairs"].T
    return {
        "bonds": by_kind["bond"],
        "angles": by_kind["angle"][:, :2],
        "proper_torsions": torsions[:n_propers],
        "improper_torsions": torsions[n_propers:],
        "vdw": np.column_stack([sigma / 2, root_epsilon / (2 * np.sqrt(figures["epsilon"]))]),
        "electrostatics": charge[:, None] * np.sqrt(CONSTANT),
    }


def relative(found, expected):
    """The largest difference, relative to the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return 0.0 if expected.size == 0 else np.abs(found - expected).max() / np.abs(expected).max()
