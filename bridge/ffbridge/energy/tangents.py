"""Energies whose tangents are the analytic derivatives, for frameworks that differentiate and take such rules.

What a compiler makes of the derivatives that a framework derives by itself, operation by operation, can be several
times slower than the formulas: under XLA on the CPU, a torsion's energy and derivative took 28 times its energy, and
with these rules 2 times. Coordinates and forms are wrapped one by one, so that forms share coordinates. A backend that
takes no such rules (:meth:`ffbridge.backend.Backend.with_tangents`) evaluates the same energies without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

from ffbridge.backend import Array, Backend
from ffbridge.energy.bonded import BONDED
from ffbridge.energy.geometry import COORDINATES
from ffbridge.energy.pair_energy import Distances, PairEnergy
from ffbridge.energy.vectors import dot
from ffbridge.forms import form

__all__ = ["bonded_energy", "measured", "pair_energies"]


def measured(backend: Backend, kind: str, corners: Sequence[Array]) -> Any:
    """Return an internal coordinate as forms take it, from the positions of its atoms ``(3, n, n_conformers)`` each."""
    xp, coordinate = backend.namespace, COORDINATES[kind]

    def value(*corners: Array) -> Any:
        return coordinate.forward(xp, corners)[0]

    def rule(corners: Sequence[Array], tangents: Sequence[Array | None]) -> tuple[Any, Any]:
        q, state = coordinate.forward(xp, corners)
        gradients = coordinate.pullback(xp, state, xp.ones_like(corners[0][0, ...]))
        moves = (dot(xp, by, move) for by, move in zip(gradients, tangents, strict=True) if move is not None)
        return q, coordinate.tangent(q, reduce(add, moves))

    return backend.with_tangents(value, rule)(*corners)


def bonded_energy(
    backend: Backend, name: str, settings: Mapping[str, Any], q: Sequence[Any], columns: Sequence[Array]
) -> Array:
    """Return the energy of each interaction of a bonded form, ``(n, n_conformers)`` [kJ/mol].

    Args:
        backend: the framework of all arrays.
        name: the form's name.
        settings: the term's settings.
        q: the coordinates, as :func:`measured` returns them.
        columns: one array for each column of the table, as :class:`ffbridge.energy.bonded_form.BondedForm` takes them.
    """
    xp, bonded, n_coordinates = backend.namespace, BONDED[name], len(q)
    kinds = [COORDINATES[each.kind] for each in form(name).coordinates]

    def value(*inputs: Any) -> Array:
        return bonded.energy(xp, *inputs, **settings)

    def rule(inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Array, Array]:
        u, du_dq, du_dp = bonded.derivatives(xp, *inputs, **settings)
        rates = [kind.rate(at, move) for kind, at, move in zip(kinds, inputs, tangents, strict=False)]
        moves = [du * rate for du, rate in zip(du_dq, rates, strict=True) if rate is not None]
        moves += _of_parameters(xp, du_dp, tangents[n_coordinates:])
        return u, reduce(add, moves)

    return backend.with_tangents(value, rule)(*q, *columns)


def pair_energies(evaluate: PairEnergy, r: Array, kept: Array, excepted: Array, parameters: Sequence[Array]) -> Array:
    """Return the energy of each pair, ``(n_pairs, n_conformers)`` [kJ/mol]; arguments as `PairEnergy.energy` takes."""
    xp = evaluate.backend.namespace

    def rule(inputs: Sequence[Array], tangents: Sequence[Array | None]) -> tuple[Array, Array]:
        r, *others = inputs
        u, du_dr, du_dp = evaluate.derivatives(Distances.of(xp, r), *others)
        along, _, _, *of_parameters = tangents
        moves = [] if along is None else [du_dr * along]
        return u, reduce(add, moves + _of_parameters(xp, du_dp, of_parameters))

    return evaluate.backend.with_tangents(evaluate.energy, rule)(r, kept, excepted, *parameters)


def _of_parameters(xp: Any, du_dp: Sequence[Array], tangents: Iterable[Array | None]) -> list[Array]:
    """Return what each column adds to the tangent; one with a shape has ``(n, its numbers, n_conformers)`` in dU/dp."""
    moves = []
    for du, move in zip(du_dp, tangents, strict=True):
        if move is None:
            continue
        if du.ndim == 2:
            moves.append(du * move)
        else:
            moves.append(xp.sum(du * xp.reshape(move, (*du.shape[:2], 1)), axis=1))
    return moves
