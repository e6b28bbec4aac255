"""The core, NumPy and JAX on other versions of Python, where they are present: in environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .sources import ROOT

VERSIONS = ("3.12", "3.13")
PACKAGES = ("pytest>=8.3", "hypothesis>=6.100", "array-api-strict>=2.3")
TESTS = (
    *("test_bundle", "test_canonical", "test_concatenate", "test_copying", "test_fingerprint", "test_forms"),
    *("test_hashing", "test_io", "test_layout", "test_mapping", "test_memory", "test_overrides", "test_potential"),
    *("test_pullback", "test_registry", "test_separate", "test_trainable", "test_validate"),
)
PLACES = ("tests/bridge/exchange", "tests/spec", "tests/fuzz", "tests/faults/test_disk.py")


def interpreter(version: str) -> str:
    """An interpreter of a version, on the path or of pyenv; the test is skipped where there is none."""
    known = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}"), *sorted(known.glob(f"versions/{version}.*/bin/python{version}"))]
    for each in filter(None, candidates):
        done = subprocess.run([each, "-c", "import venv, ensurepip"], capture_output=True, check=False)
        if done.returncode == 0:
            return str(each)
    pytest.skip(f"Python {version} is not on this machine")


def environment(version: str, folder: Path) -> Path:
    """Make an environment with the core, JAX and what tests need, in whatever versions there are for it."""
    subprocess.run([interpreter(version), "-m", "venv", folder], check=True)
    unpinned = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    command = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run(
        [*command, "--editable", f"{ROOT}[jax]", *PACKAGES], env=unpinned, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"packages cannot be installed for Python {version}: {done.stderr.strip()[-200:]}")
    return folder / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_core_numpy_and_jax(version, tmp_path):
    """Nothing fails; what needs other packages is skipped."""
    python = environment(version, tmp_path / "environment")
    files = [*(f"tests/bridge/{name}.py" for name in TESTS), *PLACES]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *files]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    sys.stdout.write(done.stdout.splitlines()[-1])
