"""Virtual sites of a bundle: their positions, for callers and for engines of programs that are told positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.energy.conformers import conformers_first, conformers_last
from ffbridge.energy.placement import place, pull_back_sites
from ffbridge.energy.plan import TermStructure, plan_sites
from ffbridge.errors import BundleError, ExchangeError, UnknownNameError
from ffbridge.exchange import share
from ffbridge.registry import backend_of
from ffbridge.validate import validate

__all__ = ["Placement", "place_virtual_sites"]

Tables = Mapping[str, Array]


def place_virtual_sites(bundle: Bundle, x: Array, tables: Tables | None = None) -> Array:
    """Return positions with the virtual sites where their parents place them, in the framework of the positions.

    Potentials do the same by themselves. This is for what else needs the sites: another program, a file, an analysis.
    Derivatives flow to the parents and to the geometry.

    Args:
        bundle: of valid content, in any framework.
        x: ``(..., n_atoms, 3)`` [nm]; what it holds for virtual sites is not read. Other particles stay where they are.
        tables: geometries to use instead of the bundle's own, by the table's name, as a potential takes them.

    Raises:
        ValidationError: the bundle does not follow the standard.
        BundleError: positions or a table have a wrong shape.
        ExchangeError: a table is not of the positions' dtype, or cannot cross to their framework.
        UnknownNameError: the bundle has no such table.
    """
    validate(bundle)
    if x.ndim < 2 or tuple(x.shape[-2:]) != (bundle.n_atoms, 3):
        raise BundleError(f"positions: got shape {tuple(x.shape)}, expected (..., {bundle.n_atoms}, 3) in nm")
    backend = backend_of(x)
    given = {}
    for name, values in (tables or {}).items():
        known = bundle.tables.get(name)
        if known is None:
            raise UnknownNameError(f"the bundle has no table {name!r}; it has: {', '.join(sorted(bundle.tables))}")
        if tuple(values.shape) != tuple(known.values.shape):
            raise BundleError(
                f"tables/{name}: got shape {tuple(values.shape)}, expected {tuple(known.values.shape)}: columns are "
                f"{', '.join(known.columns)}"
            )
        given[name] = share(values, backend).array
    placement = Placement.of(bundle, backend)
    for name, values in {**placement.tables, **given}.items():
        if backend.dtype(values) != backend.dtype(x):
            raise ExchangeError(
                f"positions: got {backend.dtype(x)}, and tables/{name} is {backend.dtype(values)}: cast one of them"
            )
    return placement(x, given)


@dataclass(frozen=True, eq=False)
class Placement:
    """The virtual sites of a bundle, ready to be placed in one framework.

    Attributes:
        backend: the framework of all arrays.
        sites: the plan's structures.
        arrays: the plan's arrays.
        tables: the bundle's tables of geometries.
    """

    backend: Backend
    sites: tuple[TermStructure, ...]
    arrays: dict[str, Array]
    tables: dict[str, Array]

    @classmethod
    def of(cls, bundle: Bundle, backend: Backend) -> Placement:
        """Return the placement of a valid bundle's sites, its arrays brought to a backend's framework."""
        sites, arrays = plan_sites(bundle.snapshot())
        tables = {term.table: share(bundle.tables[term.table].values, backend).array for term in sites}
        return cls(backend, sites, {path: share(array, backend).array for path, array in arrays.items()}, tables)

    def __call__(self, x: Array, tables: Tables) -> Array:
        """Return positions ``(..., n_atoms, 3)`` [nm] with the sites placed, by given tables or the bundle's own."""
        if not self.sites:
            return x
        xp = self.backend.namespace
        placed = place(self.backend, self.sites, self.arrays, conformers_last(xp, x), {**self.tables, **tables})
        return conformers_first(xp, placed, x.shape[:-2])

    def pull_back(self, x: Array, tables: Tables, du_dx: Array) -> Array:
        """Return dU/dx ``(..., n_atoms, 3)`` from that where sites move by themselves: theirs goes to their parents."""
        if not self.sites:
            return du_dx
        xp = self.backend.namespace
        inner, found = conformers_last(xp, x), conformers_last(xp, du_dx)
        result, _ = pull_back_sites(self.backend, self.sites, self.arrays, inner, {**self.tables, **tables}, found)
        return conformers_first(xp, result, x.shape[:-2])
