"""Whole fits in small: they find the parameters that made the data, stop when told, and say what they came to."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import FitError, UnknownNameError, UnsupportedError
from ffbridge.fitting import fit, read_settings
from ffbridge.fitting.checkpoint import CHECKPOINT

from .conftest import answer

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

JAX_SLOWLY = pytest.param("jax", marks=pytest.mark.slow)
PNG = b"\x89PNG\r\n\x1a\n"


def lines(folder):
    """What the log says of every step, without times."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["validation"]) for line in found]


@pytest.mark.parametrize("host", ["torch", JAX_SLOWLY])
def test_the_parameters_that_made_the_data_are_found(settings_file, tmp_path, host):
    pytest.importorskip(host, reason=f"{host} is not installed")
    pytest.importorskip("optax", reason="optax is not installed")
    settings = read_settings(settings_file(host=host, identifiability="true", steps=30))
    report = fit(settings, tmp_path / "out")
    fitted, wanted = fb.load(report.fitted), answer(fb.load(settings.model.source))
    for name in ("bonds", "torsions"):
        np.testing.assert_allclose(fitted.tables[name].values, wanted[name], rtol=1e-4)
    assert all(each.after < 1e-3 * each.before for each in report.errors)
    assert report.undetermined == ()
    assert min(each.determinacy for each in report.changes) > 0.99
    assert lines(report.folder)[0][0] == 0
    assert report.steps == 30


def test_everything_is_reported(settings_file, tmp_path):
    settings = read_settings(settings_file(validation='[validation]\nmolecules = ["methanol"]', steps=4))
    seen = []
    report = fit(settings, tmp_path / "out", on_step=seen.append)
    folder = report.folder
    assert [each.step for each in seen] == [0, 1, 2, 3, 4]
    assert [(each.step, each.loss, each.validation) for each in seen] == lines(folder)
    assert report.loss == min(each.validation for each in seen)
    pictures = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    expected = {"loss.png", "parity-conformers-force.png", "parity-conformers-relative-energy.png"}
    assert pictures == expected | {"parity-torsion_drive-relative-energy.png", "profiles/000-peroxide-drive.png"}
    assert all((folder / each).read_bytes().startswith(PNG) for each in pictures)
    text = (folder / "report.md").read_text()
    assert all(f"({each})" in text for each in pictures)
    rows = list(csv.DictReader((folder / "parameters.csv").read_text().splitlines()))
    fitted, start = fb.load(report.fitted), fb.load(settings.model.source)
    of_bonds = [row for row in rows if row["section"] == "Bonds" and row["attribute"] == "k"]
    assert [float(row["after"]) for row in of_bonds] == fitted.tables["bonds"].values[:, 0].tolist()
    assert [float(row["before"]) for row in of_bonds] == start.tables["bonds"].values[:, 0].tolist()
    assert {row["attribute"] for row in rows if row["section"] == "Torsions"} == {"k1", "k2", "k3"}
    machine = json.loads((folder / "report.json").read_text())
    assert machine["errors"][0]["before"] == report.errors[0].before
    assert {(each.part, each.kind) for each in report.errors} == {
        ("training", "conformers"),
        ("training", "torsion_drive"),
        ("validation", "conformers"),
    }


def test_errors_are_those_of_the_potentials(settings_file, tmp_path):
    """Root mean square errors of forces, computed beside the fit from the two bundles."""
    report = fit(read_settings(settings_file(steps=2)), tmp_path / "out")
    folder = settings_file().parent
    targets = fb.targets.load(folder / "conformers.parquet")
    (found,) = [each for each in report.errors if each.quantity == "force"]
    for value, path in ((found.before, folder / "start.ffb"), (found.after, report.fitted)):
        off = []
        for target, bundle in zip(targets, fb.separate(fb.load(path)), strict=True):
            forces = fb.potential(bundle, "numpy").energy_and_forces(target.positions)[1]
            off.append((forces - target.forces).reshape(-1))
        assert np.sqrt(np.mean(np.concatenate(off) ** 2)) == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("host", ["torch", JAX_SLOWLY])
def test_each_optimizer_descends(settings_file, tmp_path, host, name):
    pytest.importorskip(host, reason=f"{host} is not installed")
    rate = "learning_rate = 0.01" if name == "sgd" else ""
    report = fit(read_settings(settings_file(host=host, name=name, optimizer=rate, steps=8)), tmp_path / "out")
    losses = [loss for _, loss, _ in lines(report.folder)]
    assert losses[-1] < 0.98 * losses[0]


@pytest.mark.slow
def test_hosts_go_the_same_way(settings_file, tmp_path):
    pytest.importorskip("optax", reason="optax is not installed")
    files, ways = '["drives.parquet"]', []
    for host in ("torch", "jax"):
        settings = read_settings(settings_file(files=files, host=host, name="adam", steps=2))
        ways.append(lines(fit(settings, tmp_path / host).folder))
    np.testing.assert_allclose([each[1] for each in ways[0]], [each[1] for each in ways[1]], rtol=1e-8)


