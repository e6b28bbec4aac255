"""Charges of an Interchange: sums of what the sections of a force field give to each atom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.forms import form
from ffbridge.mapping import Linear, Mapping, Select
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Term
from ffbridge.units import COULOMB_CONSTANT

from .nonbonded import kind_of, per_atom
from .parameters import PER_MOLECULE, Parameters, magnitudes
from .virtual_sites import Sites

__all__ = ["electrostatics_term"]

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


def electrostatics_term(
    collection: Any,
    parameters: Parameters,
    molecule_offsets: Indices,
    sites: Sites,
    *,
    periodic: bool,
    tolerance: float,
) -> tuple[Term, Table]:
    """Return the Coulomb term and its table: charges, and the charge increments that are added to them.

    An increment of a virtual site is added to one of its parents and taken from the site.

    Args:
        collection: the collection ``Electrostatics``.
        parameters: what it holds.
        molecule_offsets: ``(n_molecules + 1,)``, the first atom of each molecule.
        sites: the virtual sites.
        periodic: whether the Interchange has a box.
        tolerance: error tolerance for PME.

    Raises:
        BundleError: an atom has no charge.
        UnsupportedError: a method that the standard does not have; a parameter that is neither charge nor increment.
    """
    settings = {**_coulomb_method(collection, periodic, tolerance), "coulomb_constant": COULOMB_CONSTANT}
    rows = _rows(parameters, molecule_offsets)
    declared = form("coulomb")
    table = Table(values=rows.values[:, None], columns=declared.column_names, units=declared.units, keys=rows.keys)
    particles, columns, weights = _entries(parameters, rows, sites.orientations)
    counts = np.bincount(particles, minlength=len(sites.parents))
    if (missing := counts == 0).any():
        raise BundleError(
            f"collection {parameters.where!r}: atom {int(missing.argmax())} has 0 parameters, expected at least one"
        )
    order = np.argsort(particles, kind="stable")
    mapping: Mapping = Select(columns[order].astype(np.int32))
    if (counts != 1).any() or (weights != 1).any():
        mapping = Linear(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            columns=columns[order].astype(np.int32),
            weights=weights[order],
        )
    return per_atom("coulomb", "electrostatics", len(sites.parents), mapping, settings), table


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of the table. A parameter has one row, but that of a virtual site one for each increment.

    Attributes:
        values: ``(n_rows,)`` [e].
        keys: key of each row.
        first: ``(n_params,)``, the first row of each parameter.
        counts: ``(n_params,)``, how many rows it has.
        shared: ``(n_params,)``, whether its rows are increments of a virtual site.
    """

    values: Floats
    keys: tuple[ParameterKey, ...]
    first: Indices
    counts: Indices
    shared: NDArray[np.bool_]


def _rows(parameters: Parameters, molecule_offsets: Indices) -> _Rows:
    quantities: list[Any] = []
    keys: list[ParameterKey] = []
    counts, shared = [], []
    for key, values in zip(_with_atoms(parameters, molecule_offsets), parameters.values, strict=True):
        found = values.keys() & {"charge", "charge_increment", "charge_increments"}
        if len(values) != 1 or not found:
            raise UnsupportedError(
                f"collection {parameters.where!r}: the parameter {key.pattern!r} of {key.handler!r} states "
                f"{', '.join(sorted(values))}; expected a charge, a charge_increment or charge_increments"
            )
        stated = values[found.pop()]
        several = bool(np.ndim(getattr(stated, "m", stated)))
        each = list(stated) if several else [stated]
        quantities += each
        keys += [replace(key, index=number) for number in range(len(each))] if several else [key]
        counts.append(len(each))
        shared.append(several)
    number = np.array(counts, dtype=np.int64)
    return _Rows(magnitudes(quantities, "e"), tuple(keys), np.cumsum(number) - number, number, np.array(shared))


def _entries(
    parameters: Parameters, rows: _Rows, orientations: dict[int, tuple[int, ...]]
) -> tuple[Indices, Indices, Floats]:
    """Return particle, row and weight of everything that is summed up to charges."""
    index = parameters.index
    plain = ~rows.shared[index]
    particles, columns = [parameters.atoms[plain, 0].astype(np.int64)], [rows.first[index[plain]]]
    weights = [np.ones(int(plain.sum()))]
    for interaction in np.flatnonzero(~plain).tolist():
        site, row = int(parameters.atoms[interaction, 0]), index[interaction]
        increments = rows.first[row] + np.arange(rows.counts[row])
        given_to = np.array(orientations[site][: len(increments)], dtype=np.int64)
        particles += [np.full(len(increments), site), given_to]
        columns += [increments, increments]
        weights += [np.full(len(increments), -1.0), np.ones(len(increments))]
    return np.concatenate(particles), np.concatenate(columns), np.concatenate(weights)


def _with_atoms(parameters: Parameters, molecule_offsets: Indices) -> tuple[ParameterKey, ...]:
    """Return the keys, with the atom of its mapped SMILES as the index of a preset charge.

    For preset charges Interchange numbers the atoms as the molecule that brought the charges does, and writes the
    SMILES of the molecule in the topology. The first use of each is in the molecule whose SMILES that is.
    """
    _, first = np.unique(parameters.index, return_index=True)
    atoms = parameters.atoms[first, 0]
    local = atoms - molecule_offsets[np.searchsorted(molecule_offsets, atoms, side="right") - 1]
    return tuple(
        replace(key, index=int(atom)) if key.handler in PER_MOLECULE else key
        for key, atom in zip(parameters.keys, local, strict=True)
    )


def _coulomb_method(collection: Any, periodic: bool, tolerance: float) -> dict[str, Any]:
    method = collection.periodic_potential if periodic else collection.nonperiodic_potential
    cutoff = float(collection.cutoff.m_as("nm"))
    if method in ("Coulomb", "no-cutoff") and not periodic:
        return {"method": "no_cutoff"}
    if method == "Ewald3D-ConductingBoundary" and periodic:
        return {"method": "pme", "cutoff": cutoff, "tolerance": tolerance}
    if method == "cutoff":
        return {"method": "cutoff", "cutoff": cutoff, "periodic": periodic}
    detail = "; an Interchange does not state the dielectric constant" if method == "reaction-field" else ""
    raise UnsupportedError(
        f"collection 'Electrostatics': method {method!r} for a {kind_of(periodic)} system is none of Coulomb (not "
        f"periodic), Ewald3D-ConductingBoundary (periodic), cutoff{detail}"
    )
