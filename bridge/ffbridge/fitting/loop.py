"""The steps of a fit, from a start or from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ffbridge.backend import Array
from ffbridge.errors import FitError
from ffbridge.fitting.checkpoint import State, read_checkpoint, write_checkpoint
from ffbridge.fitting.folder import Log
from ffbridge.fitting.models import FitModel, PartName
from ffbridge.fitting.optimizers import Optimizer, new_optimizer
from ffbridge.fitting.settings import FitSettings
from ffbridge.potential import Potential
from ffbridge.registry import backend_of, get_backend
from ffbridge.targets.arrays import constant
from ffbridge.targets.objective import Objective

__all__ = ["Problem", "Progress", "run_steps"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """What a step came to.

    Attributes:
        step: steps done.
        steps: the most that there will be.
        loss: of the training targets, with what the weights add.
        validation: loss of the validation targets; None without.
    """

    step: int
    steps: int
    loss: float
    validation: float | None


@dataclass(frozen=True, eq=False)
class Problem:
    """A model, and the losses of the tables that it makes.

    Attributes:
        model: what is fitted.
        objectives: of each part of the targets.
    """

    model: FitModel
    objectives: Mapping[PartName, Objective]

    def on_host(self, weights: Mapping[str, Floats]) -> dict[str, Array]:
        """Return weights as arrays of the host."""
        U: Potential = self.objectives["training"].U
        return {name: constant(U, weight) for name, weight in weights.items()}

    def loss(self, weights: Mapping[str, Array], constants: Mapping[str, Array]) -> Array:
        """Return what the fit makes small: the training loss, and what the weights add."""
        data = self.objectives["training"](self.model.tables("training", weights), constants)
        penalty = self.model.penalty(weights)
        return data if penalty is None else data + penalty

    def relaxed(self, part: PartName, weights: Mapping[str, Floats]) -> Objective:
        """Return an objective with geometries relaxed by the model with these weights."""
        return self.objectives[part].relaxed(self.plain_tables(part, weights))

    def plain_tables(self, part: PartName, weights: Mapping[str, Floats]) -> dict[str, Array]:
        """Return tables without gradients."""
        tables = self.model.tables(part, self.on_host(weights))
        return {name: backend_of(table).detach(table) for name, table in tables.items()}

    def value(self, part: PartName, weights: Mapping[str, Floats]) -> float:
        """Return the loss of one part of the targets alone."""
        return float(self.objectives[part](self.plain_tables(part, weights)))


class _Run:
    """The state of a fit in memory."""

    def __init__(self, problem: Problem, settings: FitSettings, state: State | None) -> None:
        self.problem, self.settings = problem, settings
        start = problem.model.weights
        # What the loss is made of is settled here, geometries of minima included; where they are is given each time.
        settled = problem
        if settings.targets.relax:
            objectives = {**problem.objectives, "training": problem.relaxed("training", start)}
            settled = replace(problem, objectives=objectives)
        self.optimizer: Optimizer = new_optimizer(settings.run.host, start, settled.loss, settings.optimizer)
        self.state = state or State(
            step=0,
            weights=start,
            best=start,
            best_step=0,
            best_loss=float("inf"),
            counted_step=0,
            counted_loss=float("inf"),
            memory=self.optimizer.memory(),
        )
        self.optimizer.restore(self.state.weights, self.state.memory)
        for part, objective in problem.objectives.items():
            named = {int(name.rpartition("/")[2]): at for name, at in self.state.positions.items() if part in name}
            self._put(part, replace(objective, positions=named))
        validation = problem.objectives.get("validation")
        fused = None if validation is None else get_backend(settings.run.host).fused(validation)
        self._validation: Callable[..., Array] | None = fused

    def _put(self, part: PartName, objective: Objective) -> None:
        self.problem = replace(self.problem, objectives={**self.problem.objectives, part: objective})
        if part == "training":
            self.constants = objective.constants

    def measure(self) -> Progress:
        """Return the losses at the weights, after relaxing at them where that is asked for."""
        weights = self.optimizer.weights
        if self.settings.targets.relax:
            for part in self.problem.objectives:
                self._put(part, self.problem.relaxed(part, weights))
        loss = self.optimizer.value(self.constants)
        if not isfinite(loss):
            raise FitError(
                f"the loss is {loss} after {self.state.step} steps: the parameters are where the potential has no "
                "sense. Lower optimizer.learning_rate, lower the scales of parameters, or raise prior.weight"
            )
        steps = self.settings.optimizer.steps
        return Progress(self.state.step, steps, loss, self._validated(weights))

    def _validated(self, weights: Mapping[str, Floats]) -> float | None:
        if self._validation is None:
            return None
        if self.settings.targets.relax:
            return self.problem.value("validation", weights)
        return float(self._validation(self.problem.plain_tables("validation", weights)))

    def judge(self, progress: Progress) -> None:
        """Remember the weights if their watched loss is the smallest."""
        state, tolerance = self.state, self.settings.optimizer.tolerance
        validation = progress.validation if self.settings.optimizer.watch == "validation" else None
        watched = progress.loss if validation is None else validation
        if watched < state.best_loss:
            weights = self.optimizer.weights
            state = replace(state, best=weights, best_step=state.step, best_loss=watched)
        if watched < state.counted_loss * (1 - tolerance) or state.counted_loss == float("inf"):
            state = replace(state, counted_step=state.step, counted_loss=watched)
        self.state = state

    @property
    def is_over(self) -> bool:
        """Whether no step is to follow."""
        patience = self.settings.optimizer.patience
        waited = self.state.step - self.state.counted_step
        return self.state.step >= self.settings.optimizer.steps or (patience is not None and waited >= patience)

    def step(self) -> None:
        """Change the weights."""
        self.optimizer.step(self.constants)
        self.state = replace(self.state, step=self.state.step + 1)

    def snapshot(self) -> State:
        """Return the state as it is to be saved."""
        positions = {
            f"{part}/{number}": at
            for part, objective in self.problem.objectives.items()
            for number, at in objective.positions.items()
        }
        return replace(self.state, weights=self.optimizer.weights, memory=self.optimizer.memory(), positions=positions)


def run_steps(
    problem: Problem,
    settings: FitSettings,
    folder: Path,
    identity: str,
    *,
    on_step: Callable[[Progress], None] | None = None,
) -> tuple[State, Log]:
    """Go through the steps of a fit, from the folder's checkpoint if it has one, and save on the way.

    A checkpoint holds the state before a measurement: what follows is the same for the run that wrote it and for one
    that starts from it.

    Raises:
        FitError: the loss is not finite, or the checkpoint cannot be read or written.
        TargetError: a relaxation does not converge.
    """
    run = _Run(problem, settings, read_checkpoint(folder, identity))
    log = Log(folder, run.state.step)
    start = perf_counter()
    while True:
        if run.state.step % settings.run.checkpoint_every == 0:
            write_checkpoint(folder, run.snapshot(), identity)
        progress = run.measure()
        run.judge(progress)
        log.add(
            {
                "step": progress.step,
                "loss": progress.loss,
                "validation": progress.validation,
                "seconds": round(perf_counter() - start, 3),
            }
        )
        if on_step is not None:
            on_step(progress)
        if run.is_over:
            break
        run.step()
    return run.state, log
