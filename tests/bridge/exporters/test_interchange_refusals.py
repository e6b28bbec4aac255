"""What an Interchange cannot express is refused by name; what it says in another way is said so."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, MissingDependencyError, UnsupportedError, ValidationError
from tests.bridge.drugs import drug, water_box

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")

NAME = "DrugBank_2642"


@pytest.fixture
def bundle():
    return drug(NAME).bundle


@pytest.fixture
def topology():
    return drug(NAME).interchange.topology


def with_term(bundle, name, **changes):
    return replace(bundle, terms={**bundle.terms, name: replace(bundle.terms[name], **changes)})


def with_settings(bundle, name, **settings):
    return with_term(bundle, name, settings={**bundle.terms[name].settings, **settings})


def with_indices(bundle, name, row, atoms):
    indices = bundle.terms[name].indices.copy()
    indices[row] = atoms
    return with_term(bundle, name, indices=indices)


def another_form(bundle):
    table = fb.Table(values=np.ones((1, 3)), columns=("depth", "steepness", "length"), units=("kJ/mol", "1/nm", "nm"))
    term = fb.Term(form="morse", indices=bundle.terms["bonds"].indices[:1], table="morse", mapping=fb.Identity())
    return replace(bundle, terms={**bundle.terms, "morse": term}, tables={**bundle.tables, "morse": table})


def two_of_a_form(bundle):
    return replace(bundle, terms={**bundle.terms, "more": bundle.terms["vdw"]})


def far_pair(bundle):
    """The bundle with an exception more, of the two atoms that are farthest apart by their numbers."""
    old = bundle.exceptions
    pair = np.array([[0, bundle.n_atoms - 1]], dtype=np.int32)
    assert pair[0].tolist() not in old.pairs.tolist()
    kept = {name: np.append(getattr(old, name), 0.25) for name in ("kept_charge", "kept_lj")}
    return replace(bundle, exceptions=replace(old, pairs=np.concatenate([old.pairs, pair]), **kept))


def fraction(bundle, row_of, value):
    """The bundle with another fraction of charge for the first pair that keeps this much."""
    kept = bundle.exceptions.kept_charge.copy()
    kept[np.flatnonzero(np.isclose(kept, row_of))[0]] = value
    return replace(bundle, exceptions=replace(bundle.exceptions, kept_charge=kept))


def far_torsion(bundle):
    return with_indices(bundle, "proper_torsions", 0, [0, 1, 2, bundle.n_atoms - 1])


def constrained_twice(bundle):
    """The first bond listed twice: in two rows."""
    term = bundle.terms["bonds"]
    rows = np.append(np.arange(len(term)), 0).astype(np.int32)
    return with_term(bundle, "bonds", indices=term.indices[rows], mapping=term.mapping.take(rows))


def other_element(bundle):
    numbers = bundle.atomic_numbers.copy()
    numbers[0] = 0
    return replace(bundle, atomic_numbers=numbers)


def with_override(bundle):
    old = bundle.tables["vdw"]
    table = fb.Table(old.values[:1], old.columns, old.units)
    override = fb.Overrides("nbfix", np.array([[0, 1]], dtype=np.int32))
    made = with_term(bundle, "vdw", overrides=override)
    return replace(made, tables={**made.tables, "nbfix": table})


REFUSED = {
    "pairs that are not mixed": (
        with_override,
        "terms/vdw/overrides: an Interchange mixes the parameters",
    ),
    "several systems": (lambda b: fb.concatenate([b, b]), r"the bundle has 2 systems.*fb\.separate\(bundle\)"),
    "another form": (another_form, "terms/morse: an Interchange has no 'morse'; it has harmonic_bond"),
    "two of a form": (two_of_a_form, "terms/more: the bundle has several terms of the form 'lennard_jones'"),
    "reaction field": (
        lambda b: with_settings(
            b, "electrostatics", method="reaction_field", cutoff=1.0, periodic=False, dielectric=78.3
        ),
        "method: 'reaction_field', and an Interchange does not state the dielectric constant",
    ),
    "timemachine": (
        lambda b: with_settings(b, "electrostatics", method="timemachine", cutoff=1.2, beta=2.0, periodic=False),
        "method: 'timemachine'; an Interchange has no_cutoff, pme",
    ),
    "switched charges": (
        lambda b: with_settings(b, "electrostatics", method="cutoff", cutoff=1.2, periodic=False, switch_distance=1.0),
        "method: 'cutoff' with a switch_distance",
    ),
    "a box that does nothing": (
        lambda b: replace(b, box=np.eye(3)[None] * 5),
        r"'no_cutoff' is not periodic, and the bundle has a box.*dataclasses\.replace\(bundle, box=None\)",
    ),
    "an exception of a far pair": (far_pair, r"exceptions/kept_.*farther apart, keeps 0\.25.* would be 1$"),
    "a bonded pair that interacts": (
        lambda b: fraction(b, 0.0, 0.5),
        r"exceptions/kept_charge: the pair \[\d+, \d+\], (of bonded atoms|two bonds apart), keeps 0\.5.* would be 0$",
    ),
    "two 1-4 scales": (
        lambda b: fraction(b, 0.8333333333, 0.9),
        r"exceptions/kept_charge: .*three bonds apart, keeps 0\.[89]\d*.* would be 0\.[89]",
    ),
    "no exceptions": (lambda b: replace(b, exceptions=None), "of bonded atoms, keeps 1. An Interchange"),
    "a bond of the force field alone": (
        lambda b: with_indices(b, "bonds", 0, [0, b.n_atoms - 1]),
        r"terms/bonds/indices/0: the topology has no bond between its atoms",
    ),
    "two bonds of a pair": (
        constrained_twice,
        r"terms/bonds/indices/\d+: atoms \[\d+, \d+\] of the topology have an interaction in Bonds already",
    ),
    "a torsion of far atoms": (far_torsion, r"terms/proper_torsions/indices/0: the ends of the torsion .*three bonds"),
    "heavy hydrogen": (
        lambda b: replace(b, masses=np.where(b.atomic_numbers == 1, 3.0, b.masses)),
        r"masses: that of atom \d+ of the topology is 3 Da.*hydrogen_mass=",
    ),
    "a particle without element": (other_element, "atomic_numbers/0: it is 0, and the particle is none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_an_interchange_does_not_have_is_refused_by_name(bundle, topology, case):
    change, message = REFUSED[case]
    with pytest.raises(UnsupportedError, match=message):
        fb.to_interchange(change(bundle), topology)


def test_a_periodic_cutoff_without_correction_is_refused():
    interchange, bundle, _ = water_box()
    with pytest.raises(UnsupportedError, match="dispersion_correction: it is false, and an Interchange's exports"):
        fb.to_interchange(with_settings(bundle, "vdw", dispersion_correction=False), interchange.topology)


def test_another_topology_is_noticed(bundle, topology):
    from openff.toolkit import Molecule, Topology

    with pytest.raises(BundleError, match=r"topology: it has 9 atoms, and the bundle has \d+ that are no virtual"):
        fb.to_interchange(bundle, Molecule.from_smiles("CCO"))
    molecule = topology.molecule(0)
    last = molecule.n_atoms - 1
    turned = molecule.remap({atom: last - atom for atom in range(last + 1)})
    with pytest.raises(BundleError, match="topology: atom 0 has the atomic number 1, and the bundle's has"):
        fb.to_interchange(bundle, turned)
    lacking = replace(bundle, bonds=bundle.bonds[1:])
    with pytest.raises(BundleError, match=r"the topology has a bond between atoms \[\d+, \d+\], which the bundle"):
        fb.to_interchange(lacking, topology)
    more = replace(bundle, bonds=np.append(bundle.bonds, [[0, last]], axis=0).astype(np.int32))
    with pytest.raises(BundleError, match=rf"the bundle has a bond between atoms \[0, {last}\], which the topology"):
        fb.to_interchange(more, Topology(topology))


def test_positions_of_another_shape_are_refused(bundle, topology):
    with pytest.raises(BundleError, match=r"positions: got shape \(2, 3\), expected \(\d+, 3\), in nm"):
        fb.to_interchange(bundle, topology, positions=np.zeros((2, 3)))


def test_a_faulty_bundle_is_refused(bundle, topology):
    with pytest.raises(ValidationError, match="bundle does not follow the standard"):
        fb.to_interchange(replace(bundle, masses=-bundle.masses), topology)


def test_the_way_to_install_is_named(bundle, topology, monkeypatch):
    monkeypatch.setitem(sys.modules, "openff.interchange", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "ffbridge\[openff\]"'):
        fb.to_interchange(bundle, topology)


def test_a_pair_of_atoms_that_do_not_interact_may_have_any_fraction(bundle, topology):
    """from_openmm cannot know the fraction of an energy that is 0."""
    values = bundle.tables["vdw"].values.copy()
    values[:, 1] = 0.0
    dull = bundle.replace_table("vdw", values)
    dull = replace(dull, exceptions=replace(dull.exceptions, kept_lj=np.full(len(dull.exceptions.pairs), 0.7)))
    assert fb.to_interchange(dull, topology)["vdW"].scale_14 == 0.5


def test_another_coulomb_constant_is_in_the_charges(bundle, topology):
    x = drug(NAME).x[0]
    other = with_settings(bundle, "electrostatics", coulomb_constant=138.5)
    back = fb.from_interchange(fb.to_interchange(other, topology))
    expected = fb.potential(other, "numpy").by_term(x)["electrostatics"]
    np.testing.assert_allclose(fb.potential(back, "numpy").by_term(x)["electrostatics"], expected, rtol=1e-12)


def test_atoms_that_a_term_does_not_list_do_not_interact(bundle, topology):
    x = drug(NAME).x[0]
    rows = np.arange(3, bundle.n_atoms, dtype=np.int32)
    part = bundle
    for name in ("vdw", "electrostatics"):
        term = part.terms[name]
        part = with_term(part, name, indices=term.indices[rows], mapping=term.mapping.take(rows))
    back = fb.from_interchange(fb.to_interchange(part, topology))
    for name in ("vdw", "electrostatics"):
        expected = fb.potential(part, "numpy").by_term(x)[name]
        np.testing.assert_allclose(fb.potential(back, "numpy").by_term(x)[name], expected, rtol=1e-12)


def test_a_linear_mapping_is_summed(bundle, topology):
    """Each angle is the mean of its own row and the first one."""
    term = bundle.terms["angles"]
    n_terms = len(term)
    columns = np.stack([term.mapping.index, np.zeros(n_terms, dtype=np.int32)], axis=1).reshape(-1)
    offsets = 2 * np.arange(n_terms + 1, dtype=np.int32)
    mixed = with_term(bundle, "angles", mapping=fb.Linear(offsets, columns, np.full(2 * n_terms, 0.5)))
    back = fb.from_interchange(fb.to_interchange(mixed, topology))
    np.testing.assert_allclose(back.parameters("angles"), mixed.parameters("angles"), rtol=1e-15)
    x = drug(NAME).x[0]
    expected = fb.potential(mixed, "numpy").by_term(x)["angles"]
    np.testing.assert_allclose(fb.potential(back, "numpy").by_term(x)["angles"], expected, rtol=1e-12)


def test_rows_of_equal_pattern_stay_apart(bundle, topology):
    """Rows that differ in their id alone, and rows of two tables."""
    table = bundle.tables["angles"]
    keys = tuple(fb.ParameterKey("Angles", "[*:1]~[*:2]~[*:3]", id=f"a{row}") for row in range(len(table)))
    same = replace(bundle, tables={**bundle.tables, "angles": replace(table, keys=keys)})
    interchange = fb.to_interchange(same, topology)
    assert len(interchange["Angles"].potentials) == len(table)
    np.testing.assert_array_equal(fb.from_interchange(interchange).parameters("angles"), bundle.parameters("angles"))


def test_the_exporter_imports_no_framework():
    import subprocess

    code = "import sys, ffbridge as fb; fb.to_interchange; print(sorted({'openff', 'openmm'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
