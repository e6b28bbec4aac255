"""ffbridge: force-field parameters, graphs and gradients across frameworks.

Arrays cross by DLPack (`to`), DGL graphs as named arrays (`read_graph`), force-field parameters as bundles of the
standard in ``spec/bundle.md`` (`from_interchange`, `load`), and any engine evaluates a bundle (`potential`).
Importing this package imports no framework, not even NumPy: what needs it is imported when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ffbridge import errors
from ffbridge.backend import Backend, Capabilities
from ffbridge.bundle import Bundle, Model
from ffbridge.engine import ArrayEngine, Engine, Evaluation
from ffbridge.exchange import Transfer, to, transfer
from ffbridge.mapping import Identity, Linear, Mapping, Select
from ffbridge.registry import BackendInfo, backends, engines, register_backend, register_engine
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Constraints, Exceptions, Overrides, Term

if TYPE_CHECKING:
    from ffbridge import targets
    from ffbridge.analytic_engine import AnalyticEngine
    from ffbridge.concatenate import concatenate
    from ffbridge.exporters.espaloma import to_espaloma
    from ffbridge.exporters.interchange import to_interchange
    from ffbridge.exporters.offxml import to_force_field
    from ffbridge.exporters.openmm import to_openmm
    from ffbridge.exporters.timemachine import TimemachinePotential, timemachine_parameters, to_timemachine
    from ffbridge.fingerprint import fingerprint, named_weights
    from ffbridge.graph import Graph, read_graph, write_graph
    from ffbridge.io import load, save
    from ffbridge.potential import Potential, potential
    from ffbridge.producers.arrays import TermArrays, from_arrays
    from ffbridge.producers.espaloma import espaloma_graph, from_espaloma
    from ffbridge.producers.garnet import from_garnet
    from ffbridge.producers.nagl import NaglCharges, from_nagl, nagl_charges
    from ffbridge.producers.openff import from_interchange
    from ffbridge.producers.openmm import from_openmm
    from ffbridge.separate import separate
    from ffbridge.trainable import Parameter, Trainable, trainable
    from ffbridge.validate import validate
    from ffbridge.virtual_sites import place_virtual_sites

__version__ = "0.1.0"

__all__ = [
    "AnalyticEngine",
    "ArrayEngine",
    "Backend",
    "BackendInfo",
    "Bundle",
    "Capabilities",
    "Constraints",
    "Engine",
    "Evaluation",
    "Exceptions",
    "Graph",
    "Identity",
    "Linear",
    "Mapping",
    "Model",
    "NaglCharges",
    "Overrides",
    "Parameter",
    "ParameterKey",
    "Potential",
    "Select",
    "Table",
    "Term",
    "TermArrays",
    "TimemachinePotential",
    "Trainable",
    "Transfer",
    "backends",
    "concatenate",
    "engines",
    "errors",
    "espaloma_graph",
    "fingerprint",
    "from_arrays",
    "from_espaloma",
    "from_garnet",
    "from_interchange",
    "from_nagl",
    "from_openmm",
    "load",
    "nagl_charges",
    "named_weights",
    "place_virtual_sites",
    "potential",
    "read_graph",
    "register_backend",
    "register_engine",
    "save",
    "separate",
    "targets",
    "timemachine_parameters",
    "to",
    "to_espaloma",
    "to_force_field",
    "to_interchange",
    "to_openmm",
    "to_timemachine",
    "trainable",
    "transfer",
    "validate",
    "write_graph",
]

_LAZY = {
    "AnalyticEngine": "ffbridge.analytic_engine",
    "Graph": "ffbridge.graph",
    "NaglCharges": "ffbridge.producers.nagl",
    "Parameter": "ffbridge.trainable",
    "Potential": "ffbridge.potential",
    "TermArrays": "ffbridge.producers.arrays",
    "TimemachinePotential": "ffbridge.exporters.timemachine",
    "Trainable": "ffbridge.trainable",
    "concatenate": "ffbridge.concatenate",
    "espaloma_graph": "ffbridge.producers.espaloma",
    "fingerprint": "ffbridge.fingerprint",
    "from_arrays": "ffbridge.producers.arrays",
    "from_espaloma": "ffbridge.producers.espaloma",
    "from_garnet": "ffbridge.producers.garnet",
    "from_interchange": "ffbridge.producers.openff",
    "from_nagl": "ffbridge.producers.nagl",
    "from_openmm": "ffbridge.producers.openmm",
    "load": "ffbridge.io",
    "nagl_charges": "ffbridge.producers.nagl",
    "named_weights": "ffbridge.fingerprint",
    "place_virtual_sites": "ffbridge.virtual_sites",
    "potential": "ffbridge.potential",
    "read_graph": "ffbridge.graph",
    "save": "ffbridge.io",
    "separate": "ffbridge.separate",
    "timemachine_parameters": "ffbridge.exporters.timemachine",
    "to_espaloma": "ffbridge.exporters.espaloma",
    "to_force_field": "ffbridge.exporters.offxml",
    "to_interchange": "ffbridge.exporters.interchange",
    "to_openmm": "ffbridge.exporters.openmm",
    "to_timemachine": "ffbridge.exporters.timemachine",
    "trainable": "ffbridge.trainable",
    "validate": "ffbridge.validate",
    "write_graph": "ffbridge.graph",
}
"""The module of each public name that is imported when it is first used."""


_PACKAGES = ("targets",)
"""The public packages that are imported when they are first used."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A package whose public names win over its modules of the same name.

    An import of ``ffbridge.potential`` binds the module to the attribute ``potential``, which is the function's.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LAZY and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
