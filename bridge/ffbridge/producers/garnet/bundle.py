"""Bundles of the parameters that Garnet's graph neural network makes.

Conventions, as Garnet's own OpenMM System has them:

- bonds and angles k/2 (x - x0)²; torsions k (1 + cos(n φ - phase)) with six periodicities for proper torsions and two
  for improper ones, phase 0 for odd and π for even periodicities, k of either sign;
- van der Waals interactions are double exponential, r_min = 2^(1/6) (σ₁ + σ₂)/2, ε = √(ε₁ε₂), nothing within three
  bonds; charges interact in full beyond three bonds, and with a fraction that the model states across three;
- its files, and so its Systems, hold numbers of four decimals. A bundle has them as the network gives them.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle, Model
from ffbridge.errors import MissingDependencyError, UnsupportedError
from ffbridge.exchange import share
from ffbridge.fingerprint import fingerprint
from ffbridge.forms import form
from ffbridge.mapping import Identity, Mapping, Select
from ffbridge.producers.molecules import join_systems, read_systems, type_name
from ffbridge.producers.openff.topology import Atoms, read_topology
from ffbridge.table import Table
from ffbridge.term import Exceptions, Term
from ffbridge.units import COULOMB_CONSTANT

from .copies import Copies, read_copies
from .graphs import Graphs, read_graphs
from .impropers import atom_types, entries, quartets
from .network import Parameters, evaluate

__all__ = ["from_garnet"]

Tensor = Any
Indices = NDArray[np.int64]

_MODEL = "garnet"
_R_MIN_PER_SIGMA = 2 ** (1 / 6)

_CONVERSIONS = (
    "numbers as the network gives them; Garnet's own files have four decimals",
    "van der Waals: r_min = 2^(1/6) sigma",
    "improper torsions: the atoms in the order in which OpenMM lists them for Garnet's files, the center third",
)


@dataclass(frozen=True, eq=False)
class _Interactions:
    """A term: atoms ``(n_terms, arity)`` of the bundle, the row of each, and the table ``(n_params, n_columns)``."""

    form: str
    atoms: Indices
    rows: Indices
    values: Tensor


def from_garnet(molecules: Any | Sequence[Any], model: Any = None, *, dtype: str = "float64") -> Bundle:
    """Return the bundle of Garnet's force field for molecules, with PyTorch tensors as tables.

    With a model, the tables are functions of its weights: a loss of the bundle's energy has gradients to them, as far
    as they require any and automatic differentiation is on. Without one, the pretrained model of the package makes
    plain numbers. Interactions of equal molecules in one topology share rows (mapping ``select``); otherwise every row
    is one interaction (``identity``).

    Garnet's own files and OpenMM Systems have the same parameters, rounded to four decimals: energies of small
    molecules differ by some 0.1 kJ/mol.

    Args:
        molecules: an OpenFF ``Molecule`` (one system), a sequence of them (one system each), or an OpenFF ``Topology``
            without a box (one system of all its molecules).
        model: a ``garnetff.Model``, such as ``garnetff.garnet``, the pretrained one; None for that without gradients.
        dtype: floating-point type of the tables. The network runs in the type of its weights.

    Raises:
        MissingDependencyError: garnetff, or a package that it needs, is not installed.
        UnsupportedError: the molecules are of another kind, periodic, or have elements or charges that Garnet does not
            know.
    """
    garnet = _package()
    import torch

    if not isinstance(model, garnet.Model | None):
        raise UnsupportedError(f"from_garnet: got a model of type {type_name(model)}, expected a garnetff.Model")
    topologies = _topologies(molecules)
    with torch.no_grad() if model is None else nullcontext():
        used = garnet.garnet if model is None else model
        graphs = read_graphs(used, topologies)
        systems = [_atoms(garnet, topology) for topology in topologies]
        found = _terms(garnet, graphs, systems, evaluate(garnet, used, graphs))
    return _assemble(garnet, used, systems, found, dtype)


def _atoms(garnet: Any, topology: Any) -> Atoms:
    """Return the atoms of a topology, with Garnet's masses."""
    found = read_topology(topology)
    masses = [garnet.atomic_masses[garnet.element_indices[number]] for number in found.atomic_numbers.tolist()]
    return replace(found, masses=np.array(masses))


def _package() -> Any:
    try:
        # OpenMM and igraph, which it imports, are no dependencies by its own account.
        return importlib.import_module("garnetff.garnetff")
    except ImportError as error:
        raise MissingDependencyError(
            f"from_garnet needs garnetff and what it imports ({error}); pip install 'ffbridge[garnet]'"
        ) from error


def _topologies(molecules: Any | Sequence[Any]) -> list[Any]:
    """Return one OpenFF topology for each system."""
    found = read_systems(molecules, caller="from_garnet")
    if any(topology.box_vectors is not None for topology in found):
        raise UnsupportedError(
            "from_garnet: the topology has a box, and Garnet leaves the method for periodic systems to its user; set "
            "topology.box_vectors = None for a system in vacuum"
        )
    return found


