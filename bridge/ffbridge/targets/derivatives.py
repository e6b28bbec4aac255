"""Energies with forces and Hessians of a potential, as functions of tables that its host differentiates through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary, ref

import numpy as np

from ffbridge.backend import Array
from ffbridge.exchange import share
from ffbridge.potential import Potential
from ffbridge.registry import backend_of, get_backend
from ffbridge.snapshot import snapshot
from ffbridge.targets.arrays import beside

__all__ = [
    "differentiated_tables",
    "energies_and_forces",
    "hessian_rows",
    "hessian_values",
    "in_chunks",
    "is_tracked",
]

Tables = Mapping[str, Array]

ATOMS_AT_ONCE = 2**15
"""How many atoms, conformers counted, PyTorch's own automatic differentiation keeps track of at a time."""


def differentiated_tables(U: Potential, tables: Tables | None) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the tables that carry a gradient or a trace, and the other given ones.

    Tables of the bundle that carry one are among the first, as if they were given.
    """
    own = {name: table.values for name, table in U.bundle.tables.items() if is_tracked(table.values)}
    given = {**own, **(tables or {})}
    # A gradient of another framework than the host is refused here, with the ways out.
    tracked = {name: share(table, U.host).array for name, table in given.items() if is_tracked(table)}
    return tracked, {name: table for name, table in given.items() if name not in tracked}


def is_tracked(array: Array) -> bool:
    """Return whether an array carries a gradient or a trace of its own framework."""
    return backend_of(array).is_tracked(array)


def energies_and_forces(U: Potential, x: Array, tables: Tables | None = None) -> tuple[Array, Array]:
    """Return energies ``(..., n_systems)`` and forces ``(..., n_atoms, 3)``, both differentiable by the tables.

    Args:
        U: the potential.
        x: positions, ``(..., n_atoms, 3)`` [nm], constants: an array of the host without gradient.
        tables: as the potential takes them.

    Raises:
        UnsupportedError: tables carry a gradient, and the engine has no second derivatives.
    """
    tracked, others = differentiated_tables(U, tables)
    n_rows, names = max(1, ATOMS_AT_ONCE // U.bundle.n_atoms), tuple(tracked)

    def with_tables(x: Array, *values: Array) -> tuple[Array, ...]:
        return _energies_and_forces(U, x, {**others, **dict(zip(names, values, strict=True))})

    again = None
    if tracked and x.ndim == 3 and x.shape[0] > n_rows and in_chunks(U):
        again = U.host.recomputed(with_tables)
    if again is None:
        energies, forces = with_tables(x, *tracked.values())
        return energies, forces
    # A host that would keep all that it computes for derivatives computes a chunk again for them: its memory is that of
    # a chunk, and small arrays stay in cache, which makes up for it.
    chunks = [again(x[start : start + n_rows], *tracked.values()) for start in range(0, int(x.shape[0]), n_rows)]
    energies, forces = (U.host.namespace.concat(each, axis=0) for each in zip(*chunks, strict=True))
    return energies, forces


def in_chunks(U: Potential) -> bool:
    """Return whether forces are evaluated a chunk of conformers at a time: where the host would keep all of them."""
    return get_backend(U.engine.backend) is U.host and U.host.recomputed(_nothing) is not None


def _nothing() -> tuple[Array, ...]:
    return ()


def _energies_and_forces(U: Potential, x: Array, tables: Tables) -> tuple[Array, ...]:
    tracked, others = differentiated_tables(U, tables)
    if not tracked:
        return U.energy_and_forces(x, others)
    xp = U.host.namespace
    names = tuple(tracked)
    ones = xp.broadcast_to(xp.ones_like(x[..., :1, 0]), (*x.shape[:-2], U.bundle.n_systems))

    # Of Σ w U, the derivative by w is U itself: one evaluation gives energies and forces.
    def weighted(weights: Array, x: Array, *values: Array) -> Array:
        return xp.sum(weights * U(x, {**others, **dict(zip(names, values, strict=True))}))

    energies, gradient, *_ = U.host.gradient(weighted, (ones, x, *tracked.values()))
    return energies, -gradient


_COMPILED: WeakKeyDictionary[Potential, Callable[..., Array]] = WeakKeyDictionary()


def hessian_values(U: Potential, x: Array, tables: Tables | None = None) -> Array:
    """Return what :func:`hessian_rows` does, as plain values; compiled once for each potential, where the host can."""
    compiled = _COMPILED.get(U)
    if compiled is None:
        # The function must not keep its own key alive.
        mine = ref(U)
        compiled = _COMPILED[U] = U.host.fused(lambda x, tables: hessian_rows(_alive(mine), x, tables))
    tracked, others = differentiated_tables(U, tables)
    given = {name: U.host.detach(table) for name, table in tracked.items()}
    return U.host.detach(compiled(x, given | {name: share(table, U.host).array for name, table in others.items()}))


def _alive(mine: ref[Potential]) -> Potential:
    U = mine()
    if U is None:
        raise ReferenceError("the potential is gone")
    return U


def hessian_rows(U: Potential, x: Array, tables: Tables | None = None) -> Array:
    """Return rows of every system's Hessian, ``(..., n_coordinates, n_atoms, 3)`` [kJ/mol/nm²].

    Row k holds, on the atoms of each system, the derivative of dU/dx by that system's coordinate k (atom k // 3, axis
    k % 3), and zero for systems of fewer coordinates: systems do not interact, so one pass serves all of them.

    Args:
        U: the potential, with an engine that has second derivatives.
        x: positions, ``(..., n_atoms, 3)`` [nm], constants: an array of the host without gradient.
        tables: as the potential takes them.

    Raises:
        UnsupportedError: the engine has no second derivatives, or the host no automatic differentiation.
    """
    xp, host = U.host.namespace, U.host
    offsets = snapshot(U.bundle.system_offsets)
    seeds = np.zeros((3 * int(np.diff(offsets).max()), U.bundle.n_atoms, 3))
    atoms = np.arange(U.bundle.n_atoms)
    local = atoms - np.repeat(offsets[:-1], np.diff(offsets))
    for axis in range(3):
        seeds[3 * local + axis, atoms, axis] = 1
    directions = beside(x, seeds)
    many = xp.broadcast_to(x[..., None, :, :], (*x.shape[:-2], *directions.shape))
    tracked, others = differentiated_tables(U, tables)
    names = tuple(tracked)

    def energy(x: Array, *values: Array) -> Array:
        return xp.sum(U(x, {**others, **dict(zip(names, values, strict=True))}))

    def along_seeds(x: Array, *values: Array) -> Array:
        return xp.sum(directions * host.gradient(energy, (x, *values))[0])

    return host.gradient(along_seeds, (many, *tracked.values()))[0]
