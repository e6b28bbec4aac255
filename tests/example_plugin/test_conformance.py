"""All the tests that a backend and an engine need: those of ffbridge's conformance kit."""

from ffbridge.testing import BackendConformance, EngineConformance


class TestBackend(BackendConformance):
    backend = "strict"


class TestEngine(EngineConformance):
    engine = "strict"