def _terms(garnet: Any, graphs: Graphs, systems: Sequence[Atoms], parameters: Parameters) -> dict[str, _Interactions]:
    """Return the interactions of the bundle by the name of their term."""
    copies = read_copies(graphs, [np.diff(atoms.molecule_offsets).tolist() for atoms in systems])
    found = {}
    for name, path, form_name in (("bonds", "bond", "harmonic_bond"), ("angles", "angle", "harmonic_angle")):
        found[name] = _Interactions(form_name, *copies.spread(graphs.paths[path]), getattr(parameters, name))
    found["proper_torsions"] = _torsions(garnet, *copies.spread(graphs.paths["proper"]), parameters.propers)
    if len(graphs.paths["improper"]):
        found["improper_torsions"] = _impropers(garnet, graphs, copies, systems, parameters)
    originals = np.concatenate(graphs.atoms)
    every = np.arange(len(originals))[:, None]
    vdw = _columns(parameters.sigma * _R_MIN_PER_SIGMA, parameters.epsilon)
    found["vdw"] = _Interactions("double_exponential", every, originals, vdw)
    found["electrostatics"] = _Interactions("coulomb", every, originals, parameters.charge[:, None])
    return {name: made for name, made in found.items() if len(made.atoms)}


def _columns(*columns: Tensor) -> Tensor:
    import torch

    return torch.stack(columns, dim=1)


def _torsions(garnet: Any, atoms: Indices, rows: Indices, k: Tensor) -> _Interactions:
    """Return torsions with a row for each quartet and periodicity, from k ``(n_params, n_periodicities)``."""
    n = k.shape[1]
    phases, periodicities = (
        k.new_tensor(values[:n]).expand(len(k), n).reshape(-1)
        for values in (garnet.torsion_phases, garnet.torsion_periodicities)
    )
    return _Interactions(
        form="periodic_torsion",
        atoms=np.repeat(atoms, n, axis=0),
        rows=(rows[:, None] * n + np.arange(n)).reshape(-1),
        values=_columns(k.reshape(-1), phases, periodicities),
    )


def _impropers(
    garnet: Any, graphs: Graphs, copies: Copies, systems: Sequence[Atoms], parameters: Parameters
) -> _Interactions:
    values = _columns(parameters.charge, parameters.sigma, parameters.epsilon).detach()
    types = np.empty(len(values), dtype=np.int64)
    for data, start, end in zip(graphs.data, graphs.starts[:-1], graphs.starts[1:], strict=True):
        # Types of one system are no types of another.
        types[start:end] = start + atom_types(garnet, data, values[start:end])
    paths = graphs.paths["improper"]
    taken = entries(types[paths])
    stars, rows = copies.spread(paths)
    elements, masses = (
        np.concatenate([getattr(atoms, name) for atoms in systems]) for name in ("atomic_numbers", "masses")
    )
    wanted = types[paths[taken[rows], 1:]]
    listed = quartets(stars, types[np.concatenate(graphs.atoms)], wanted, elements, masses)
    used, place = np.unique(taken, return_inverse=True)
    return _torsions(garnet, listed, place[rows], parameters.impropers[used])


def _assemble(garnet: Any, model: Any, systems: Sequence[Atoms], found: dict[str, _Interactions], dtype: str) -> Bundle:
    device = str(next(model.parameters()).device)

    def own(array: NDArray[Any], kind: str = "int32") -> Tensor:
        return share(array.astype(kind), "torch", device=device).array

    joined = join_systems(systems)
    return Bundle(
        system_offsets=own(joined.offsets),
        atomic_numbers=own(joined.atomic_numbers),
        masses=own(joined.masses, dtype),
        bonds=own(joined.bonds),
        terms={
            name: Term(
                form=made.form,
                indices=own(made.atoms),
                table=name,
                mapping=_mapping(made, own(made.rows)),
                settings=_settings(model).get(name, {}),
            )
            for name, made in found.items()
        },
        tables={name: _table(made, dtype) for name, made in found.items()},
        exceptions=Exceptions(
            pairs=own(joined.pairs),
            kept_charge=own(np.where(joined.separations == 3, float(model.weight_14_coul), 0.0), dtype),
            kept_lj=own(np.zeros(len(joined.pairs)), dtype),
        ),
        system_names=joined.names,
        models={_MODEL: Model(version=_version(garnet, model), framework="torch", sha256=fingerprint(model))},
        provenance=_provenance(garnet),
    )


def _mapping(made: _Interactions, rows: Tensor) -> Mapping:
    n_params = len(made.values)
    return Identity() if np.array_equal(made.rows, np.arange(n_params)) else Select(rows)


def _table(made: _Interactions, dtype: str) -> Table:
    declared = form(made.form)
    values = share(made.values, "torch", dtype=dtype).array
    return Table(values=values, columns=declared.column_names, units=declared.units, model=_MODEL)


def _settings(model: Any) -> dict[str, dict[str, Any]]:
    return {
        "vdw": {
            "method": "no_cutoff",
            "mixing_rule": "lorentz_berthelot",
            "repulsion_exponent": float(model.dexp_alpha),
            "attraction_exponent": float(model.dexp_beta),
        },
        "electrostatics": {"method": "no_cutoff", "coulomb_constant": COULOMB_CONSTANT},
    }


def _version(garnet: Any, model: Any) -> str:
    """Return the version of the pretrained model by its file name, ``v_0_1_0.pt``; empty for any other model."""
    if model is not garnet.garnet:
        return ""
    name: str = garnet.model_version
    return name.removeprefix("v_").removesuffix(".pt").replace("_", ".")


def _provenance(garnet: Any) -> dict[str, Any]:
    import openff.toolkit

    return {
        "producer": "ffbridge.from_garnet",
        "versions": {"garnetff": garnet.pkg_version, "openff-toolkit": openff.toolkit.__version__},
        "conversions": list(_CONVERSIONS),
    }
