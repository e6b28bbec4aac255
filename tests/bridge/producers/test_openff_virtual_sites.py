"""Virtual sites of SMIRNOFF force fields, in both directions, against the Systems that Interchange makes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
pytest.importorskip("openmm", reason="OpenMM is not installed")

from tests.bridge.exporters.openmm_reference import Reference, relative

WATERS = ("tip4p_fb.offxml", "tip4p_ew.offxml", "tip5p.offxml", "opc.offxml")
TOLERANCE = 1e-9

SMILES = "CN(C)CCC(=O)c1ccncc1Cl"
ALL_TYPES = {
    "BondCharge": {
        "smirks": "[#17:1]-[#6:2]",
        "distance": 1.5,
        "charge_increments": (0.1, 0.05),
        "match": "all_permutations",
    },
    "MonovalentLonePair": {
        "smirks": "[#8X1:1]=[#6:2]-[#6:3]",
        "distance": 0.4,
        "outOfPlaneAngle": 20.0,
        "inPlaneAngle": 115.0,
        "charge_increments": (0.2, 0.02, 0.01),
        "match": "all_permutations",
    },
    "DivalentLonePair": {
        "smirks": "[#6X3:2]:[#7X2:1]:[#6X3:3]",
        "distance": 0.45,
        "outOfPlaneAngle": 15.0,
        "charge_increments": (0.3, 0.0, 0.03),
        "match": "all_permutations",
    },
    "TrivalentLonePair": {
        "smirks": "[#6:2]-[#7X3:1](-[#6:3])-[#6:4]",
        "distance": 0.5,
        "charge_increments": (0.15, 0.01, 0.02, 0.03),
    },
}
"""One virtual site of each type [Å, degree, e]; no published force field has all of them."""


@cache
def water(force_field, n_molecules=4):
    """Waters in a cluster, with seeded noise: their Interchange, its bundle, and positions of all particles."""
    from openff.toolkit import ForceField, Molecule

    from ffbridge.producers import openff

    molecule = Molecule.from_mapped_smiles("[O:1]([H:2])[H:3]")
    field = ForceField(force_field)
    interchange = openff.parametrize([molecule] * n_molecules, force_field=field)
    shape = np.array([[0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])
    side = round(n_molecules ** (1 / 3) + 0.4)
    places = np.argwhere(np.ones((side, side, side)))[:n_molecules] * 0.31
    atoms = (places[:, None] + shape).reshape(-1, 3)
    atoms += np.random.default_rng(8).normal(scale=0.004, size=atoms.shape)
    return _placed(interchange, fb.from_interchange(interchange, force_field=field), atoms)


def _placed(interchange, bundle, atoms):
    x = np.zeros((bundle.n_atoms, 3))
    x[: len(atoms)] = atoms
    return interchange, bundle, fb.place_virtual_sites(bundle, x)


def force_field(**changed_increments):
    """OpenFF 2.3.0 with a virtual site of each type; `changed_increments` of them by the name of the type."""
    from openff.toolkit import ForceField
    from openff.units import Quantity

    made = ForceField("openff_unconstrained-2.3.0.offxml")
    handler = made.get_parameter_handler("VirtualSites", {"version": "0.3"})
    for name, entry in ALL_TYPES.items():
        stated = {"match": "once", "sigma": 0.2, "epsilon": 0.05, **entry}
        increments = changed_increments.get(name, stated.pop("charge_increments"))
        stated.pop("charge_increments", None)
        units = {"distance": "angstrom", "sigma": "nanometer", "epsilon": "kilojoule / mole"}
        units |= {"outOfPlaneAngle": "degree", "inPlaneAngle": "degree"}
        values = {key: Quantity(value, units[key]) if key in units else value for key, value in stated.items()}
        values |= {
            f"charge_increment{place}": Quantity(value, "elementary_charge")
            for place, value in enumerate(increments, 1)
        }
        handler.add_parameter({"type": name, "name": f"EP-{name}", **values})
    return made


@cache
def lone_pairs():
    """A molecule with a site of each type, in one topology with itself: interchange, bundle, positions."""
    from ffbridge.producers import openff

    (molecule,) = openff.read_molecules(SMILES)
    molecule.generate_conformers(n_conformers=1)
    field = force_field()
    interchange = openff.parametrize([molecule, molecule], force_field=field)
    own = molecule.conformers[0].m_as("nanometer")
    atoms = np.concatenate([own, own + np.array([0.0, 0.0, 0.7])])
    atoms += np.random.default_rng(9).normal(scale=0.004, size=atoms.shape)
    return _placed(interchange, fb.from_interchange(interchange, force_field=field), atoms)


def openmm(interchange, x):
    """Energy [kJ/mol] and forces of the System that Interchange makes, where it places the sites itself."""
    system = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
    reference = Reference(system)
    reference.context.setPositions(x)
    reference.context.computeVirtualSites()
    placed = reference.context.getState(positions=True).getPositions(asNumpy=True)._value
    return placed, *reference(placed)


CASES = {**{name: (lambda name=name: water(name)) for name in WATERS}, "lone pairs": lone_pairs}


@pytest.mark.parametrize("case", CASES)
def test_positions_energies_and_forces_equal_openmm(case):
    interchange, bundle, x = CASES[case]()
    fb.validate(bundle)
    placed, energy, forces = openmm(interchange, x)
    np.testing.assert_allclose(x, placed, rtol=0, atol=1e-14)
    found = fb.potential(bundle, "numpy").value_and_grad(x)
    assert found.energy[0] == pytest.approx(energy, rel=TOLERANCE)
    atoms = bundle.atomic_numbers > 0
    assert (~atoms).sum() == len(interchange["VirtualSites"].key_map) > 0
    assert relative(found.forces[atoms], forces[atoms]) < TOLERANCE
    assert (found.forces[~atoms] == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_out_again_everything_is_the_same(case):
    interchange, bundle, x = CASES[case]()
    back = fb.to_interchange(bundle, interchange.topology, positions=x)
    _, energy, forces = openmm(interchange, x)
    placed, same_energy, same_forces = openmm(back, x)
    np.testing.assert_allclose(x, placed, rtol=0, atol=1e-14)
    assert same_energy == pytest.approx(energy, rel=TOLERANCE)
    assert relative(same_forces, forces) < TOLERANCE
    again = fb.from_interchange(back)
    assert again.terms.keys() == bundle.terms.keys()
    for name, table in bundle.tables.items():
        np.testing.assert_allclose(again.tables[name].values, table.values, rtol=1e-12, atol=1e-15, err_msg=name)
        assert [(key.handler, key.pattern, key.index) for key in again.tables[name].keys] == [
            (key.handler, key.pattern, key.index) for key in table.keys
        ]


def test_rows_are_those_of_the_force_field():
    _, bundle, _ = lone_pairs()
    assert list(bundle.virtual_sites) == [
        "bond_charge_sites",
        "monovalent_lone_pair_sites",
        "divalent_lone_pair_sites",
        "trivalent_lone_pair_sites",
    ]
    # Two molecules share every row, and so do permutations of one pattern.
    assert [len(bundle.tables[name]) for name in bundle.virtual_sites] == [1, 1, 1, 1]
    assert [len(term) for term in bundle.virtual_sites.values()] == [2, 4, 4, 2]
    (key,) = bundle.tables["bond_charge_sites"].keys
    assert key == fb.ParameterKey("VirtualSites", "[#17:1]-[#6:2] EP-BondCharge all_permutations")
    np.testing.assert_allclose(bundle.tables["bond_charge_sites"].values, [[0.0, -0.15]])
    table = bundle.tables["electrostatics"]
    found = {
        (key.pattern.split(" ")[1].removeprefix("EP-"), key.index): value
        for key, value in zip(table.keys, table.values[:, 0].tolist(), strict=True)
        if key.handler == "VirtualSites"
    }
    expected = {
        (name, place): value
        for name, entry in ALL_TYPES.items()
        for place, value in enumerate(entry["charge_increments"])
    }
    assert found == pytest.approx(expected)
    assert bundle.terms["electrostatics"].mapping.kind == "linear"
    # What is taken from a site is given to its parents.
    assert bundle.parameters("electrostatics").sum() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("place", range(3))
def test_derivatives_reach_charge_increments(place):
    """dU/d increment equals the change of OpenMM's energy when the force field's own number changes."""
    from ffbridge.producers import openff

    interchange, bundle, x = lone_pairs()
    table = bundle.tables["electrostatics"]
    (row,) = (
        row
        for row, key in enumerate(table.keys)
        if key.handler == "VirtualSites" and "Divalent" in key.pattern and key.index == place
    )
    found = fb.potential(bundle, "numpy").value_and_grad(x).tables["electrostatics"][row, 0]
    molecules = list(interchange.topology.molecules)

    def energy(change):
        increments = list(ALL_TYPES["DivalentLonePair"]["charge_increments"])
        increments[place] += change
        return openmm(openff.parametrize(molecules, force_field=force_field(DivalentLonePair=increments)), x)[1]

    # The energy is quadratic in it: a central difference has no other error than rounding.
    assert found == pytest.approx((energy(0.01) - energy(-0.01)) / 0.02, rel=1e-7)


def test_a_periodic_box_of_tip4p(tmp_path):
    """PME in OpenMM, and the files of GROMACS, which OpenMM reads."""
    import warnings
    from copy import deepcopy

    from openff.units import Quantity
    from openmm import app

    cluster, _, x = water("tip4p_fb.offxml", n_molecules=216)
    boxed = deepcopy(cluster)
    boxed.box = Quantity(2.0 * np.eye(3), "nanometer")
    boxed.positions = Quantity(x[: 216 * 3], "nanometer")
    bundle = fb.from_interchange(boxed)
    back = fb.to_interchange(bundle, boxed.topology, positions=x)
    _, energy, forces = openmm(boxed, x)
    _, same_energy, same_forces = openmm(back, x)
    assert same_energy == pytest.approx(energy, rel=TOLERANCE)
    assert relative(same_forces, forces) < TOLERANCE
    # The bundle itself, in OpenMM without Interchange.
    mine, my_forces = Reference(fb.to_openmm(bundle))(x)
    assert mine == pytest.approx(energy, rel=1e-8)
    assert relative(my_forces, forces) < 1e-8
    read = {}
    for name, interchange in (("original", boxed), ("back", back)):
        interchange.to_top(tmp_path / f"{name}.top")
        with warnings.catch_warnings():
            # OpenMM's parser leaves its file open.
            warnings.simplefilter("ignore", ResourceWarning)
            top = app.GromacsTopFile(str(tmp_path / f"{name}.top"), periodicBoxVectors=2.0 * np.eye(3))
            read[name] = top.createSystem(nonbondedMethod=app.PME, rigidWater=False)
    texts = [sorted((tmp_path / f"{name}.top").read_text(encoding="utf-8").splitlines()) for name in read]
    assert texts[0] == texts[1]
    collated = np.concatenate([x[: 216 * 3].reshape(216, 3, 3), x[216 * 3 :, None]], axis=1).reshape(-1, 3)
    assert Reference(read["back"])(collated)[0] == Reference(read["original"])(collated)[0]
    assert sum(read["back"].isVirtualSite(particle) for particle in range(4 * 216)) == 216


def test_sites_whose_charge_is_a_row_of_its_own_go_out_too():
    """As from_openmm has them: an Interchange needs them as increments of their parents."""
    interchange, _, x = lone_pairs()
    system = interchange.to_openmm_system(combine_nonbonded_forces=True, add_constrained_forces=True)
    system.removeForce(system.getNumForces() - 1)
    bundle = fb.from_openmm(system, interchange.to_openmm_topology(collate=False))
    assert bundle.terms["electrostatics"].mapping.kind != "linear"
    back = fb.to_interchange(bundle, interchange.topology)
    _, energy, forces = openmm(interchange, x)
    _, same_energy, same_forces = openmm(back, x)
    assert same_energy == pytest.approx(energy, rel=TOLERANCE)
    assert relative(same_forces, forces) < TOLERANCE


def test_sites_without_charge_or_size_go_out_too():
    from dataclasses import replace

    interchange, bundle, x = water("tip4p_fb.offxml")
    rows = np.flatnonzero(bundle.atomic_numbers > 0).astype(np.int32)
    terms = dict(bundle.terms)
    for name in ("vdw", "electrostatics"):
        terms[name] = replace(terms[name], indices=terms[name].indices[rows], mapping=terms[name].mapping.take(rows))
    part = replace(bundle, terms=terms)
    again = fb.from_interchange(fb.to_interchange(part, interchange.topology))
    expected = fb.potential(part, "numpy")(x)
    np.testing.assert_allclose(fb.potential(again, "numpy")(x), expected, rtol=1e-12)


def edited(force_field_name, **changes):
    """The Interchange of two waters with other values in its first virtual site's key, or its collection."""
    from copy import deepcopy

    interchange = deepcopy(water(force_field_name)[0])
    for name, value in changes.items():
        target = (
            interchange["VirtualSites"]
            if name == "exclusion_policy"
            else next(iter(interchange["VirtualSites"].key_map))
        )
        target.__dict__[name] = value
    return interchange


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"type": "ThreeParticleAverageSite"},
            "a site of the type 'ThreeParticleAverageSite'.*fb.from_openmm of the System",
        ),
        ({"exclusion_policy": "none"}, "the exclusion policy is 'none', and from_interchange understands 'parents'"),
    ],
)
def test_other_sites_are_refused_on_the_way_in(changes, message):
    with pytest.raises(UnsupportedError, match=message):
        fb.from_interchange(edited("tip4p_fb.offxml", **changes))


