"""The libraries of the extra ``targets``, imported where one is needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ffbridge.errors import MissingDependencyError

__all__ = ["library"]


def library(name: str) -> ModuleType:
    """Return a module of a library that owns a format.

    Raises:
        MissingDependencyError: the library is not installed.
    """
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingDependencyError(
            f'this needs the package {package!r}, which is not installed: pip install "ffbridge[targets]"'
        ) from error
