"""Engine functions: what an engine lends to the automatic differentiation of a host.

An :class:`EngineFunction` is an engine's energy, or a derivative of it: its vector-Jacobian product, its
Jacobian-vector product and its form over a leading axis are engine functions again, so that derivatives of any order
are calls of the same kind. A host makes a differentiable function of its own arrays from one
(:meth:`Backend.differentiable`). An engine whose derivatives end at some order refuses the next transformation by
name.

There are three kinds of arrays: *packed* ones, ``(n,)``, which hold tables and positions as a
:class:`ffbridge.packing.Packing` lays them out; *energies*, ``(n_conformers, n_energies)``; and *rows*, which hold
energies and, after them, a derivative with respect to positions: ``(n_conformers, n_energies + 3 n_atoms)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from ffbridge.backend import Array
from ffbridge.packing import Packing

__all__ = ["EngineFunction", "FunctionSource", "Kind", "Signature", "Transformation", "Vmap", "compose"]

Kind = Literal["packed", "energies", "rows"]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Vmap:
    """The transformation that runs a function over a leading axis of those inputs that are batched."""

    batched: tuple[bool, ...]


Transformation = Literal["vjp", "jvp", "slope"] | Vmap


@dataclass(frozen=True)
class Signature:
    """What goes into a function and comes out.

    Attributes:
        inputs: the kind of each input; the first is the packed point at which everything is taken.
        outputs: the kind of each output.
        linear: how many of the last inputs the function is linear in, all others fixed.
    """

    inputs: tuple[Kind, ...] = ("packed",)
    outputs: tuple[Kind, ...] = ("energies",)
    linear: int = 0

    def transformed(self, by: Transformation) -> Signature:
        """Return the signature of the transformed function."""
        if by == "vjp":
            return Signature(self.inputs + self.outputs, self.inputs, len(self.outputs))
        if by == "jvp":
            return Signature(self.inputs + self.inputs, self.outputs, len(self.inputs))
        if by == "slope":
            return Signature(self.inputs, ("rows",))
        return self


class FunctionSource(ABC):
    """An engine's side of an engine function: it evaluates the energies of one bundle and their derivatives.

    Attributes:
        packing: the layout of packed arrays.
        n_energies: energies of each conformer.
    """

    packing: Packing
    n_energies: int

    @abstractmethod
    def run(
        self, path: tuple[Transformation, ...], signature: Signature, inputs: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        """Return the outputs of the energies transformed by `path`, in order, as arrays of the engine's backend.

        Args:
            path: the transformations; empty for the energies themselves.
            signature: that of the transformed function.
            inputs: arrays of any framework without gradients.

        Raises:
            UnsupportedError: the engine has no such derivative; the message names the engine.
        """

    def require(self, path: tuple[Transformation, ...]) -> None:
        """Raise UnsupportedError, before anything is run, if the engine lacks the derivative; by default it has all."""
        return


@dataclass(frozen=True)
class EngineFunction:
    """The energies of an engine, or a derivative of them. Equal functions compare and hash equal.

    Attributes:
        source: the engine's side.
        path: the transformations that lead from the energies to this function, in order.
    """

    source: FunctionSource
    path: tuple[Transformation, ...] = ()

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the outputs, arrays of the engine's backend, for inputs of any framework that carry no gradient."""
        return self.source.run(self.path, self.signature, inputs)

    @cached_property
    def signature(self) -> Signature:
        """The inputs and outputs."""
        signature = Signature()
        for transformation in self.path:
            signature = signature.transformed(transformation)
        return signature

    @cached_property
    def vjp(self) -> EngineFunction:
        """The function ``(*inputs, *cotangents of the outputs) -> cotangents of the inputs``."""
        return replace(self, path=(*self.path, "vjp"))

    @cached_property
    def jvp(self) -> EngineFunction:
        """The function ``(*inputs, *tangents of the inputs) -> tangents of the outputs``."""
        return replace(self, path=(*self.path, "jvp"))

    @property
    def has_slope(self) -> bool:
        """Whether :attr:`slope` holds all first derivatives: one energy for each conformer, and positions alone."""
        return not self.path and self.source.n_energies == 1 and not self.source.packing.tables

    @cached_property
    def slope(self) -> EngineFunction:
        """The function ``packed -> rows``: energies and the derivative of their sum with respect to positions.

        One call of the engine and one array for energies and forces: as the energies of a conformer depend on no other,
        each row's derivative is that of the conformer's own energies.
        """
        return replace(self, path=(*self.path, "slope"))

    def vmap(self, batched: tuple[bool, ...]) -> EngineFunction:
        """Return the function over a leading axis of those inputs that are batched; every output has the axis."""
        return replace(self, path=(*self.path, Vmap(batched)))

    @cached_property
    def transpose(self) -> EngineFunction:
        """The function ``(*fixed inputs, *cotangents of the outputs) -> cotangents of the linear inputs``.

        The transpose of a vjp is the jvp of the same function and the other way round. Under vmap, the linear inputs
        must all be batched, so that their cotangents are.
        """
        *before, last = self.path
        if isinstance(last, Vmap):
            inner = replace(self, path=tuple(before))
            n_fixed = len(last.batched) - self.signature.linear
            return inner.transpose.vmap(last.batched[:n_fixed] + (True,) * len(self.signature.outputs))
        return replace(self, path=(*before, "jvp" if last == "vjp" else "vjp"))

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """Return the shapes of the outputs for inputs of these shapes; their dtype is that of the inputs."""
        if not self.path:
            (length,) = inputs[0]
            return ((self.source.packing.n_conformers(length), self.source.n_energies),)
        *before, last = self.path
        inner = replace(self, path=tuple(before))
        n_inputs = len(inner.signature.inputs)
        if last == "vjp":
            return inputs[:n_inputs]
        if last == "jvp":
            return inner.shapes(*inputs[:n_inputs])
        if last == "slope":
            ((n_conformers, n_energies),) = inner.shapes(*inputs)
            return ((n_conformers, n_energies + 3 * self.source.packing.n_atoms),)
        marked = list(zip(inputs, last.batched, strict=True))
        size = next(shape[0] for shape, leading in marked if leading)
        return tuple((size, *shape) for shape in inner.shapes(*(shape[leading:] for shape, leading in marked)))


