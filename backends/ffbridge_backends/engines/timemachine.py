"""The engine ``timemachine``: the energies of the program of that name, by its potentials in JAX.

Its functions are called on single interactions, over all of them at once, so that many systems are evaluated together
and each has its energy; and through :mod:`ffbridge.exporters.timemachine`, so that derivatives come back in the
bundle's columns. They are JAX functions: derivatives of any order, compiled as those of the engine ``jax`` are. The
program's CUDA implementations are not used.

Where a coordinate has no direction, or two atoms of a pair coincide, the program gives NaN: what the standard says of
such geometries (E-3, E-4) is seen to here. Second derivatives of bonds and angles there remain NaN.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.energy.api import EnergyFunction
from ffbridge.energy.plan import Structure, TermStructure, plan
from ffbridge.energy.total import by_system, parameter_columns
from ffbridge.errors import MissingDependencyError
from ffbridge.exporters.timemachine import BONDED_POTENTIALS, program_parameters, refuse
from ffbridge.forms import form
from ffbridge.registry import get_backend
from ffbridge_backends.engines.jax import JaxEngine

__all__ = ["TimemachineEngine", "engine"]

Arrays = Mapping[str, Array]

_APART = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
_CIS = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_PAIR = np.array([[0, 1]])


class TimemachineEngine(JaxEngine):
    """timemachine's reference potentials in JAX, on any of its devices."""

    name = package = "timemachine"
    backend = "jax"
    # Without the variable its build wants CUDA, which its potentials in JAX do not.
    options = ()
    install = "timemachine is on no package index: follow the instructions of the project proteneer/timemachine"

    @cached_property
    def framework(self) -> Any:
        """The program. Importing it makes the CPU the default platform of JAX, which is taken back here."""
        config = get_backend("jax").framework.config
        platform = config.read("jax_platform_name")
        try:
            program = super().framework
            importlib.import_module("timemachine.potentials")
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                f"timemachine is installed, but its potentials fail on import: {error}. Reinstall it: {self.install}"
            ) from error
        finally:
            config.update("jax_platform_name", platform)
        return program

    def version(self) -> str:
        """Of the installed distribution; ``unknown`` if it is on the path without being installed."""
        try:
            return importlib.metadata.version("timemachine")
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    def abilities(self) -> tuple[str, ...]:
        """Which of the program's implementations it is."""
        return ("reference potentials in JAX, derivatives of any order", "not the CUDA implementations")

    def plan(self, bundle: Bundle) -> tuple[Structure, dict[str, Array]]:
        """Return the structure and the arrays of the array engines, and the boxes of the systems."""
        structure, arrays = plan(bundle, refuse=refuse)
        if bundle.box is not None and any(dict(term.settings).get("periodic") for term in structure.terms):
            arrays["box"] = bundle.box.astype(next(iter(bundle.tables.values())).values.dtype)
        return structure, arrays

    @property
    def energy_function(self) -> EnergyFunction:
        """The energy of every term by the program."""
        return self.energies

    def energies(
        self, backend: Backend, structure: Structure, arrays: Arrays, x: Array, tables: Arrays
    ) -> dict[str, Array]:
        """Return the energy of every term, as :func:`ffbridge.energy.total.energies` does; traced and compiled."""
        result = {}
        for term in structure.terms:
            columns = parameter_columns(backend.namespace, term, arrays, tables[term.table])
            params = program_parameters(backend.namespace, term.form, dict(term.settings), columns)
            evaluate = self._pairs if term.pairs else self._bonded
            each = evaluate(backend, term, arrays, x, params)
            result[term.name] = by_system(backend, structure, term, arrays, each)
        return result

    def _bonded(self, backend: Backend, term: TermStructure, arrays: Arrays, x: Array, params: Array) -> Array:
        """Return the energy of each interaction, ``(n_terms, n_conformers)``."""
        xp, vmap, arity = backend.namespace, backend.framework.vmap, form(term.form).arity
        potential = getattr(self.framework.potentials, BONDED_POTENTIALS[term.form])(np.arange(arity)[None])

        def one(conf: Array, params: Array) -> Array:
            # A dihedral without direction counts as 0; a distance or angle has its value, and the derivative 0.
            instead = _CIS.astype(conf.dtype) if arity == 4 else backend.framework.lax.stop_gradient(conf)
            return potential(xp.where(_is_undirected(xp, conf), instead, conf), params[None], None)

        corners = _corners(xp, x, arrays[f"{term.name}/atoms"], arity)
        return vmap(vmap(one), in_axes=(3, None), out_axes=1)(corners, params)

    def _pairs(self, backend: Backend, term: TermStructure, arrays: Arrays, x: Array, params: Array) -> Array:
        """Return the energy of each pair, ``(n_pairs, n_conformers)``; +inf where its atoms coincide."""
        xp, vmap, settings = backend.namespace, backend.framework.vmap, dict(term.settings)
        on_pairs = self.framework.potentials.nonbonded.nonbonded_on_specific_pairs
        part = ("lennard_jones", "coulomb").index(term.form)
        here = {name: arrays[f"{term.pairs}/{name}"] for name in ("atoms", "rows", "systems", "excepted")}
        kept = xp.concat([arrays[f"{term.pairs}/kept_charge"], arrays[f"{term.pairs}/kept_lj"]], axis=1)
        # By the standard, exceptions of Lennard-Jones have no cutoff.
        spared = here["excepted"][:, 0] & (term.form == "lennard_jones")
        cutoff = xp.where(spared, xp.inf, settings["cutoff"])
        box = xp.take(arrays["box"], here["systems"], axis=0) if settings["periodic"] else None

        def one(conf: Array, params: Array, kept: Array, cutoff: Array, box: Array | None) -> Array:
            apart = xp.any(conf[0] != conf[1])
            safe = xp.where(apart, conf, _APART.astype(conf.dtype))
            found = on_pairs(safe, params, box, _PAIR, settings.get("beta", 0.0), cutoff, kept[None])[part][0]
            return xp.where(apart | (kept[1 - part] == 0), found, xp.inf)

        of_pairs = vmap(one, in_axes=(0, 0, 0, 0, None if box is None else 0))
        of_conformers = vmap(of_pairs, in_axes=(3, None, None, None, None), out_axes=1)
        corners = _corners(xp, x, here["atoms"], 2)
        ends = xp.reshape(xp.take(params, here["rows"], axis=0), (-1, 2, params.shape[1]))
        return of_conformers(corners, ends, kept, cutoff, box)


def _corners(xp: Any, x: Array, atoms: Array, arity: int) -> Array:
    """Return the positions of the atoms of interactions, ``(n, arity, 3, n_conformers)``."""
    return xp.reshape(xp.permute_dims(xp.take(x, atoms, axis=1), (1, 0, 2)), (-1, arity, 3, x.shape[2]))


def _is_undirected(xp: Any, corners: Array) -> Array:
    """Return whether two atoms coincide, or whether three in a row ``(n, 3)`` lie on a line."""
    steps = corners[1:] - corners[:-1]
    normals = steps if len(steps) == 1 else xp.cross(steps[:-1], steps[1:])
    return xp.any(xp.all(normals == 0, axis=1))


# What is padded would be interactions of the program at geometries of ours, and boxes.
engine = TimemachineEngine(shapes="exact")