def with_term(bundle, name, table=None, **changes):
    from dataclasses import replace

    term = replace(bundle.terms[name], **changes)
    tables = bundle.tables if table is None else {**bundle.tables, term.table: table}
    return replace(bundle, terms={**bundle.terms, name: term}, tables=tables)


def average_site(bundle):
    """The sites of TIP4P as a weighted average of their parents, as other programs place them."""
    values = np.array([[0.1, 0.1, 0.0]])
    table = fb.Table(values, ("weight_12", "weight_13", "weight_cross"), ("1", "1", "1/nm"))
    return with_term(bundle, "divalent_lone_pair_sites", table, form="out_of_plane_site", settings={})


def out_of_the_frame(bundle):
    table = bundle.tables["divalent_lone_pair_sites"]
    return bundle.replace_table("divalent_lone_pair_sites", table.values + np.array([0.0, 0.01, 0.0]))


def heavy(bundle):
    from dataclasses import replace

    return replace(bundle, masses=np.where(bundle.atomic_numbers == 0, 1.0, bundle.masses))


def bonded_site(bundle):
    from dataclasses import replace

    site = int(np.flatnonzero(bundle.atomic_numbers == 0)[0])
    table = fb.Table(np.ones((1, 2)), ("k", "length"), ("kJ/mol/nm^2", "nm"))
    term = fb.Term("harmonic_bond", np.array([[0, site]], dtype=np.int32), "more", fb.Identity())
    return replace(bundle, terms={**bundle.terms, "more": term}, tables={**bundle.tables, "more": table})