def compose(
    function: Callable[..., tuple[Array, ...]],
    path: tuple[Transformation, ...],
    *,
    vjp: Callable[[Callable[..., Any], tuple[Array, ...], tuple[Array, ...]], tuple[Array, ...]],
    jvp: Callable[[Callable[..., Any], tuple[Array, ...], tuple[Array, ...]], tuple[Array, ...]],
    vmap: Callable[[Callable[..., Any], tuple[int | None, ...]], Callable[..., Any]],
    slope: Callable[[Callable[..., Any], tuple[Array, ...]], tuple[Array, ...]],
) -> Callable[..., tuple[Array, ...]]:
    """Return a function transformed by a path, with a framework's own automatic differentiation.

    Args:
        function: ``packed -> (energies,)``.
        path: the transformations, in order.
        vjp: ``(function, inputs, cotangents of the outputs) -> cotangents of the inputs``.
        jvp: ``(function, inputs, tangents) -> tangents of the outputs``.
        vmap: ``(function, leading axis of each input or None) -> function``.
        slope: ``(function, inputs) -> (rows,)``.
    """

    def transformed(inner: Callable[..., Any], n_inputs: int, by: Transformation) -> Callable[..., Any]:
        if isinstance(by, Vmap):
            return vmap(inner, tuple(0 if leading else None for leading in by.batched))
        if by == "slope":
            return lambda *inputs: slope(inner, inputs)
        product = vjp if by == "vjp" else jvp
        return lambda *inputs: product(inner, inputs[:n_inputs], inputs[n_inputs:])

    signature = Signature()
    for by in path:
        function = transformed(function, len(signature.inputs), by)
        signature = signature.transformed(by)
    return function
