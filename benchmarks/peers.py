"""Other programs that do the same work, where they can be imported. Nothing depends on one or installs one.

Each function checks that the peer's energy is ours before it returns what is to be timed: a comparison of different
work would be worthless.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["espaloma_builder", "espaloma_call", "found", "missing", "openmm_loop", "save_smee", "smee_call"]

_PEERS = ("smee", "espaloma", "openmm")
_KCAL, _ANGSTROM = 4.184, 0.1


@cache
def _look() -> tuple[dict[str, Any], dict[str, str]]:
    os.environ.setdefault("DGLBACKEND", "pytorch")
    modules, reasons = {}, {}
    for name in _PEERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                modules[name] = importlib.import_module(name)
        except ImportError as error:
            reasons[name] = str(error)
    return modules, reasons


def found() -> dict[str, str]:
    """The peers that can be imported, with their versions."""
    return {name: getattr(module, "__version__", "unknown") for name, module in _look()[0].items()}


def missing() -> dict[str, str]:
    """The peers that cannot, with the reason."""
    return dict(_look()[1])


def save_smee(interchanges: Sequence[Any], path: Path) -> None:
    """Convert Interchanges by smee's own converter, with one force field for all, and keep the result."""
    import torch
    from smee.converters import convert_interchange

    torch.save(convert_interchange(list(interchanges)), path)


def smee_call(
    path: Path, indices: Sequence[int], x: np.ndarray, sizes: Sequence[int], expected: float, *, dtype: str
) -> Callable[[], object]:
    """Energies, forces and dU/dθ of molecules by smee, one call of its energy function for each, and one backward.

    smee casts positions to float32 whatever it is given. For float64 that cast is left out while the call runs.

    Args:
        path: what :func:`save_smee` has kept.
        indices: which of the molecules.
        x: ``(..., n_atoms, 3)`` [nm].
        sizes: atoms of each molecule.
        expected: our energy, summed over molecules and conformers [kJ/mol].
        dtype: ``float32`` or ``float64``.
    """
    import smee
    import torch

    # A file that this program wrote itself.
    force_field, topologies = torch.load(path, weights_only=False)
    force_field = force_field.to(precision={"float32": "single", "float64": "double"}[dtype])
    topologies = [
        topologies[index].to(precision={"float32": "single", "float64": "double"}[dtype]) for index in indices
    ]
    parts = [torch.tensor(part / _ANGSTROM) for part in np.split(x, np.cumsum(sizes)[:-1], axis=-2)]
    parameters = [potential.parameters.detach() for potential in force_field.potentials]

    def evaluate():
        theta = [parameter.clone().requires_grad_() for parameter in parameters]
        for potential, parameter in zip(force_field.potentials, theta, strict=True):
            potential.parameters = parameter
        positions = [part.clone().requires_grad_() for part in parts]
        energies = [smee.compute_energy(t, force_field, p) for t, p in zip(topologies, positions, strict=True)]
        energy = torch.cat(energies).sum()
        return energy.detach(), torch.autograd.grad(energy, [*positions, *theta], allow_unused=True)

    def call():
        potentials = smee.potentials._potentials
        own = potentials._prepare_inputs
        if dtype == "float64":
            potentials._prepare_inputs = _without_cast
        try:
            return evaluate()
        finally:
            potentials._prepare_inputs = own

    _agree("smee", float(call()[0]) * _KCAL, expected, 1e-4)
    return call


def _without_cast(system: Any, conformer: Any, box_vectors: Any = None) -> tuple[Any, Any, Any]:
    """What smee's function of that place does, without the cast to float32."""
    import smee

    whole = smee.TensorSystem([system], [1], False) if isinstance(system, smee.TensorTopology) else system
    return whole, conformer, box_vectors


def espaloma_call(graph: Any, x: np.ndarray, expected: float) -> Callable[[], object]:
    """Energy and forces of a DGL graph with parameters, by espaloma's geometry and energy functions.

    Args:
        graph: of :func:`ffbridge.demo.graphs.parametrized_graph`.
        x: ``(n_atoms, 3)`` [nm].
        expected: our energy [kJ/mol].
    """
    import torch

    from ffbridge.units import KJ_PER_MOL_PER_HARTREE, NM_PER_BOHR

    espaloma = _espaloma()
    start = torch.tensor(x / NM_PER_BOHR)[:, None, :]
    terms = ["n2", "n3", "n4", "n4_improper", "nonbonded", "onefour"]

    def call():
        graph.nodes["n1"].data["xyz"] = positions = start.clone().requires_grad_()
        espaloma.mm.geometry.geometry_in_graph(graph)
        espaloma.mm.energy.energy_in_graph(graph, terms=terms)
        energy = graph.nodes["g"].data["u"].sum()
        return energy.detach(), torch.autograd.grad(energy, positions)

    # espaloma adds noise to dihedrals.
    _agree("espaloma", float(call()[0]) * KJ_PER_MOL_PER_HARTREE, expected, 1e-2)
    return call


def espaloma_builder(molecule: Any) -> Callable[[], object]:
    """Return what makes the graph of a molecule, by espaloma."""
    espaloma = _espaloma()
    return lambda: espaloma.Graph(molecule).heterograph


def _espaloma() -> Any:
    import dgl

    # What espaloma calls is missing in current builds of DGL.
    dgl.DGLGraph.adjacency_matrix = lambda graph, *_, **__: graph.adj_external()
    return _look()[0]["espaloma"]


def openmm_loop(bundles: Sequence[Any], x: Sequence[np.ndarray], expected: float) -> Callable[[], object]:
    """Energies and forces by OpenMM's Reference platform, molecule by molecule and conformer by conformer.

    Args:
        bundles: of single molecules; OpenMM gets the Systems that they are exported as.
        x: ``(n_conformers, n_atoms, 3)`` of each [nm].
        expected: our energy, summed over molecules and conformers [kJ/mol].
    """
    import openmm
    from openmm import unit

    import ffbridge as fb

    platform = openmm.Platform.getPlatformByName("Reference")
    contexts = [openmm.Context(fb.to_openmm(each), openmm.VerletIntegrator(1e-3), platform) for each in bundles]

    def call():
        energy, forces = 0.0, []
        for context, conformers in zip(contexts, x, strict=True):
            for conformer in conformers:
                context.setPositions(conformer)
                state = context.getState(getEnergy=True, getForces=True)
                energy += state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
                forces.append(state.getForces(asNumpy=True))
        return energy, forces

    _agree("openmm", call()[0], expected, 1e-6)
    return call


def _agree(name: str, theirs: float, ours: float, tolerance: float) -> None:
    if abs(theirs - ours) > tolerance * max(abs(ours), 1.0):
        raise ArithmeticError(f"{name} has the energy {theirs} kJ/mol, ours is {ours}: that is not the same work")
