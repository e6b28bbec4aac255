"""Runs Python code in a process of its own: for what kills a process, or must be set as it starts."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The finished process; a death by signal n shows as the return code -n."""
    no_core_file = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    command = [sys.executable, "-c", no_core_file + textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
