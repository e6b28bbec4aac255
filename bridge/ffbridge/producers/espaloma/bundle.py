"""Bundles from the graphs of espaloma: the parameters that a graph neural network has written on the interaction nodes.

espaloma works in bohr, hartree, radian and elementary charges. Its energy (``espaloma.mm.energy.energy_in_graph``) is
the sum over nodes of one half of: k/2 (r - eq)² for ``n2`` and ``n3``; k (1 + cos(n φ - phase)), or
|k| (1 - cos(n φ - phase)) where k is negative, for ``n4`` and ``n4_improper``; q q'/r for ``nonbonded`` and
``onefour``, the latter times 5/6.

What becomes of it:

- ``n2``, ``n3``, ``n4`` list both directions; an interaction gets the mean of its two rows. Then gradients reach both
  nodes, one half each, as in espaloma's own energy.
- A negative k becomes |k| with the phase moved by π: the same energy, for |k| (1 - cos a) = |k| (1 + cos(a - π)), and
  the same derivative, for d|k|/dk = -1 gives -(1 - cos a). A k of exactly 0 has the derivative 0 in both.
- espaloma's dihedral has the opposite sign of the standard's (IUPAC's), so ``phases`` change theirs.
- ``coefficients`` of ``n2`` and ``n3``, which espaloma reads before k and eq, become these by its own formula, with
  1e-7 added to the divisor. Its energy of the coefficients themselves is without that, and in addition has a constant
  for each interaction, k1 k2/(k1 + k2) (b1 - b2)²/2.
- ``coefficients_urey_bradley`` of ``n3`` become the term ``urey_bradley``, exactly.
- ``n4_improper`` lists every ordering as an interaction of its own: one row each, with one half of its k.
- The Coulomb constant is the standard's: espaloma's own is 1 hartree bohr/e² within 3e-12 for CODATA 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.bundle import Bundle
from ffbridge.errors import GraphError, UnsupportedError
from ffbridge.forms import form
from ffbridge.graph import read_graph
from ffbridge.mapping import Identity
from ffbridge.table import Table
from ffbridge.term import Exceptions, Term
from ffbridge.units import COULOMB_CONSTANT, KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

from .directions import pair_directions
from .exceptions import exceptions
from .source import Source
from .terms import Interactions, angles, bonds, improper_scheme, improper_torsions, proper_torsions, urey_bradley

__all__ = ["from_espaloma"]

Array = Any

_BONDED = {
    "n2": ("bonds", bonds),
    "n3": ("angles", angles),
    "n4": ("proper_torsions", proper_torsions),
    "n4_improper": ("improper_torsions", improper_torsions),
}
"""The terms that the node types become, and what makes them."""

_CONVERSIONS = (
    "one row for each bond, angle and quartet with periodicity: the mean of the nodes of both directions",
    "linear mixtures of bonds and angles: k = k1 + k2 and eq = (k1 b1 + k2 b2)/(k + 1e-7), without the constant",
    "torsions: a negative k is its magnitude with the phase moved by pi",
    "torsions: phases have the opposite sign, as espaloma's dihedral has",
    "impropers: one row for each ordering that the graph lists, with one half of its k",
)

_BATCH = "its energy depends on the minimum over the conformers of the batch, so it is no function of positions"
_OFFSET = "a constant energy is no interaction; subtract it from the reference energies"
_REFUSED = {
    "n2": {"k3": _BATCH, "k4": _BATCH},
    "n3": {"k3": _BATCH, "k4": _BATCH, "k_bond_angle": _BATCH, "k_bond_bond": _BATCH},
    "n4": {
        "k_angle_angle": _BATCH,
        "k_angle_angle_torsion": _BATCH,
        "k_angle_torsion": _BATCH,
        "k_center_torsion": _BATCH,
        "k_side_torsion": _BATCH,
    },
    "g": {"u0": _OFFSET},
}
"""Fields that change espaloma's energy in a way that a bundle cannot express, with the reason."""


