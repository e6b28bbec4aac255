"""A fit that is killed at any moment ends, when it is started again, with the parameters of one that was not."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.fitting import fit, read_settings

from .test_fit import lines

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def processes():
    """Processes that begin with everything imported, forked from one that runs no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ffbridge.fitting.run", "ffbridge.fitting.torch_optimizer", "torch", "rdkit.Chem"])
    return context


def killed(processes, settings, folder, *, step, delay):
    """Start a fit, and kill it when it has done some steps and a while has passed."""
    process = processes.Process(target=fit, args=(settings, folder), kwargs={"resume": True})
    process.start()
    deadline = time.monotonic() + 300
    while process.is_alive() and done(folder) < step:
        assert time.monotonic() < deadline, "the fit does not come forward"
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.join()
    return process.exitcode


def done(folder):
    log = folder / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def same(one, other):
    assert lines(one) == lines(other)
    for name in ("parameters.csv", "report.json"):
        text = (one / name).read_text().replace(str(one), "")
        assert text == (other / name).read_text().replace(str(other), ""), name
    assert fb.load(one / "fitted.ffb").content_hash == fb.load(other / "fitted.ffb").content_hash


@pytest.mark.parametrize(
    ("relax", "steps"), [("false", 40), pytest.param("true", 10, marks=pytest.mark.slow)], ids=["fixed", "relaxed"]
)
def test_a_killed_fit_goes_on(settings_file, processes, tmp_path, relax, steps):
    """L-BFGS: its memory, and where relaxed geometries were, come from the checkpoint."""
    settings = read_settings(settings_file(relax=relax, steps=steps))
    rng = np.random.default_rng()
    moments = np.sort(rng.choice(np.arange(1, steps - 5 * (steps > 10)), size=3, replace=False))
    codes = [
        killed(processes, settings, tmp_path / "killed", step=step, delay=rng.uniform(0, 0.02)) for step in moments
    ]
    assert codes == [-9, -9, -9], f"killed at {moments}"
    fit(settings, tmp_path / "killed", resume=True)
    fit(settings, tmp_path / "whole")
    same(tmp_path / "killed", tmp_path / "whole")
    losses = [loss for _, loss, _ in lines(tmp_path / "whole")]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("host", ["torch", "jax"])
@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_moments_by_the_clock(settings_file, processes, tmp_path, host, name):
    """Killed ten times, also while it reads, compiles and reports."""
    pytest.importorskip(host, reason=f"{host} is not installed")
    settings = read_settings(settings_file(host=host, name=name, relax="true", prior=0.01, steps=30))
    start = time.monotonic()
    process = processes.Process(target=fit, args=(settings, tmp_path / "whole"))
    process.start()
    process.join()
    duration = time.monotonic() - start
    for moment in np.random.default_rng().uniform(0, duration, size=10):
        killed(processes, settings, tmp_path / "killed", step=0, delay=moment)
    fit(settings, tmp_path / "killed", resume=True)
    same(tmp_path / "killed", tmp_path / "whole")


def test_what_is_not_in_the_checkpoint_is_missed(settings_file, tmp_path, monkeypatch):
    """The comparison sees a difference: without the optimizer's memory, a fit that goes on goes another way."""
    from ffbridge.fitting import loop

    settings = read_settings(settings_file(steps=8))
    fit(settings, tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 5:
            raise Stopped

    with pytest.raises(Stopped):
        fit(settings, tmp_path / "parts", on_step=stop)
    read = loop.read_checkpoint

    def forgetful(folder, identity):
        found = read(folder, identity)
        fresh = loop.new_optimizer("torch", found.weights, None, settings.optimizer)
        return loop.replace(found, memory=fresh.memory())

    monkeypatch.setattr(loop, "read_checkpoint", forgetful)
    fit(settings, tmp_path / "parts", resume=True)
    with pytest.raises(AssertionError):
        same(tmp_path / "parts", tmp_path / "whole")
