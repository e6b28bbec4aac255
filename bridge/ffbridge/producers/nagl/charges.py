"""NAGL's charges as tensors that its weights have gradients through.

NAGL's own ``GNNModel.compute_property`` gives NumPy arrays, or fails where it is asked for tensors (0.5.5), and reads
its features anew for every call. Here the features are read once, the network runs on all molecules at once, and its
output stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle, Model
from ffbridge.errors import BundleError, MissingDependencyError, UnsupportedError
from ffbridge.exchange import share
from ffbridge.fingerprint import fingerprint
from ffbridge.forms import form
from ffbridge.mapping import Identity, Select
from ffbridge.producers.molecules import read_systems, type_name
from ffbridge.producers.openff.nagl import MODEL_FRAMEWORK, nagl_model, split_model_file
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.table import Table

from .fragments import Fragments, distinct_molecules, read_fragments

__all__ = ["DEFAULT_MODEL", "NaglCharges", "nagl_charges"]

Tensor = Any
Indices = NDArray[np.int64]

DEFAULT_MODEL = "openff-gnn-am1bcc-1.0.0.pt"
"""The model that OpenFF 2.3.0 takes its charges from."""

_UNNAMED = "nagl"


@dataclass(frozen=True, eq=False)
class NaglCharges:
    """The charges of molecules as a function of the weights of a NAGL model; :func:`nagl_charges` makes it.

    Attributes:
        model: the ``openff.nagl.GNNModel``.
        name: its name in a bundle.
        version: its version; empty if it is not known.
        topologies: the molecules, one OpenFF topology for each system.
        rows: ``(n_atoms,)``, the row of each atom: equal molecules of a topology share theirs.
        readout: name of the model's readout that gives the charges.
        fragments: features, and charges of a lookup table.
        owner: ``(n_rows,)``, the molecule of each row.
        totals: ``(n_molecules,)``, the total charge of each [e].
        frozen: whether the charges are plain numbers.
        dtype: floating-point type of the charges.
    """

    model: Any
    name: str
    version: str
    topologies: tuple[Any, ...]
    rows: Indices
    readout: str
    fragments: Fragments
    owner: Indices
    totals: NDArray[np.float64]
    frozen: bool
    dtype: str

    def values(self) -> Tensor:
        """Return the charges for the weights as they are now, a tensor ``(n_rows, 1)`` [e].

        As the OpenFF toolkit does, what a molecule's charges lack of its total charge is spread over its atoms evenly;
        it is the rounding of single precision.
        """
        import torch

        with torch.no_grad() if self.frozen else nullcontext():
            weight = next(self.model.parameters())
            found = [share(self.fragments.known, "torch", device=str(weight.device), dtype=self.dtype).array]
            if self.fragments.graph is not None:
                made = self.model.forward(self.fragments.graph)[self.readout].reshape(-1)
                found.insert(0, share(made, "torch", dtype=self.dtype).array)
            charges = torch.cat(found)
            order, owner = (torch.from_numpy(rows).to(charges.device) for rows in (self.fragments.order, self.owner))
            charges = charges[order]
            missing = torch.from_numpy(self.totals).to(charges).index_add(0, owner, charges, alpha=-1)
            return (charges + (missing / torch.bincount(owner))[owner])[:, None]

    def into(self, bundle: Bundle) -> Bundle:
        """Return a bundle with these charges in place of its own, and the model recorded.

        Its Coulomb term gets a table of one row for each atom, or for each atom of its distinct molecules; settings and
        exceptions stay. ``values()`` is the table for any other weights::

            charges = fb.nagl_charges(molecules, model)
            U = fb.potential(charges.into(bundle), engine="jax", host="torch")
            U(x, {"electrostatics": charges.values()})

        Raises:
            BundleError: the bundle has no Coulomb term, or more than one, or other atoms.
        """
        names = [name for name, term in bundle.terms.items() if term.form == "coulomb"]
        if len(names) != 1:
            raise BundleError(f"NaglCharges.into: expected a bundle with one coulomb term, got {len(names)}")
        self._check_atoms(bundle)
        term = bundle.term(names[0])
        atoms = snapshot(term.indices)[:, 0]
        rows = self.rows[atoms]
        index = share(rows.astype(np.int32), backend_of(term.indices), device=_device(term.indices)).array
        mapping = Identity() if np.array_equal(rows, np.arange(len(self.owner))) else Select(index)
        used = {other.table for name, other in bundle.terms.items() if name != names[0]}
        tables = {name: table for name, table in bundle.tables.items() if name != term.table or name in used}
        table = names[0]
        declared = form("coulomb")
        tables[table] = Table(values=self.values(), columns=declared.column_names, units=declared.units)
        changed = replace(
            bundle, terms={**bundle.terms, names[0]: replace(term, table=table, mapping=mapping)}, tables=tables
        )
        model = Model(version=self.version, framework=MODEL_FRAMEWORK, sha256=fingerprint(self.model))
        return changed.with_model(self.name, model, tables=[table])

    def _check_atoms(self, bundle: Bundle) -> None:
        expected = np.array([atom.atomic_number for topology in self.topologies for atom in topology.atoms])
        numbers = snapshot(bundle.atomic_numbers)
        if len(numbers) != len(expected):
            raise BundleError(
                f"NaglCharges.into: the bundle has {len(numbers)} atoms, and the molecules {len(expected)}; expected "
                "the same atoms in the same order"
            )
        if (numbers != expected).any():
            atom = int((numbers != expected).argmax())
            raise BundleError(
                f"NaglCharges.into: atomic_numbers[{atom}] is {int(numbers[atom])} in the bundle, and "
                f"{int(expected[atom])} in the molecules; expected the same atoms in the same order"
            )


def nagl_charges(
    molecules: Any | Sequence[Any],
    model: Any = None,
    *,
    readout: str | None = None,
    lookup_table: bool = True,
    check_domain: bool = True,
    dtype: str = "float64",
) -> NaglCharges:
    """Return NAGL's charges of molecules as a function of the model's weights, features computed once.

    With a model of yours, ``values()`` has gradients to its weights, as far as they require any. Without one, or with
    the name of a published one, the charges are plain numbers.

    Args:
        molecules: an OpenFF ``Molecule``, a sequence of them (one system each), or a ``Topology`` (one system).
        model: an ``openff.nagl.GNNModel``, the file name of one that the package openff-nagl-models has, or None for
            ``openff-gnn-am1bcc-1.0.0.pt``.
        readout: name of the model's readout that gives charges; may be None if it has one only.
        lookup_table: take the charges of molecules that the model's lookup table has from there, as NAGL does. No
            gradient goes through those.
        check_domain: refuse molecules outside the chemical domain that the model states.
        dtype: floating-point type of the charges. The network runs in single precision.

    Raises:
        MissingDependencyError: openff-nagl or DGL is not installed.
        UnsupportedError: a molecule is outside the model's domain, or is in the lookup table although gradients are
            wanted; the model has several readouts, or is none.
    """
    name, version, network = _network(model)
    readout = _readout(network, readout)
    frozen = model is None or isinstance(model, str)
    topologies = read_systems(molecules, caller="nagl_charges")
    distinct: list[Any] = []
    rows: list[Indices] = []
    n_rows = 0
    for topology in topologies:
        own, places = distinct_molecules(topology)
        rows.append(places + n_rows)
        distinct += own
        n_rows += sum(molecule.n_atoms for molecule in own)
    found = read_fragments(network, distinct, readout=readout, lookup_table=lookup_table, check_domain=check_domain)
    trained = not frozen and any(weight.requires_grad for weight in network.parameters())
    if trained and len(found.known):
        raise UnsupportedError(
            f"nagl_charges: {len(found.known)} of the charges are of the model's lookup table, and no gradient goes "
            "from them to its weights; pass lookup_table=False to have them of the network"
        )
    return NaglCharges(
        model=network,
        name=name,
        version=version,
        topologies=tuple(topologies),
        rows=np.concatenate(rows),
        readout=readout,
        fragments=found,
        owner=np.repeat(np.arange(len(distinct)), [molecule.n_atoms for molecule in distinct]),
        totals=np.array([molecule.total_charge.m_as("e") for molecule in distinct], dtype=np.float64),
        frozen=frozen,
        dtype=dtype,
    )


def _network(model: Any) -> tuple[str, str, Any]:
    """Return name, version and the model."""
    try:
        from openff.nagl import GNNModel
    except ImportError as error:
        raise MissingDependencyError(
            f"NAGL cannot be imported ({error}); pip install 'ffbridge[openff,dgl]', or take openff-nagl of conda-forge"
        ) from error
    if isinstance(model, GNNModel):
        return _UNNAMED, "", model
    if model is not None and not isinstance(model, str):
        raise UnsupportedError(
            f"nagl_charges: got a model of type {type_name(model)}, expected an openff.nagl.GNNModel, or the file name "
            "of a published one"
        )
    file = DEFAULT_MODEL if model is None else model
    try:
        return *split_model_file(file), nagl_model(file)
    except (OSError, ValueError) as error:
        raise UnsupportedError(f"nagl_charges: the NAGL model {file!r} cannot be read: {error}") from error


def _readout(model: Any, wanted: str | None) -> str:
    known = [str(name) for name in model.readout_modules]
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted is None or wanted not in known:
        raise UnsupportedError(f"nagl_charges: readout={wanted!r}, expected one of the model's: {', '.join(known)}")
    return wanted


def _device(array: Any) -> str:
    return backend_of(array).device(array)
