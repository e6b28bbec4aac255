"""The command line: ``ffbridge demo|backends|build|conformance|convert|fit|inspect|validate|energy``."""

from __future__ import annotations

import os
import sys

import typer

from ffbridge.errors import FFBridgeError

from .backends import backends
from .build import build
from .conformance import conformance
from .convert import convert
from .demo import demo
from .energy import energy
from .fit import fit
from .inspect import inspect
from .output import printable
from .validate import validate

__all__ = ["app", "main"]

app = typer.Typer(
    name="ffbridge",
    help="Force-field parameters, graphs and gradients across frameworks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, backends, build, conformance, convert, fit, inspect, validate, energy):
    app.command()(command)


def main() -> None:
    """Run the command line. An error of ffbridge is one line on stderr, and exit code 2."""
    # This process is ffbridge's own, so JAX may hold float64 in it without anybody's switch being flipped.
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    try:
        app()
    except FFBridgeError as error:
        sys.stderr.write(f"ffbridge: error: {printable(' '.join(str(error).split()))}\n")
        sys.exit(2)
