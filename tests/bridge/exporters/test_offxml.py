"""Tables written back into a SMIRNOFF force field, and read again by OpenFF and OpenMM."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, UnsupportedError

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")

MOVED = {
    "bonds": ("k", "length"),
    "angles": ("k", "angle"),
    "proper_torsions": ("k", "phase"),
    "improper_torsions": ("k", "phase"),
    "vdw": ("sigma", "epsilon"),
}


@pytest.fixture(scope="module")
def force_field():
    from ffbridge.producers.openff import load_force_field

    return load_force_field()


@pytest.fixture(scope="module")
def acetamide(force_field):
    """Bundle, molecule with a conformer."""
    from openff.toolkit import Molecule

    from ffbridge.producers.openff import parametrize

    molecule = Molecule.from_smiles("CC(=O)NC")
    molecule.generate_conformers(n_conformers=2)
    return fb.from_interchange(parametrize([molecule], force_field=force_field), force_field=force_field), molecule


def changed(bundle):
    """The bundle with all parameters that may change changed by up to 5 %."""
    rng = np.random.default_rng(0)
    tables = dict(bundle.tables)
    for name, columns in MOVED.items():
        values = np.array(tables[name].values)
        for column in columns:
            values[:, tables[name].columns.index(column)] *= 1 + rng.uniform(-0.05, 0.05, size=len(values))
        tables[name] = replace(tables[name], values=values)
    return replace(bundle, tables=tables)


def test_what_did_not_change_stays_to_the_letter(acetamide, force_field):
    assert fb.to_force_field(acetamide[0], force_field).to_string() == force_field.to_string()


def test_parameters_come_back_through_a_file(acetamide, force_field, tmp_path):
    from openff.toolkit import ForceField

    from ffbridge.producers.openff import parametrize

    bundle, molecule = acetamide
    before = force_field.to_string()
    wanted = changed(bundle)
    fb.to_force_field(wanted, force_field).to_file(str(tmp_path / "changed.offxml"))
    assert force_field.to_string() == before
    read = ForceField(str(tmp_path / "changed.offxml"))
    interchange = parametrize([molecule], force_field=read)
    found = fb.from_interchange(interchange, force_field=read)
    for name in MOVED:
        assert found.tables[name].keys == wanted.tables[name].keys
        np.testing.assert_allclose(found.tables[name].values, wanted.tables[name].values, rtol=1e-14)
        assert not np.allclose(found.tables[name].values, bundle.tables[name].values, rtol=1e-3)


def test_openmm_has_the_same_energies(acetamide, force_field):
    openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
    from ffbridge.producers.openff import parametrize

    bundle, molecule = acetamide
    wanted = changed(bundle)
    made = parametrize([molecule], force_field=fb.to_force_field(wanted, force_field))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(made.to_openmm_system(), openmm.VerletIntegrator(0.001), platform)
    U = fb.potential(wanted, "numpy")
    for conformer in molecule.conformers:
        x = conformer.m_as("nm")
        context.setPositions(x)
        energy = context.getState(getEnergy=True).getPotentialEnergy()._value
        assert float(U(x)[0]) == pytest.approx(energy, abs=1e-9)


def test_other_force_fields_and_periodicities_are_refused(acetamide, force_field):
    bundle = acetamide[0]
    bonds = bundle.tables["bonds"]
    keys = (fb.ParameterKey("Bonds", "[#99:1]-[#6:2]", "b0"), *bonds.keys[1:])
    other = replace(bundle, tables={"bonds": replace(bonds, keys=keys)})
    with pytest.raises(BundleError, match="is not in the section 'Bonds' of the force field"):
        fb.to_force_field(other, force_field)
    torsions = bundle.tables["proper_torsions"]
    values = np.array(torsions.values)
    values[0, torsions.columns.index("periodicity")] += 1
    other = replace(bundle, tables={"proper_torsions": replace(torsions, values=values)})
    with pytest.raises(UnsupportedError, match=r"the periodicity of .* is \d, and the force field's is \d"):
        fb.to_force_field(other, force_field)
    values = np.array(bonds.values)
    values[0, 0] = np.nan
    with pytest.raises(UnsupportedError, match=r"tables/bonds: \w+ of .* is nan, which no force field states"):
        fb.to_force_field(replace(bundle, tables={"bonds": replace(bonds, values=values)}), force_field)
