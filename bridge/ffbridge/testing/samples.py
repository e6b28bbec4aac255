"""What engines are checked on: the energy vectors of the standard, by name, and how a potential is made of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffbridge.bundle import Bundle
from ffbridge.engine import Engine
from ffbridge.errors import ConformanceError, UnsupportedError
from ffbridge.forms import form
from ffbridge.potential import Potential
from ffbridge.registry import get_backend
from ffbridge.testing import vectors
from ffbridge.testing.check import Case, expect

__all__ = ["Sample", "chosen", "each_sample", "evaluated", "sample"]

Floats = np.ndarray[Any, Any]

_PREFERRED = ("batch", "glycine_timemachine", "bonds", "coulomb", "lennard_jones")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A bundle and positions.

    Attributes:
        name: of the energy vector that it comes from.
        bundle: in NumPy.
        x: ``(n_conformers, n_atoms, 3)`` [nm], a little off those of the vector.
    """

    name: str
    bundle: Bundle
    x: Floats

    def potential(self, engine: Engine, host: str = "numpy") -> Potential:
        """Return the potential of the bundle by an engine, with the options that it has, under a host."""
        return Potential(self.bundle, engine, get_backend(host))

    def direction(self, seed: int = 0) -> Floats:
        """Return a direction in positions, of the size of a displacement [nm]."""
        direction: Floats = np.random.default_rng(seed).uniform(-1, 1, size=tuple(self.x.shape))
        return direction

    def tables(self, seed: int | None = None) -> dict[str, Floats]:
        """Return tables a few percent off the bundle's own, or the bundle's own if `seed` is None.

        Integers stay what they are, and so do zeros: what is zero may be at the end of its range.
        """
        own = {name: np.array(table.values) for name, table in self.bundle.tables.items()}
        if seed is None:
            return own
        random = np.random.default_rng(seed)
        real = self._real_columns()
        return {
            name: values * (1 + 0.05 * real[name] * random.uniform(-1, 1, size=values.shape))
            for name, values in own.items()
        }

    def _real_columns(self) -> dict[str, Floats]:
        forms = {table: term.form for term in self.bundle.terms.values() for table in term.tables}
        integers = {name: {column.name for column in form(forms[name]).columns if column.integer} for name in forms}
        return {
            name: np.array([float(column not in integers[name]) for column in table.columns])
            for name, table in self.bundle.tables.items()
        }


def sample(name: str, *, dtype: str = "float64") -> Sample:
    """Return the sample of an energy vector."""
    vector = vectors.load("energy")[name]
    bundle, x = vectors.bundle(vector), vectors.array(vector["positions"])
    x = x + np.random.default_rng(41).uniform(-0.002, 0.002, size=x.shape)
    if dtype != "float64":
        bundle, x = bundle.to("numpy", dtype=dtype), x.astype(dtype)
    return Sample(name=name, bundle=bundle, x=x)


def each_sample(engine: Engine) -> Iterator[Case]:
    """Return every energy vector whose geometry is not degenerate."""
    for name, vector in vectors.load("energy").items():
        if not vectors.DEGENERATE & set(vector["rules"]):
            yield (name,)


def chosen(engine: Engine) -> Sample:
    """Return the sample of most forms, among those that are preferred, that an engine evaluates."""
    for name in _PREFERRED:
        found = sample(name)
        if not isinstance(evaluated(engine, found), str):
            return found
    raise ConformanceError(f"it evaluates none of the vectors {', '.join(_PREFERRED)}, so it cannot be checked")


def evaluated(engine: Engine, found: Sample, host: str = "numpy") -> Potential | str:
    """Return the potential, or why the engine refuses the bundle; a refusal must name what is refused."""
    try:
        return found.potential(engine, host)
    except UnsupportedError as error:
        message = str(error)
    words = set(found.bundle.terms) | {term.form for term in found.bundle.terms.values()}
    words |= {str(value) for term in found.bundle.terms.values() for value in term.settings.values()}
    expect(any(word in message for word in words), f"a refusal names neither term, form nor method: {message}")
    return message
