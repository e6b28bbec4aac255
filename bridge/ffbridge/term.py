"""Terms: interactions of one functional form, with the table that parametrizes them and the mapping between the two."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from typing import Any

from ffbridge.backend import Array
from ffbridge.mapping import Mapping

__all__ = ["Constraints", "Exceptions", "Overrides", "Term"]


@dataclass(frozen=True, eq=False)
class Overrides:
    """Pairs of a nonbonded term's parameters that are not mixed: their pairs of atoms have parameters of their own.

    CHARMM calls it NBFIX, GROMACS ``nonbond_params``. A pair of atoms with the rows a and b of the term's table has row
    k of another table where ``pairs[k]`` is a and b.

    Attributes:
        table: name of the table that holds the parameters, one row for each pair.
        pairs: ``(n_overrides, 2) int32``, rows of the term's table, first <= second, each pair once.
    """

    table: str
    pairs: Array


@dataclass(frozen=True, eq=False)
class Term:
    """Interactions of one functional form; or virtual sites of one form, which have no energy.

    Attributes:
        form: name of the form in the standard.
        indices: ``(n_terms, arity) int32``, atoms of each interaction, numbered over the whole bundle; of a virtual
            site first itself, then its parents.
        table: name of the bundle's table that holds the parameters.
        mapping: from the table's rows to the interactions.
        settings: what a nonbonded form needs beside parameters (``method``, ``cutoff``, ``mixing_rule``,
            ``coulomb_constant``) or a site's local coordinates (``origin_weights``, ``x_weights``, ``y_weights``).
        overrides: pairs of a nonbonded term's parameters that are not mixed, if there are such.
    """

    form: str
    indices: Array
    table: str
    mapping: Mapping
    settings: MappingABC[str, Any] = field(default_factory=dict)
    overrides: Overrides | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it uses: its own, and that of its overrides."""
        return (self.table,) if self.overrides is None else (self.table, self.overrides.table)

    def __len__(self) -> int:
        """Return the number of interactions, n_terms."""
        return int(self.indices.shape[0])


@dataclass(frozen=True, eq=False)
class Exceptions:
    """Pairs whose nonbonded interaction is scaled or left out; every other pair of a system interacts fully.

    Attributes:
        pairs: ``(n_exceptions, 2) int32``, atoms, first < second, each pair once.
        kept_charge: ``(n_exceptions,)``, fraction of the Coulomb energy that is kept: 0 leaves the pair out.
        kept_lj: ``(n_exceptions,)``, fraction of the van der Waals energy that is kept.
    """

    pairs: Array
    kept_charge: Array
    kept_lj: Array


@dataclass(frozen=True, eq=False)
class Constraints:
    """Distances that the source holds fixed. Kept as data: potentials evaluate every term in full.

    Attributes:
        pairs: ``(n_constraints, 2) int32``.
        lengths: ``(n_constraints,)`` [nm].
    """

    pairs: Array
    lengths: Array
