"""Engine functions of engines that compute energies and first derivatives, by reverse mode, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ffbridge.backend import Array, Backend
from ffbridge.errors import UnsupportedError
from ffbridge.exchange import share
from ffbridge.function import FunctionSource, Signature, Transformation, Vmap
from ffbridge.packing import Packing

__all__ = ["FirstOrderSource"]


@dataclass(frozen=True, eq=False, kw_only=True)
class FirstOrderSource(FunctionSource):
    """Energies and their pullback.

    Attributes:
        engine: the engine's name, for messages.
        backend: the framework of its arrays.
        packing: the layout of packed arrays.
        n_energies: energies of each conformer.
        energies: ``packed -> (n_conformers, n_energies)``.
        pullback: ``(packed, dL/d energies) -> dL/d packed``.
    """

    engine: str
    backend: Backend
    packing: Packing
    n_energies: int
    energies: Callable[[Array], Array]
    pullback: Callable[[Array, Array], Array]

    def run(
        self, path: tuple[Transformation, ...], signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Return the energies or their pullback, over any leading axes; errors as `FunctionSource.run`."""
        path = _axes_last(path)
        if path and isinstance(path[-1], Vmap):
            return self._over_axis(path[:-1], path[-1], signature, inputs)
        self.require(path)
        taken = [share(array, self.backend).array for array in inputs]
        if path == ("vjp",):
            return (self.pullback(*taken),)
        energies = self.energies(taken[0])
        if path == ("slope",):
            xp = self.backend.namespace
            return (self.packing.rows(xp, energies, self.pullback(taken[0], xp.ones_like(energies))),)
        return (energies,)

    def require(self, path: tuple[Transformation, ...]) -> None:
        """Raise UnsupportedError for all but energies and their first derivatives by reverse mode."""
        orders = tuple(by for by in path if not isinstance(by, Vmap))
        if orders not in ((), ("vjp",), ("slope",)):
            wanted = "derivatives by forward mode (jvp, hessian)" if len(orders) == 1 else "second derivatives"
            raise UnsupportedError(
                f"the engine {self.engine!r} has first derivatives by reverse mode only, and {wanted} were asked for: "
                "use engine='jax' or engine='torch'"
            )

    def _over_axis(
        self, path: tuple[Transformation, ...], vmap: Vmap, signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        marked = list(zip(inputs, vmap.batched, strict=True))
        size = next(array.shape[0] for array, leading in marked if leading)
        each = [
            self.run(path, signature, tuple(array[i] if leading else array for array, leading in marked))
            for i in range(size)
        ]
        return tuple(self.backend.namespace.stack(outputs) for outputs in zip(*each, strict=True))


def _axes_last(path: tuple[Transformation, ...]) -> tuple[Transformation, ...]:
    """Return a path of at most one derivative with that first: the pullback over an axis is an axis of pullbacks.

    The energies have one input, so an axis before the derivative is one of the packed point, and of all that follows
    from it.
    """
    derivatives = [by for by in path if not isinstance(by, Vmap)]
    if len(derivatives) != 1 or path[0] == derivatives[0]:
        return path
    place = path.index(derivatives[0])
    batched = (True, True) if derivatives[0] == "vjp" else (True,)
    return (derivatives[0], *(Vmap(batched) for _ in path[:place]), *path[place + 1 :])
