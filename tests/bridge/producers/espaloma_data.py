"""espaloma's own graphs and figures, and the molecules that they stand for (source: data/espaloma/README.md)."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

FOLDER = Path(__file__).resolve().parents[1] / "data" / "espaloma"
MOLECULES = json.loads((FOLDER / "molecules.json").read_text(encoding="utf-8"))
NAMES = sorted(MOLECULES)


def load_graph(name):
    """The graph that espaloma built and wrote parameters on."""
    import dgl

    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.bin"
        path.write_bytes(lzma.decompress((FOLDER / f"{name}.dgl.bin.xz").read_bytes()))
        return dgl.load_graphs(str(path))[0][0]


def figures(name, what):
    """Positions (conformers, atoms, 3) [nm], energies (conformers,) [kJ/mol] and their gradient [kJ/mol/nm]."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        positions, u, du_dx = (stored[key] for key in _keys(what))
    return (
        np.moveaxis(positions, 1, 0) * NM_PER_BOHR,
        u * KJ_PER_MOL_PER_HARTREE,
        np.moveaxis(du_dx, 1, 0) * (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR),
    )


def parameter_gradients(name):
    """By node type and field, the derivative of the energy summed over conformers [kJ/mol per unit of the field]."""
    with np.load(FOLDER / f"{name}.parameters.npz") as stored:
        return {tuple(key.split("/")): stored[key] * KJ_PER_MOL_PER_HARTREE for key in stored.files}


def form_figures(name, what):
    """The stored fields and derivatives, energies (conformers,) [kJ/mol] and their gradient [kJ/mol/nm], by form."""
    with np.load(FOLDER / f"{name}.forms.npz") as stored:
        found = dict(stored)
    u, du_dx = (found[key] for key in _keys(what)[1:])
    gradient = np.moveaxis(du_dx, 1, 0) * (KJ_PER_MOL_PER_HARTREE / NM_PER_BOHR)
    return found, u * KJ_PER_MOL_PER_HARTREE, gradient


def _keys(what):
    return "positions_bohr", f"{what}/u_hartree", f"{what}/du_dx_hartree_per_bohr"


@cache
def molecule(name):
    """The molecule with its bonds in the order in which espaloma saw them; a mapped SMILES does not hold that order."""
    from openff.toolkit import Molecule

    entry = MOLECULES[name]
    made = Molecule.from_mapped_smiles(entry["mapped_smiles"], allow_undefined_stereo=True).to_dict()
    by_atoms = {frozenset((bond["atom1"], bond["atom2"])): bond for bond in made["bonds"]}
    made["bonds"] = [by_atoms[frozenset(atoms)] | {"atom1": atoms[0], "atom2": atoms[1]} for atoms in entry["bonds"]]
    return Molecule.from_dict(made)
