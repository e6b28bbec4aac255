"""The registry of checks, and what runs them: the command and the pytest classes alike."""

from __future__ import annotations

from collections.abc import Iterator

from ffbridge.backend import Backend
from ffbridge.engine import Engine
from ffbridge.registry import get_backend, get_engine
from ffbridge.testing import calls, documents, energies, exchange, functions, hosts, lifetime
from ffbridge.testing.check import Case, Check, Result, run

__all__ = ["BACKEND_CHECKS", "ENGINE_CHECKS", "backend_cases", "check_backend", "check_engine", "engine_cases"]

BACKEND_CHECKS: tuple[Check[Backend], ...] = (
    *exchange.CHECKS,
    *lifetime.CHECKS,
    *functions.CHECKS,
    *documents.CHECKS,
)

ENGINE_CHECKS: tuple[Check[Engine], ...] = (
    *energies.CHECKS,
    *hosts.CHECKS,
    *calls.CHECKS,
)


def backend_cases(backend: str) -> Iterator[tuple[Check[Backend], Case]]:
    """Return each check of a backend with each of its cases."""
    subject = get_backend(backend)
    return ((check, case) for check in BACKEND_CHECKS for case in check.cases(subject))


def engine_cases(engine: str) -> Iterator[tuple[Check[Engine], Case]]:
    """Return each check of an engine with each of its cases."""
    subject = get_engine(engine)
    return ((check, case) for check in ENGINE_CHECKS for case in check.cases(subject))


def check_backend(backend: str) -> Iterator[Result]:
    """Run every check on a backend, by its name; errors as `fb.to` has them if there is none."""
    for check, case in backend_cases(backend):
        yield run(check, get_backend(backend), backend, case)


def check_engine(engine: str) -> Iterator[Result]:
    """Run every check on an engine, by its name; errors as `fb.potential` has them if there is none."""
    for check, case in engine_cases(engine):
        yield run(check, get_engine(engine), engine, case)
