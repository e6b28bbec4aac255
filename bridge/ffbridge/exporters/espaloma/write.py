"""From a bundle to the fields of a graph in espaloma's form: the inverse of :func:`ffbridge.from_espaloma`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.errors import BundleError, UnsupportedError
from ffbridge.graph import Graph, library_of, read_graph, write_graph
from ffbridge.producers.espaloma.source import Source
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.units import NM_PER_BOHR

from .charges import charge_field
from .rows import Rows, read_rows
from .valence import Fields, harmonic, is_proper, torsions, urey_bradley

__all__ = ["to_espaloma"]

_FORMS = ("harmonic_bond", "harmonic_angle", "urey_bradley", "periodic_torsion", "coulomb")
"""The forms of the standard that espaloma's energy has."""

_PARTS = {
    "box": "espaloma's molecules are in vacuum",
    "constraints": "espaloma has none",
}
"""Parts of a bundle that a graph has no place for, with the reason."""


def to_espaloma(
    bundle: Bundle,
    graph: Any,
    *,
    terms: Sequence[str] | None = None,
    charges: str = "q",
    suffix: str = "",
    drop_constants: bool = False,
    dtype: str | None = None,
) -> Any:
    """Return a graph in espaloma's form with the bundle's parameters: espaloma's energy of it is the bundle's.

    Written are ``k`` and ``eq`` of ``n2`` and ``n3``, ``coefficients_urey_bradley`` of ``n3``, ``k`` of ``n4`` and
    ``n4_improper`` (negative for phase π; with ``phases`` and ``periodicity`` where that does not suffice, or where the
    graph has them), and the charges of ``n1``, in hartree, bohr, radian and e, both directions alike. Shared parameters
    are written wherever they are used. Values that carry a gradient keep it, if the graph is of the same framework.

    Args:
        bundle: as many systems as the graph has molecules, with the same atoms in the same order.
        graph: a DGL heterograph in espaloma's form, single or batched (:func:`ffbridge.espaloma_graph` makes one), or a
            :class:`ffbridge.Graph`. It stays as it is.
        terms: the bundle's terms to write; all if None. The others are left out on purpose, such as Lennard-Jones
            interactions, which espaloma does not have.
        charges: the field of ``n1`` for the charges; no suffix is added.
        suffix: what follows the names of the other fields, such as ``_ref`` for espaloma's reference values.
        drop_constants: write torsions with negative k, whose energy in espaloma is larger by the constant 2|k|.
        dtype: floating-point type of the fields; the tables' own if None.

    Returns:
        A graph of the same library that shares structure and all other fields with the given one. ``coefficients`` with
        that suffix are gone from ``n2`` and ``n3`` where k and eq are written, for espaloma would read them instead.

    Raises:
        UnsupportedError: espaloma's energy has no such form, method, constant, exception or part.
        BundleError: `terms` names a term that the bundle does not have, or the atoms are not those of the graph.
        GraphError: the graph lacks nodes for interactions of the bundle, or has bonds or angles that the bundle lacks.
        ExchangeError: a value carries a gradient of another framework than the graph's.
    """
    chosen = _chosen(bundle, terms)
    source = Source(graph=read_graph(graph), suffix=suffix, dtype=dtype or _dtype(bundle, chosen))
    _check_atoms(bundle, source)
    by_form = {
        form: read_rows(bundle, names, source)
        for form in _FORMS
        if (names := [name for name in chosen if bundle.term(name).form == form])
    }
    fields: dict[str, Fields] = {node_type: {} for node_type in ("n1", "n2", "n3", "n4", "n4_improper")}
    if "harmonic_bond" in by_form:
        fields["n2"] |= harmonic(source, "n2", by_form["harmonic_bond"], length_unit=NM_PER_BOHR)
    if "harmonic_angle" in by_form:
        fields["n3"] |= harmonic(source, "n3", by_form["harmonic_angle"], length_unit=1.0)
    if "urey_bradley" in by_form:
        fields["n3"] |= urey_bradley(source, by_form["urey_bradley"])
    if "periodic_torsion" in by_form:
        _write_torsions(source, by_form["periodic_torsion"], fields, drop_constants=drop_constants)
    if "coulomb" in by_form:
        fields["n1"][charges] = charge_field(source, bundle, by_form["coulomb"])
    written = _with_fields(source.graph, fields)
    return written if isinstance(graph, Graph) else write_graph(written, library_of(graph))


