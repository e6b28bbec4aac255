"""What the documents show runs, what they link to exists, and nothing is left undone in a comment."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .sources import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "spec").rglob("*.md")]
FOLDERS = ("bridge", "backends", "spec", "tests", "benchmarks", "examples", "docs", "plugins", ".ci")
SUFFIXES = {"", ".json", ".md", ".py", ".toml", ".txt", ".yaml"}
# Spelled in two halves, so that this file does not hold them.
FORBIDDEN = [
    re.compile("TO" + "DO|FIX" + "ME|XX" + "X"),
    re.compile("py" + r"pi\.org|python" + r"hosted\.org|--(extra-)?index" + "-url"),
    re.compile("/work" + "/"),
]

by_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of one language, also those within lists."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


RUNNABLE = [path for path in DOCUMENTS if blocks(path, "python") and (ROOT / "spec") not in path.parents]


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_run(path, tmp_path):
    """All Python blocks of a document run in one fresh process, in order, in an empty folder."""
    code = "\n".join(blocks(path, "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_python():
    assert blocks(ROOT / "README.md", "python")


@by_document
def test_links_lead_somewhere(path):
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def texts() -> list[Path]:
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    at_root = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    return [path for path in (*at_root, *inside) if path.is_file() and path.suffix in SUFFIXES]


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=["undone", "registry", "local path"])
def test_no_file_holds(pattern):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
