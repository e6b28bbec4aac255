"""Concatenation: many bundles become one ragged batch of systems, evaluated in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from ffbridge.backend import Backend
from ffbridge.bundle import Bundle, Model
from ffbridge.errors import BundleError
from ffbridge.exchange import share
from ffbridge.mapping import Identity, Linear, Select
from ffbridge.mapping import Mapping as ParameterMapping
from ffbridge.merging import Ints, MergedTable, join_reals, merge_tables
from ffbridge.merging_overrides import merge_overrides
from ffbridge.registry import backend_of
from ffbridge.snapshot import snapshot
from ffbridge.term import Overrides, Term

__all__ = ["concatenate"]

Array = Any
Group = TypeVar("Group")

_LARGEST_INDEX = np.iinfo(np.int32).max


def concatenate(bundles: Iterable[Bundle], *, share_parameters: bool = True) -> Bundle:
    """Return one bundle with the systems of all, in order; atoms are renumbered.

    Terms and tables go together by name. Rows of tables with equal keys are one force-field parameter and become one
    row, so that molecules go on sharing it; tables without keys are stacked. Real arrays are joined in their own
    framework, so gradients flow through; a merged row is that of the first bundle that has it. Terms, exceptions,
    and constraints may be missing in some bundles; masses, bonds, box and system names must be in all or
    none.

    Args:
        bundles: at least one, all in the same framework and on the same device.
        share_parameters: whether rows with equal keys become one. If not, all rows stay apart, and a table in which a
            key would stand twice loses its keys.

    Raises:
        BundleError: there are no bundles, or they do not fit together: frameworks, settings, units, dtypes or models
            differ, or a key has different values.
        ExchangeError: values have to be compared, or indices joined, and are being traced.
    """
    parts = tuple(bundles)
    if not parts:
        raise BundleError("concatenate: no bundles; give at least one")
    if len(parts) == 1:
        return parts[0]
    return _Batch(parts).joined(share_parameters)


class _Batch:
    """Bundles that are to become one: where their atoms go, and where their arrays live."""

    def __init__(self, bundles: tuple[Bundle, ...]) -> None:
        self.bundles = bundles
        self.backend, self.device = _home(bundles)
        self.starts = np.cumsum([0, *(bundle.n_atoms for bundle in bundles)])
        if self.starts[-1] > _LARGEST_INDEX:
            raise BundleError(f"concatenate: {self.starts[-1]} atoms, and indices (int32) reach {_LARGEST_INDEX}")

    def joined(self, share_parameters: bool) -> Bundle:
        tables = {
            name: merge_tables(name, having, share_parameters=share_parameters)
            for name, having in self._by_name(lambda bundle: bundle.tables).items()
        }
        terms = {
            name: self._term(name, having, tables)
            for name, having in self._by_name(lambda bundle: bundle.terms).items()
        }
        return Bundle(
            system_offsets=self._offsets(),
            atomic_numbers=self._atoms("atomic_numbers", shifted=False),
            terms=terms,
            tables={name: merged.table for name, merged in tables.items()},
            exceptions=self._group("exceptions"),
            masses=self._reals("masses"),
            bonds=self._atoms("bonds"),
            box=self._reals("box"),
            constraints=self._group("constraints"),
            system_names=self._names(),
            models=_models(self.bundles),
            provenance=_provenance(self.bundles),
        )

    def _by_name(self, get: Callable[[Bundle], Mapping[str, Group]]) -> dict[str, dict[int, Group]]:
        """Return what bundles have by that name, by the number of the bundle, in the order of first appearance."""
        found: dict[str, dict[int, Group]] = {}
        for number, bundle in enumerate(self.bundles):
            for name, item in get(bundle).items():
                found.setdefault(name, {})[number] = item
        return found

    def _place(self, array: np.ndarray[Any, Any]) -> Array:
        return share(array, self.backend, device=self.device).array

    def _offsets(self) -> Array:
        ends = [
            snapshot(bundle.system_offsets)[1:] + start
            for bundle, start in zip(self.bundles, self.starts[:-1], strict=True)
        ]
        return self._place(np.concatenate([[0], *ends]).astype(np.int32))

    def _all_or_none(self, name: str) -> bool:
        """Return whether the bundles have a part; raise if only some have it."""
        missing = [number for number, bundle in enumerate(self.bundles) if getattr(bundle, name) is None]
        if missing and len(missing) < len(self.bundles):
            raise BundleError(
                f"{name}: bundle {missing[0]} has none and others have. Give it to all, or take it from the others: "
                f"dataclasses.replace(bundle, {name}=None)"
            )
        return not missing

    def _reals(self, name: str) -> Array | None:
        if not self._all_or_none(name):
            return None
        return join_reals(name, {number: getattr(bundle, name) for number, bundle in enumerate(self.bundles)})

    def _atoms(self, name: str, *, shifted: bool = True) -> Array | None:
        if not self._all_or_none(name):
            return None
        arrays = {number: getattr(bundle, name) for number, bundle in enumerate(self.bundles)}
        return self._place(self._joined_indices(arrays, shifted=shifted))

    def _joined_indices(self, arrays: Mapping[int, Array], *, shifted: bool = True) -> Ints:
        shifts = self.starts.astype(np.int32) if shifted else np.zeros(len(self.starts), dtype=np.int32)
        return np.concatenate([snapshot(array) + shifts[number] for number, array in arrays.items()])

    def _names(self) -> tuple[str, ...] | None:
        if not self._all_or_none("system_names"):
            return None
        return tuple(name for bundle in self.bundles for name in bundle.system_names or ())

    def _group(self, name: str) -> Any:
        """Return exceptions or constraints of those bundles that have them."""
        having = {number: group for number, bundle in enumerate(self.bundles) if (group := getattr(bundle, name))}
        if not having:
            return None
        kind = type(next(iter(having.values())))
        joined = {}
        for part in fields(kind):
            arrays = {number: getattr(group, part.name) for number, group in having.items()}
            whole = part.name == "pairs"
            path = f"{name}/{part.name}"
            joined[part.name] = self._place(self._joined_indices(arrays)) if whole else join_reals(path, arrays)
        return kind(**joined)

    def _term(self, name: str, having: Mapping[int, Term], tables: Mapping[str, MergedTable]) -> Term:
        (first, reference), *others = having.items()
        for number, term in others:
            _require_like(name, first, reference, number, term)
        merged, overrides = tables[reference.table], merge_overrides(name, having, tables)
        return Term(
            form=reference.form,
            indices=self._place(self._joined_indices({number: term.indices for number, term in having.items()})),
            table=reference.table,
            mapping=self._mapping(name, having, merged),
            settings=reference.settings,
            overrides=None if overrides is None else Overrides(overrides[0], self._place(overrides[1])),
        )

    def _mapping(self, name: str, having: Mapping[int, Term], merged: MergedTable) -> ParameterMapping:
        if any(isinstance(term.mapping, Linear) for term in having.values()):
            return self._linear(name, having, merged)
        index = np.concatenate([_index(term, merged.rows[number]) for number, term in having.items()])
        identity = all(isinstance(term.mapping, Identity) for term in having.values())
        if identity and np.array_equal(index, np.arange(len(merged.table))):
            return Identity()
        return Select(index=self._place(index))

    def _linear(self, name: str, having: Mapping[int, Term], merged: MergedTable) -> Linear:
        counts, columns, weights = [np.zeros(1, dtype=np.int64)], [], {}
        dtype = self.backend.dtype(merged.table.values)
        for number, term in having.items():
            rows, mapping = merged.rows[number], term.mapping
            if isinstance(mapping, Linear):
                counts.append(np.diff(snapshot(mapping.offsets)))
                columns.append(rows[snapshot(mapping.columns)])
                weights[number] = mapping.weights
            else:
                counts.append(np.ones(len(term), dtype=np.int64))
                columns.append(_index(term, rows))
                weights[number] = self._place(np.ones(len(term), dtype=dtype))
        return Linear(
            offsets=self._place(np.cumsum(np.concatenate(counts)).astype(np.int32)),
            columns=self._place(np.concatenate(columns)),
            weights=join_reals(f"terms/{name}/mapping/weights", weights),
        )


def _index(term: Term, rows: Ints) -> Ints:
    """Return the new table row of each interaction of a term whose mapping is `identity` or `select`."""
    return rows[snapshot(term.mapping.index)] if isinstance(term.mapping, Select) else rows


def _home(bundles: tuple[Bundle, ...]) -> tuple[Backend, str]:
    """Return the one framework of all arrays, and the device of the bundles; an array that is being traced has none."""
    backend = backend_of(bundles[0].system_offsets)
    device = backend.device(bundles[0].system_offsets)
    for number, bundle in enumerate(bundles):
        for path, array in bundle.arrays().items():
            found = backend_of(array)
            where = found.device(array) if path == "system_offsets" else device
            if found is not backend or where != device:
                raise BundleError(
                    f"{path} of bundle {number} is in {found.name} on {where}, the first bundle is in {backend.name} "
                    f'on {device}. Bring all to one place: bundle.to("{backend.name}", device="{device}")'
                )
    return backend, device


def _require_like(name: str, first: int, reference: Term, number: int, term: Term) -> None:
    for part in ("form", "table"):
        ours, theirs = getattr(reference, part), getattr(term, part)
        if ours != theirs:
            raise BundleError(
                f"terms/{name}/{part}: bundle {first} has {ours!r}, bundle {number} has {theirs!r}; rename a term"
            )
    for setting in sorted({*reference.settings, *term.settings}):
        ours, theirs = reference.settings.get(setting), term.settings.get(setting)
        if ours != theirs:
            raise BundleError(
                f"terms/{name}/settings/{setting}: bundle {first} has {ours!r}, bundle {number} has {theirs!r}; one "
                "batch is evaluated in one way: make the settings equal, or keep the bundles apart"
            )


def _models(bundles: tuple[Bundle, ...]) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for number, bundle in enumerate(bundles):
        for name, model in bundle.models.items():
            known = models.setdefault(name, model)
            for part in ("sha256", "version", "framework"):
                ours, theirs = getattr(known, part), getattr(model, part)
                if ours != theirs:
                    raise BundleError(
                        f"models/{name}/{part}: bundle {number} has {theirs!r}, an earlier bundle has {ours!r}: these "
                        "are two models; give them different names"
                    )
            if not known.weights:
                models[name] = model
    return models


def _provenance(bundles: tuple[Bundle, ...]) -> dict[str, Any]:
    """Return where the systems of a batch come from: ranges of systems, neighbours of equal provenance together."""
    entries: list[dict[str, Any]] = []
    stop = 0
    for bundle in bundles:
        start, stop = stop, stop + bundle.n_systems
        provenance = dict(bundle.provenance)
        if entries and entries[-1]["provenance"] == provenance:
            entries[-1]["systems"] = [entries[-1]["systems"][0], stop]
        else:
            entries.append({"systems": [start, stop], "provenance": provenance})
    return {"concatenated": entries} if any(entry["provenance"] for entry in entries) else {}
