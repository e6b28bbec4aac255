"""Real systems for the tests of `from_openmm`, and how a bundle is compared with a System.

Villin, and villin in water, are ``test.pdb`` of the openmm package; boxes of water are its ``tip3p.pdb`` and
``tip4pew.pdb``. Alanine dipeptide's heavy atoms are below (RDKit's ETKDG and MMFF); OpenMM adds the hydrogens. DHFR is
in tests/bridge/data/openmm; OpenMM adds the water.
"""

from __future__ import annotations

import lzma
from copy import deepcopy
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
from openmm import app, unit

import ffbridge as fb
from ffbridge.exporters.openmm import to_openmm
from tests.bridge.exporters.openmm_reference import Reference, relative

DATA = Path(app.__file__).parent / "data"

TOLERANCE = 1e-9

_ALANINE_DIPEPTIDE = """\
ATOM      1  CH3 ACE A   1       2.499   1.688   0.721  1.00  0.00           C
ATOM      2  C   ACE A   1       1.646   0.760  -0.100  1.00  0.00           C
ATOM      3  O   ACE A   1       1.476   0.913  -1.306  1.00  0.00           O
ATOM      4  N   ALA A   2       1.038  -0.239   0.620  1.00  0.00           N
ATOM      5  CA  ALA A   2       0.128  -1.200  -0.009  1.00  0.00           C
ATOM      6  CB  ALA A   2       0.123  -2.501   0.784  1.00  0.00           C
ATOM      7  C   ALA A   2      -1.299  -0.614  -0.136  1.00  0.00           C
ATOM      8  O   ALA A   2      -2.301  -1.187   0.285  1.00  0.00           O
ATOM      9  N   NME A   3      -1.356   0.579  -0.830  1.00  0.00           N
ATOM     10  C   NME A   3      -2.611   1.188  -1.182  1.00  0.00           C
END
"""


DHFR = Path(__file__).parents[1] / "data" / "openmm" / "dhfr.pdb.xz"
JAC_BOX = 6.223
"""The width of the box of the Joint AMBER-CHARMM benchmark [nm]."""

ONE_RESIDUE = {"alanine dipeptide of one residue": "ALAD"}
"""charmm36 has a template for the whole molecule, and another one of the same graph."""


@cache
def structure(name):
    """The topology, and the positions ``(n_atoms, 3)`` [nm]."""
    if name in ONE_RESIDUE:
        topology, x = structure("alanine dipeptide")
        return _as_one_residue(topology, ONE_RESIDUE[name]), x
    if name == "alanine dipeptide":
        model = app.PDBFile(StringIO(_ALANINE_DIPEPTIDE))
        model = app.Modeller(model.topology, model.positions)
        model.addHydrogens(force_field("amber14-all.xml"))
    elif name == "villin":
        model = app.PDBFile(str(DATA / "test.pdb"))
        model = app.Modeller(model.topology, model.positions)
        model.delete([r for r in model.topology.residues() if r.name in ("HOH", "CL", "Cl")])
    elif name == "villin with salt":
        return _with_salt(*structure("villin"))
    elif name == "DHFR":
        with lzma.open(DHFR, "rt") as file:
            model = app.PDBFile(file)
    else:
        model = app.PDBFile(str(DATA / f"{name}.pdb"))
    return model.topology, np.array(model.positions.value_in_unit(unit.nanometer))


def in_water(name, *files, width):
    """A structure in a box of water of a width [nm], with ions that neutralize it."""
    topology, x = structure(name)
    model = app.Modeller(topology, x * unit.nanometer)
    model.addSolvent(force_field(*files), boxSize=[width] * 3 * unit.nanometer)
    return model.topology, np.array(model.positions.value_in_unit(unit.nanometer))


