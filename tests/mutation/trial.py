"""A module's tests run on a mutant, in a forked process that has the frameworks already and no file to clean up."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType

__all__ = ["KILLED", "SURVIVED", "TIMEOUT", "trial"]

KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


class _Replaced(MetaPathFinder, Loader):
    """Finds one module with another source."""

    def __init__(self, name: str, source: str, origin: str) -> None:
        self.name, self.source, self.origin = name, source, origin

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_loader(name, self, origin=self.origin) if name == self.name else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.origin
        exec(compile(self.source, self.origin, "exec"), module.__dict__)


def trial(module: str, source: str, tests: Sequence[str], *, limit: float) -> tuple[str, float]:
    """Return whether the tests notice, and the seconds it took; a run past the limit is ended, and has noticed."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        _run(module, source, tests)
    while time.monotonic() - start < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            outcome = SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED
            return outcome, time.monotonic() - start
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMEOUT, limit


def _run(module: str, source: str, tests: Sequence[str]) -> None:
    """Run the tests and end the process; the parent has not imported ffbridge, so each child does."""
    status = 1
    try:
        silent = os.open(os.environ.get("MUTATION_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        spec = find_spec("ffbridge")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("ffbridge is not installed")
        origin = spec.origin.removesuffix("__init__.py") + module.removeprefix("ffbridge.").replace(".", "/") + ".py"
        sys.meta_path.insert(0, _Replaced(module, source, origin))
        import pytest

        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "--import-mode=importlib"]
        status = int(pytest.main([*options, *tests]))
    except BaseException:  # noqa: BLE001  (whatever a fault leads to: the process ends here)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