def _chosen(bundle: Bundle, terms: Sequence[str] | None) -> list[str]:
    """Return the terms to write; raise where one of them, or another part of the bundle, has no place in a graph."""
    chosen = list(bundle.terms) if terms is None else list(terms)
    if not chosen:
        raise BundleError("to_espaloma: terms is empty; expected at least one term to write")
    unknown = sorted(set(chosen) - set(bundle.terms))
    if unknown:
        raise BundleError(
            f"to_espaloma: the bundle has no term {unknown[0]!r}; it has: {', '.join(sorted(bundle.terms))}"
        )
    for name in chosen:
        if bundle.term(name).form not in _FORMS:
            known = [other for other in chosen if bundle.term(other).form in _FORMS]
            raise UnsupportedError(
                f"terms/{name}: espaloma's energy has no {bundle.term(name).form!r}, only {', '.join(_FORMS)}; pass "
                f"terms={known!r} to leave its energy out"
            )
    for part, reason in _PARTS.items():
        if getattr(bundle, part) is not None:
            raise UnsupportedError(
                f"{part}: {reason}; pass dataclasses.replace(bundle, {part}=None) to leave them out on purpose"
            )
    return chosen


def _dtype(bundle: Bundle, terms: Sequence[str]) -> str:
    """Return the floating-point type that holds the tables of these terms."""
    tables = [bundle.table(bundle.term(name).table).values for name in terms]
    return str(np.result_type(*(backend_of(values).dtype(values) for values in tables)))


def _check_atoms(bundle: Bundle, source: Source) -> None:
    sizes = np.diff(snapshot(bundle.system_offsets))
    if sizes.tolist() != source.sizes.tolist():
        raise BundleError(
            f"the bundle has {len(sizes)} systems of {sizes.tolist()} atoms, and the graph {len(source.sizes)} "
            f"molecules of {source.sizes.tolist()}; expected the same (fb.separate and fb.concatenate arrange systems)"
        )
    if "h0" not in source.graph.node_set("n1").fields:
        return
    numbers, expected = snapshot(bundle.atomic_numbers), source.elements()
    if (numbers != expected).any():
        atom = int((numbers != expected).argmax())
        raise BundleError(
            f"atomic_numbers[{atom}] is {int(numbers[atom])}, and {int(expected[atom])} by the graph's field h0; "
            "expected the same molecules, with their atoms in the same order"
        )


def _write_torsions(source: Source, rows: Rows, fields: dict[str, Fields], *, drop_constants: bool) -> None:
    """Write the torsions of each term onto ``n4`` or ``n4_improper``; an OpenMM force has both in one term."""
    proper = is_proper(source, rows)
    for node_type, places in (("n4", np.flatnonzero(proper)), ("n4_improper", np.flatnonzero(~proper))):
        nodes = source.graph.nodes.get(node_type)
        # A graph whose k is not there would be no graph with parameters; the bundle says that it is 0.
        without_k = nodes is not None and nodes.count and f"k{source.suffix}" not in nodes.fields
        if len(places) or without_k:
            part = rows.take(source, places)
            fields[node_type] |= torsions(source, node_type, part, drop_constants=drop_constants)


def _with_fields(graph: Graph, fields: dict[str, Fields]) -> Graph:
    nodes = dict(graph.nodes)
    for node_type, changed in fields.items():
        if changed:
            kept = {name: field for name, field in nodes[node_type].fields.items() if name not in changed}
            added = {name: field for name, field in changed.items() if field is not None}
            nodes[node_type] = replace(nodes[node_type], fields=kept | added)
    return replace(graph, nodes=nodes, report=())
