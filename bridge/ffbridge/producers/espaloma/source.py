"""What the conversion of an espaloma graph reads from it: checked fields, atoms numbered over the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Backend
from ffbridge.errors import ExchangeError, GraphError
from ffbridge.exchange import share
from ffbridge.graph import Graph
from ffbridge.registry import backend_of

from .atom_features import N_ELEMENTS

__all__ = ["Source"]

Array = Any
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Source:
    """A graph in espaloma's form.

    Attributes:
        graph: the graph.
        suffix: what follows the names of parameter fields: empty for a model's own, ``_ref`` for reference values.
        dtype: floating-point type to which parameters are cast.
    """

    graph: Graph
    suffix: str
    dtype: str

    @cached_property
    def backend(self) -> Backend:
        """The framework of the graph's arrays."""
        return backend_of(self.graph.node_set("n1").batch_sizes)

    @cached_property
    def device(self) -> str:
        """Where the graph's arrays are."""
        return self.backend.device(self.graph.node_field("n1", "idxs"))

    @cached_property
    def sizes(self) -> Indices:
        """Number of atoms of every molecule, ``(n_systems,)``."""
        return self.host(self.graph.node_set("n1").batch_sizes)

    @cached_property
    def starts(self) -> Indices:
        """First atom of every molecule, ``(n_systems,)``."""
        return np.cumsum(self.sizes) - self.sizes

    def host(self, array: Array) -> Indices:
        """Return an integer array as NumPy's int64."""
        return np.asarray(self.on_host(array), dtype=np.int64)

    def on_host(self, array: Array) -> NDArray[Any]:
        """Return an array as NumPy's."""
        return np.asarray(share(array, "numpy", device="cpu").array)

    def indices(self, array: NDArray[Any]) -> Array:
        """Return indices as int32 in the graph's framework, where its arrays are."""
        return self._own(array.astype(np.int32))

    def numbers(self, array: NDArray[Any]) -> Array:
        """Return floating-point numbers in the graph's framework, in the dtype of the tables."""
        return self._own(array.astype(self.dtype))

    def _own(self, array: NDArray[Any]) -> Array:
        return share(array, self.backend, device=self.device).array

    def atoms(self, node_type: str, arity: int) -> Indices:
        """Return the atoms of the nodes of a type, numbered over the whole batch: ``(n_nodes, arity)``.

        Raises:
            GraphError: there is no field ``idxs``, or it has another shape, or holds something else than atoms of the
                node's own molecule.
        """
        nodes = self.graph.node_set(node_type)
        if "idxs" not in nodes.fields:
            raise GraphError(
                f"nodes/{node_type} has no field 'idxs', the atoms of each node; fb.espaloma_graph(molecule) writes it"
            )
        if not nodes.count:
            # espaloma leaves an empty field floating point, and not always two-dimensional.
            return np.empty((0, arity), dtype=np.int64)
        field = nodes.fields["idxs"]
        if tuple(field.shape) != (nodes.count, arity):
            raise GraphError(
                f"nodes/{node_type}/idxs: got shape {tuple(field.shape)}, expected {(nodes.count, arity)}: "
                f"the {arity} atoms of each node"
            )
        if not self.backend.namespace.isdtype(field.dtype, "integral"):
            raise GraphError(f"nodes/{node_type}/idxs: got {self.backend.dtype(field)}, expected integers")
        local = self.host(field)
        molecule = np.repeat(np.arange(len(self.sizes)), self.host(nodes.batch_sizes))
        wrong = ((local < 0) | (local >= self.sizes[molecule][:, None])).any(axis=1)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise GraphError(
                f"nodes/{node_type}/idxs[{row}] is {local[row].tolist()}; expected atoms of a molecule that has "
                f"{int(self.sizes[molecule[row]])} of them, counted from 0 within the molecule"
            )
        return np.asarray(local + self.starts[molecule][:, None])

    def elements(self) -> Indices:
        """Return the atomic numbers ``(n_atoms,)``, which the first columns of ``h0`` tell.

        Raises:
            GraphError: the graph has no such field, or another meaning of its columns.
        """
        if "h0" not in self.graph.node_set("n1").fields:
            raise GraphError(
                "nodes/n1 has no field 'h0' that would tell the elements; pass elements=, the atomic numbers"
            )
        columns = self.on_host(self.graph.node_field("n1", "h0"))[:, :N_ELEMENTS]
        if ((columns != 0).sum(axis=1) != 1).any() or (columns.sum(axis=1) != 1).any():
            raise GraphError(
                f"nodes/n1/h0: expected exactly one 1 among the first {N_ELEMENTS} columns, at the atomic number, as "
                "espaloma's own features have; pass elements=, the atomic numbers"
            )
        return np.asarray(columns.argmax(axis=1), dtype=np.int64)

    def parameters(self, node_type: str, name: str, *, columns: int | None = 1) -> Array:
        """Return a field of parameters, cast, ``(n_nodes, n_columns)``; a gradient goes on through the cast.

        Args:
            node_type: the type of the nodes.
            name: the field's name, suffix included.
            columns: how many columns are expected; any number if None.

        Raises:
            GraphError: the field is missing, not floating point, of another shape, or not finite.
            ExchangeError: the graph's framework does not hold the dtype now.
        """
        xp = self.backend.namespace
        path = f"nodes/{node_type}/{name}"
        nodes = self.graph.node_set(node_type)
        if name not in nodes.fields:
            raise GraphError(
                f"{path}: the graph has no such parameters, only {', '.join(sorted(nodes.fields)) or 'no field'}; "
                f"run the model on it first, or leave {node_type!r} out of what is converted"
            )
        field, count = nodes.fields[name], nodes.count
        if not xp.isdtype(field.dtype, "real floating"):
            raise GraphError(f"{path}: got {self.backend.dtype(field)}, expected a floating-point type")
        if tuple(field.shape) == (count,):
            field = field[:, None]
        shape = tuple(field.shape)
        if len(shape) != 2 or shape[0] != count or columns not in (None, shape[1]):
            raise GraphError(f"{path}: got shape {shape}, expected {(count, 'any' if columns is None else columns)}")
        finite = xp.isfinite(field)
        if not bool(xp.all(finite)):
            row = int(xp.argmax(xp.astype(~xp.all(finite, axis=1), xp.int32)))
            raise GraphError(f"{path}[{row}] is not finite; the model that wrote it must be repaired first")
        try:
            return share(field, self.backend, dtype=self.dtype).array
        except ExchangeError as error:
            raise ExchangeError(f"{path}: {error}") from error
