"""The torch engine's formulas as compiled programs: few loops where eager torch runs 700 kernels.

The compiler is inductor, that of ``torch.compile``, by its entrance for graphs that dynamo has not captured. A program
is made for each number of conformers, of which many are evaluated in equal parts, and once more with weights and
without derivatives to tables. It has the index arrays of its bundle as constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from math import prod
from operator import add
from threading import Lock
from typing import Any

from ffbridge.backend import Array
from ffbridge.energy.api import analytic_value_and_grad
from ffbridge.energy.chunks import conformers_at_once
from ffbridge.energy.plan import Structure
from ffbridge.engine import Arrays, Evaluation
from ffbridge.errors import UnsupportedError
from ffbridge_backends.torch import TorchBackend

__all__ = ["CompiledFormulas"]


class _InOnePiece(TorchBackend):
    """PyTorch without blocks of interactions: the compiler leaves out the arrays that blocks would keep small."""

    def in_blocks(
        self,
        function: Callable[[Arrays], tuple[dict[str, Array], dict[str, Array]]],
        rows: Arrays,
        block: int,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """At once."""
        return function(rows)


_backend = _InOnePiece()

_SETTINGS = {"cpp.threads": 1}
"""On a CPU. Threads would have to add atomically: with two, programs took 1.5 to 2 times as long."""


class CompiledFormulas:
    """Energies and first derivatives of one bundle.

    Args:
        structure: the plan's structure.
        arrays: the plan's arrays.
    """

    def __init__(self, structure: Structure, arrays: dict[str, Array]) -> None:
        self._structure = structure
        self._arrays = arrays
        self._at_once = conformers_at_once(arrays, fewest=1)
        self._programs: dict[Any, Callable[..., Sequence[Array]]] = {}
        self._lock = Lock()

    def __call__(self, x: Array, tables: Arrays, weights: Array | None = None, *, of_tables: bool = True) -> Evaluation:
        """Return energies, and the negative derivative to positions and that to tables of their weighted sum.

        Args:
            x: positions ``(..., n_atoms, 3)`` [nm].
            tables: all of them, ``(n_params, n_columns)`` by name.
            weights: of the energies, ``(n_conformers, n_systems)``; all 1 if None.
            of_tables: whether to compute derivatives to tables, which are 0 otherwise.

        Raises:
            UnsupportedError: torch cannot compile here.
        """
        n_conformers = prod(x.shape[:-2])
        if not n_conformers:
            return analytic_value_and_grad(_backend, self._structure, self._arrays, x, tables)
        flat = x.reshape(n_conformers, *x.shape[-2:])
        n_parts = -(-n_conformers // self._at_once)
        ends = [n_conformers * part // n_parts for part in range(n_parts + 1)]
        found = [
            self._run(flat[start:end], tables, None if weights is None else weights[start:end], of_tables)
            for start, end in pairwise(ends)
        ]
        energy, forces, gradients = found[0] if n_parts == 1 else _joined(found)
        return Evaluation(energy.reshape(*x.shape[:-2], -1), forces.reshape(x.shape), gradients)

    def _run(self, x: Array, tables: Arrays, weights: Array | None, of_tables: bool) -> Evaluation:
        # Strides are a part of what a program is made for.
        inputs = [x.contiguous(), *(table.contiguous() for table in tables.values())]
        if weights is not None:
            inputs.append(weights.contiguous())
        key = (x.shape[0], tuple(tables), weights is None, of_tables)
        program = self._programs.get(key)
        if program is None:
            with self._lock:
                program = self._programs.get(key)
                if program is None:
                    program = self._programs[key] = self._compile(inputs, tuple(tables), of_tables=of_tables)
        energy, forces, *gradients = program(*inputs)
        return Evaluation(energy, forces, dict(zip(tables, gradients, strict=True)))

    def _compile(
        self, inputs: list[Array], names: tuple[str, ...], *, of_tables: bool
    ) -> Callable[..., Sequence[Array]]:
        """Return the formulas as a program for inputs of these shapes: positions, tables, and weights if there are."""
        from torch import _inductor
        from torch.fx.experimental.proxy_tensor import make_fx

        def formulas(x: Array, *others: Array) -> tuple[Array, ...]:
            tables, weights = dict(zip(names, others, strict=False)), others[len(names) :]
            prepared = (_backend, self._structure, self._arrays)
            counted = weights[0] if weights else None
            found = analytic_value_and_grad(*prepared, x, tables, counted=counted, of_tables=of_tables)
            return found.energy, found.forces, *(found.tables[name] for name in names)

        # What the formulas do is told from a call: torch.compile itself would follow all of their Python code, and look
        # at each call whether it has compiled for such inputs, which is known here.
        try:
            program: Callable[..., Sequence[Array]] = _inductor.compile(
                make_fx(formulas)(*inputs), inputs, options=_SETTINGS
            )
            program(*inputs)
        except RuntimeError as error:
            reason = " ".join(str(error).split("Set TORCHDYNAMO_VERBOSE")[0].split())[:500]
            raise UnsupportedError(
                f"torch.compile failed: {reason} It needs a C++ compiler for a CPU, such as g++ (apt install g++), and "
                "triton for a GPU; compile=False needs neither"
            ) from error
        return program


def _joined(parts: list[Evaluation]) -> Evaluation:
    """Return what was found of some conformers after others, ``(n_conformers, ·)``, as of all."""
    import torch

    energy, forces = torch.cat([each.energy for each in parts]), torch.cat([each.forces for each in parts])
    gradients = {name: reduce(add, [each.tables[name] for each in parts]) for name in parts[0].tables}
    return Evaluation(energy, forces, gradients)
