"""The interface of an array backend: what a plug-in implements so that its arrays can be exchanged with all others.

A backend for another framework is a class of about 50 lines, found through the entry-point group ``ffbridge.backends``
(or given to ``register_backend``); ``tests/example_plugin`` is one. It says what its framework can take
(`Capabilities`) and what one of its arrays is like (`check`, `dtype`, `device`, `layout`); everything else, the
decision whether to alias, copy or refuse included, is done by :mod:`ffbridge.exchange`, the same for every pair.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import isnan
from operator import add
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from ffbridge.errors import UnsupportedError
from ffbridge.layout import Layout, Strides, obstacle
from ffbridge.plugin import Plugin

if TYPE_CHECKING:
    from ffbridge.function import EngineFunction

__all__ = ["HOST", "Array", "Backend", "Capabilities", "TangentRule"]

Array: TypeAlias = Any
"""An array of any framework."""

TangentRule: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]
"""``(inputs, tangents) -> (output, its tangent)``: see :meth:`Backend.with_tangents`."""

HOST = "numpy"
"""The backend through which arrays reach host memory from frameworks that have none; the one that is always there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a framework can hold and import, as data.

    Attributes:
        dtypes: names of the dtypes that it holds: ``bool``, ``int8`` … ``uint64``, ``float16``, ``bfloat16``,
            ``float32``, ``float64``, ``complex64``, ``complex128``, ``float8_e4m3fn`` and its kin.
        refused: dtypes that it does not hold now, with the reason and the remedy, where those are worth telling.
        carried: the dtypes among `dtypes` that it cannot move by DLPack itself. They cross as unsigned integers of the
            same size, through `Backend.view`; where the other side has no `view`, by way of NumPy, which has. For every
            dtype of the standard but ``complex128``, which no integer is as large as.
        devices: kinds of devices: ``cpu``, ``cuda``.
        strides: the strides that it imports without a copy.
        alignment: the bytes to which memory must be aligned for an import without a copy.
        immutable: its arrays are never written, so it may alias memory that must not be.
        keeps_read_only: an import of read-only memory gives a read-only array.
        versioned: its ``from_dlpack`` asks for DLPack 1, which can tell that memory is read-only.
        hides_read_only: its `Backend.export` shows read-only memory to consumers that are not `versioned`, which
            otherwise get a copy.
        view_copies: `Backend.view` copies.
        copies: its ``from_dlpack`` copies whatever it is given.
        automatic_differentiation: the framework is a host: `Backend.differentiable` and `Backend.gradient` go through
            engines of any framework.
    """

    dtypes: frozenset[str]
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    carried: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset({"cpu"})
    strides: Strides = "any"
    alignment: int = 1
    immutable: bool = False
    keeps_read_only: bool = False
    versioned: bool = True
    hides_read_only: bool = False
    view_copies: bool = False
    copies: bool = False
    automatic_differentiation: bool = False


class Backend(Plugin):
    """An array framework.

    Subclasses set `name`, `package` and `install` and implement what is abstract here. They import their framework in
    `framework` alone (see :class:`Plugin`); a method that is given an array may rely on the framework being loaded.
    """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the framework can take now. It may depend on settings: JAX holds 64-bit numbers only with x64 on."""

    @property
    @abstractmethod
    def namespace(self) -> Any:
        """The framework's functions by the array API standard (array_api_compat), ``from_dlpack`` included."""

    @property
    @abstractmethod
    def array_types(self) -> tuple[type, ...]:
        """The types whose instances are this backend's arrays."""

    @abstractmethod
    def check(self, array: Array) -> None:
        """Raises ExchangeError, with the remedy, if the array has no dense buffer, or would lose what it carries.

        Examples: sparse or nested arrays, arrays that are being traced, arrays that carry a gradient.
        """

    @abstractmethod
    def dtype(self, array: Array) -> str:
        """The name of the dtype, as in `Capabilities.dtypes`; another name if it has one that nobody else knows."""

    @abstractmethod
    def layout(self, array: Array) -> Layout:
        """How the array lies in memory."""

    @abstractmethod
    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A C-contiguous copy in memory of its own, cast and moved as asked; 64-byte aligned where the framework can.

        Also of arrays that `check` refuses, where the framework itself can: a gradient or a trace goes on through it.
        """

    def together(self, arrays: Sequence[Any]) -> list[Array] | None:
        """Copies of small NumPy arrays of dtypes that the framework holds, made faster than one by one; None if not."""
        return None

    def device(self, array: Array) -> str:
        """Where the array is: ``cpu``, ``cuda:0`` and so on."""
        return "cpu"

    def suits(self, array: Array, strides: Strides) -> bool:
        """Whether a consumer that imports `strides` may take the array as it lies, and write to it.

        Only for speed: no is never wrong, and makes `layout` be looked at.
        """
        layout = self.layout(array)
        return layout.writable and obstacle(layout, strides=strides, alignment=1) is None

    def address(self, array: Array) -> int:
        """The address of the first element."""
        return self.layout(array).address

    def export(self, array: Array, *, versioned: bool) -> Any:
        """The object that a consumer's ``from_dlpack`` is given.

        Args:
            array: an array that passed `check`.
            versioned: the consumer asks for DLPack 1. If it does not, it cannot be told that memory is read-only, and
                will get such an array only where it must not write: a backend that `hides_read_only` exports it as if
                it were writable.
        """
        return array

    def view(self, array: Array, dtype: str) -> Array:
        """The same bits as another dtype of the same size. Needed where `Capabilities.carried` is not empty."""
        raise UnsupportedError(f"backend {self.name!r} cannot reinterpret an array as {dtype}")

    def to_host(self, array: Array) -> Array:
        """The array as a NumPy array, copied. Needed where ``cpu`` is not among `Capabilities.devices`."""
        raise UnsupportedError(f"backend {self.name!r} does not copy to host memory")

    def from_host(self, array: Array, device: str) -> Array:
        """A NumPy array as an array on `device`, copied. Needed where ``cpu`` is not among `Capabilities.devices`."""
        raise UnsupportedError(f"backend {self.name!r} does not copy from host memory")

    def is_tracked(self, array: Array) -> bool:
        """Whether the array carries a gradient or a trace of its framework's automatic differentiation."""
        return False

    def has_values(self, array: Array) -> bool:
        """Whether the array has values now: it has none while it is being traced."""
        return True

    def has_nan(self, array: Array) -> bool:
        """Whether a floating-point array that has values holds NaN, or infinities of both signs."""
        from ffbridge.snapshot import snapshot

        return isnan(snapshot(array).sum())

    def detach(self, array: Array) -> Array:
        """The same values without the gradient that the array carries. Needed where arrays carry one themselves."""
        return array

    def fused(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its operations run as one, where each operation by itself is slow and can be compiled."""
        return function

    def recomputed(self, function: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]] | None:
        """The function with no memory of what it computes: derivatives call it again.

        None, as it is by default, where that is not needed: what is compiled, or has no derivatives, keeps little.
        """
        return None

    def with_tangents(self, function: Callable[..., Any], rule: TangentRule) -> Callable[..., Any]:
        """The function, which automatic differentiation takes the tangents of from a rule; as it is by default.

        Args:
            function: ``(*inputs) -> output``; inputs and output are arrays or tuples of arrays.
            rule: ``(inputs, tangents) -> (output, its tangent)``, linear in the tangents, of which any may be None for
                an input that does not move. Made of the framework's own operations, so that it is differentiable.
        """
        return function

    def beside(self, array: Array) -> Mapping[str, Any]:
        """Options by which functions of `namespace` such as ``arange`` make arrays where an array is.

        The array API standard's ``device``, by default; none for frameworks that have no such option.
        """
        from array_api_compat import device

        return {"device": device(array)}

    def take(self, values: Array, rows: Array, *, axis: int = 0) -> Array:
        """The rows of an axis, of indices that are known to be in range."""
        return self.namespace.take(values, rows, axis=axis)

    def in_blocks(
        self,
        function: Callable[[Mapping[str, Array]], tuple[dict[str, Array], dict[str, Array]]],
        rows: Mapping[str, Array],
        block: int,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """What a function returns for rows, evaluated block by block.

        Args:
            function: ``rows by name -> (summands by name, values by name)``; summands have shapes that do not depend on
                how many rows there are, and are added up; values have a row for each of the rows.
            rows: arrays of equally many rows.
            block: how many rows the function is given at once.
        """
        n_rows = next(iter(rows.values())).shape[0]
        if n_rows <= block:
            return function(rows)
        starts = range(0, n_rows, block)
        parts = [function({name: each[start : start + block, ...] for name, each in rows.items()}) for start in starts]
        sums = {name: reduce(add, [summands[name] for summands, _ in parts]) for name in parts[0][0]}
        return sums, {name: self.namespace.concat([values[name] for _, values in parts]) for name in parts[0][1]}

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """Sums of rows: row s of the result sums all ``values[i]`` with ``segments[i] == s``. Needed for energies.

        Args:
            values: ``(n, ...)`` floating point.
            segments: ``(n,) int32`` in ``[0, n_segments)``, in any order.
            n_segments: rows of the result, ``(n_segments, ...)``.
        """
        raise UnsupportedError(f"backend {self.name!r} does not implement segment_sum, which energies need")

    def sum_vectors(self, vectors: Array, segments: Array, n_segments: int) -> Array:
        """Sums of vectors, ``(3, n_segments, n_conformers)``: of each component what `segment_sum` returns.

        A framework that sums all components at once faster than one after another overrides this.

        Args:
            vectors: ``(3, n, n_conformers)`` floating point.
            segments: ``(n,) int32`` in ``[0, n_segments)``, in any order.
            n_segments: how many sums there are.
        """
        return self.namespace.stack([self.segment_sum(vectors[axis, ...], segments, n_segments) for axis in range(3)])

    def erfc(self, x: Array) -> Array:
        """The complementary error function of each element, which the array API standard lacks.

        Needed for energies by the method ``timemachine``.
        """
        raise UnsupportedError(
            f"backend {self.name!r} does not implement erfc, which energies by the method 'timemachine' need"
        )

    def differentiable(self, function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
        """An engine function as a function of this framework's arrays, which its automatic differentiation understands.

        Args:
            function: takes arrays of any framework, as long as they carry no gradient, and returns those of its engine.
                Derivatives are calls of ``function.vjp`` and ``function.jvp``.

        Returns:
            As it is here, for frameworks without automatic differentiation: values only.
        """
        from ffbridge.exchange import share

        return lambda *inputs: tuple(share(output, self).array for output in function(*inputs))

    def gradient(self, function: Callable[..., Array], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Derivatives of a scalar function by the framework's automatic differentiation, one for each input.

        Needed of hosts, so that code which knows no framework (:mod:`ffbridge.testing`) can differentiate in it. Where
        the inputs carry a gradient, so do the results: derivatives of second order are those of a function that calls
        this.

        Args:
            function: takes the inputs and returns an array of one element, without axes.
            inputs: floating-point arrays of this framework.
        """
        raise UnsupportedError(f"backend {self.name!r} has no automatic differentiation")

    def weights(self, model: object) -> Mapping[str, Array] | None:
        """The weights of a model of this framework by name, or None if it is none. For fingerprints.

        Names are paths joined by dots: keys, attributes and places in lists, such as ``layers.0.weight``.
        """
        return None

    def about(self, thing: object) -> str | None:
        """What to tell about something of this framework that is not among `array_types`: what it is and the remedy."""
        return None

    def abilities(self) -> tuple[str, ...]:
        """The dtypes, and how the framework aliases memory."""
        can = self.capabilities
        taken = {
            "any": "any strides",
            "non_negative": "non-negative strides",
            "compact": "transposed or contiguous memory",
            "contiguous": "contiguous memory",
        }[can.strides]
        aligned = f" aligned to {can.alignment} bytes" if can.alignment > 1 else ""
        return (
            f"dtypes: {', '.join(sorted(can.dtypes))}",
            "copies what it imports" if can.copies else f"aliases {taken}{aligned}",
            "arrays are immutable" if can.immutable else "arrays can be written",
        )
