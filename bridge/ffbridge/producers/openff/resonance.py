"""NAGL's enumeration of resonance forms without the work that it does again for each form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["shared_resonance_paths"]


@contextmanager
def shared_resonance_paths() -> Iterator[None]:
    """Let NAGL enumerate the same resonance forms in less time, while the context lasts.

    NAGL's features of an atom are averages over resonance forms, which it enumerates by moving electrons along paths
    between donors and acceptors (the v-charge model; Gilson, Gilson and Potter, 2003). For each form it looks for all
    those paths anew and makes a deep copy of the graph. The forms of a fragment differ in bond orders and charges
    only: its paths are searched once here and shared, and a form copies no more than the attributes of its atoms and
    bonds. For drugs this is most of the time that charges take.

    The class that NAGL's module names is another one meanwhile; so this is not for several threads at once.
    """
    from openff.nagl.utils import resonance

    original = resonance.FragmentEnumerator
    resonance.FragmentEnumerator = _enumerator()
    try:
        yield
    finally:
        resonance.FragmentEnumerator = original


@cache
def _enumerator() -> Any:
    """Return the class of fragments. It is made here, because its base classes are NAGL's and networkx's."""
    import networkx as nx
    from openff.nagl.utils.resonance import FragmentEnumerator

    class Skeleton(nx.Graph):  # type: ignore[misc]
        """A fragment's graph. NAGL replaces the values of its attributes and never changes them: none need a copy."""

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            return self.copy()

    class SharedPathsEnumerator(FragmentEnumerator):  # type: ignore[misc]
        """A fragment whose forms share what depends on the bonds alone."""

        def __init__(self, graph: Any) -> None:
            super().__init__(graph if isinstance(graph, Skeleton) else Skeleton(graph))

        def _get_all_odd_n_simple_paths(self, node_a: int, node_b: int, max_path_length: int | None = None) -> Any:
            if (node_a, node_b) not in self._path_cache:
                found = super()._get_all_odd_n_simple_paths(node_a, node_b, max_path_length)
                # NAGL keeps the same paths for the way back, which no form asks for. Another form does, whose donor is
                # this one's acceptor: its paths begin at the other end.
                self._path_cache[node_b, node_a] = tuple(path[::-1] for path in found)
            return self._path_cache[node_a, node_b]

        def _transfer_electrons(self, path: tuple[int, ...]) -> Any:
            form = super()._transfer_electrons(path)
            form._path_cache = self._path_cache
            return form

    return SharedPathsEnumerator
