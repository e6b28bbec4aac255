"""Bonds and torsions that SMIRNOFF interpolates by bond order: `linear` mappings of the force field's own rows."""

from __future__ import annotations

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from tests.bridge.producers.test_openff_energies import assert_agrees_with_openmm

pytest.importorskip("openmm", reason="OpenMM is not installed")

SMILES = "CC(=O)Nc1ccc(cc1)-c1ccccc1"
TORSION = "[*:1]~[#6X3:2]~!@[#6X3,#7X3:3]~[*:4]"
BOND = "[#6X3:1]-!@[#6X3:2]"
STEP = 1e-4


@pytest.fixture(scope="module")
def molecule(openff):
    """An anilide with bond orders; those of a quantum-chemistry program would need AmberTools."""
    (molecule,) = openff.read_molecules(SMILES)
    molecule.generate_conformers(n_conformers=1)
    for number, bond in enumerate(molecule.bonds):
        bond.fractional_bond_order = 0.95 + 0.9 * ((7 * number) % 11) / 11
    return molecule


def parametrized(openff, molecule, **changes):
    """The Interchange, and its force field, with interpolated parameters; `changes` are of their numbers."""
    from openff.interchange import Interchange
    from openff.toolkit import ForceField
    from openff.units import Quantity

    force_field = ForceField(openff.DEFAULT_FORCE_FIELD)
    torsion = {"k1_bondorder1": 1.0, "k1_bondorder2": 8.0, "k2_bondorder1": 0.3, "k2_bondorder2": -0.2, **changes}
    of_bond = {"k_bondorder1": 500.0, "k_bondorder2": 900.0, "length_bondorder1": 1.5, "length_bondorder2": 1.35}
    of_bond |= {name: torsion.pop(name) for name in of_bond if name in torsion}
    units = {"k": "kilocalorie / mole / angstrom**2", "length": "angstrom"}
    force_field["ProperTorsions"].add_parameter(
        {name: Quantity(value, "kilocalorie / mole") for name, value in torsion.items()}
        | {"smirks": TORSION, "id": "t-wbo", "idivf1": 1, "idivf2": 2, "periodicity1": 2, "periodicity2": 3}
        | {"phase1": Quantity(180.0, "degree"), "phase2": Quantity(0.0, "degree")}
    )
    force_field["Bonds"].add_parameter(
        {name: Quantity(value, units[name.split("_")[0]]) for name, value in of_bond.items()}
        | {"smirks": BOND, "id": "b-wbo"}
    )
    charged = type(molecule)(molecule)
    charged.assign_partial_charges("formal_charge")
    return force_field, Interchange.from_smirnoff(
        force_field, [molecule], charge_from_molecules=[charged], partial_bond_orders_from_molecules=[molecule]
    )


@pytest.fixture(scope="module")
def made(openff, molecule):
    force_field, interchange = parametrized(openff, molecule)
    return interchange, fb.from_interchange(interchange, force_field=force_field)


def test_energies_and_forces_equal_openmm(made, molecule):
    interchange, bundle = made
    fb.validate(bundle)
    assert bundle.terms["proper_torsions"].mapping.kind == bundle.terms["bonds"].mapping.kind == "linear"
    assert bundle.terms["angles"].mapping.kind == "select"
    x = molecule.conformers[0].m_as("nanometer")
    assert_agrees_with_openmm(bundle, interchange, x + np.random.default_rng(4).normal(scale=0.005, size=x.shape))


def test_rows_are_those_of_the_force_field(made):
    _, bundle = made
    found = {key: row for row, key in enumerate(bundle.tables["proper_torsions"].keys) if key.pattern == TORSION}
    ends = [("t-wbo bondorder1", 0), ("t-wbo bondorder2", 0), ("t-wbo bondorder1", 1), ("t-wbo bondorder2", 1)]
    expected = {fb.ParameterKey("ProperTorsions", TORSION, id=name, index=index) for name, index in ends}
    assert set(found) == expected
    values = {(key.id[-1], key.index): bundle.tables["proper_torsions"].values[row] for key, row in found.items()}
    assert values["2", 0] == pytest.approx([8.0 * 4.184, np.pi, 2])
    assert values["2", 1] == pytest.approx([-0.2 * 4.184 / 2, 0, 3])
    # Several bond orders share these rows.
    mapping = bundle.terms["proper_torsions"].mapping
    used = np.isin(mapping.columns, list(found.values()))
    assert len(set(mapping.weights[used].tolist())) > 4


@pytest.mark.parametrize(
    "name", ["k1_bondorder1", "k1_bondorder2", "k2_bondorder2", "k_bondorder1", "length_bondorder2"]
)
def test_derivatives_reach_both_ends(openff, made, molecule, name):
    """dU/d row equals the change of OpenMM's energy when the force field's own number changes."""
    _, bundle = made
    x = molecule.conformers[0].m_as("nanometer")
    table, column = ("bonds", name.split("_")[0]) if name.split("_")[0] in ("k", "length") else ("proper_torsions", "k")
    index = int(name[1]) - 1 if name[1].isdigit() else None
    pattern = TORSION if table == "proper_torsions" else BOND
    (row,) = (
        row
        for row, key in enumerate(bundle.tables[table].keys)
        if (key.pattern, key.index, key.id[-1]) == (pattern, index, name[-1])
    )
    tables = fb.potential(bundle, "numpy").value_and_grad(x).tables
    found = tables[table][row, bundle.tables[table].columns.index(column)]
    start = {"k1_bondorder1": 1.0, "k1_bondorder2": 8.0, "k2_bondorder2": -0.2, "k_bondorder1": 500.0}.get(name, 1.35)
    step = STEP * abs(start)
    ends = [_energy(parametrized(openff, molecule, **{name: start + sign * step})[1], x) for sign in (1, -1)]
    unit = {"k_bondorder1": 418.4, "length_bondorder2": 0.1, "k2_bondorder2": 4.184 / 2}.get(name, 4.184)
    assert found * unit == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)
    assert abs(found) > 0


def _energy(interchange, x):
    from tests.bridge.exporters.openmm_reference import Reference

    return Reference(interchange.to_openmm_system(combine_nonbonded_forces=True))(x)[0]


def test_out_again_the_energy_is_the_same(made, molecule):
    interchange, bundle = made
    back = fb.to_interchange(bundle, molecule)
    x = molecule.conformers[0].m_as("nanometer")
    assert _energy(back, x) == pytest.approx(_energy(interchange, x), rel=1e-12)


def test_ends_of_different_idivf_are_refused(openff, molecule):
    from openff.units import Quantity

    _, interchange = parametrized(openff, molecule)
    torsions = interchange["ProperTorsions"]
    wrapped = next(each for each in torsions.potentials.values() if hasattr(each, "_inner_data"))
    list(wrapped._inner_data)[1].parameters["idivf"] = Quantity(4.0, "dimensionless")
    with pytest.raises(
        UnsupportedError, match=r"'ProperTorsions': the parameter '\[\*:1\].*bond orders of different idivf"
    ):
        fb.from_interchange(interchange)