def _with_salt(topology, x):
    """With sodium at two carboxylates, and two pairs of sodium and chloride beside."""
    oxygens = [atom.index for atom in topology.atoms() if atom.name in ("OE1", "OD1")][:2]
    outward = x[oxygens] - x.mean(axis=0)
    beside = x.max(axis=0) + 0.28 * np.arange(1, 5)[:, None] * [1.0, 0.0, 0.0]
    positions = [*(x[oxygens] + 0.24 * outward / np.linalg.norm(outward, axis=1, keepdims=True)), *beside]
    model = app.Modeller(topology, x * unit.nanometer)
    salt = app.Topology()
    chain = salt.addChain()
    for name, symbol in zip(
        ("SOD", "SOD", "SOD", "CLA", "SOD", "CLA"), ("Na", "Na", "Na", "Cl", "Na", "Cl"), strict=True
    ):
        salt.addAtom(name, app.Element.getBySymbol(symbol), salt.addResidue(name, chain))
    model.add(salt, positions * unit.nanometer)
    return model.topology, np.array(model.positions.value_in_unit(unit.nanometer))


def _as_one_residue(topology, name):
    whole = app.Topology()
    residue = whole.addResidue(name, whole.addChain())
    atoms = {atom: whole.addAtom(atom.name, atom.element, residue) for atom in topology.atoms()}
    for bond in topology.bonds():
        whole.addBond(atoms[bond[0]], atoms[bond[1]])
    return whole


@cache
def force_field(*files):
    return app.ForceField(*files)


def parametrize(name, *files, **options):
    """The System of a structure under force-field files of OpenMM; lengths in `options` are in nm."""
    return deepcopy(_system(name, files, tuple(options.items())))


@cache
def _system(name, files, given):
    topology, options = structure(name)[0], dict(given)
    if name in ONE_RESIDUE:
        options["residueTemplates"] = dict.fromkeys(topology.residues(), ONE_RESIDUE[name])
    return force_field(*files).createSystem(topology, **options)


def check_forces(system, bundle, x, *, split_nonbonded=False):
    """Forces of a System have the energy and forces of those that its bundle becomes, matched by the terms they hold.

    Returns the largest relative differences of energies and of forces.
    """
    again = to_openmm(bundle, split_nonbonded=split_nonbonded)
    held = [(listed["index"], set(listed["terms"])) for listed in bundle.provenance["forces"] if listed["terms"]]
    made = [(number, set(force.getName().split(" + "))) for number, force in enumerate(again.getForces())]
    for each in (system, again):
        for number, force in enumerate(each.getForces()):
            force.setForceGroup(number)
    theirs, ours = Reference(system), Reference(again)
    worst = [0.0, 0.0]
    for their_groups, our_groups, terms in _together(held, made):
        (energy, forces), (expected, expected_forces) = ours(x, our_groups), theirs(x, their_groups)
        worst = np.maximum(worst, [abs(energy / expected - 1), relative(forces, expected_forces)])
        assert (worst <= TOLERANCE).all(), (terms, worst)
    assert set.union(*(terms for _, terms in held)) == set.union(*(terms for _, terms in made))
    (energy, forces), (expected, expected_forces) = ours(x), theirs(x)
    worst = np.maximum(worst, [abs(energy / expected - 1), relative(forces, expected_forces)])
    assert (worst <= TOLERANCE).all(), worst
    return worst


def _together(held, made):
    """Groups of forces, as bits, of two Systems that hold the same terms, and these."""
    parts = []
    for side, forces in enumerate((held, made)):
        for number, terms in forces:
            groups, terms = [0, 0], set(terms)
            groups[side] = 1 << number
            for part in [part for part in parts if part[1] & terms]:
                parts.remove(part)
                groups, terms = [one | other for one, other in zip(groups, part[0], strict=True)], terms | part[1]
            parts.append((groups, terms))
    return [(*groups, terms) for groups, terms in parts]


def check_array_engine(system, bundle, x, tolerance=1e-8, *, engine="numpy"):
    """An array engine has the energy and forces of a System. Returns their relative differences."""
    expected, expected_forces = Reference(system)(x)
    found = fb.potential(bundle, engine).value_and_grad(x)
    differences = abs(float(found.energy[0]) / expected - 1), relative(np.asarray(found.forces), expected_forces)
    assert max(differences) <= tolerance, differences
    return differences