def test_a_prior_holds(settings_file, tmp_path):
    weak = fit(read_settings(settings_file(prior=1e-6, steps=10)), tmp_path / "weak")
    strong = fit(read_settings(settings_file(prior=100, steps=10)), tmp_path / "strong")
    assert max(abs(each.scales) for each in weak.changes) > 0.5
    assert max(abs(each.scales) for each in strong.changes) < 0.05


def test_what_is_watched_decides(settings_file, tmp_path):
    """Methanol has parameters of its own, so that the best fit of the peroxide is not the best for it."""
    validation = '[validation]\nmolecules = ["methanol"]'
    reports = {
        watch: fit(
            read_settings(settings_file(validation=validation, optimizer=f'watch = "{watch}"', steps=6)),
            tmp_path / watch,
        )
        for watch in ("training", "validation")
    }
    losses = lines(reports["training"].folder)
    assert losses == lines(reports["validation"].folder)
    for place, watch in ((1, "training"), (2, "validation")):
        best = min(range(len(losses)), key=lambda step: losses[step][place])
        assert reports[watch].best_step == best
        assert reports[watch].loss == losses[best][place]


def test_a_fit_ends_when_nothing_improves(settings_file, tmp_path):
    settings = read_settings(settings_file(optimizer="patience = 3\ntolerance = 0.01", prior=1))
    report = fit(settings, tmp_path / "out")
    losses = [loss for _, loss, _ in lines(report.folder)]
    assert report.steps == len(losses) - 1 < 40
    assert losses[-1] > losses[-4] * 0.99


def test_more_steps_go_on_from_the_checkpoint(settings_file, tmp_path):
    whole = fit(read_settings(settings_file(steps=10)), tmp_path / "whole")
    fit(read_settings(settings_file(steps=5)), tmp_path / "parts")
    parts = fit(read_settings(settings_file(steps=10)), tmp_path / "parts", resume=True)
    assert lines(parts.folder) == lines(whole.folder)
    assert fb.load(parts.fitted).content_hash == fb.load(whole.fitted).content_hash


def test_a_folder_is_one_fits(settings_file, tmp_path):
    out = tmp_path / "out"
    fit(read_settings(settings_file(steps=1)), out)
    with pytest.raises(FitError, match=r"holds this fit; go on with it \(--resume\), or choose another folder"):
        fit(read_settings(settings_file(steps=1)), out)
    other = read_settings(settings_file(steps=1, prior=0.5))
    with pytest.raises(FitError, match="holds another fit, which differs in settings.prior_weight; choose another"):
        fit(other, out, resume=True)


def test_a_fit_that_did_not_begin_keeps_no_folder(settings_file, tmp_path):
    """An engine that is not there, or has no derivatives, is found after the folder was made."""
    out = tmp_path / "out"
    for engine, error in (("tensorflow", UnknownNameError), ("openmm", UnsupportedError)):
        path = settings_file(steps=1)
        path.write_text(path.read_text().replace("[run]", f'[run]\nengine = "{engine}"'))
        if engine == "openmm":
            pytest.importorskip("openmm", reason="OpenMM is not installed")
        with pytest.raises(error):
            fit(read_settings(path), out)
    assert fit(read_settings(settings_file(steps=1)), out).steps == 1
    # A checkpoint whose log is lost is somebody's work.
    (out / "log.jsonl").unlink()
    with pytest.raises(FitError, match="holds another fit"):
        fit(read_settings(settings_file(steps=1, prior=0.5)), out)


def test_a_folder_that_cannot_be_made_is_refused(settings_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FitError, match=r"file/out: cannot be written: Not a directory; choose another folder"):
        fit(read_settings(settings_file(steps=1)), tmp_path / "file" / "out")


def test_folders_of_others_are_left_alone(settings_file, tmp_path):
    settings = read_settings(settings_file(steps=1))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FitError, match="has files, and none is a fit's"):
        fit(settings, tmp_path)
    with pytest.raises(FitError, match=r"mine.txt: is a file, expected a folder"):
        fit(settings, tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_two_runs_do_not_share_a_folder(settings_file, tmp_path):
    settings = read_settings(settings_file(steps=1))
    with pytest.raises(FitError, match="another run is fitting there"):
        fit(settings, tmp_path / "out", on_step=lambda _: fit(settings, tmp_path / "out", resume=True))


def test_damaged_checkpoints_are_refused(settings_file, tmp_path):
    settings = read_settings(settings_file(steps=3))
    fit(settings, tmp_path / "out")
    path = tmp_path / "out" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FitError, match=r"checkpoint.safetensors: cannot be read: .*; remove it to begin again"):
        fit(settings, tmp_path / "out", resume=True)


def test_a_loss_that_is_no_number_ends_the_fit(settings_file, tmp_path):
    settings = read_settings(settings_file(name="sgd", optimizer="learning_rate = 1e30"))
    with pytest.raises(FitError, match=r"the loss is (nan|inf) after \d+ steps: .* Lower optimizer.learning_rate"):
        fit(settings, tmp_path / "out")
