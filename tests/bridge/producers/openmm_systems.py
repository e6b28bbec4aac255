"""Real systems for the tests of `from_openmm`, and how a bundle is compared with a System.

Villin, and villin in water, are ``test.pdb`` of the openmm package; boxes of water are its ``tip3p.pdb`` and
``tip4pew.pdb``. Alanine dipeptide's heavy atoms are below (RDKit's ETKDG and MMFF); OpenMM adds the hydrogens.
"""

from __future__ import annotations

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


@cache
def structure(name):
    """The topology, and the positions ``(n_atoms, 3)`` [nm]."""
    if name == "alanine dipeptide":
        model = app.PDBFile(StringIO(_ALANINE_DIPEPTIDE))
        model = app.Modeller(model.topology, model.positions)
        model.addHydrogens(app.ForceField("amber14-all.xml"))
    elif name == "villin":
        model = app.PDBFile(str(DATA / "test.pdb"))
        model = app.Modeller(model.topology, model.positions)
        model.delete([r for r in model.topology.residues() if r.name in ("HOH", "CL", "Cl")])
    else:
        model = app.PDBFile(str(DATA / f"{name}.pdb"))
    return model.topology, np.array(model.positions.value_in_unit(unit.nanometer))


def parametrize(name, *files, **options):
    """The System of a structure under force-field files of OpenMM; lengths in `options` are in nm."""
    return app.ForceField(*files).createSystem(structure(name)[0], **options)


def check_forces(system, bundle, x):
    """Each force of a System has the energy and forces of the terms that the bundle's provenance names for it."""
    for number, force in enumerate(system.getForces()):
        force.setForceGroup(number)
    theirs, ours = Reference(system), Reference(to_openmm(bundle))
    places = {name: place for place, name in enumerate(bundle.terms)}
    for listed in bundle.provenance["forces"]:
        groups = sum(1 << places[name] for name in listed["terms"])
        if groups:
            energy, forces = ours(x, groups)
            expected, expected_forces = theirs(x, 1 << listed["index"])
            np.testing.assert_allclose(energy, expected, rtol=TOLERANCE, err_msg=str(listed))
            assert relative(forces, expected_forces) <= TOLERANCE
    (energy, forces), (expected, expected_forces) = ours(x), theirs(x)
    np.testing.assert_allclose(energy, expected, rtol=TOLERANCE)
    assert relative(forces, expected_forces) <= TOLERANCE


def check_array_engine(system, bundle, x, tolerance=1e-8):
    """The numpy engine has the energy and forces of a System."""
    expected, expected_forces = Reference(system)(x)
    found = fb.potential(bundle, "numpy").value_and_grad(x)
    np.testing.assert_allclose(found.energy[0], expected, rtol=tolerance)
    assert relative(found.forces, expected_forces) <= tolerance
