"""The exceptions of ffbridge.

Every error derives from :class:`FFBridgeError` and from the builtin that it specialises, so that callers may catch
either. A message says what was met, what was expected, where (array, path in the bundle, term, key), and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BundleError",
    "BundleFileError",
    "ConformanceError",
    "ExchangeError",
    "FFBridgeError",
    "FitError",
    "GraphError",
    "MissingDependencyError",
    "ModelError",
    "RegistrationError",
    "ReweightingWarning",
    "TargetError",
    "UnknownNameError",
    "UnsupportedError",
    "ValidationError",
]


class FFBridgeError(Exception):
    """Base of every error that ffbridge raises on purpose."""


class ConformanceError(FFBridgeError, AssertionError):
    """A backend or an engine does not do what it declares, or what is asked of all."""


class ExchangeError(FFBridgeError, ValueError):
    """An array cannot cross to another framework as asked."""


class FitError(FFBridgeError, ValueError):
    """Settings of a fit are wrong, it cannot go on, or its folder holds another fit."""


class GraphError(FFBridgeError, ValueError):
    """A graph lacks what is needed, or holds what is not understood."""


class MissingDependencyError(FFBridgeError, ImportError):
    """An optional framework is needed and not installed."""


class ModelError(FFBridgeError, ValueError):
    """A machine-learned model's weights cannot be named, or it has none."""


class RegistrationError(FFBridgeError, ValueError):
    """A plug-in cannot be registered: its name is taken, or it is not what it claims to be."""


class ReweightingWarning(UserWarning):
    """An average over an ensemble is made by few frames of a trajectory that other parameters made."""


class TargetError(FFBridgeError, ValueError):
    """Data of a target are not what they have to be, or do not fit the potential that they are compared with."""


class UnknownNameError(FFBridgeError, LookupError):
    """A name of a backend, engine, form, term or table that nobody registered."""


class UnsupportedError(FFBridgeError, NotImplementedError):
    """A form, method, force or feature that the target cannot express exactly; nothing is approximated instead."""


class BundleError(FFBridgeError, ValueError):
    """The parts of a bundle do not fit together, or do not fit what they are used with."""


class BundleFileError(BundleError, OSError):
    """A bundle file cannot be read or written."""


class ValidationError(BundleError):
    """A bundle breaks the standard.

    Attributes:
        faults: every fault found, each beginning with its path in the bundle.
    """

    def __init__(self, faults: Sequence[str], *, subject: str = "bundle") -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault" + ("s" if len(self.faults) != 1 else "")
        super().__init__(f"{subject} does not follow the standard ({count}):\n  " + "\n  ".join(self.faults))
