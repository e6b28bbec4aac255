"""Bundles: everything that defines the potential energy of one or many systems, in arrays of any framework.

A bundle is a *document* (names, units, keys, settings, provenance: plain JSON) and *arrays* under path-like names
(``terms/bonds/indices``). :meth:`Bundle.document`, :meth:`Bundle.arrays` and :meth:`Bundle.from_parts` convert between
that form, which files and other tools use, and the typed one. The standard is ``spec/bundle.md``.

Producers name terms, and the table of each, ``bonds``, ``angles``, ``proper_torsions``, ``improper_torsions``,
``vdw`` and ``electrostatics``; any other name is as good to a reader, who goes by the form.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from ffbridge.backend import Array
from ffbridge.copying import Traits, received, traits, updated
from ffbridge.errors import BundleError, UnknownNameError
from ffbridge.forms import forms
from ffbridge.mapping import MAPPINGS
from ffbridge.registry import backend_of
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Constraints, Exceptions, Overrides, Term

__all__ = ["FORMAT", "VERSION", "Bundle", "Model"]

T = TypeVar("T")

FORMAT = "ffbridge-bundle"
VERSION = "1.0"

_GROUPS = {"exceptions": Exceptions, "constraints": Constraints}
_TOPOLOGY = ("system_offsets", "atomic_numbers", "masses", "bonds", "box")


@dataclass(frozen=True, eq=False)
class Model:
    """A machine-learned model that made tables of a bundle.

    Attributes:
        version: the model's version, as its authors number it.
        framework: what it runs in, such as ``torch``.
        sha256: digest over its named weights; empty if unknown.
        weights: the weights themselves by name, if the bundle carries them.
    """

    version: str
    framework: str
    sha256: str = ""
    weights: MappingABC[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Bundle:
    """One or many systems with their interactions and force-field parameters. Immutable: updates return a new bundle.

    Attributes:
        system_offsets: ``(n_systems + 1,) int32``: system s has the atoms ``system_offsets[s]:system_offsets[s + 1]``.
        atomic_numbers: ``(n_atoms,) int32``, 0 for a particle that is no atom.
        terms: interactions by name, and virtual sites, which are terms without energy.
        tables: force-field parameters by name.
        exceptions: pairs whose nonbonded interaction is scaled or left out.
        masses: ``(n_atoms,)`` [Da].
        bonds: ``(n_bonds, 2) int32``, the covalent bonds (topology, not a term).
        box: ``(n_systems, 3, 3)`` [nm], box vectors as rows.
        constraints: distances that the source holds fixed.
        system_names: one name for each system, such as its mapped SMILES.
        models: machine-learned models that made tables, by name.
        provenance: how the bundle came to be: producer, versions, force fields, conversions (any JSON).
    """

    system_offsets: Array
    atomic_numbers: Array
    terms: MappingABC[str, Term]
    tables: MappingABC[str, Table]
    exceptions: Exceptions | None = None
    masses: Array | None = None
    bonds: Array | None = None
    box: Array | None = None
    constraints: Constraints | None = None
    system_names: tuple[str, ...] | None = None
    models: MappingABC[str, Model] = field(default_factory=dict)
    provenance: MappingABC[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("terms", "tables", "models", "provenance"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def n_systems(self) -> int:
        """Number of systems."""
        return int(self.system_offsets.shape[0]) - 1

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all systems together, particles without an element included."""
        return int(self.atomic_numbers.shape[0])

    @property
    def energy_terms(self) -> dict[str, Term]:
        """The terms that have an energy: all but virtual sites."""
        return {name: term for name, term in self.terms.items() if not _places(term)}

    @property
    def virtual_sites(self) -> dict[str, Term]:
        """The terms that place particles by their parents: a row of indices is the site, then its parents."""
        return {name: term for name, term in self.terms.items() if _places(term)}

    @cached_property
    def content_hash(self) -> str:
        """The sha256 of the bundle's content, equal for equal content in any framework (spec, "Content hash")."""
        from ffbridge.hashing import content_hash

        return content_hash(self)

    def table(self, name: str) -> Table:
        """Return a table by name.

        Raises:
            UnknownNameError: the bundle has no such table.
        """
        return _lookup("table", self.tables, name)

    def term(self, name: str) -> Term:
        """Return a term by name.

        Raises:
            UnknownNameError: the bundle has no such term.
        """
        return _lookup("term", self.terms, name)

    def parameters(self, term: str, table: Array | None = None) -> Array:
        """Return the parameters of every interaction of a term, p = M θ, ``(n_terms, n_columns)`` in the table's units.

        Args:
            term: the term's name.
            table: values to use instead of the bundle's own, ``(n_params, n_columns)``; derivatives flow through them.
        """
        found = self.term(term)
        return found.mapping.apply(self.table(found.table).values if table is None else table)

    def pullback(self, term: str, cotangent: Array) -> Array:
        """Return dL/dθ = Mᵀ dL/dp, ``(n_params, n_columns)``, for a loss L.

        Args:
            term: the term's name.
            cotangent: dL/dp, ``(n_terms, n_columns)``.
        """
        found = self.term(term)
        return found.mapping.pullback(cotangent, len(self.table(found.table)))

    def replace_table(self, name: str, values: Array) -> Bundle:
        """Return a bundle with other values in one table; keys, units and mapping stay.

        Args:
            name: the table's name.
            values: ``(n_params, n_columns)`` in the table's units.

        Raises:
            BundleError: the shape differs from the table's.
        """
        table = self.table(name)
        if tuple(values.shape) != tuple(table.values.shape):
            raise BundleError(
                f"tables/{name}/values: got shape {tuple(values.shape)}, expected {tuple(table.values.shape)} "
                f"(rows are the table's parameters, columns are {', '.join(table.columns)})"
            )
        return replace(self, tables={**self.tables, name: replace(table, values=values)})

    def with_model(self, name: str, model: Model, *, tables: Iterable[str] = ()) -> Bundle:
        """Return a bundle that records a machine-learned model, and which tables it made.

        Args:
            name: the model's name; one recorded under it before is replaced.
            model: its version, framework, fingerprint (:func:`ffbridge.fingerprint`) and, if wanted, weights
                (:func:`ffbridge.named_weights`).
            tables: names of the tables whose values it made.

        Raises:
            UnknownNameError: the bundle has no such table.
        """
        made = {table: replace(self.table(table), model=name) for table in tables}
        return replace(self, tables={**self.tables, **made}, models={**self.models, name: model})

    def to(self, backend: str, *, device: Any = None, dtype: str | None = None) -> Bundle:
        """Return the bundle with its arrays in another framework, aliased where layout and alignment allow it.

        Small arrays may be copied together instead, where that is faster, as to JAX. The arrays of a bundle are
        read-only by contract: writing into them changes every alias.

        Args:
            backend: name of the backend, such as ``jax``.
            device: where the arrays go; where they are if None.
            dtype: floating-point type to cast to, such as ``float32``; integers stay as they are, and so do weights of
                models, which their fingerprint identifies.

        Raises:
            ExchangeError: an array cannot cross as asked, such as float64 into JAX while x64 is off.
        """
        from ffbridge.exchange import share
        from ffbridge.together import share_all

        if device is None and dtype is None:
            return self._with_arrays(share_all(self.arrays(), backend))

        def move(path: str, array: Array) -> Array:
            wanted = dtype if is_floating(array) and not path.startswith("models/") else None
            return share(array, backend, device=device, dtype=wanted).array

        return self._with_arrays({path: move(path, array) for path, array in self.arrays().items()})

    def snapshot(self) -> Bundle:
        """Return the bundle's present values as NumPy arrays, without gradients: what is validated, hashed and saved.

        Raises:
            ExchangeError: an array has no values, because it is being traced.
        """
        from ffbridge.snapshot import snapshot

        return self._with_arrays({path: snapshot(array) for path, array in self.arrays().items()})

    def _with_arrays(self, arrays: MappingABC[str, Array]) -> Bundle:
        """Return the bundle with others in place of all of :meth:`arrays`, each of the same shape."""
        tables = {name: updated(own, values=arrays[f"tables/{name}/values"]) for name, own in self.tables.items()}
        terms = {name: _term_with(own, f"terms/{name}", arrays) for name, own in self.terms.items()}
        models = {
            name: updated(own, weights={key: arrays[f"models/{name}/{key}"] for key in own.weights})
            for name, own in self.models.items()
        }
        groups = {name: _with_parts(own, name, arrays) for name in _GROUPS if (own := getattr(self, name)) is not None}
        topology = {name: arrays[name] for name in _TOPOLOGY if name in arrays}
        found = updated(
            self,
            **topology,
            **groups,
            terms=MappingProxyType(terms),
            tables=MappingProxyType(tables),
            models=MappingProxyType(models),
        )
        vars(found).pop("content_hash", None)
        object.__setattr__(found, "_arrays", arrays)
        return found

    def document(self) -> dict[str, Any]:
        """Return everything but the arrays, as plain JSON values."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "tables": {name: _table_document(table) for name, table in self.tables.items()},
            "terms": {name: _term_document(term) for name, term in self.terms.items()},
        }
        if self.system_names is not None:
            document["system_names"] = list(self.system_names)
        if self.models:
            document["models"] = {
                name: {"version": model.version, "framework": model.framework, "sha256": model.sha256}
                for name, model in self.models.items()
            }
        if self.provenance:
            document["provenance"] = dict(self.provenance)
        return document

    def arrays(self) -> dict[str, Array]:
        """Return every array of the bundle under its path."""
        return dict(self._arrays)

    @cached_property
    def _arrays(self) -> MappingABC[str, Array]:
        arrays = {name: getattr(self, name) for name in _TOPOLOGY if getattr(self, name) is not None}
        for name in _GROUPS:
            group = getattr(self, name)
            if group is not None:
                arrays |= {f"{name}/{part.name}": getattr(group, part.name) for part in fields(group)}
        for name, table in self.tables.items():
            arrays[f"tables/{name}/values"] = table.values
        for name, term in self.terms.items():
            arrays[f"terms/{name}/indices"] = term.indices
            arrays |= {f"terms/{name}/mapping/{key}": value for key, value in term.mapping.arrays().items()}
            if term.overrides is not None:
                arrays[f"terms/{name}/overrides/pairs"] = term.overrides.pairs
        for name, model in self.models.items():
            arrays |= {f"models/{name}/{key}": value for key, value in model.weights.items()}
        return arrays

    @classmethod
    def from_parts(cls, document: MappingABC[str, Any], arrays: MappingABC[str, Array]) -> Bundle:
        """Return the bundle that a document and its arrays describe.

        Args:
            document: as :meth:`document` returns it, valid by the standard's schema.
            arrays: as :meth:`arrays` returns them.

        Raises:
            BundleError: an array is missing or has no place in the document.
        """
        left = dict(arrays)

        def take(path: str) -> Array:
            try:
                return left.pop(path)
            except KeyError:
                raise BundleError(f"{path}: the document needs this array, and it is missing") from None

        def take_group(name: str) -> Any:
            if not any(path.startswith(f"{name}/") for path in left):
                return None
            group = _GROUPS[name]
            return group(**{part.name: take(f"{name}/{part.name}") for part in fields(group)})

        def take_mapping(path: str, kind: str) -> Any:
            mapping = MAPPINGS[kind]
            return mapping(**{part.name: take(f"{path}/{part.name}") for part in fields(mapping)})

        def take_overrides(path: str, table: str | None) -> Overrides | None:
            return None if table is None else Overrides(table=table, pairs=take(f"{path}/pairs"))

        tables = {
            name: Table(
                values=take(f"tables/{name}/values"),
                columns=tuple(entry["columns"]),
                units=tuple(entry["units"]),
                keys=tuple(ParameterKey(**key) for key in entry["keys"]) if "keys" in entry else None,
                model=entry.get("model"),
            )
            for name, entry in document["tables"].items()
        }
        terms = {
            name: Term(
                form=entry["form"],
                indices=take(f"terms/{name}/indices"),
                table=entry["table"],
                mapping=take_mapping(f"terms/{name}/mapping", entry["mapping"]),
                settings=dict(entry.get("settings", {})),
                overrides=take_overrides(f"terms/{name}/overrides", entry.get("overrides")),
            )
            for name, entry in document["terms"].items()
        }
        described = document.get("models", {})
        weights = _pop_weights(left, described)
        models = {name: Model(**entry, weights=weights[name]) for name, entry in described.items()}
        topology = {name: take(name) for name in _TOPOLOGY if name in left or name in _TOPOLOGY[:2]}
        groups = {name: take_group(name) for name in _GROUPS}
        if left:
            raise BundleError(f"{sorted(left)[0]}: the document does not mention this array")
        names = document.get("system_names")
        return cls(
            **topology,
            **groups,
            terms=terms,
            tables=tables,
            models=models,
            system_names=None if names is None else tuple(names),
            provenance=document.get("provenance", {}),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the same bundle again: in a deep copy, or in another process."""
        arrays = self.arrays()
        return _copied, (self.document(), arrays, traits(arrays))

    def __repr__(self) -> str:
        """Return one line: sizes of the bundle and of its terms."""
        terms = ", ".join(f"{name}: {len(term)} {term.form}" for name, term in self.terms.items())
        return f"Bundle({self.n_systems} systems, {self.n_atoms} atoms; {terms})"


