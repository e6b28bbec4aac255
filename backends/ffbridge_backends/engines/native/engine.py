"""The engine ``native``, and what it refuses."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ffbridge.backend import Array, Backend
from ffbridge.bundle import Bundle
from ffbridge.energy.nonbonded import NONBONDED
from ffbridge.energy.plan import Structure, plan
from ffbridge.engine import ArrayEngine, EngineEvaluator
from ffbridge.errors import UnsupportedError
from ffbridge.forms import Form
from ffbridge.term import Term

__all__ = ["NativeEngine", "engine"]

_COMPILED = "ffbridge_backends.engines.native.compiled"
_REMEDY = "use engine='numpy', 'torch' or 'jax'"
_UNDERSTOOD = {
    "method",
    "mixing_rule",
    "coulomb_constant",
    "repulsion_exponent",
    "attraction_exponent",
    "cutoff",
    "switch_distance",
    "beta",
    "periodic",
    # It is for periodic terms, which are refused.
    "dispersion_correction",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class NativeEngine(ArrayEngine):
    """Compiled loops on the CPU, in double precision; a bundle in single precision has its results rounded.

    Attributes:
        threads: how many threads an evaluation may use, each for 50,000 interactions of one conformer or more; the
            processors that the process may use if None.
    """

    name = "native"
    backend = "numpy"
    package = "numba"
    install = 'pip install "ffbridge[native]"'
    options = ("threads",)

    threads: int | None = None

    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        return ("energies and first derivatives, by compiled formulas",)

    def with_options(self, **options: Any) -> NativeEngine:
        """Return the engine with other attributes; errors as `Engine.with_options`."""
        super().with_options(**options)
        threads = options.get("threads")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads={threads!r}: expected a whole number of threads, at least 1, or None")
        return replace(self, **options)

    def plan(self, bundle: Bundle) -> tuple[Structure, dict[str, Array]]:
        """Return the structure and the index arrays of a bundle of NumPy arrays, or refuse what is not evaluated."""
        self.require()
        structure, arrays = plan(bundle, refuse=_refuse)
        return structure, arrays | {"system_offsets": bundle.system_offsets}

    def evaluator(
        self, backend: Backend, structure: Structure, arrays: dict[str, Array], tables: dict[str, Array]
    ) -> EngineEvaluator:
        """Return an evaluator that runs the compiled loops."""
        from ffbridge_backends.engines.native.evaluator import NativeEvaluator

        threads = len(os.sched_getaffinity(0)) if self.threads is None else self.threads
        return NativeEvaluator(backend, structure, arrays, tables, threads)


def _refuse(name: str, term: Term, declared: Form, bundle: Bundle) -> None:
    """Raise where the loops do not evaluate a term exactly."""
    known = importlib.import_module(f"{_COMPILED}.{declared.kind}")
    if term.form not in known.FORMS:
        raise UnsupportedError(
            f"terms/{name}: the engine 'native' does not evaluate the form {term.form!r}, but "
            f"{', '.join(known.FORMS)}; {_REMEDY}"
        )
    where = f"terms/{name}/settings"
    if unknown := sorted(term.settings.keys() - _UNDERSTOOD):
        raise UnsupportedError(f"{where}/{unknown[0]}: the engine 'native' does not know this setting; {_REMEDY}")
    if term.settings.get("periodic"):
        raise UnsupportedError(f"{where}/periodic: the engine 'native' has no periodic images; use engine='openmm'")
    if declared.kind == "nonbonded":
        _refuse_nonbonded(name, term, known)
    table = bundle.table(term.table)
    if "periodicity" in table.columns and table.values.size:
        highest = int(np.max(table.column("periodicity")))
        if highest > known.HIGHEST_PERIODICITY:
            raise UnsupportedError(
                f"tables/{term.table}: periodicity {highest}; the engine 'native' evaluates up to "
                f"{known.HIGHEST_PERIODICITY}"
            )


def _refuse_nonbonded(name: str, term: Term, known: Any) -> None:
    from ffbridge_backends.engines.native.terms import MEANS

    where = f"terms/{name}/settings"
    if (method := term.settings["method"]) not in known.METHODS:
        raise UnsupportedError(
            f"{where}/method: the engine 'native' evaluates {', '.join(known.METHODS)}, not {method!r}; {_REMEDY}, or "
            "'openmm'"
        )
    if not set(NONBONDED[term.form].mixing_of(term.settings).means) <= MEANS.keys():
        rule = term.settings.get("mixing_rule")
        raise UnsupportedError(f"{where}/mixing_rule: the engine 'native' does not have the rule {rule!r}; {_REMEDY}")


engine = NativeEngine()
