"""NAGL charges with a model that is read from disk once, not once for each molecule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["MODEL_FRAMEWORK", "cached_nagl", "nagl_fingerprint", "nagl_model", "split_model_file"]

MODEL_FRAMEWORK = "torch"
"""What NAGL's models run in."""

_MODEL_FILE = re.compile(r"^(?P<name>.+?)-(?P<version>\d.*)\.pt$")


def split_model_file(file: str) -> tuple[str, str]:
    """Return name and version of a NAGL model from its file name, such as ``openff-gnn-am1bcc-1.0.0.pt``."""
    found = _MODEL_FILE.match(file)
    return (found["name"], found["version"]) if found else (file, "")


@contextmanager
def cached_nagl() -> Iterator[None]:
    """Let OpenFF take NAGL charges from models that stay in memory, while the context lasts.

    The toolkit reads the model's file for every molecule, which is most of the time that ``Interchange.from_smirnoff``
    takes for a small molecule. Within this context the same calls give the same charges without it::

        with cached_nagl():
            interchange = force_field.create_interchange(topology)

    The toolkit's global registry is changed meanwhile, by its own ``toolkit_registry_manager``, and put back after; so
    this is not for several threads at once.
    """
    from openff.toolkit.utils.toolkit_registry import ToolkitRegistry, toolkit_registry_manager
    from openff.toolkit.utils.toolkits import GLOBAL_TOOLKIT_REGISTRY

    # The first toolkit that can do a job does it. The uncached one stays too: Interchange looks for that very class.
    toolkits = [_wrapper(), *GLOBAL_TOOLKIT_REGISTRY.registered_toolkits]
    with toolkit_registry_manager(ToolkitRegistry(toolkits)):
        yield


@cache
def nagl_model(file: str, doi: str | None = None, file_hash: str | None = None) -> Any:
    """Return a NAGL model by its file name, for evaluation, read once: a ``openff.nagl.GNNModel``."""
    from openff.nagl_models._dynamic_fetch import get_model

    return _load(get_model(filename=file, doi=doi, file_hash=file_hash))


@cache
def nagl_fingerprint(file: str) -> str:
    """Return the fingerprint of a NAGL model's weights by its file name; empty if the model is not installed.

    NAGL compares the files of OpenFF's own models with hashes that it knows.
    """
    from ffbridge.fingerprint import fingerprint

    try:
        model = nagl_model(file)
    except (ImportError, FileNotFoundError):
        # An Interchange made elsewhere: the standard has an empty fingerprint for weights that are not known.
        return ""
    return fingerprint(model)


@cache
def _load(path: str) -> Any:
    from openff.nagl import GNNModel

    return GNNModel.load(path, eval_mode=True)


@cache
def _wrapper() -> Any:
    """Return the toolkit wrapper. Its class is made here, because its base class is OpenFF's."""
    from openff.toolkit import Quantity
    from openff.toolkit.utils.nagl_wrapper import NAGLToolkitWrapper

    class CachedNAGLToolkitWrapper(NAGLToolkitWrapper):  # type: ignore[misc]
        """NAGL with models that stay in memory."""

        def assign_partial_charges(
            self,
            molecule: Any,
            partial_charge_method: str,
            *args: Any,
            normalize_partial_charges: bool = True,
            doi: str | None = None,
            file_hash: str | None = None,
            **kwargs: Any,
        ) -> None:
            """Set ``molecule.partial_charges``, as the base class does."""
            charges = nagl_model(partial_charge_method, doi, file_hash).compute_property(
                molecule,
                as_numpy=True,
                readout_name="am1bcc_charges",
                check_domains=True,
                error_if_unsupported=True,
            )
            molecule.partial_charges = Quantity(charges.astype(float), "elementary_charge")
            if normalize_partial_charges:
                molecule._normalize_partial_charges()

    return CachedNAGLToolkitWrapper()