def from_espaloma(
    graph: Any,
    *,
    terms: Sequence[str] = tuple(_BONDED),
    charges: str | None = "q",
    elements: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    suffix: str = "",
    leave_out: Sequence[str] = (),
    dtype: str = "float64",
    tolerance: float = 1e-5,
) -> Bundle:
    """Return the bundle whose energy is espaloma's own for a graph with parameters, such as a model of espaloma writes.

    The tables stay in the graph's framework. Tensors that require grad keep their gradient: a loss of the bundle's
    energy reaches the network that wrote the parameters. Every table row is one interaction (mapping ``identity``).

    Args:
        graph: a DGL heterograph in espaloma's form, single or batched, or the :class:`ffbridge.Graph` of one. A batch
            becomes a bundle of several systems.
        terms: the bonded node types to convert, of ``n2``, ``n3``, ``n4``, ``n4_improper``.
        charges: the field of ``n1`` that holds the charges [e], no suffix is added; None for a bundle without
            electrostatics.
        elements: atomic numbers ``(n_atoms,)``; taken from the field ``h0`` of ``n1`` if None.
        suffix: what follows the names of parameter fields, such as ``_ref`` for espaloma's reference values.
        leave_out: fields whose energy is left out on purpose, of those that are refused otherwise: the class II
            couplings, such as ``k_bond_bond``, and ``u0``. The bundle's provenance lists those that the graph has.
        dtype: floating-point type of the tables; parameters are cast to it before units are converted.
        tolerance: how far the two directions of an interaction may differ, as a fraction of the field's largest
            magnitude.

    Raises:
        GraphError: a node type or field is missing or malformed, or an interaction is not listed in both directions.
        UnsupportedError: the graph holds what a bundle cannot express: class II couplings, whose energy in espaloma
            depends on the batch, an energy offset, directions with different parameters.
        ExchangeError: the graph's framework does not hold `dtype` now, as JAX while x64 is off.
    """
    source = Source(graph=read_graph(graph), suffix=suffix, dtype=dtype)
    left_out = _check(source, terms, leave_out)
    covalent = _covalent_bonds(source)
    found = {
        name: convert(source, tolerance=tolerance)
        for node_type, (name, convert) in _BONDED.items()
        if node_type in terms and source.graph.node_set(node_type).count
    }
    if "angles" in found and f"coefficients_urey_bradley{suffix}" in source.graph.node_set("n3").fields:
        found["urey_bradley"] = urey_bradley(source, tolerance=tolerance)
    if charges is not None:
        n_atoms = int(source.sizes.sum())
        found["electrostatics"] = Interactions("coulomb", np.arange(n_atoms)[:, None], source.parameters("n1", charges))
    settings = {"electrostatics": {"method": "no_cutoff", "coulomb_constant": COULOMB_CONSTANT}}
    return Bundle(
        system_offsets=source.indices(np.concatenate([[0], np.cumsum(source.sizes)])),
        atomic_numbers=source.indices(_atomic_numbers(source, elements)),
        terms={
            name: Term(
                form=made.form,
                indices=source.indices(made.atoms),
                table=name,
                mapping=Identity(),
                settings=settings.get(name, {}),
            )
            for name, made in found.items()
        },
        tables={name: _table(made) for name, made in found.items()},
        exceptions=None if charges is None else _exceptions(source),
        bonds=source.indices(covalent),
        provenance={
            "producer": "ffbridge.from_espaloma",
            "units": {"length": {"bohr": NM_PER_BOHR}, "energy": {"hartree": KJ_PER_MOL_PER_HARTREE}},
            "conversions": list(_CONVERSIONS),
            "impropers": improper_scheme(source, covalent) if "improper_torsions" in found else "none",
            "suffix": suffix,
            "left_out": left_out,
        },
    )


def _check(source: Source, terms: Sequence[str], leave_out: Sequence[str]) -> list[str]:
    """Return the fields that are left out on purpose; raise where the graph holds what cannot be converted."""
    unknown = sorted(set(terms) - set(_BONDED))
    if unknown:
        raise UnsupportedError(f"from_espaloma: terms has {unknown[0]!r}, expected some of: {', '.join(_BONDED)}")
    refusable = {name for fields in _REFUSED.values() for name in fields}
    unknown = sorted(set(leave_out) - refusable)
    if unknown:
        raise UnsupportedError(
            f"from_espaloma: leave_out has {unknown[0]!r}, expected some of: {', '.join(sorted(refusable))}"
        )
    left_out = []
    for node_type in sorted({*terms, "g"} & set(source.graph.nodes)):
        nodes = source.graph.nodes[node_type]
        for name, reason in _REFUSED.get(node_type, {}).items():
            field = f"{name}{source.suffix}"
            if not nodes.count or field not in nodes.fields:
                continue
            if name not in leave_out:
                raise UnsupportedError(
                    f"nodes/{node_type}/{field} cannot be converted: {reason}. Pass leave_out={(name,)!r} to do "
                    "without its energy"
                )
            left_out.append(f"{node_type}/{field}")
    return left_out


def _table(made: Interactions) -> Table:
    declared = form(made.form)
    return Table(values=made.values, columns=declared.column_names, units=declared.units)


def _covalent_bonds(source: Source) -> NDArray[np.int64]:
    atoms = source.atoms("n2", 2)
    return atoms[pair_directions(atoms, path="nodes/n2").forward]


def _exceptions(source: Source) -> Exceptions:
    pairs, kept_charge, kept_lj = exceptions(source)
    return Exceptions(
        pairs=source.indices(pairs), kept_charge=source.numbers(kept_charge), kept_lj=source.numbers(kept_lj)
    )


def _atomic_numbers(source: Source, elements: Sequence[int] | NDArray[np.integer[Any]] | None) -> NDArray[np.int64]:
    """Return the atomic numbers ``(n_atoms,)``, given or read from the graph."""
    if elements is None:
        return source.elements()
    n_atoms = int(source.sizes.sum())
    given = np.asarray(elements, dtype=np.int64)
    if given.shape != (n_atoms,):
        raise GraphError(f"elements: got shape {given.shape}, expected {(n_atoms,)}: the atomic number of each atom")
    return given
