"""The conformance kit: whether an array backend or an engine does what it declares, and what is asked of all.

The command ``ffbridge conformance`` prints a table of every check. In a package of one's own, the checks are tests::

    from ffbridge.testing import BackendConformance

    class TestStrict(BackendConformance):
        backend = "strict"
"""

from __future__ import annotations

from ffbridge.testing.check import Case, Check, Result, Status
from ffbridge.testing.classes import BackendConformance, EngineConformance
from ffbridge.testing.suite import BACKEND_CHECKS, ENGINE_CHECKS, check_backend, check_engine
from ffbridge.testing.worker import check_apart

__all__ = [
    "BACKEND_CHECKS",
    "ENGINE_CHECKS",
    "BackendConformance",
    "Case",
    "Check",
    "EngineConformance",
    "Result",
    "Status",
    "check_apart",
    "check_backend",
    "check_engine",
]
