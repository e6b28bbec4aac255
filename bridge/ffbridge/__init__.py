"""ffbridge: force-field parameters, graphs and gradients across frameworks.

Arrays cross by DLPack (`to`), DGL graphs as named arrays (`read_graph`), force-field parameters as bundles of the
standard in ``spec/bundle.md`` (`from_interchange`, `load`), and any engine evaluates a bundle (`potential`).
Importing this package imports no framework.
"""

from ffbridge.backend import Backend, Capabilities
from ffbridge.bundle import Bundle, Model
from ffbridge.concatenate import concatenate
from ffbridge.engine import ArrayEngine, Engine, Evaluation
from ffbridge.exchange import Transfer, to, transfer
from ffbridge.exporters.openmm import to_openmm
from ffbridge.exporters.timemachine import TimemachinePotential, timemachine_parameters, to_timemachine
from ffbridge.fingerprint import fingerprint, named_weights
from ffbridge.graph import Graph, read_graph, write_graph
from ffbridge.io import load, save
from ffbridge.mapping import Identity, Linear, Mapping, Select
from ffbridge.potential import Potential, potential
from ffbridge.producers.arrays import TermArrays, from_arrays
from ffbridge.producers.espaloma import espaloma_graph, from_espaloma
from ffbridge.producers.openff import from_interchange
from ffbridge.producers.openmm import from_openmm
from ffbridge.registry import (
    BackendInfo,
    backends,
    engines,
    register_backend,
    register_engine,
)
from ffbridge.separate import separate
from ffbridge.table import ParameterKey, Table
from ffbridge.term import Constraints, Exceptions, Term, VirtualSites
from ffbridge.trainable import Parameter, Trainable, trainable
from ffbridge.validate import validate

__version__ = "0.1.0"

__all__ = [
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
    "VirtualSites",
    "backends",
    "concatenate",
    "engines",
    "espaloma_graph",
    "fingerprint",
    "from_arrays",
    "from_espaloma",
    "from_interchange",
    "from_openmm",
    "load",
    "named_weights",
    "potential",
    "read_graph",
    "register_backend",
    "register_engine",
    "save",
    "separate",
    "timemachine_parameters",
    "to",
    "to_openmm",
    "to_timemachine",
    "trainable",
    "transfer",
    "validate",
    "write_graph",
]
