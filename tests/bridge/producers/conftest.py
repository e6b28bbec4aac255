"""Real molecules through OpenFF 2.3.0, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bridge.producers.drugs import MINIDRUGBANK


@pytest.fixture(scope="session")
def openff():
    """The producer's package; tests that need it are skipped where the OpenFF stack is not installed."""
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    from ffbridge.producers import openff

    return openff


@pytest.fixture(scope="session")
def force_field(openff):
    return openff.load_force_field()


@pytest.fixture(scope="session")
def minidrugbank(openff):
    """The molecules of the file that comes with openff-toolkit, by name."""
    import openff.toolkit as toolkit

    path = Path(toolkit.__file__).parent / "data" / "molecules" / "MiniDrugBank.sdf"
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        molecules = toolkit.Molecule.from_file(str(path), allow_undefined_stereo=True)
    return {molecule.name: molecule for molecule in molecules}


@pytest.fixture(scope="session")
def ethanol_water(openff):
    """Ethanol, water, and ethanol with its atoms in the opposite order, in one topology."""
    ethanol, water = (openff.read_molecules(smiles)[0] for smiles in ("CCO", "O"))
    opposite = ethanol.remap({i: ethanol.n_atoms - 1 - i for i in range(ethanol.n_atoms)})
    return openff.parametrize([ethanol, water, opposite])


@pytest.fixture(scope="session")
def drugs(openff, minidrugbank):
    """The Interchanges of the molecules in `MINIDRUGBANK`, by name."""
    return {name: openff.parametrize([minidrugbank[name]]) for name in MINIDRUGBANK}


@pytest.fixture(scope="session")
def acetaminophen(openff):
    return openff.parametrize(openff.read_molecules("CC(=O)Nc1ccc(O)cc1"))


@pytest.fixture
def water(openff):
    return openff.read_molecules("O")[0]


@pytest.fixture
def rng():
    return np.random.default_rng(2)