def constrained_site(bundle):
    from dataclasses import replace

    site = int(np.flatnonzero(bundle.atomic_numbers == 0)[0])
    found = fb.Constraints(np.array([[0, site]], dtype=np.int32), np.array([0.01]))
    return replace(bundle, constraints=found)


def interacting_with_its_parent(bundle):
    from dataclasses import replace

    old = bundle.exceptions
    keep = ~((old.pairs == 0).any(axis=1) & (bundle.atomic_numbers[old.pairs] == 0).any(axis=1))
    parts = {name: getattr(old, name)[keep] for name in ("pairs", "kept_charge", "kept_lj")}
    values = bundle.tables["electrostatics"].values + 0.1
    return replace(bundle.replace_table("electrostatics", values), exceptions=fb.Exceptions(**parts))


REFUSED = {
    "average": (average_site, "has no virtual sites of the form 'out_of_plane_site'; it has BondCharge"),
    "frame": (
        lambda b: with_term(
            b,
            "divalent_lone_pair_sites",
            settings={**b.terms["divalent_lone_pair_sites"].settings, "x_weights": [-1.0, 1.0, 0.0]},
        ),
        r"of the form 'local_coordinates_3_site' with .*x_weights \[-1\.0, 1\.0, 0\.0\].*each with its own frame",
    ),
    "geometry": (out_of_the_frame, "SMIRNOFF's DivalentLonePair states distance, outOfPlaneAngle only"),
    "mass": (heavy, "masses: that of the virtual site 12 is 1 Da, and an Interchange has none"),
    "bond": (bonded_site, r"terms/more/indices/0: of the particles \[0, 12\] one is a virtual site"),
    "constraint": (constrained_site, r"constraints/pairs/0: of the particles \[0, 12\] one is a virtual site"),
    "exception": (interacting_with_its_parent, r"the pair \[0, 12\], of a virtual site and its atom, keeps 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_sites_are_refused_on_the_way_out(case):
    interchange, bundle, _ = water("tip4p_fb.offxml")
    change, message = REFUSED[case]
    with pytest.raises(UnsupportedError, match=message):
        fb.to_interchange(change(bundle), interchange.topology)
