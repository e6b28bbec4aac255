"""From an Interchange to a bundle: rows, keys, units, charges, exceptions; what has no exact counterpart is refused."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest

from ffbridge.concatenate import concatenate
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.forms import form
from ffbridge.validate import validate

VALENCE = {
    "Bonds": "bonds",
    "Angles": "angles",
    "ProperTorsions": "proper_torsions",
    "ImproperTorsions": "improper_torsions",
}


@pytest.fixture
def editable(acetaminophen):
    return deepcopy(acetaminophen)


def one_by_one(collection, form_name):
    """Parameters of each interaction, looked up and converted one at a time."""
    rows = []
    for key in collection.key_map.values():
        values = dict(collection.potentials[key].parameters)
        if "idivf" in values:
            values["k"] = values["k"] / values["idivf"]
        rows.append([values[column.name].m_as(column.unit) for column in form(form_name).columns])
    return np.array(rows)


@pytest.mark.parametrize("name", VALENCE)
def test_every_interaction_has_the_parameters_that_interchange_gives_it(openff, acetaminophen, name):
    bundle = openff.from_interchange(acetaminophen)
    collection = acetaminophen[name]
    term = bundle.terms[VALENCE[name]]
    assert [tuple(row) for row in term.indices.tolist()] == [key.atom_indices for key in collection.key_map]
    np.testing.assert_allclose(bundle.parameters(VALENCE[name]), one_by_one(collection, term.form), rtol=4e-16)


def test_atoms_have_the_sizes_and_charges_that_interchange_gives_them(openff, acetaminophen):
    bundle = openff.from_interchange(acetaminophen)
    vdw = acetaminophen["vdW"]
    by_atom = sorted(vdw.key_map, key=lambda key: key.atom_indices)
    assert [key.atom_indices[0] for key in by_atom] == list(range(20))
    expected = [
        [
            vdw.potentials[vdw.key_map[key]].parameters[name].m_as(unit)
            for name, unit in (("sigma", "nm"), ("epsilon", "kJ/mol"))
        ]
        for key in by_atom
    ]
    np.testing.assert_allclose(bundle.parameters("vdw"), expected, rtol=4e-16)
    charges = acetaminophen["Electrostatics"].get_charge_array().m_as("elementary_charge")
    np.testing.assert_array_equal(bundle.parameters("electrostatics")[:, 0], charges)
    assert bundle.terms["vdw"].indices[:, 0].tolist() == list(range(20))


def test_topology(openff, acetaminophen):
    bundle = openff.from_interchange(acetaminophen)
    molecule = acetaminophen.topology.molecule(0)
    assert bundle.atomic_numbers.tolist() == [atom.atomic_number for atom in molecule.atoms]
    np.testing.assert_allclose(bundle.masses, [atom.mass.m_as("dalton") for atom in molecule.atoms])
    assert bundle.bonds.tolist() == [[bond.atom1_index, bond.atom2_index] for bond in molecule.bonds]
    assert bundle.system_names == (molecule.to_smiles(mapped=True),)
    assert bundle.box is None
    assert bundle.constraints is None
    validate(bundle)


def test_one_row_for_each_parameter_of_the_force_field(openff, force_field, acetaminophen):
    bundle = openff.from_interchange(acetaminophen, force_field=force_field)
    for name, term in (VALENCE | {"vdW": "vdw"}).items():
        keys = bundle.tables[term].keys
        used = {(key.id, key.mult) for key in acetaminophen[name].key_map.values()}
        assert {(key.pattern, key.index) for key in keys} == used
        assert len(keys) == len(used) < len(bundle.terms[term])
        sections = {parameter.smirks: parameter.id for parameter in force_field[name].parameters}
        assert [key.id for key in keys] == [sections[key.pattern] for key in keys]
        assert {key.handler for key in keys} == {name}
    bonds = {key.pattern: key.id for key in bundle.tables["bonds"].keys}
    assert bonds["[#6X4:1]-[#1:2]"] == "b84"


def test_rows_do_not_depend_on_the_order_of_the_potentials(openff, editable):
    before = openff.from_interchange(editable)
    for collection in editable.collections.values():
        collection.potentials = dict(reversed(collection.potentials.items()))
    after = openff.from_interchange(editable)
    assert after.document() == before.document()
    for path, array in before.arrays().items():
        np.testing.assert_array_equal(after.arrays()[path], array, err_msg=path)


def test_equal_values_of_different_patterns_stay_different_parameters(openff, editable):
    bonds = editable["Bonds"]
    first = next(iter(bonds.potentials.values()))
    bonds.potentials = dict.fromkeys(bonds.potentials, first)
    table = openff.from_interchange(editable).tables["bonds"]
    assert len(table) == len(bonds.potentials) == 10
    assert len(set(map(tuple, table.values.tolist()))) == 1


def test_units_may_differ_from_row_to_row(openff, editable):
    expected = openff.from_interchange(editable)
    others = {
        "Bonds": {"k": "joule/mole/picometer**2", "length": "bohr"},
        "Angles": {"k": "kilojoule/mole/degree**2", "angle": "degree"},
        "vdW": {"sigma": "bohr", "epsilon": "joule/mole"},
    }
    for name, units in others.items():
        for potential in list(editable[name].potentials.values())[::2]:
            potential.parameters = {key: value.to(units[key]) for key, value in potential.parameters.items()}
    found = openff.from_interchange(editable)
    for name in ("bonds", "angles", "vdw"):
        np.testing.assert_allclose(found.tables[name].values, expected.tables[name].values, rtol=1e-14)


def test_a_quantity_of_another_dimension_is_refused(openff, editable):
    for potential in editable["Bonds"].potentials.values():
        potential.parameters = {**potential.parameters, "length": potential.parameters["k"]}
    with pytest.raises(UnsupportedError, match="expected a quantity in nm, got one in kilocalorie"):
        openff.from_interchange(editable)


def test_a_topology_of_several_molecules_is_one_system(openff, ethanol_water):
    bundle = openff.from_interchange(ethanol_water)
    validate(bundle)
    assert (bundle.n_systems, bundle.n_atoms) == (1, 21)
    assert bundle.system_offsets.tolist() == [0, 21]
    first, water, last = bundle.system_names[0].split(".")
    assert first == "[C:1]([C:2]([O:3][H:9])([H:7])[H:8])([H:4])([H:5])[H:6]"
    assert water == "[O:10]([H:11])[H:12]"
    assert {int(part.split("]")[0]) for part in last.split(":")[1:]} == set(range(13, 22))
    # Both ethanols use the same nine charges; their heavy atoms (no symmetry mixes those) in opposite order.
    index = bundle.terms["electrostatics"].mapping.index
    assert sorted(index[:9]) == sorted(index[12:])
    assert index[:3].tolist() == index[:-4:-1].tolist()
    assert bundle.atomic_numbers[:9].tolist() == bundle.atomic_numbers[:11:-1].tolist()
    assert len(bundle.tables["electrostatics"]) == 9 + 2
    molecule = np.repeat([0, 1, 2], [9, 3, 9])
    for name in (*VALENCE.values(), "vdw"):
        if name in bundle.terms:
            assert (np.ptp(molecule[bundle.terms[name].indices], axis=1) == 0).all()
    assert (np.ptp(molecule[bundle.exceptions.pairs], axis=1) == 0).all()


def test_a_topology_of_several_molecules_goes_out_again(openff, ethanol_water):
    import ffbridge as fb

    bundle = openff.from_interchange(ethanol_water)
    again = openff.from_interchange(fb.to_interchange(bundle, ethanol_water.topology))
    assert again.content_hash == bundle.content_hash


def test_molecules_with_charges_of_different_origin_go_into_one_batch(openff, acetaminophen, water):
    bundles = [openff.from_interchange(interchange) for interchange in (acetaminophen, openff.parametrize([water]))]
    batch = concatenate(bundles)
    validate(batch)
    assert {key.handler for key in batch.tables["electrostatics"].keys} == {"NAGLCharges", "LibraryCharges"}


def test_a_topology_without_some_interactions_has_no_such_terms(openff, water):
    bundle = openff.from_interchange(openff.parametrize([water]))
    assert set(bundle.terms) == {"bonds", "angles", "vdw", "electrostatics"}
    validate(bundle)


def test_constraints_are_kept_as_data(openff):
    from openff.toolkit import ForceField

    constrained = ForceField("openff-2.3.0.offxml")
    molecules = openff.read_molecules("CO") + openff.read_molecules("O")
    interchange = openff.parametrize(molecules, force_field=constrained)
    bundle = openff.from_interchange(interchange, force_field=constrained)
    validate(bundle)
    system = interchange.to_openmm_system()
    expected = [system.getConstraintParameters(row) for row in range(system.getNumConstraints())]
    found = zip(bundle.constraints.pairs.tolist(), bundle.constraints.lengths.tolist(), strict=True)
    assert [(*pair, length) for pair, length in found] == [(i, j, length._value) for i, j, length in expected]
    assert len(expected) == 4 + 3
    assert len(bundle.terms["bonds"]) == 7


def edit(name, **changes):
    """Return an edit of one collection; attributes are set past pydantic, which would refuse most of them."""

    def apply(interchange):
        for attribute, value in changes.items():
            object.__setattr__(interchange.collections[name], attribute, value)
            interchange.collections[name].__dict__[attribute] = value

    return apply


def rename(old, new):
    def apply(interchange):
        interchange.collections[new] = interchange.collections.pop(old)

    return apply


def two_acting_as_vdw(interchange):
    interchange.collections["Other"] = interchange.collections["vdW"]


def interpolate_vdw(interchange):
    from openff.interchange.components.potentials import WrappedPotential

    vdw = interchange["vdW"]
    first, second = list(vdw.potentials)[:2]
    vdw.potentials[first] = WrappedPotential({vdw.potentials[first]: 0.25, vdw.potentials[second]: 0.75})


REFUSED = {
    "plug-in": (edit("Angles", is_plugin=True), "collection 'Angles' is of a plug-in, with the expression 'k/2"),
    "two kinds of vdW": (two_acting_as_vdw, "collections 'vdW' and 'Other': exports .* have one collection of van der"),
    "other vdW": (
        edit("vdW", expression="epsilon*(sigma/r)**9"),
        r"'vdW' has the expression 'epsilon\*.*expected \['4",
    ),
    "interpolated vdW": (interpolate_vdw, "collection 'vdW': parameters are interpolated by bond order"),
    "unknown collection": (rename("Angles", "UreyBradleys"), "collection 'UreyBradleys' is not supported"),
    "other expression": (
        edit("Angles", expression="k/2*(cos(theta)-cos(angle))**2"),
        "collection 'Angles' has the expr",
    ),
    "1-5 scale": (edit("vdW", scale_15=0.5), "scale_15 is 0.5"),
    "mixing rule": (edit("vdW", mixing_rule="waldman-hagler"), "mixing rule 'waldman-hagler'"),
    "reaction field": (edit("Electrostatics", nonperiodic_potential="reaction-field"), "does not state the dielectric"),
    "vdW method": (edit("vdW", nonperiodic_method="pme"), "method 'pme' for a non-periodic system"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_exact_counterpart_is_refused_by_name(openff, editable, case):
    change, message = REFUSED[case]
    change(editable)
    with pytest.raises(UnsupportedError, match=message):
        openff.from_interchange(editable)


def test_another_force_field_is_noticed(openff, acetaminophen):
    from openff.toolkit import ForceField

    with pytest.raises(BundleError, match="its section '.*' has no pattern"):
        openff.from_interchange(acetaminophen, force_field=ForceField("openff_unconstrained-1.0.0.offxml"))
    with pytest.raises(BundleError, match="it has no section 'Bonds'"):
        openff.from_interchange(acetaminophen, force_field=ForceField())


def test_a_torsion_without_divisor_or_with_a_broken_periodicity_is_refused(openff, editable):
    from openff.units import Quantity

    potential = next(iter(editable["ProperTorsions"].potentials.values()))
    sound = dict(potential.parameters)
    potential.parameters = {**sound, "idivf": Quantity(0.0, "dimensionless")}
    with pytest.raises(BundleError, match="idivf 0"):
        openff.from_interchange(editable)
    potential.parameters = {**sound, "periodicity": Quantity(1.5, "dimensionless")}
    with pytest.raises(BundleError, match=r"expected a whole number as periodicity, got 1\.5"):
        openff.from_interchange(editable)


def test_an_atom_without_charge_is_noticed(openff, editable):
    charges = editable["Electrostatics"]
    del charges.key_map[next(iter(charges.key_map))]
    with pytest.raises(BundleError, match="'Electrostatics': atom 0 has 0 parameters"):
        openff.from_interchange(editable)


def test_the_producer_imports_no_framework():
    code = (
        "import sys, ffbridge.producers.openff; print(sorted({'openff', 'torch', 'rdkit', 'pint'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
