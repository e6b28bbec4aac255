"""A whole fit: from settings to a folder with what was fitted and a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ffbridge.errors import FitError, TargetError
from ffbridge.fitting.checkpoint import State
from ffbridge.fitting.evaluation import Series, errors, measured
from ffbridge.fitting.figures import draw_loss, draw_parity, draw_profiles
from ffbridge.fitting.folder import Log, claimed, identity_of
from ffbridge.fitting.loop import Problem, Progress, run_steps
from ffbridge.fitting.models import PartName, TablesModel, fit_model
from ffbridge.fitting.optimizers import host_scope
from ffbridge.fitting.report import FitReport, changes, write_report
from ffbridge.fitting.settings import FitSettings
from ffbridge.fitting.split import Split, read_targets
from ffbridge.fitting.verification import largest_difference
from ffbridge.potential import potential
from ffbridge.snapshot import snapshot
from ffbridge.targets.identifiability import Identifiability, identifiability
from ffbridge.targets.kinds import HessianTarget, OptimizedGeometry, TorsionDrive
from ffbridge.targets.objective import Objective, objective
from ffbridge.targets.target import Target

__all__ = ["fit"]

Floats = NDArray[np.float64]

PARTS: tuple[PartName, ...] = ("training", "validation")


def fit(
    settings: FitSettings,
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    on_step: Callable[[Progress], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> FitReport:
    """Fit, and write what was fitted and a report into a folder.

    The folder keeps checkpoints. A fit that was stopped, at any moment and in any way, goes on from the last one, and
    ends with the same numbers, to the last bit, on the same machine with the same versions and number of threads.

    Args:
        settings: what is fitted to what, from :func:`read_settings`.
        output: the folder; made if it is not there.
        resume: go on if the folder holds this fit. More steps may be given then.
        on_step: called after every step.
        on_stage: called with what is done next, in words.

    Raises:
        FitError: the settings do not fit the data, the folder holds something else, or the loss is not finite.
        TargetError: the data cannot be read, or a relaxation does not converge.
    """
    start = perf_counter()
    folder = Path(output)
    stage = on_stage or (lambda text: None)
    with host_scope(settings):
        stage("reading targets")
        split = read_targets(settings)
        _require_relaxation(settings, split)
        stage(f"making the systems of {len(split.training) + len(split.validation)} targets")
        model = fit_model(settings, split)
        with claimed(folder, identity_of(settings, model.digest), resume=resume) as identity:
            parts = [(part, targets) for part, targets in zip(PARTS, _parts(split), strict=True) if targets]
            objectives = {part: _objective(settings, targets, model.bundle(part)) for part, targets in parts}
            problem = Problem(model, objectives)
            stage("fitting")
            state, log = run_steps(problem, settings, folder, identity, on_step=on_step)
            stage("writing the report")
            return _reported(settings, problem, state, log, folder, start)


def _parts(split: Split) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    return split.training, split.validation


def _require_relaxation(settings: FitSettings, split: Split) -> None:
    geometries = [each for each in (*split.training, *split.validation) if isinstance(each, OptimizedGeometry)]
    if geometries and not settings.targets.relax:
        raise FitError(
            f"{settings.file}: targets.relax: false, and {geometries[0].name!r} is an optimized geometry, which is "
            "compared at the potential's own minimum: set it to true, or leave these targets out"
        )


def _objective(settings: FitSettings, targets: tuple[Target, ...], bundle: object) -> Objective:
    U = potential(bundle, settings.run.engine, host=settings.run.host)  # type: ignore[arg-type]
    chosen = settings.targets
    return objective(targets, U, scales=chosen.scales, offset=chosen.offset, hessian=chosen.hessian)


def _reported(settings: FitSettings, problem: Problem, state: State, log: Log, folder: Path, start: float) -> FitReport:
    model, best = problem.model, state.best
    remarks: list[str] = []
    fitted = model.write(folder, best)
    series: list[Series] = []
    for part in problem.objectives:
        series += _series(settings, problem, part, best, remarks)
    found = difference = None
    if isinstance(model, TablesModel):
        if settings.report.identifiability:
            found = _identified(problem, model, best)
        if model.force_field is not None and settings.report.openmm:
            pairs = [(problem.objectives[part], model.updated(part, best)) for part in problem.objectives]
            checked = [largest_difference(fitted, *pair) for pair in pairs]
            difference = None if None in checked else max(each for each in checked if each is not None)
            if difference is None:
                remarks.append("OpenMM is not installed: the written force field was not compared with it.")
    report = FitReport(
        folder=folder,
        fitted=fitted,
        steps=state.step,
        best_step=state.best_step,
        loss=state.best_loss,
        errors=tuple(errors(series)),
        changes=changes(model, best, found) if isinstance(model, TablesModel) else (),
        undetermined=() if found is None else tuple(str(each) for each in found.combinations()),
        openmm_difference=difference,
        remarks=tuple(remarks),
    )
    figures = [draw_loss(folder, log.lines), *draw_parity(folder, series)]
    profiles = draw_profiles(folder, series)
    write_report(report, settings, figures=figures, profiles=profiles, seconds=perf_counter() - start)
    return report


def _identified(problem: Problem, model: TablesModel, best: Mapping[str, Floats]) -> Identifiability:
    """Return what the training data determine, if the deviations that the fit leaves are independent of each other."""
    training = problem.objectives["training"]
    if any(isinstance(each, OptimizedGeometry) for each in training.targets):
        training = problem.relaxed("training", best)
    left = snapshot(training.residuals(problem.plain_tables("training", best)))
    # The loss is a mean over n deviations: of their squares' sum, it is the nth part.
    noise = max(float(left @ left) / len(left), np.finfo(float).tiny) ** 0.5
    return identifiability(training, model.selection.chosen, model.prior, vector=model.values(best), noise=noise)


def _series(
    settings: FitSettings, problem: Problem, part: PartName, best: Mapping[str, Floats], remarks: list[str]
) -> list[Series]:
    """Return all that one part of the targets says before and after, also at relaxed geometries."""
    tables = [problem.plain_tables(part, weights) for weights in (problem.model.weights, best)]
    whole = _plain(problem.objectives[part])
    found: list[Series] = []
    if fixed := _only(whole, lambda each: not isinstance(each, OptimizedGeometry)):
        before, after = ((fixed, each) for each in tables)
        found += measured(part, before, after, relaxed=False)
    kinds = (OptimizedGeometry, TorsionDrive) if settings.report.relaxed else (OptimizedGeometry,)
    if moving := _only(whole, lambda each: isinstance(each, kinds)):
        try:
            before, after = ((moving.relaxed(each), each) for each in tables)
            found += measured(part, before, after, relaxed=True)
        except TargetError as error:
            remarks.append(f"Relaxed geometries of the {part} targets are missing: {error}.")
    return found


def _plain(fitted: Objective) -> Objective:
    """Return an objective for values alone: by the engine ``numpy``, which compiles nothing, where it has them all."""
    if any(isinstance(each, HessianTarget | OptimizedGeometry) for each in fitted.targets):
        return fitted
    return replace(fitted, U=potential(fitted.U.bundle, "numpy"), positions={})


def _only(whole: Objective, wanted: Callable[[Target], bool]) -> Objective | None:
    """Return an objective of some of the targets; None if there are none."""
    kept = [number for number, target in enumerate(whole.targets) if wanted(target)]
    if not kept:
        return None
    targets = tuple(whole.targets[number] for number in kept)
    return replace(whole, targets=targets, systems=tuple(whole.systems[number] for number in kept), positions={})
