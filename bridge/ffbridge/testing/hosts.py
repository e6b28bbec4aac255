"""Checks of an engine: the automatic differentiation of every host goes through it, to the order that it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.engine import Engine
from ffbridge.errors import UnsupportedError
from ffbridge.potential import Potential
from ffbridge.registry import backend_of, backends, get_backend
from ffbridge.testing.arrays import take_home, there
from ffbridge.testing.check import Case, Check, close, expect
from ffbridge.testing.differences import difference
from ffbridge.testing.samples import Sample, chosen

__all__ = ["CHECKS"]

Floats = np.ndarray[Any, Any]
Inputs = tuple[Array, ...]

_STEP = 1e-5


def _host_cases(engine: Engine) -> Iterator[Case]:
    for info in backends():
        if info.available and get_backend(info.name).capabilities.automatic_differentiation:
            yield (info.name,)


def _values_cases(engine: Engine) -> Iterator[Case]:
    yield from ((info.name,) for info in backends() if info.available)


def _unusable(engine: Engine, host: Backend) -> str | None:
    if "float64" not in host.capabilities.dtypes:
        return f"the host {host.name} holds no float64 now"
    return None


def _values(engine: Engine, name: str) -> str | None:
    """Under each host, results are the host's arrays, and the same numbers."""
    host = get_backend(name)
    if refused := _unusable(engine, host):
        return refused
    found = chosen(engine)
    U, plain = found.potential(engine, name), found.potential(engine)
    x = there(found.x, host)
    energy, evaluation, expected = U(x), U.value_and_grad(x), plain.value_and_grad(found.x)
    for what, array in {"energy": energy, "forces": evaluation.forces}.items():
        expect(backend_of(array) is host, f"the {what} under the host {name} is an array of {backend_of(array).name}")
    close("energy", take_home(energy), expected.energy, 1e-11)
    close("energy of value_and_grad()", take_home(evaluation.energy), expected.energy, 1e-11)
    close("forces", take_home(evaluation.forces), expected.forces, 1e-11)
    return None


class _Loss:
    """A scalar of energies, in which each energy has another weight, as a function of positions and tables.

    Args:
        found: the sample.
        U: its potential under the host.
        host: the host.
        tables: names of the tables that are inputs.
    """

    def __init__(self, found: Sample, U: Potential, host: Backend, tables: tuple[str, ...]) -> None:
        self._U, self._host, self._tables = U, host, tables
        shape = (found.x.shape[0], found.bundle.n_systems)
        self._weights = np.random.default_rng(7).uniform(0.5, 2.0, size=(2, *shape))
        self._term = next(iter(found.bundle.terms))

    def __call__(self, x: Array, *tables: Array) -> Array:
        given = dict(zip(self._tables, tables, strict=True))
        whole, part = (there(weights, self._host) for weights in self._weights)
        energy, term = self._U(x, given), self._U.by_term(x, given)[self._term]
        return self._host.namespace.sum(whole * energy + part * term)

    def slope(self, direction: Floats) -> Callable[..., Array]:
        """Return the derivative with respect to the positions along a direction, as a function of the same inputs."""

        def slope(x: Array, *tables: Array) -> Array:
            (by_x,) = self._host.gradient(lambda x: self(x, *tables), (x,))
            return self._host.namespace.sum(by_x * there(direction, self._host))

        return slope


def _setting(engine: Engine, name: str) -> tuple[Sample, _Loss, list[Floats]]:
    """Return the sample, a loss under the host, and the inputs: positions, and tables if the engine derives to them."""
    found = chosen(engine)
    tables = tuple(found.bundle.tables) if engine.table_derivatives else ()
    own = found.tables()
    loss = _Loss(found, found.potential(engine, name), get_backend(name), tables)
    return found, loss, [found.x, *(own[table] for table in tables)]


def _directions(found: Sample, inputs: list[Floats]) -> list[Floats]:
    changed = found.tables(seed=3)
    own = found.tables()
    by_table = [20 * (changed[name] - own[name]) for name in found.bundle.tables]
    return [found.direction(seed=3), *by_table][: len(inputs)]


def _agrees(function: Callable[..., Array], found: Sample, inputs: list[Floats], host: Backend, what: str) -> None:
    """The derivative of a scalar function of the host's arrays, to each input, against central differences."""

    def taken(arrays: list[Floats]) -> Inputs:
        return tuple(there(array, host) for array in arrays)

    gradients = [take_home(host.detach(each)) for each in host.gradient(function, taken(inputs))]
    for place, direction in enumerate(_directions(found, inputs)):

        def moved(s: float, place: int = place, direction: Floats = direction) -> Floats:
            arrays = [array + s * direction if at == place else array for at, array in enumerate(inputs)]
            return take_home(host.detach(function(*taken(arrays))))

        along, expected = np.array((gradients[place] * direction).sum()), difference(moved, _STEP)
        whereto = "positions" if place == 0 else f"table {tuple(found.bundle.tables)[place - 1]}"
        close(f"{what} with respect to {whereto}", along, expected.value, 1e-6, uncertainty=expected.uncertainty)


def _first(engine: Engine, name: str) -> str | None:
    host = get_backend(name)
    if refused := _unusable(engine, host):
        return refused
    found, loss, inputs = _setting(engine, name)
    _agrees(loss, found, inputs, host, "the derivative of a loss")
    if engine.table_derivatives:
        return None
    table = next(iter(found.bundle.tables))
    loss = _Loss(found, found.potential(engine, name), host, (table,))
    given = (there(found.x, host), there(found.tables()[table], host))
    _raises(engine, lambda: host.gradient(loss, given), "derivatives with respect to tables")
    return "it declares no derivatives with respect to tables; those with respect to positions agree"


def _second(engine: Engine, name: str) -> str | None:
    host = get_backend(name)
    if refused := _unusable(engine, host):
        return refused
    found, loss, inputs = _setting(engine, name)
    slope = loss.slope(found.direction(seed=11))
    if engine.derivatives == 1:
        given = tuple(there(array, host) for array in inputs)
        _raises(engine, lambda: host.gradient(slope, given), "second derivatives")
        return "it declares first derivatives, and refuses second ones"
    _agrees(slope, found, inputs, host, "the derivative of a force")
    return None


def _raises(engine: Engine, call: Callable[[], object], what: str) -> None:
    try:
        call()
    except UnsupportedError as error:
        expect(engine.name in str(error), f"the refusal of {what} does not name the engine: {error}")
        return
    expect(False, f"it declares no {what}, and gives some where it should raise UnsupportedError")


CHECKS: tuple[Check[Engine], ...] = (
    Check(
        name="host/values",
        about="under every host, results are the host's arrays and the same numbers",
        cases=_values_cases,
        run=_values,
    ),
    Check(
        name="host/first-derivatives",
        about="a host differentiates a loss with respect to positions and tables, each energy with another weight",
        cases=_host_cases,
        run=_first,
    ),
    Check(
        name="host/second-derivatives",
        about="a host differentiates forces with respect to positions and tables, or is refused as declared",
        cases=_host_cases,
        run=_second,
    ),
)
