"""dU/d tables equals central finite differences of OpenMM's own energy, for every column of every table."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.demo.reference import OpenMMReference
from ffbridge.forms import form

pytest.importorskip("openmm", reason="OpenMM is not installed")

# A phenol with an amide, a sulfonamide, and fused rings with four carbonyl impropers.
SMILES = {
    "acetaminophen": "CC(=O)Nc1ccc(O)cc1",
    "sulfanilamide": "Nc1ccc(S(N)(=O)=O)cc1",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
}
TABLES = ("bonds", "angles", "proper_torsions", "improper_torsions", "vdw", "electrostatics")
STEP, TOLERANCE = 1e-5, 2e-6


@pytest.fixture(scope="module", params=SMILES)
def molecule(request, openff):
    molecule = openff.read_molecules(SMILES[request.param])[0]
    molecule.generate_conformers(n_conformers=1)
    x = molecule.conformers[0].m_as("nm")
    x = x + np.random.default_rng(3).normal(scale=0.005, size=x.shape)
    interchange = openff.parametrize([molecule])
    bundle = openff.from_interchange(interchange)
    return interchange, bundle, x, fb.potential(bundle, "numpy").value_and_grad(x).tables


@pytest.mark.parametrize("name", TABLES)
def test_derivatives_equal_finite_differences_of_openmm(molecule, name):
    interchange, bundle, x, derivatives = molecule
    if name not in bundle.terms:
        pytest.skip(f"the molecule has no {name}")
    reference = OpenMMReference.from_interchange(interchange)
    reference.context.setPositions(x)
    atoms, values = bundle.terms[name].indices.tolist(), bundle.tables[name].values

    def energy(row, position, change):
        moved = values.copy()
        moved[row, position] += change
        reference.set_parameters(name, atoms, bundle.parameters(name, moved))
        return reference.energy(name)

    for position, column in enumerate(form(bundle.terms[name].form).columns):
        found = derivatives[name][:, position]
        if column.integer:
            # There is no derivative with respect to a whole number; the standard defines it as zero.
            assert (found == 0).all()
            continue
        steps = np.where(values[:, position] == 0, STEP, STEP * np.abs(values[:, position]))
        ends = [[energy(row, position, sign * step) for sign in (1, -1)] for row, step in enumerate(steps)]
        expected = -np.diff(ends, axis=1)[:, 0] / (2 * steps)
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=column.name)