def _copied(document: MappingABC[str, Any], arrays: MappingABC[str, Array], sent: MappingABC[str, Traits]) -> Bundle:
    return Bundle.from_parts(document, received(arrays, sent))


def is_floating(array: Array) -> bool:
    """Return whether an array of any framework is of a real floating-point type."""
    return bool(backend_of(array).namespace.isdtype(array.dtype, "real floating"))


def _term_with(term: Term, path: str, arrays: MappingABC[str, Array]) -> Term:
    """Return a term with others in place of all of its arrays."""
    found = updated(
        term,
        indices=arrays[f"{path}/indices"],
        mapping=_with_parts(term.mapping, f"{path}/mapping", arrays),
    )
    if term.overrides is None:
        return found
    return updated(found, overrides=updated(term.overrides, pairs=arrays[f"{path}/overrides/pairs"]))


def _with_parts(group: T, path: str, arrays: MappingABC[str, Array]) -> T:
    """Return a group of arrays with others in place of all of them."""
    return updated(group, **{part: arrays[f"{path}/{part}"] for part in vars(group)})


def _places(term: Term) -> bool:
    """Return whether a term's form is one of virtual sites. A form that the standard does not have is none."""
    return term.form in forms() and forms()[term.form].kind == "virtual_site"


def _lookup(what: str, named: MappingABC[str, T], name: str) -> T:
    try:
        return named[name]
    except KeyError:
        raise UnknownNameError(f"the bundle has no {what} {name!r}; it has: {', '.join(sorted(named))}") from None


