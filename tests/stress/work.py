"""What threads and workers do, at module level so that spawned processes find it."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

import ffbridge as fb
from tests.bridge.bundles import random_bundle, zigzag

ENGINES = ("numpy", "native", "torch", "jax")


def scope(*names: str):
    """The scope in which JAX holds 64-bit numbers, if it is among the frameworks."""
    if "jax" not in names:
        return nullcontext()
    import jax

    return jax.enable_x64(True)


def bundle():
    return random_bundle(np.random.default_rng(5))


def positions(seed: int, *batch: int):
    return zigzag(np.random.default_rng(seed), *batch)


def evaluated(engine: str, seed: int) -> bytes:
    """An energy and its derivatives, in bytes."""
    with scope(engine):
        found = fb.potential(bundle(), engine=engine).value_and_grad(positions(seed, 2))
        parts = [found.energy, found.forces, *found.tables.values()]
        return b"".join(np.ascontiguousarray(fb.to(part, "numpy")).tobytes() for part in parts)


def energies_of(U: fb.Potential, x) -> bytes:
    """Energies and forces of a potential that came from another process, in bytes."""
    energy, forces = U.energy_and_forces(x)
    return b"".join(np.asarray(part).tobytes() for part in (energy, forces))


def exchanged(seed: int, *names: str) -> list:
    """Numbers that went through frameworks, one after another."""
    array = positions(seed)
    with scope(*names):
        for name in (*names, "numpy"):
            array = fb.to(array, name)
        return array.tolist()


class Conformers:
    """A data set of torch: each item is made by exchange and by two potentials in a worker."""

    def __init__(self, *engines: str, host: str = "torch") -> None:
        self.potentials = [fb.potential(bundle(), engine=engine, host=host) for engine in engines]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, seed: int):
        import torch

        x = fb.to(positions(seed), "torch", copy=True).requires_grad_()
        energies = [U(x) for U in self.potentials]
        (gradient,) = torch.autograd.grad(sum(energy.sum() for energy in energies), x)
        return torch.cat([*energies, gradient.reshape(-1)]).detach()
