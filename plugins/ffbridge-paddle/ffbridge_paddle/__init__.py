"""PaddlePaddle on the CPU as a backend, a host and an engine of ffbridge, by ffbridge's public interface alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from ffbridge import AnalyticEngine, Backend, Capabilities
from ffbridge.backend import Array
from ffbridge.errors import ExchangeError, UnsupportedError
from ffbridge.layout import Layout
from ffbridge_paddle.functions import Functions

if TYPE_CHECKING:
    from ffbridge.function import EngineFunction

__all__ = ["PaddleBackend", "PaddleEngine", "backend", "engine"]

_CPU = (1, 0)

_CAPABILITIES = Capabilities(
    dtypes=frozenset("bool int8 int16 int32 int64 uint8 float16 float32 float64 complex64 complex128".split()),
    refused={"uint16": 'Paddle takes its bits for those of bfloat16: cast it, as with dtype="int32"'},
    strides="non_negative",
    copies=True,
    automatic_differentiation=True,
)


class _OnTheCPU:
    """Exports a tensor; Paddle itself leaves the number of the device empty, which JAX does not take."""

    def __init__(self, tensor: Array) -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU


class PaddleBackend(Backend):
    """Paddle's tensors on the CPU. What comes in is copied, what goes out is Paddle's own memory."""

    name = "paddle"
    package = "paddle"
    install = "pip install paddlepaddle"

    @property
    def capabilities(self) -> Capabilities:
        """Whatever Paddle holds without taking it for something else, as it does uint16."""
        return _CAPABILITIES

    @cached_property
    def namespace(self) -> Any:
        """Paddle's functions as the array API standard has them."""
        return Functions(self.framework)

    @cached_property
    def array_types(self) -> tuple[type, ...]:
        """paddle.Tensor."""
        return (self.framework.Tensor,)

    def check(self, array: Array) -> None:
        """Refuses tensors that carry a gradient, are sparse, or lie on another device."""
        if not array.stop_gradient:
            remedy = "t.detach() if the gradient need not follow, or a potential with host='paddle' if it must"
            self._refuse(array, "it carries a gradient", remedy)
        if not array.is_dense():
            self._refuse(array, "it has no dense buffer", "t.to_dense()")
        if not array.place.is_cpu_place():
            self._refuse(array, f"it is on {array.place}, and this plug-in exchanges tensors on the CPU", "t.cpu()")

    def _refuse(self, array: Array, fault: str, remedy: str) -> NoReturn:
        raise ExchangeError(f"a Paddle tensor of shape {tuple(array.shape)}: {fault}. What to do: {remedy}")

    def dtype(self, array: Array) -> str:
        """The dtype's name."""
        return str(array.dtype).rpartition(".")[2]

    def layout(self, array: Array) -> Layout:
        """As Paddle tells it, in bytes."""
        size = array.element_size()
        strides = tuple(stride * size for stride in array.strides)
        return Layout(tuple(array.shape), strides, size, array.data_ptr())

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A contiguous copy; gradients go through it."""
        cast = array if dtype is None else array.astype(dtype)
        return cast.contiguous().clone()

    def export(self, array: Array, *, versioned: bool) -> Any:
        """The tensor, with its device."""
        return _OnTheCPU(array)

    def is_tracked(self, array: Array) -> bool:
        """Whether it carries a gradient."""
        return not array.stop_gradient

    def has_nan(self, array: Array) -> bool:
        """By the sum, which is NaN if one element is."""
        return bool(self.framework.isnan(array.detach().sum()).item())

    def detach(self, array: Array) -> Array:
        """The tensor without its graph."""
        return array.detach()

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """By ``index_add``."""
        sums = self.framework.zeros((n_segments, *values.shape[1:]), dtype=values.dtype)
        return self.framework.index_add(sums, segments, 0, values) if n_segments and values.size else sums

    def erfc(self, x: Array) -> Array:
        """1 - erf."""
        return 1 - self.framework.erf(x)

    def differentiable(self, function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
        """By one PyLayer for every engine function."""
        from ffbridge_paddle.host import differentiable

        return differentiable(function)

    def gradient(self, function: Callable[..., Array], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """By ``paddle.grad``; the graph is kept where the inputs have one.

        Paddle makes an OSError of whatever is raised in a backward pass; an engine's refusal is made what it was.
        """
        kept = any(not array.stop_gradient for array in inputs)
        leaves = [self._leaf(array) if array.stop_gradient else array for array in inputs]
        try:
            found = self.framework.grad(function(*leaves), leaves, create_graph=kept, allow_unused=True)
        except OSError as error:
            _, refused, rest = str(error).partition("UnsupportedError: ")
            if refused:
                raise UnsupportedError(rest.partition("\n")[0]) from error
            raise
        return tuple(
            self.framework.zeros_like(leaf) if each is None else each for leaf, each in zip(leaves, found, strict=True)
        )

    def _leaf(self, array: Array) -> Array:
        leaf = array.detach()
        leaf.stop_gradient = False
        return leaf


class PaddleEngine(AnalyticEngine):
    """The standard's energies in Paddle, with analytic derivatives."""

    name = backend = "paddle"
    package = PaddleBackend.package
    install = PaddleBackend.install


backend = PaddleBackend()
engine = PaddleEngine()