def _pop_weights(arrays: dict[str, Array], models: Iterable[str]) -> dict[str, dict[str, Array]]:
    """Take the weights of models, ``models/NAME/WEIGHT``, out of a bundle's arrays, in one pass."""
    weights: dict[str, dict[str, Array]] = {name: {} for name in models}
    for path in sorted(arrays):
        group, _, place = path.partition("/")
        name, _, weight = place.partition("/")
        if group == "models" and name in weights and weight:
            weights[name][weight] = arrays.pop(path)
    return weights


def _table_document(table: Table) -> dict[str, Any]:
    entry: dict[str, Any] = {"columns": list(table.columns), "units": list(table.units)}
    if table.keys is not None:
        entry["keys"] = [_key_document(key) for key in table.keys]
    if table.model is not None:
        entry["model"] = table.model
    return entry


def _key_document(key: ParameterKey) -> dict[str, Any]:
    return {name: value for name, value in vars(key).items() if value not in ("", None)}


def _term_document(term: Term) -> dict[str, Any]:
    entry: dict[str, Any] = {"form": term.form, "table": term.table, "mapping": term.mapping.kind}
    if term.settings:
        entry["settings"] = dict(term.settings)
    if term.overrides is not None:
        entry["overrides"] = term.overrides.table
    return entry
