"""Texts out of files that would drive the terminal they are printed on."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from rich.console import Console

import ffbridge as fb
from ffbridge.cli import main
from ffbridge.cli.output import printable
from tests.bridge.samples import bundle

CLEAR, TITLE, REVERSE = "\x1b[2J", "\x1b]0;owned\x07", "\u202e"


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "hostile.ffb"
    names = (f"{CLEAR}{REVERSE}[red]", f"[/]\r{TITLE}")
    table = bundle().table("bonds")
    keys = tuple(replace(key, handler=f"{key.handler}{CLEAR}", pattern=f"{key.pattern}{TITLE}") for key in table.keys)
    tables = {**bundle().tables, "bonds": replace(table, keys=keys)}
    fb.save(replace(bundle(), tables=tables, system_names=names, provenance={"producer": TITLE}), path)
    return path


def run(monkeypatch, capsys, *arguments):
    # `main` sets this for a process of its own; here it is taken back.
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.setattr("sys.argv", ["ffbridge", *map(str, arguments)])
    with pytest.raises(SystemExit):
        main()
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("options", [(), ("--keys",), ("--json",)])
def test_inspect(options, hostile, monkeypatch, capsys):
    printed = run(monkeypatch, capsys, "inspect", hostile, *options)
    assert not set(printed) & {"\x1b", "\x07", "\r", REVERSE}
    assert "[2J" in printed
    assert "[red]" in printed


def test_errors(hostile, monkeypatch, capsys):
    path = hostile.with_name(f"{CLEAR}.ffb")
    printed = run(monkeypatch, capsys, "inspect", path)
    assert "cannot be read" in printed
    assert "\x1b" not in printed


def test_names_of_molecules_are_no_markup(monkeypatch, tmp_path, capsys):
    """In the progress of a build, which is shown on a terminal alone."""
    from ffbridge.building import BuildReport, Outcome

    def build_bundles(source, output, *, on_outcome, **options):
        for name in ("[/nonsense]", f"[red]{CLEAR}"):
            on_outcome(Outcome(1, name, "built", {}))
        return BuildReport(2, 0, 0, 0.1)

    shown = io.StringIO()
    monkeypatch.setattr("ffbridge.building.build_bundles", build_bundles)
    monkeypatch.setattr(
        sys.modules["ffbridge.cli.build"],
        "console",
        Console(file=shown, force_terminal=True, width=200, color_system=None),
    )
    (tmp_path / "m.smi").write_text("C\nCC\n")
    assert run(monkeypatch, capsys, "build", tmp_path / "m.smi", "-o", tmp_path / "out") == ""
    assert "[red]\\x1b[2J" in shown.getvalue()
    assert CLEAR not in shown.getvalue()


def test_printable():
    assert printable("é 原 [x] 'a' 1e-3") == "é 原 [x] 'a' 1e-3"
    assert printable("a\tb\nc\x00\x7f\u2028\ud800") == "a\\tb\nc\\x00\\x7f\\u2028\\ud800"
