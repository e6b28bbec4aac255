"""Optimizers of torch.optim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.fitting.optimizers import Loss, Memory
from ffbridge.fitting.settings import OptimizerSettings

__all__ = ["TorchOptimizer", "torch_scope"]

Floats = NDArray[np.float64]

HISTORY = 50
"""Steps that L-BFGS remembers."""


class TorchOptimizer:
    """An optimizer of torch.optim.

    Args:
        weights: where it begins.
        loss: of tensors.
        settings: which one.
    """

    def __init__(self, weights: Mapping[str, Floats], loss: Loss, settings: OptimizerSettings) -> None:
        import torch

        self._torch = torch
        self._weights = {name: torch.tensor(array).requires_grad_() for name, array in weights.items()}
        self._loss = loss
        self._optimizer = _made(torch.optim, list(self._weights.values()), settings)
        # What was computed, by the bytes of the weights, with one set of geometries: line searches come back.
        self._known: dict[bytes, tuple[Any, list[Any]]] = {}
        self._constants: Mapping[str, Array] | None = None

    @property
    def weights(self) -> dict[str, Floats]:
        """The weights as they are now, copied."""
        return {name: weight.detach().numpy().copy() for name, weight in self._weights.items()}

    def value(self, constants: Mapping[str, Array]) -> float:
        """Return the loss at the weights."""
        return float(self._evaluated(constants)[0])

    def step(self, constants: Mapping[str, Array]) -> None:
        """Change the weights."""
        here = self._evaluated(constants)
        self._known = {self._place(): here}

        def closure() -> Any:
            value, gradients = self._evaluated(constants)
            for weight, gradient in zip(self._weights.values(), gradients, strict=True):
                weight.grad = gradient.clone()
            return value

        self._optimizer.step(closure)

    def memory(self) -> Memory:
        """Return the optimizer's state, and that of torch's random numbers."""
        arrays = {"random": self._torch.get_rng_state().numpy().copy()}
        return Memory(arrays, _plain(self._optimizer.state_dict(), arrays))

    def restore(self, weights: Mapping[str, Floats], memory: Memory) -> None:
        """Go on from there."""
        torch = self._torch
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(torch.from_numpy(np.array(weights[name])))
        self._optimizer.load_state_dict(_restored(memory.values, memory.arrays, torch))
        torch.set_rng_state(torch.from_numpy(np.array(memory.arrays["random"])))
        self._known = {}

    def _evaluated(self, constants: Mapping[str, Array]) -> tuple[Any, list[Any]]:
        if constants is not self._constants:
            self._known, self._constants = {}, constants
        place = self._place()
        if place not in self._known:
            with self._torch.enable_grad():
                value = self._loss(self._weights, constants)
            weights = list(self._weights.values())
            # Weights that nothing depends on have a derivative of zero.
            gradients = self._torch.autograd.grad(value, weights, materialize_grads=True)
            self._known[place] = value.detach(), list(gradients)
        return self._known[place]

    def _place(self) -> bytes:
        return b"".join(weight.detach().numpy().tobytes() for weight in self._weights.values())


@contextmanager
def torch_scope(seed: int) -> Iterator[None]:
    """Give torch random numbers from a seed, and then those back that it had."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(seed)
        yield


def _made(optim: Any, weights: list[Any], settings: OptimizerSettings) -> Any:
    rate = settings.learning_rate
    if settings.name == "lbfgs":
        # One step at a time, and none that ends on its own.
        ends = {"max_iter": 1, "max_eval": 25, "tolerance_grad": 0, "tolerance_change": 0}
        return optim.LBFGS(weights, lr=rate, history_size=HISTORY, line_search_fn="strong_wolfe", **ends)
    return {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD}[settings.name](weights, lr=rate)


def _plain(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a state as plain JSON, its tensors in `arrays`; keys that are numbers stay numbers."""
    if isinstance(value, dict):
        return {"pairs": [[key, _plain(each, arrays)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_plain(each, arrays) for each in value]}
    if hasattr(value, "detach"):
        name = f"state/{len(arrays)}"
        arrays[name] = value.detach().numpy().copy()
        return {"array": name}
    return value


def _restored(value: Any, arrays: Mapping[str, NDArray[Any]], torch: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return torch.from_numpy(np.array(arrays[content]))
    if kind == "pairs":
        return {key: _restored(each, arrays, torch) for key, each in content}
    items = [_restored(each, arrays, torch) for each in content]
    return tuple(items) if kind == "tuple" else items
