"""``ffbridge conformance``: its table, its JSON, its exit code; and JAX, which needs a process of its own for x64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from ffbridge.testing import BACKEND_CHECKS, ENGINE_CHECKS


def conformance(*arguments, **environment):
    command = [sys.executable, "-c", "from ffbridge.cli import main; main()", "conformance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def results_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_table_and_the_json(tmp_path):
    done = conformance("--backend", "strict", "--engine", "strict", "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    results = results_of(tmp_path / "out.json")
    counts = Counter(each["status"] for each in results)
    assert f"{counts['pass']} passed, {counts['refused']} refused as declared, 0 failed" in done.stdout
    assert {each["check"] for each in results} == {check.name for check in (*BACKEND_CHECKS, *ENGINE_CHECKS)}
    for line in ("backend strict", "engine strict", "strict does not declare float16", "refuses second ones"):
        assert line in done.stdout


def test_an_unknown_name_is_an_error():
    done = conformance("--engine", "abacus")
    assert done.returncode == 2
    assert "no engine is named 'abacus'; known:" in done.stderr


def test_a_failure_is_shown_and_counts(tmp_path):
    """A plug-in that claims a dtype which it does not have."""
    (tmp_path / "ffbridge_boaster.py").write_text(
        "from dataclasses import replace\n"
        "from ffbridge_strict import CAPABILITIES, StrictBackend\n"
        "class Boaster(StrictBackend):\n"
        "    name = 'boaster'\n"
        "    capabilities = replace(CAPABILITIES, dtypes=CAPABILITIES.dtypes | {'float16'})\n"
        "backend = Boaster()\n"
    )
    info = tmp_path / "ffbridge_boaster-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ffbridge-boaster\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ffbridge.backends]\nboaster = ffbridge_boaster:backend\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = conformance("--backend", "boaster", "--json", tmp_path / "out.json", PYTHONPATH=path)
    assert done.returncode == 1
    failed = [each for each in results_of(tmp_path / "out.json") if each["status"] == "FAIL"]
    assert {each["case"].split()[0] for each in failed if each["check"] == "exchange/from-numpy"} == {"float16"}
    assert f"{len(failed)} failed" in done.stdout
    assert "FAIL" in done.stdout
    assert failed[0]["reason"].split(": ")[0] in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["backend", "engine"])
def test_jax_in_a_process_of_its_own(kind, tmp_path):
    done = conformance(f"--{kind}", "jax", "--json", tmp_path / "out.json")
    failed = [each for each in results_of(tmp_path / "out.json") if each["status"] == "FAIL"]
    assert failed == []
    assert done.returncode == 0
    refused = {each["reason"] for each in results_of(tmp_path / "out.json") if each["status"] == "refused"}
    assert not any("float64" in reason for reason in refused)
