"""Exchanges that kill the process when the frameworks do them; those of ffbridge do not."""

from __future__ import annotations

import signal

import pytest

from .processes import run

pytest.importorskip("torch")


def test_negative_strides_abort_torch():
    raw = run("import numpy, torch; torch.from_dlpack(numpy.arange(4.0)[::-1])")
    assert raw.returncode == -signal.SIGABRT
    ours = run(
        """
        import numpy
        from ffbridge.exchange import transfer
        moved = transfer(numpy.arange(4.0)[::-1], "torch")
        print(moved.array.tolist(), moved.reason)
        """
    )
    assert (ours.returncode, ours.stdout) == (0, "[3.0, 2.0, 1.0, 0.0] negative strides\n"), ours.stderr


MEMMAP = """
    import sys, numpy
    numpy.arange(4.0).tofile(sys.argv[1])
    mapped = numpy.memmap(sys.argv[1], dtype=float, mode="r")
"""


def test_a_write_to_read_only_memory_kills(tmp_path):
    raw = run(MEMMAP + "    import torch; torch.from_dlpack(mapped)[0] = 9.0", str(tmp_path / "raw"))
    assert raw.returncode == -signal.SIGSEGV
    ours = run(
        MEMMAP
        + """
    from ffbridge.exchange import transfer
    moved = transfer(mapped, "torch")
    moved.array[0] = 9.0
    print(moved.array.tolist(), mapped.tolist(), moved.reason)
    """,
        str(tmp_path / "ours"),
    )
    expected = "[9.0, 1.0, 2.0, 3.0] [0.0, 1.0, 2.0, 3.0] the memory is read-only, and torch could write to it\n"
    assert (ours.returncode, ours.stdout) == (0, expected), ours.stderr
