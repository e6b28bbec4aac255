"""What every plug-in tells about itself, be it an array backend or an engine."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from abc import ABC
from functools import cached_property
from typing import Any, ClassVar

from ffbridge.errors import MissingDependencyError

__all__ = ["Plugin"]


class Plugin(ABC):
    """A part of ffbridge that wraps one framework and is found through an entry point.

    Making an instance must not import the framework: `framework` does, on first use.

    Attributes:
        name: what users write, as in ``fb.to(x, "torch")``.
        package: the import name of the framework, as it stands in ``sys.modules``.
        install: the command that installs the framework.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    install: ClassVar[str]

    @cached_property
    def framework(self) -> Any:
        """The framework's module, imported on first use.

        Raises:
            MissingDependencyError: it is not installed, or fails as it is imported.
        """
        self.require()
        try:
            return importlib.import_module(self.package)
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.name} needs the package {self.package!r}, which is installed but fails on import: {error}. "
                f"Reinstall it: {self.install}"
            ) from error

    def require(self) -> None:
        """Raises MissingDependencyError with the install command if the framework is not installed; imports nothing."""
        if not self.is_loaded() and importlib.util.find_spec(self.package) is None:
            raise MissingDependencyError(
                f"{self.name} needs the package {self.package!r}, which is not installed. Install it: {self.install}"
            )

    def is_loaded(self) -> bool:
        """Whether the running process has imported the framework already."""
        return self.package in sys.modules

    def version(self) -> str:
        """The framework's version."""
        return str(self.framework.__version__)

    def devices(self) -> tuple[str, ...]:
        """The devices of this machine that the framework can use, such as ``("cpu", "cuda:0")``."""
        return ("cpu",)

    def abilities(self) -> tuple[str, ...]:
        """What it can do, in short phrases for people (``fb.backends()``, ``ffbridge backends``)."""
        return ()
