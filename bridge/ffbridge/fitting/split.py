"""Which targets a fit learns from, and which it is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from ffbridge.errors import FitError, TargetError
from ffbridge.fitting.settings import FitSettings, ValidationSettings
from ffbridge.targets.molecules import unmapped_smiles
from ffbridge.targets.storage import load
from ffbridge.targets.target import Target

__all__ = ["Split", "read_targets", "split_by_molecule"]


@dataclass(frozen=True, eq=False)
class Split:
    """Targets of a fit.

    Attributes:
        training: what it learns from.
        validation: what it is judged by; may be empty.
    """

    training: tuple[Target, ...]
    validation: tuple[Target, ...]


def read_targets(settings: FitSettings) -> Split:
    """Return the targets that a fit's files hold, weighted and split.

    Raises:
        FitError: a name fits no target, two targets have one name, or nothing is left to learn from.
        TargetError: a file cannot be read.
    """
    validation = settings.validation
    for where, files in (("targets", settings.targets.files), ("validation", validation.files if validation else ())):
        if missing := [file for file in files if not file.is_file()]:
            raise FitError(f"{settings.file}: {where}.files: there is no file {missing[0]}")
    fitted = [target for file in settings.targets.files for target in load(file)]
    kept_out = [target for file in (validation.files if validation else ()) for target in load(file)]
    names = [(target.kind, target.name) for target in fitted + kept_out]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        kind, name = twice[0]
        raise FitError(f"{settings.file}: targets.files: two targets of kind {kind} have the name {name!r}")
    if settings.targets.only:
        chosen = _molecules_of(fitted + kept_out, settings.targets.only, f"{settings.file}: targets.only")
        fitted, kept_out = ([each for each in given if _molecule(each) in chosen] for given in (fitted, kept_out))
    fitted, kept_out = (_weighted(given, settings.targets.weights) for given in (fitted, kept_out))
    if not validation or not validation.files:
        return split_by_molecule(fitted, validation, where=f"{settings.file}: validation")
    molecules = {_molecule(target) for target in fitted}
    if both := [target for target in kept_out if _molecule(target) in molecules]:
        raise FitError(
            f"{settings.file}: validation.files: the molecule of {both[0].name!r} is fitted as well, expected others: "
            "molecules that the fit does not see"
        )
    return Split(tuple(fitted), tuple(kept_out))


def _weighted(targets: Iterable[Target], weights: Mapping[str, float]) -> list[Target]:
    return [replace(target, weight=target.weight * weights.get(target.kind, 1.0)) for target in targets]


def split_by_molecule(targets: Sequence[Target], validation: ValidationSettings | None, *, where: str) -> Split:
    """Return targets in two parts, all of one molecule in the same part.

    Args:
        targets: of any kinds.
        validation: what is kept out; None for nothing.
        where: for messages.

    Raises:
        FitError: a name fits no target, or one of the parts is empty.
    """
    if validation is None:
        kept_out: set[str] = set()
    elif validation.molecules:
        kept_out = _molecules_of(targets, validation.molecules, f"{where}.molecules")
    else:
        molecules = sorted({_molecule(target) for target in targets})
        count = round(validation.fraction * len(molecules))
        if not count:
            raise FitError(f"{where}.fraction: {validation.fraction:g} of {len(molecules)} molecules is less than one")
        drawn = np.random.default_rng(validation.seed).permutation(len(molecules))[:count]
        kept_out = {molecules[number] for number in drawn}
    training = tuple(target for target in targets if _molecule(target) not in kept_out)
    if not training:
        raise FitError(f"{where}: all {len(targets)} targets are kept out, expected some to learn from")
    return Split(training, tuple(target for target in targets if _molecule(target) in kept_out))


def _molecules_of(targets: Iterable[Target], wanted: Iterable[str], where: str) -> set[str]:
    """Return the molecules that names of targets, with wildcards, or SMILES stand for."""
    named = {(target.name, _molecule(target)) for target in targets}
    found = set()
    for each in wanted:
        smiles = _canonical(each)
        fitting = {molecule for name, molecule in named if fnmatchcase(name, each) or molecule == smiles}
        if not fitting:
            raise FitError(
                f"{where}: {each!r} is no target's name and no target's molecule; the targets are: "
                f"{', '.join(sorted({name for name, _ in named}))}"
            )
        found |= fitting
    return found


def _molecule(target: Target) -> str:
    """Return what is equal for equal molecules, however their atoms are numbered."""
    if target.smiles is None:
        return target.bundle or target.name
    return unmapped_smiles(target.smiles)


def _canonical(text: str) -> str:
    try:
        return unmapped_smiles(text)
    except TargetError:
        return text
