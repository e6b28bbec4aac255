"""``ffbridge fit``: what it prints and writes, and how it fails."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import ffbridge as fb
from tests.bridge.targets import molecules

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("pyarrow", reason="PyArrow is not installed")

SETTINGS = """
model.bundle = "start.ffb"
targets.files = ["drives.parquet"]
optimizer.steps = 3
report.relaxed = false
[[parameters]]
handler = "Torsions"
attribute = "k"
scale = 1
"""


@pytest.fixture
def settings(tmp_path):
    fb.save(molecules.bundle(molecules.PEROXIDE), tmp_path / "start.ffb")
    fb.targets.save([molecules.drive()], tmp_path / "drives.parquet")
    (tmp_path / "fit.toml").write_text(SETTINGS)
    return tmp_path / "fit.toml"


def test_a_fit_is_written_and_goes_on(run, settings):
    code, out, _ = run("fit", settings)
    folder = settings.with_suffix("")
    assert code == 0
    assert "torsion_drive" in out
    # The loss is quadratic: which of the last steps is best is a matter of rounding.
    written = rf"{re.escape(str(folder / 'fitted.ffb'))}: after [23] of 3 steps; {re.escape(str(folder / 'report.md'))}"
    assert re.search(written, out)
    assert (folder / "report.md").exists()
    code, _, err = run("fit", settings)
    assert code == 2
    assert "holds this fit; go on with it (--resume)" in err
    code, out, _ = run("fit", settings, "--resume", "--json")
    found = json.loads(out)
    assert code == 0
    assert found == json.loads((folder / "report.json").read_text())
    assert found["errors"][0]["after"] < found["errors"][0]["before"]


def test_the_folder_is_chosen(run, settings, tmp_path):
    code, _, _ = run("fit", settings, "--output", tmp_path / "elsewhere")
    assert code == 0
    fitted, start = (fb.load(path) for path in (tmp_path / "elsewhere/fitted.ffb", tmp_path / "start.ffb"))
    assert not np.allclose(fitted.tables["torsions"].values, start.tables["torsions"].values)
    assert not settings.with_suffix("").exists()


def test_an_error_is_one_line(run, settings):
    settings.write_text(SETTINGS.replace("scale = 1", "scale = -1"))
    code, out, err = run("fit", settings)
    assert (code, out) == (2, "")
    assert err == f"ffbridge: error: {settings}: parameters[0].scale: got -1, expected a number more than 0\n"
