"""The NumPy engine, broken in one way each."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ffbridge.engine import EngineEvaluator
from ffbridge.function import EngineFunction, FunctionSource, Vmap
from ffbridge.registry import get_engine
from ffbridge_backends.engines.analytic import NumpyEngine
from ffbridge_backends.engines.torch import TorchEngine
from ffbridge_backends.torch import TorchBackend


class Changed(EngineEvaluator):
    """Another evaluator; a subclass changes some of it."""

    def __init__(self, sound):
        self.sound = sound

    def by_term(self, x, tables):
        return self.sound.by_term(x, tables)

    def energy(self, x, tables):
        return self.sound.energy(x, tables)

    def value_and_grad(self, x, tables):
        return self.sound.value_and_grad(x, tables)

    def source(self, packing, *, each_term):
        return self.sound.source(packing, each_term=each_term)


class Broken(NumpyEngine):
    """The NumPy engine with a changed evaluator, in its place."""

    changed = Changed

    def prepare(self, bundle, *, hosted=False):
        return self.changed(super().prepare(bundle, hosted=hosted))


class WrongSign(Broken):
    class changed(Changed):
        def value_and_grad(self, x, tables):
            found = self.sound.value_and_grad(x, tables)
            return found._replace(forces=-found.forces)


class DropsGradient(Broken):
    """Under a host: the pullback has nothing for tables."""

    class changed(Changed):
        def source(self, packing, *, each_term):
            sound = self.sound.source(packing, each_term=each_term)

            def pullback(packed, weights):
                gradient = np.array(sound.pullback(packed, weights))
                gradient[: packing.n_parameters] = 0
                return gradient

            return replace(sound, pullback=pullback)


class IgnoresCotangents(Broken):
    """Under a host: every energy counts the same, whatever the loss makes of it."""

    class changed(Changed):
        def source(self, packing, *, each_term):
            sound = self.sound.source(packing, each_term=each_term)
            return replace(sound, pullback=lambda packed, weights: sound.pullback(packed, np.ones_like(weights)))


class StaleTables(Broken):
    class changed(Changed):
        def __init__(self, sound):
            super().__init__(sound)
            self.cache = {}

        def energy(self, x, tables):
            for name, values in tables.items():
                self.cache.setdefault((name, id(values)), values.copy())
            return self.sound.energy(x, {name: self.cache[name, id(values)] for name, values in tables.items()})


class ReversesMapping(Broken):
    """dU/dtables with the rows of M in the wrong order."""

    class changed(Changed):
        def value_and_grad(self, x, tables):
            found = self.sound.value_and_grad(x, tables)
            return found._replace(tables={name: gradient[::-1] for name, gradient in found.tables.items()})


class NotThreadSafe(Broken):
    class changed(Changed):
        def value_and_grad(self, x, tables):
            self.x = x
            time.sleep(0.0005)
            return self.sound.value_and_grad(self.x, tables)


class ChangesInputs(Broken):
    class changed(Changed):
        def value_and_grad(self, x, tables):
            x -= x.mean(axis=-2, keepdims=True)  # energies are the same, wherever the system is
            return self.sound.value_and_grad(x, tables)


class ReusesResults(Broken):
    class changed(Changed):
        def __init__(self, sound):
            super().__init__(sound)
            self.forces = {}

        def value_and_grad(self, x, tables):
            found = self.sound.value_and_grad(x, tables)
            forces = self.forces.setdefault(x.shape, np.zeros(x.shape))
            forces[...] = found.forces
            return found._replace(forces=forces)


class Approximates(Broken):
    """Takes timemachine's cutoff for none at all, and says nothing."""

    def prepare(self, bundle, *, hosted=False):
        terms = {}
        for name, term in bundle.terms.items():
            settings = dict(term.settings)
            if settings.get("method") == "timemachine":
                settings = {"method": "no_cutoff", "coulomb_constant": settings["coulomb_constant"]}
            terms[name] = replace(term, settings=settings)
        return get_engine("torch").prepare(replace(bundle, terms=terms), hosted=True)

    backend = "torch"


class ForgetsConformers(Broken):
    """Right for one conformer, and the energy of the first for all."""

    class changed(Changed):
        def value_and_grad(self, x, tables):
            found = self.sound.value_and_grad(x, tables)
            energy = np.array(found.energy).reshape(-1, found.energy.shape[-1])
            energy[:] = energy[0]
            return found._replace(energy=energy.reshape(found.energy.shape))


class _ZeroSource(FunctionSource):
    """First derivatives of another source, and zeros for those of second order."""

    def __init__(self, sound):
        self.sound, self.packing, self.n_energies = sound, sound.packing, sound.n_energies

    def run(self, path, signature, inputs):
        if sum(not isinstance(by, Vmap) for by in path) < 2:
            return self.sound.run(path, signature, inputs)
        shapes = EngineFunction(self, path).shapes(*(tuple(array.shape) for array in inputs))
        return tuple(np.zeros(shape) for shape in shapes)


class ZeroSecondDerivatives(Broken):
    """Claims any order."""

    derivatives = 2

    class changed(Changed):
        def source(self, packing, *, each_term):
            return _ZeroSource(self.sound.source(packing, each_term=each_term))


class SecondDerivativesThatItDenies(TorchEngine):
    """Declares first derivatives, and gives second ones: somebody will believe the one or the other."""

    derivatives = 1


class LetsGradientsGo(TorchBackend):
    """Gives tensors away without their gradient, and without a word."""

    def check(self, array):
        pass

    def export(self, array, *, versioned):
        return array.detach()


BROKEN = {
    WrongSign: ("derivatives/positions", r"forces are -dU/dx"),
    DropsGradient: ("host/first-derivatives", "with respect to table"),
    IgnoresCotangents: ("host/first-derivatives", "with respect to positions"),
    StaleTables: ("calls/tables", "the array of table .* has other values"),
    ReversesMapping: ("derivatives/mapping", "= Mᵀ dU/dp: got"),
    NotThreadSafe: ("threads/calls", "of 8 threads at once get a wrong"),
    ChangesInputs: ("calls/inputs", "positions after a call"),
    ReusesResults: ("calls/inputs", "forces that were returned before"),
    Approximates: ("vectors/energies", "energy of electrostatics: got"),
    ForgetsConformers: ("calls/conformers", "energy of conformers"),
    ZeroSecondDerivatives: ("host/second-derivatives", "the derivative of a force with respect to positions"),
    SecondDerivativesThatItDenies: ("host/second-derivatives", "it declares no second derivatives, and gives some"),
}
"""Each broken engine: a check that fails it, and what the reason says."""
