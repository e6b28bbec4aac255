"""Drugs of MiniDrugBank, which comes with openff-toolkit, through OpenFF 2.3.0; made once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import ffbridge as fb

# a cyclopropane, a nitrile, sulfones, a phosphate, halogens, a peroxide, cations
NAMES = (
    "DrugBank_5514 DrugBank_2148 DrugBank_246 DrugBank_7043 DrugBank_6344 DrugBank_4247 DrugBank_2141 DrugBank_2642"
).split()


class Drug(NamedTuple):
    """A molecule, its bundle, and five conformers: its own positions with seeded noise, ``(5, n_atoms, 3)`` [nm]."""

    interchange: Any
    bundle: fb.Bundle
    x: np.ndarray


@cache
def _molecules():
    import openff.toolkit as toolkit
    from rdkit.rdBase import BlockLogs

    path = Path(toolkit.__file__).parent / "data" / "molecules" / "MiniDrugBank.sdf"
    with BlockLogs():
        molecules = toolkit.Molecule.from_file(str(path), allow_undefined_stereo=True)
    return {molecule.name: molecule for molecule in molecules}


@cache
def drug(name):
    """Skips the test where the OpenFF packages are not installed."""
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    from ffbridge.producers import openff

    molecule = _molecules()[name]
    interchange = openff.parametrize([molecule])
    own = molecule.conformers[0].m_as("nm")
    noise = np.random.default_rng(7).normal(scale=0.005, size=(5, *own.shape))
    return Drug(interchange, fb.from_interchange(interchange), own + noise)


@cache
def batch():
    """All drugs as one bundle, and their conformers ``(5, n_atoms, 3)``."""
    drugs = [drug(name) for name in NAMES]
    return fb.concatenate([each.bundle for each in drugs]), np.concatenate([each.x for each in drugs], axis=1)


@cache
def water_box():
    """125 waters of OpenFF 2.3.0 in a box of 2 nm: an Interchange, its bundle, and seeded positions."""
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    from openff.toolkit import ForceField, Molecule
    from openff.units import unit

    from ffbridge.producers import openff

    water = Molecule.from_mapped_smiles("[O:1]([H:2])[H:3]")
    interchange = openff.parametrize([water] * 125, force_field=ForceField("openff-2.3.0.offxml"))
    interchange.box = 2.0 * np.eye(3) * unit.nanometer
    molecule = np.array([[0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])
    grid = np.argwhere(np.ones((5, 5, 5))) * 0.4
    noise = np.random.default_rng(8).normal(scale=0.003, size=(375, 3))
    x = (grid[:, None] + molecule).reshape(-1, 3) + noise
    return Drug(interchange, fb.from_interchange(interchange), x)
