"""Small faults of a module's source: those of cosmic-ray's operators, one at each place, drawn with a fixed seed."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from difflib import SequenceMatcher
from random import Random

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

__all__ = ["Mutant", "mutants"]

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
_BITS = {"BitOr", "BitAnd", "BitXor"}
_ORDER = {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"}
_IDENTITY = {"Is", "IsNot"}
_FAMILIES = (_ARITHMETIC, _BITS, _ORDER, _IDENTITY)


@dataclass(frozen=True)
class Mutant:
    """A module with one fault.

    Attributes:
        operator: of cosmic-ray.
        line: where the fault is.
        before: the line without it.
        after: the line with it.
        source: of the whole module.
    """

    operator: str
    line: int
    before: str
    after: str
    source: str


def mutants(source: str, *, count: int, seed: int) -> tuple[list[Mutant], int]:
    """Return `count` mutants of a module, or all if there are fewer, and about how many places of faults it has.

    At a place (an operator, a number, a condition, …) one fault is drawn of those that are possible there, so that
    operators with many replacements do not outweigh the others.
    """
    random = Random(seed)
    places: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name in sorted(_operators()):
        for occurrence in range(_occurrences(source, name)):
            places[_family(name), occurrence].append(name)
    drawn = sorted(places)
    random.shuffle(drawn)
    plain = _without_annotations(source)
    found: list[Mutant] = []
    tried = 0
    for family, occurrence in drawn:
        if len(found) == count:
            break
        tried += 1
        mutant = _mutant(source, random.choice(places[family, occurrence]), occurrence)
        if _without_annotations(mutant.source) != plain:
            found.append(mutant)
    return found, round(len(drawn) * len(found) / max(tried, 1))


def _operators() -> list[str]:
    """Return the operators: replacements of a kind by its own kind, and those that need no settings."""
    kept = []
    for name in operator_names():
        replaced = re.fullmatch(r"core/Replace(?:Binary|Comparison)Operator_([A-Za-z]+)_([A-Za-z]+)", name)
        if replaced:
            if any(set(replaced.groups()) <= family for family in _FAMILIES):
                kept.append(name)
        elif not name.startswith("core/Variable"):
            kept.append(name)
    return kept


def _family(name: str) -> str:
    """Return the operators that compete for the same places: those that replace the same thing."""
    return name.rpartition("_")[0] if name.count("_") > 1 else name


class _Counter(Visitor):
    def __init__(self, operator: object) -> None:
        self.operator, self.count = operator, 0

    def visit(self, node: object) -> object:
        self.count += len(list(self.operator.mutation_positions(node)))
        return node


def _occurrences(source: str, name: str) -> int:
    counter = _Counter(get_operator(name)())
    counter.walk(get_ast(source))
    return counter.count


def _mutant(source: str, name: str, occurrence: int) -> Mutant:
    changed = mutate_code(source, get_operator(name)(), occurrence)
    lines, others = source.splitlines(), changed.splitlines()
    parts = SequenceMatcher(a=lines, b=others, autojunk=False).get_opcodes()
    _, first, last, other_first, other_last = next(part for part in parts if part[0] != "equal")
    before, after = (" ".join(" ".join(part).split()) for part in (lines[first:last], others[other_first:other_last]))
    return Mutant(name, first + 1, before, after, changed)


class _Annotations(ast.NodeTransformer):
    """Leaves annotations out: nothing evaluates them, so a fault there is none."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node


def _without_annotations(source: str) -> str | None:
    try:
        return ast.dump(_Annotations().visit(ast.parse(source)))
    except SyntaxError:
        return None
