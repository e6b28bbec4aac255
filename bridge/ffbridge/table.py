"""Tables: the force-field parameters θ of a bundle, one row per parameter, with units and keys."""

from __future__ import annotations

from dataclasses import dataclass

from ffbridge.backend import Array

__all__ = ["ParameterKey", "Table"]


@dataclass(frozen=True, order=True)
class ParameterKey:
    """Where a force-field parameter comes from: the identity that its occurrences share.

    Attributes:
        handler: the section of the source that holds it, such as ``Bonds`` or ``NAGLCharges``.
        pattern: what it applies to there: a SMIRKS pattern, an atom type, a mapped SMILES.
        id: the source's own identifier, such as ``b84``; empty if it has none.
        index: which of several values of that pattern this row is: the n of SMIRNOFF's ``k1, k2, …`` (from 0), the atom
            of a per-molecule charge model; None where there is one only.
    """

    handler: str
    pattern: str
    id: str = ""
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Force-field parameters of one form.

    Attributes:
        values: ``(n_params, n_columns)`` floating point, in the columns' units. May carry gradients (a torch tensor
            that requires grad, a JAX tracer).
        columns: name of each column, as the form declares them.
        units: unit of each column, as the form declares them.
        keys: key of each row, all different; None where rows have no identity beyond their position (the outputs of a
            model).
        model: name of the model in the bundle's provenance that made the values, if one did.
    """

    values: Array
    columns: tuple[str, ...]
    units: tuple[str, ...]
    keys: tuple[ParameterKey, ...] | None = None
    model: str | None = None

    def __len__(self) -> int:
        """Return the number of rows, n_params."""
        return int(self.values.shape[0])

    def column(self, name: str) -> Array:
        """Return one column by name, ``(n_params,)``."""
        return self.values[:, self.columns.index(name)]
