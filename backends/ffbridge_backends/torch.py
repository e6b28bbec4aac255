"""PyTorch: tensors on the CPU and on CUDA devices."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cached_property
from math import isnan, prod
from typing import TYPE_CHECKING, Any, NoReturn

from ffbridge.backend import Array, Backend, Capabilities
from ffbridge.dtypes import FLOAT8, STANDARD
from ffbridge.errors import ExchangeError
from ffbridge.layout import Layout, Strides

if TYPE_CHECKING:
    from ffbridge.function import EngineFunction

__all__ = ["TorchBackend", "backend"]


class _OnItsDevice:
    """Exports a tensor of a CUDA device that is not the current one: PyTorch refuses to export from any other."""

    def __init__(self, torch: Any, tensor: Array) -> None:
        self._torch = torch
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        with self._torch.cuda.device(self._tensor.device):
            return self._tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._tensor.__dlpack_device__()


class TorchBackend(Backend):
    """PyTorch tensors. Subclasses cross as plain tensors."""

    name = "torch"
    package = "torch"
    install = 'pip install "ffbridge[torch]"'

    @cached_property
    def capabilities(self) -> Capabilities:
        """Strides of zero or more; tensors can always be written, read-only memory included."""
        return Capabilities(
            dtypes=frozenset(self._names.values()),
            devices=frozenset({"cpu", "cuda"}) if self._has_cuda else frozenset({"cpu"}),
            strides="non_negative",
            automatic_differentiation=True,
        )

    @cached_property
    def _names(self) -> dict[Any, str]:
        known = STANDARD | FLOAT8 | {"bfloat16"}
        return {getattr(self.framework, name): name for name in known if hasattr(self.framework, name)}

    @cached_property
    def _devices(self) -> dict[Any, str]:
        return {self.framework.device(name): name for name in self.devices()}

    @cached_property
    def _has_cuda(self) -> bool:
        return bool(self.framework.cuda.is_available())

    @cached_property
    def _is_wrapped(self) -> Any:
        return self.framework._C._functorch.is_functorch_wrapped_tensor

    @cached_property
    def _forward_ad(self) -> Any:
        return importlib.import_module("torch.autograd.forward_ad")

    @cached_property
    def namespace(self) -> Any:
        """array_api_compat.torch."""
        return importlib.import_module("array_api_compat.torch")

    @cached_property
    def array_types(self) -> tuple[type, ...]:
        """torch.Tensor."""
        return (self.framework.Tensor,)

    def devices(self) -> tuple[str, ...]:
        """The CPU and every CUDA device."""
        return ("cpu", *(f"cuda:{index}" for index in range(self.framework.cuda.device_count())))

    def check(self, array: Array) -> None:
        """Refuses tensors that carry a gradient, are traced, or have no dense buffer."""
        self._check_compiler(array)
        if (
            array.requires_grad
            or array.layout is not self.framework.strided
            or array.is_nested
            or array.dtype not in self._names
            or self._is_wrapped(array)
            or self._forward_ad._current_level >= 0
            or (type(array) not in self._ordinary and self._is_fake(array))
            or (self.address(array) == 0 and array.numel() > 0)
        ):
            self._explain(array)

    def _check_compiler(self, array: Array) -> None:
        """Refuses while torch.compile traces; without fullgraph=True it then leaves the call between its graphs."""
        if self.framework.compiler.is_compiling():
            self._refuse(array, "it is being traced (torch.compile)", _TRACED)

    def _explain(self, array: Array) -> None:
        torch = self.framework
        if self._is_wrapped(array):
            self._refuse(array, "it is being traced (torch.func: grad, vmap, jvp)", _TRACED)
        if self._is_fake(array):
            self._refuse(array, "it is being traced (a FakeTensor has no values)", _TRACED)
        if array.is_nested:
            self._refuse(array, "it is nested", "torch.nested.to_padded_tensor(t, 0.0)")
        if array.layout is not torch.strided:
            self._refuse(array, f"it has no dense buffer (layout {array.layout})", "t.to_dense()")
        if array.is_quantized:
            self._refuse(array, f"it is quantized ({array.dtype})", "t.dequantize()")
        if array.device.type == "meta":
            self._refuse(array, "it is on the meta device and has no values", "make it on a real device")
        if array.requires_grad:
            self._refuse(
                array,
                "it requires grad, and a gradient cannot follow it into another framework",
                "t.detach() if it need not, or a potential with host='torch' (a lambda module) if it must",
            )
        if self._forward_ad._current_level >= 0 and self._forward_ad.unpack_dual(array).tangent is not None:
            self._refuse(array, "it carries a forward-mode tangent", "torch.autograd.forward_ad.unpack_dual(t).primal")
        if array.dtype not in self._names:
            self._refuse(array, f"no other framework has {array.dtype}", "cast it first, as with t.to(torch.float32)")
        if self.address(array) == 0 and array.numel() > 0:
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            self._refuse(array, f"{kind} has no buffer of its own", "make a plain tensor of it, as with torch.clone(t)")

    @cached_property
    def _ordinary(self) -> tuple[type, ...]:
        return (self.framework.Tensor, self.framework.nn.Parameter)

    def _is_fake(self, array: Array) -> bool:
        return isinstance(array, importlib.import_module("torch._subclasses.fake_tensor").FakeTensor)

    def _refuse(self, array: Array, fault: str, remedy: str) -> NoReturn:
        shape = "several shapes" if array.is_nested else f"shape {tuple(array.shape)}"
        raise ExchangeError(f"a torch tensor of {shape} cannot leave torch: {fault}. What to do: {remedy}")

    def dtype(self, array: Array) -> str:
        """The dtype's name."""
        return self._names.get(array.dtype) or str(array.dtype).removeprefix("torch.")

    def device(self, array: Array) -> str:
        """Where it is: ``cpu``, or which CUDA device."""
        return self._devices.get(array.device) or str(array.device)

    def layout(self, array: Array) -> Layout:
        """As torch tells it, in bytes."""
        size = array.element_size()
        deferred = "conjugate bit" if array.is_conj() else "negative bit" if array.is_neg() else None
        if deferred is None and self._has_cuda and array.is_pinned():
            deferred = "page lock on its memory"
        strides = tuple(stride * size for stride in array.stride())
        return Layout(tuple(array.shape), strides, size, array.data_ptr(), True, deferred)

    def suits(self, array: Array, strides: Strides) -> bool:
        """No strides to look at, aligned, and no bit to resolve."""
        return (
            (strides in _ALL_OF_TORCH or array.is_contiguous())
            and not array.is_neg()
            and not array.is_conj()
            and not array.data_ptr() % 8
            and not (self._has_cuda and array.is_pinned())
        )

    def address(self, array: Array) -> int:
        """The address of the first element; zero where there is none."""
        try:
            return int(array.data_ptr())
        except RuntimeError:  # a tensor subclass without storage
            return 0

    def copy(self, array: Array, *, dtype: str | None = None, device: str | None = None) -> Array:
        """A contiguous copy with the conjugate and negative bits resolved; gradients go through it."""
        torch = self.framework
        wanted = array.dtype if dtype is None else getattr(torch, dtype)
        resolved = array.resolve_conj().resolve_neg() if array.layout is torch.strided else array
        if wanted == resolved.dtype and device is None and resolved is not array and resolved.is_contiguous():
            return resolved
        options = {"memory_format": torch.contiguous_format} if array.layout is torch.strided else {}
        return resolved.to(device=device or array.device, dtype=wanted, copy=True, **options)

    def export(self, array: Array, *, versioned: bool) -> Any:
        """The tensor; wrapped if its CUDA device is not the current one."""
        self._check_compiler(array)
        if array.is_cuda and array.device.index != self.framework.cuda.current_device():
            return _OnItsDevice(self.framework, array)
        return array

    def view(self, array: Array, dtype: str) -> Array:
        """The same bits as another dtype."""
        return array.view(getattr(self.framework, dtype))

    def is_tracked(self, array: Array) -> bool:
        """Whether it requires grad or is wrapped by torch.func."""
        return bool(array.requires_grad) or self._is_wrapped(array)

    def has_values(self, array: Array) -> bool:
        """False inside torch.func and torch.compile."""
        return not (self._is_wrapped(array) or self.framework.compiler.is_compiling())

    def has_nan(self, array: Array) -> bool:
        """By the sum, which is NaN if one element is."""
        return isnan(array.detach().sum().item())

    def detach(self, array: Array) -> Array:
        """The tensor without its graph."""
        return array.detach()

    def differentiable(self, function: EngineFunction) -> Callable[..., tuple[Array, ...]]:
        """By one autograd.Function for every engine function."""
        from ffbridge_backends.hosts.torch import differentiable

        return differentiable(function)

    def gradient(self, function: Callable[..., Array], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """By ``torch.autograd.grad``, the graph kept where the inputs have one; by torch.func within torch.func."""
        torch = self.framework
        if any(self._is_wrapped(array) for array in inputs):
            slopes: tuple[Array, ...] = torch.func.grad(function, argnums=tuple(range(len(inputs))))(*inputs)
            return slopes
        kept = any(array.requires_grad for array in inputs)
        with torch.enable_grad():
            leaves = [array if array.requires_grad else array.detach().requires_grad_() for array in inputs]
            value = function(*leaves)
            found: tuple[Array, ...] = torch.autograd.grad(value, leaves, create_graph=kept, materialize_grads=True)
        return found

    def take(self, values: Array, rows: Array, *, axis: int = 0) -> Array:
        """By ``index_select``; rows of a single number by ``gather``, which is three times as fast for them."""
        if prod(values.shape[axis + 1 :]) != 1:
            return values.index_select(axis, rows)
        leading = values.shape[:axis]
        wanted = rows.long().expand(*leading, -1)
        return values.reshape(*leading, -1).gather(axis, wanted).reshape(*leading, -1, *values.shape[axis + 1 :])

    def recomputed(self, function: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
        """By an autograd.Function that calls it again in its backward."""
        from ffbridge_backends.recomputed.torch import recomputed

        return recomputed(function)

    def segment_sum(self, values: Array, segments: Array, n_segments: int) -> Array:
        """By ``index_add``, 20 times slower for indices of 32 bits; rows of a single number by ``scatter_add``."""
        shape = (n_segments, *values.shape[1:])
        if prod(values.shape[1:]) != 1:
            return values.new_zeros(shape).index_add(0, segments.long(), values)
        return values.new_zeros(n_segments).scatter_add(0, segments.long(), values.reshape(-1)).reshape(shape)

    def sum_vectors(self, vectors: Array, segments: Array, n_segments: int) -> Array:
        """All components by one operation."""
        axes, _, n_conformers = vectors.shape
        segments = segments.long()
        if n_conformers != 1:
            return vectors.new_zeros((axes, n_segments, n_conformers)).index_add(1, segments, vectors)
        sums = vectors.new_zeros((axes, n_segments))
        return sums.scatter_add(1, segments.expand(axes, -1), vectors[:, :, 0])[:, :, None]

    def erfc(self, x: Array) -> Array:
        """By ``torch.erfc``."""
        return self.framework.erfc(x)

    def weights(self, model: object) -> Mapping[str, Array] | None:
        """Of a ``torch.nn.Module``: what its ``state_dict()`` holds, parameters and buffers."""
        return model.state_dict() if isinstance(model, self.framework.nn.Module) else None


_ALL_OF_TORCH = ("any", "non_negative")
_TRACED = "call this outside, or use a potential with host='torch', which works inside vmap and autograd"

backend = TorchBackend()
