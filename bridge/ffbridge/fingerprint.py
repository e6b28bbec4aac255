"""Fingerprints of models: one digest over named weights, the same for the same weights in any framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ffbridge.backend import Array
from ffbridge.errors import ExchangeError, ModelError
from ffbridge.hashing import weights_digest
from ffbridge.registry import backend_of, loaded_backends

__all__ = ["fingerprint", "named_weights"]


def fingerprint(model: Any) -> str:
    """Return the sha256 of a model's named weights, 64 hexadecimal digits (spec, "Models").

    Equal weights under equal names have the same fingerprint in any framework, on any device, with or without
    gradients. Values count to the last bit, and so do dtypes and shapes. A bundle records it::

        model = fb.Model(version="1.2", framework="torch", sha256=fb.fingerprint(network))
        bundle = bundle.with_model("my-network", model, tables=["bonds", "angles"])

    Args:
        model: as for :func:`named_weights`.

    Raises:
        ModelError, ExchangeError: as for :func:`named_weights`.
        ExchangeError: a weight has no values, because it is being traced.
    """
    return weights_digest(named_weights(model))


def named_weights(model: Any) -> dict[str, Array]:
    """Return the weights of a model by name, as they are: what :class:`ffbridge.Model` takes as `weights`.

    A weight's name is the path to it, joined by dots: keys, attributes, places in a list from 0, such as
    ``layers.0.weight``. PyTorch names weights like that itself, so a pytree that is built the same way has the same
    names. Names of a flat mapping stay as they are.

    Args:
        model: a ``torch.nn.Module`` (the weights of its ``state_dict()``), a pytree known to JAX such as an Equinox
            module (its arrays; functions and numbers among its leaves are no weights), or arrays of any framework in
            mappings, lists and tuples, nested or not.

    Raises:
        ModelError: it holds no weight, or two of one name.
        ExchangeError: something in a mapping or list is neither an array nor a model.
    """
    weights: dict[str, Array] = {}
    for name, array in _walk(model, ""):
        if name in weights:
            raise ModelError(f"two weights have the name {name!r}: rename a key, so that no key holds another's path")
        weights[name] = array
    if not weights:
        kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
        raise ModelError(
            f"the model ({kind}) holds no weights; expected a torch.nn.Module, a pytree of JAX such as an Equinox "
            "module, or arrays by name in a mapping"
        )
    return weights


def _walk(node: Any, name: str) -> Iterator[tuple[str, Array]]:
    """Yield name and array of every weight below a node. None stands for a weight that is left out, as in JAX."""
    children = _children(node)
    if children is not None:
        for key, child in children:
            yield from _walk(child, f"{name}.{key}" if name else str(key))
    elif node is not None:
        _check(node, name)
        yield name, node


def _children(node: Any) -> list[tuple[Any, Any]] | None:
    """Return keys and children of a container or a framework's model; None for anything else."""
    if isinstance(node, Mapping):
        return list(node.items())
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return list(zip(node._fields, node, strict=True))
    if isinstance(node, list | tuple):
        return list(enumerate(node))
    # The framework of a model is imported already, as that of an array is.
    found = next((found for backend in loaded_backends() if (found := backend.weights(node)) is not None), None)
    return None if found is None else list(found.items())


def _check(leaf: Any, name: str) -> None:
    try:
        backend_of(leaf)
    except ExchangeError as error:
        raise ExchangeError(f"weight {name!r}: {error}" if name else str(error)) from error
    if not name:
        raise ModelError("a single array has no name, and a fingerprint is over named weights: pass {'name': array}")
