"""Settings of a fit, as a TOML file states them (docs/fitting.md)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ffbridge.errors import FitError
from ffbridge.fitting.section import Section
from ffbridge.targets.columns import kinds
from ffbridge.targets.losses.part import Scales

__all__ = [
    "FitSettings",
    "ModelSettings",
    "OptimizerSettings",
    "ParameterSettings",
    "ReportSettings",
    "RunSettings",
    "TargetSettings",
    "ValidationSettings",
    "read_settings",
]

HOSTS = ("torch", "jax")
OPTIMIZERS = ("lbfgs", "adam", "adamw", "sgd")
LEARNING_RATES = {"lbfgs": 1.0, "adam": 0.02, "adamw": 0.02, "sgd": 0.02}


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What is fitted.

    Attributes:
        kind: a SMIRNOFF ``force_field``, the tables of a ``bundle``, or a PyTorch ``network``.
        source: the force field's name or file, the bundle's file, or ``file.py:function`` (or ``module:function``).
        options: keyword arguments of the network's function.
    """

    kind: Literal["force_field", "bundle", "network"]
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """The data, and what a deviation counts.

    Attributes:
        files: Parquet files of targets.
        only: names of targets or molecules that are used, as for `ValidationSettings.molecules`; all if empty.
        weights: by kind, a factor of the targets' own weights.
        scales: of residuals.
        offset: what is taken off the energies of each target.
        hessian: the coordinates of Hessians.
        relax: compare torsion drives at relaxed geometries, which are found anew before every step.
    """

    files: tuple[Path, ...]
    only: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    scales: Scales = field(default_factory=Scales)
    offset: Literal["mean", "minimum"] = "mean"
    hessian: Literal["cartesian", "internal"] = "cartesian"
    relax: bool = False


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """The molecules whose targets are kept out of the fit.

    Attributes:
        files: Parquet files of their targets.
        molecules: names of targets (``*`` stands for anything) or SMILES; all targets of a molecule go together.
        fraction: of the molecules, drawn by chance, if there are neither `files` nor `molecules`.
        seed: of that draw.
    """

    files: tuple[Path, ...] = ()
    molecules: tuple[str, ...] = ()
    fraction: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ParameterSettings:
    """Parameters that move.

    Attributes:
        handler: the section that holds them, such as ``ProperTorsions``.
        attribute: a column of its table, such as ``k``; ``k2`` is the second of a torsion.
        scale: a typical change, in the column's unit: the width of the prior, and the optimizer's unit.
        ids: of parameters, such as ``t43``.
        patterns: SMIRKS or names of parameters. Without ids and patterns, all that the training targets use.
    """

    handler: str
    attribute: str
    scale: float
    ids: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How the loss is made small.

    Attributes:
        name: ``lbfgs`` (with a line search), ``adam``, ``adamw`` or ``sgd``, of torch.optim or optax.
        steps: the most steps.
        learning_rate: of a step, in units of the parameters' scales.
        watch: whose loss says which step was best, and when the fit ends: of ``training`` (with the prior) or
            ``validation``.
        patience: steps without improvement after which the fit ends; None to go through all steps.
        tolerance: the relative decrease of the watched loss that counts as improvement.
    """

    name: Literal["lbfgs", "adam", "adamw", "sgd"] = "lbfgs"
    steps: int = 100
    learning_rate: float = 1.0
    watch: Literal["training", "validation"] = "training"
    patience: int | None = None
    tolerance: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where it runs.

    Attributes:
        engine: evaluates the potential.
        host: differentiates and optimizes: ``torch`` or ``jax``.
        seed: of a network's first weights, and of what it does by chance.
        checkpoint_every: steps from one checkpoint to the next.
    """

    engine: str = "torch"
    host: Literal["torch", "jax"] = "torch"
    seed: int = 0
    checkpoint_every: int = 5


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What the report looks at, beside the loss.

    Attributes:
        relaxed: torsion drives at relaxed geometries, before and after.
        identifiability: which parameters the data determine.
        openmm: energies of the written force field by OpenFF and OpenMM.
    """

    relaxed: bool = True
    identifiability: bool = True
    openmm: bool = True


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """A fit.

    Attributes:
        file: where the settings stand.
        model: what is fitted.
        targets: the data.
        parameters: what of a force field or bundle moves.
        prior_weight: of the prior, Σ ((v - v₀) / scale)², in the loss.
        validation: what is kept out of the fit; None if nothing is.
        optimizer: how the loss is made small.
        run: where.
        report: what the report looks at.
    """

    file: Path
    model: ModelSettings
    targets: TargetSettings
    parameters: tuple[ParameterSettings, ...] = ()
    prior_weight: float = 0.01
    validation: ValidationSettings | None = None
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    run: RunSettings = field(default_factory=RunSettings)
    report: ReportSettings = field(default_factory=ReportSettings)

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON, all that the way of the fit depends on, but for what is in files.

        When it ends, how often it is saved and what is reported does not change the way.
        """
        content = asdict(self)
        for key in ("file", "report"):
            del content[key]
        for key in ("steps", "watch", "patience", "tolerance"):
            del content["optimizer"][key]
        del content["run"]["checkpoint_every"]
        content["targets"]["files"] = [path.name for path in self.targets.files]
        if self.validation is not None:
            content["validation"]["files"] = [path.name for path in self.validation.files]
        return content

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of targets."""
        return self.targets.files + (() if self.validation is None else self.validation.files)


def read_settings(file: str | os.PathLike[str]) -> FitSettings:
    """Read the settings of a fit from a TOML file; paths in it start from its folder.

    Raises:
        FitError: the file cannot be read, a key is missing, unknown, or its value is not what it has to be.
    """
    path = Path(file)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FitError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise FitError(f"{path}: is no TOML: {error}") from error
    top = Section(content, f"{path}: ")
    model = _model(top.section("model", required=True), path)
    parameters = tuple(_parameter(each) for each in top.sections("parameters"))
    if model.kind == "network" and parameters:
        raise FitError(f"{path}: parameters: a network's weights all move; leave this out")
    if model.kind != "network" and not parameters:
        raise FitError(f"{path}: parameters: missing, expected at least one section [[parameters]]: what moves")
    prior = top.section("prior")
    settings = FitSettings(
        file=path,
        model=model,
        targets=_targets(top.section("targets", required=True), path.parent),
        parameters=parameters,
        prior_weight=prior.number("weight", 0.01),
        validation=_validation(top.section("validation"), path.parent) if "validation" in top else None,
        optimizer=_optimizer(top.section("optimizer"), "validation" in top),
        run=_run(top.section("run"), model),
        report=_report(top.section("report")),
    )
    prior.done()
    top.done()
    return settings


def _model(section: Section, path: Path) -> ModelSettings:
    given = [kind for kind in ("force_field", "bundle", "network") if kind in section]
    if len(given) != 1:
        raise FitError(
            f"{path}: model: got {' and '.join(given) or 'nothing'}, expected one of force_field, bundle, network"
        )
    kind = given[0]
    source = section.text(kind)
    options = section.section("options").items() if kind == "network" else {}
    section.done()
    if kind == "bundle" or (kind == "force_field" and (path.parent / source).is_file()):
        source = str(path.parent / source)
    elif kind == "network":
        place, _, function = source.rpartition(":")
        if not place or not function.isidentifier():
            raise section.wrong(kind, source, "file.py:function or module:function")
        source = f"{path.parent / place}:{function}" if place.endswith(".py") else source
    return ModelSettings(kind=kind, source=source, options=options)  # type: ignore[arg-type]


def _targets(section: Section, folder: Path) -> TargetSettings:
    weights = section.section("weights")
    scales = section.section("scales")
    found = TargetSettings(
        files=tuple(folder / each for each in section.texts("files")),
        only=section.texts("only", ()),
        weights={kind: weights.number(kind) for kind in kinds() if kind in weights},
        scales=Scales(**{each.name: scales.number(each.name, each.default, above=0) for each in fields(Scales)}),
        offset=section.text("offset", "mean", among=("mean", "minimum")),
        hessian=section.text("hessian", "cartesian", among=("cartesian", "internal")),
        relax=section.flag("relax", False),
    )
    for kind in kinds():
        weights.number(kind, 1.0)
    for each in (weights, scales, section):
        each.done()
    return found


def _validation(section: Section, folder: Path) -> ValidationSettings:
    ways = ("files", "molecules", "fraction")
    if sum(way in section for way in ways) != 1:
        raise section.wrong("", list(section.keys()), f"one of {', '.join(ways)}")
    fraction = section.number("fraction", 0.0, above=0)
    if fraction >= 1:
        raise section.wrong("fraction", fraction, "less than 1")
    found = ValidationSettings(
        files=tuple(folder / each for each in section.texts("files", ())),
        molecules=section.texts("molecules", ()),
        fraction=fraction,
        seed=section.integer("seed", 0),
    )
    section.done()
    return found


def _parameter(section: Section) -> ParameterSettings:
    found = ParameterSettings(
        handler=section.text("handler"),
        attribute=section.text("attribute"),
        scale=section.number("scale", above=0),
        ids=section.texts("ids", ()),
        patterns=section.texts("patterns", ()),
    )
    section.done()
    return found


def _optimizer(section: Section, has_validation: bool) -> OptimizerSettings:
    watched = ("training", "validation") if has_validation else ("training",)
    name = section.text("name", "lbfgs", among=OPTIMIZERS)
    found = OptimizerSettings(
        name=name,
        steps=section.integer("steps", 100, least=1),
        learning_rate=section.number("learning_rate", LEARNING_RATES[name], above=0),
        watch=section.text("watch", watched[-1], among=watched),
        patience=section.integer("patience", None, least=1),
        tolerance=section.number("tolerance", 1e-4),
    )
    section.done()
    return found


def _run(section: Section, model: ModelSettings) -> RunSettings:
    host = section.text("host", "torch", among=HOSTS)
    if model.kind == "network" and host != "torch":
        raise section.wrong("host", host, "torch, which the network is of")
    found = RunSettings(
        engine=section.text("engine", host),
        host=host,
        seed=section.integer("seed", 0),
        checkpoint_every=section.integer("checkpoint_every", 5, least=1),
    )
    section.done()
    return found


def _report(section: Section) -> ReportSettings:
    found = ReportSettings(**{each.name: section.flag(each.name, True) for each in fields(ReportSettings)})
    section.done()
    return found
