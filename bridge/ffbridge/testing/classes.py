"""Test classes for pytest: subclass one in a test module, name the backend or the engine, and each check is a test.

pytest itself is not imported: what is here is what it looks for in classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ffbridge.errors import ConformanceError
from ffbridge.registry import get_backend, get_engine
from ffbridge.testing.check import Case, Check
from ffbridge.testing.suite import backend_cases, engine_cases

__all__ = ["BackendConformance", "EngineConformance"]


class _Conformance(ABC):
    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make a test of each check and case."""
        if "case" in metafunc.fixturenames:
            found = list(self._cases())
            ids = ["-".join((check.name, *case)).replace(" ", "_") for check, case in found]
            metafunc.parametrize(("check", "case"), found, ids=ids)

    @abstractmethod
    def _cases(self) -> Iterator[tuple[Check[Any], Case]]:
        """Return every check with each of its cases."""

    @abstractmethod
    def _subject(self) -> Any:
        """Return what is checked."""

    def test_conformance(self, check: Check[Any], case: Case, record_property: Any) -> None:
        """Run a case of a check. What is refused as declared passes; the reason is a property of the test."""
        if refused := check.run(self._subject(), *case):
            record_property("refused as declared", refused)


class BackendConformance(_Conformance):
    """Every check of array backends.

    Attributes:
        backend: name of the backend, as `fb.to` takes it.
    """

    backend: ClassVar[str]

    def _cases(self) -> Iterator[tuple[Check[Any], Case]]:
        return backend_cases(_named(self, "backend"))

    def _subject(self) -> Any:
        return get_backend(self.backend)


class EngineConformance(_Conformance):
    """Every check of engines.

    Attributes:
        engine: name of the engine, as `fb.potential` takes it.
        options: of the engine, as `fb.potential` takes them.
    """

    engine: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def _cases(self) -> Iterator[tuple[Check[Any], Case]]:
        return engine_cases(_named(self, "engine"))

    def _subject(self) -> Any:
        return get_engine(self.engine).with_options(**self.options)


def _named(test: _Conformance, kind: str) -> str:
    name = getattr(test, kind, None)
    if not isinstance(name, str):
        raise ConformanceError(f"{type(test).__name__} names no {kind}: set {kind} = its name, as in {kind} = 'numpy'")
    return name
