"""Paddle's functions under the names, and with the conventions, of the array API standard."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ffbridge.backend import Array

__all__ = ["Functions"]


class Functions:
    """``paddle`` with a few functions in the place of its own.

    Args:
        paddle: the module.
    """

    def __init__(self, paddle: Any) -> None:
        self._paddle = paddle
        self.linalg = SimpleNamespace(cross=paddle.cross)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._paddle, name)

    def from_dlpack(self, source: Any) -> Array:
        """A copy of what another framework exports.

        Paddle 3.3 lets go of an alias of NumPy's memory under a lock, without Python's: with another thread that
        imports, that is a deadlock. Here the alias is gone before anybody else has it.
        """
        return self._paddle.from_dlpack(source).clone()

    def astype(self, x: Array, dtype: Any) -> Array:
        """The array in another dtype."""
        return x.astype(dtype)

    def isdtype(self, dtype: Any, kind: str) -> bool:
        """Whether a dtype is one of the floating-point ones, the only kind that ffbridge asks for."""
        if kind != "real floating":
            raise NotImplementedError(f"isdtype() of kind {kind!r}: only 'real floating' is implemented")
        return str(dtype).startswith(("paddle.float", "paddle.bfloat"))

    def permute_dims(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The axes in another order."""
        return self._paddle.transpose(x, axes)

    def take(self, x: Array, indices: Array, *, axis: int) -> Array:
        """Slices along an axis."""
        return self._paddle.index_select(x, indices, axis)

    def sum(self, x: Array, *, axis: Any = None, keepdims: bool = False) -> Array:
        """The sum over axes."""
        return self._paddle.sum(x, axis=axis, keepdim=keepdims)

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        """One of two values for each element; a number takes the dtype of the array."""
        if isinstance(x, int | float):
            x = self._paddle.full_like(y, x)
        elif isinstance(y, int | float):
            y = self._paddle.full_like(x, y)
        return self._paddle.where(condition, x, y)
