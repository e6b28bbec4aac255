"""Nonbonded terms of an Interchange: exceptions, charges with their keys and mappings, methods."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError
from ffbridge.validate import validate


def exceptions_of_openmm(interchange):
    """{pair: (kept charge, kept epsilon)} of the NonbondedForce, with charges and depths of 1 for every atom."""
    import openmm

    system = interchange.to_openmm_system()
    force = next(force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    plain = openmm.NonbondedForce()
    for _ in range(system.getNumParticles()):
        plain.addParticle(1.0, 1.0, 1.0)
    bonds = [(bond.atom1_index, bond.atom2_index) for bond in interchange.topology.molecule(0).bonds]
    plain.createExceptionsFromBonds(bonds, interchange["Electrostatics"].scale_14, interchange["vdW"].scale_14)
    assert force.getNumExceptions() == plain.getNumExceptions()
    listed = (plain.getExceptionParameters(row) for row in range(plain.getNumExceptions()))
    return {tuple(sorted((i, j))): (product._value, epsilon._value) for i, j, product, _, epsilon in listed}


def test_exceptions_are_those_of_openmm(openff, drugs):
    kinds = Counter()
    for interchange in drugs.values():
        exceptions = openff.from_interchange(interchange).exceptions
        kept = zip(exceptions.kept_charge.tolist(), exceptions.kept_lj.tolist(), strict=True)
        found = dict(zip(map(tuple, exceptions.pairs.tolist()), kept, strict=True))
        assert len(found) == len(exceptions.pairs)
        assert found == exceptions_of_openmm(interchange)
        kinds.update(found.values())
    assert set(kinds) == {(0.0, 0.0), (0.8333333333, 0.5)}


def test_exceptions_at_random_graphs_follow_the_shortest_path(openff, rng):
    import networkx

    from ffbridge.producers.openff.nonbonded import exceptions_from_bonds

    class Scaled:
        scale_12, scale_13, scale_14, scale_15 = 0.1, 0.2, 0.3, 1.0

    for seed in range(20):
        graph = networkx.gnm_random_graph(14, int(rng.integers(8, 24)), seed=seed)
        bonds = np.array(list(graph.edges), dtype=np.int32)
        found = exceptions_from_bonds(bonds, np.arange(14), electrostatics=Scaled())
        lengths = dict(networkx.all_pairs_shortest_path_length(graph, cutoff=3))
        expected = {(i, j): d / 10 for i, to in lengths.items() for j, d in to.items() if i < j}
        assert dict(zip(map(tuple, found.pairs.tolist()), found.kept_charge.tolist(), strict=True)) == expected
        assert (found.kept_lj == 1).all()


def test_nagl_charges_have_one_row_for_each_atom_of_a_molecule(openff, acetaminophen, force_field):
    bundle = openff.from_interchange(acetaminophen, force_field=force_field)
    table = bundle.tables["electrostatics"]
    (smiles,) = bundle.system_names
    assert table.keys == tuple(fb.ParameterKey("NAGLCharges", smiles, index=atom) for atom in range(20))
    assert table.model is None
    assert {name: model.version for name, model in bundle.models.items()} == {"openff-gnn-am1bcc": "1.0.0"}


def test_preset_charges_are_keyed_by_the_atom_of_the_smiles(openff, force_field):
    from openff.interchange import Interchange
    from openff.units import Quantity

    ethanol = openff.read_molecules("CCO")[0]
    order = [3, 1, 0, 2, 4, 5, 6, 7, 8]
    brought = ethanol.remap(dict(enumerate(order)))
    brought.partial_charges = Quantity(np.arange(9) / 36 - 1 / 9, "elementary_charge")
    topology = openff.read_molecules("O")[0].to_topology()
    topology.add_molecule(ethanol)
    interchange = Interchange.from_smirnoff(force_field, topology, charge_from_molecules=[brought])
    bundle = openff.from_interchange(interchange)
    table, index = bundle.tables["electrostatics"], bundle.terms["electrostatics"].mapping.index
    smiles = ethanol.to_smiles(mapped=True)
    for atom in range(9):
        row = index[3 + atom]
        assert table.keys[row] == fb.ParameterKey("molecules_with_preset_charges", smiles, index=atom)
        assert table.values[row, 0] == brought.partial_charges[order[atom]].m
    assert table.model is None


def test_library_charges_are_keyed_by_their_pattern(openff, water, force_field):
    bundle = openff.from_interchange(openff.parametrize([water, water]), force_field=force_field)
    table, term = bundle.tables["electrostatics"], bundle.terms["electrostatics"]
    assert {key.handler for key in table.keys} == {"LibraryCharges"}
    assert {key.pattern for key in table.keys} <= {
        parameter.smirks for parameter in force_field["LibraryCharges"].parameters
    }
    assert [key.index for key in table.keys] == [0, 0]
    assert term.mapping.index.tolist() == [0, 1, 1, 0, 1, 1]
    assert table.model is None
    assert not bundle.models


def test_charge_increments_are_summed_by_the_mapping(openff):
    from openff.toolkit import ForceField

    increments = ForceField(openff.DEFAULT_FORCE_FIELD)
    for handler in ("NAGLCharges", "LibraryCharges"):
        increments.deregister_parameter_handler(handler)
    handler = increments.get_parameter_handler(
        "ChargeIncrementModel", {"version": "0.3", "partial_charge_method": "formal_charge"}
    )
    for smirks, charge in (("[#6:1]-[#1:2]", -0.07), ("[#6:1]-[#8:2]", 0.25), ("[#8:1]-[#1:2]", -0.4)):
        handler.add_parameter({"smirks": smirks, "charge_increment1": f"{charge} * elementary_charge"})
    interchange = openff.parametrize(
        openff.read_molecules("OCCO") + openff.read_molecules("CO"), force_field=increments
    )
    bundle = openff.from_interchange(interchange, force_field=increments)
    validate(bundle)
    assert bundle.terms["electrostatics"].mapping.kind == "linear"
    expected = interchange["Electrostatics"].get_charge_array().m_as("elementary_charge")
    np.testing.assert_allclose(bundle.parameters("electrostatics")[:, 0], expected, rtol=0, atol=1e-15)
    assert np.abs(expected).min() > 0.01
    patterns = {key.pattern for key in bundle.tables["electrostatics"].keys if key.handler == "ChargeIncrementModel"}
    assert {"[#6:1]-[#1:2]", "[#6:1]-[#8:2]", "[#8:1]-[#1:2]"} <= patterns


def test_a_box_brings_the_periodic_methods(openff, water):
    from openff.units import Quantity

    interchange = openff.parametrize([water])
    interchange.box = Quantity(np.diag([20.0, 25.0, 30.0]), "angstrom")
    bundle = openff.from_interchange(interchange, ewald_tolerance=1e-5)
    validate(bundle)
    np.testing.assert_allclose(bundle.box, [np.diag([2.0, 2.5, 3.0])])
    assert bundle.terms["vdw"].settings == pytest.approx(
        {
            "method": "cutoff",
            "cutoff": 0.9,
            "switch_distance": 0.8,
            "periodic": True,
            "dispersion_correction": True,
            "mixing_rule": "lorentz_berthelot",
        }
    )
    settings = bundle.terms["electrostatics"].settings
    assert (settings["method"], settings["cutoff"], settings["tolerance"]) == ("pme", pytest.approx(0.9), 1e-5)
    with pytest.raises(UnsupportedError, match="periodic|pme"):
        fb.potential(bundle, "numpy")
