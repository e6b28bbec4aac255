"""The reader in JavaScript, written from the standard's text: it accepts, refuses and computes what the vectors say."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ffbridge_spec import vectors

NODE = shutil.which("node")
OLDEST = 18


def node_fault():
    if NODE is None:
        return "Node is not installed"
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return None if int(version[1:].partition(".")[0]) >= OLDEST else f"Node {version} is older than {OLDEST}"


@pytest.fixture(scope="module")
def report(request):
    """What ``node --test`` prints, in the format TAP."""
    if fault := node_fault():
        pytest.skip(fault)
    folder = request.config.rootpath / "spec/readers/javascript"
    command = [NODE, "--test", "--test-reporter=tap", "test.js"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def outcomes(report):
    """By name of the test: whether it passed, and why it was skipped."""
    found = re.findall(r"^(?: {4})?(not ok|ok) \d+ - (.*?)(?: # (SKIP .*))?$", report.stdout, re.MULTILINE)
    return {name: (status == "ok", skipped) for status, name, skipped in found}


def names(kind):
    return {path.name.removesuffix(".json") for path in vectors(kind).iterdir() if path.name.endswith(".json")}


def test_every_vector_is_run_and_passes(report):
    assert report.returncode == 0, report.stdout[-4000:] + report.stderr
    found = outcomes(report)
    expected = {f"{kind}/{name}" for kind in ("valid", "invalid") for name in names(kind)}
    expected |= {f"energy/{name}, all terms" for name in names("energy")}
    assert expected <= set(found)
    assert "energy/torsions, bonded terms" in found
    assert all(passed for passed, _ in found.values())


def test_nothing_but_methods_is_refused(report):
    """Every form is evaluated; of the methods, those with images or with erfc are not."""
    refused = {name: why for name, (_, why) in outcomes(report).items() if why}
    assert all("refused: the method" in why for why in refused.values()), refused
    assert not any("bonded terms" in name for name in refused)
