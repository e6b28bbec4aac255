"""The command line in this process, and a small bundle in a file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.cli import main
from ffbridge.forms import form
from ffbridge.units import COULOMB_CONSTANT


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line: (exit code, stdout, stderr)."""
    # `main` sets this for a process of its own; here it is taken back.
    monkeypatch.setenv("JAX_ENABLE_X64", "0")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ffbridge", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def bundle():
    """A water molecule with every kind of key, and one bond's energy that is easy to tell."""

    def table(name, values, keys=None):
        declared = form(name)
        return fb.Table(np.array(values, dtype=float), declared.column_names, declared.units, keys)

    atoms = np.arange(3, dtype=np.int32)[:, None]
    keys = (fb.ParameterKey("Bonds", "[#8X2:1]-[#1:2]", "b87"),)
    bonds = np.array([[0, 1], [0, 2]], dtype=np.int32)
    return fb.Bundle(
        system_offsets=np.array([0, 3], dtype=np.int32),
        atomic_numbers=np.array([8, 1, 1], dtype=np.int32),
        terms={
            "bonds": fb.Term("harmonic_bond", bonds, "bonds", fb.Select(np.zeros(2, dtype=np.int32))),
            "electrostatics": fb.Term(
                "coulomb",
                atoms,
                "electrostatics",
                fb.Identity(),
                {"method": "no_cutoff", "coulomb_constant": COULOMB_CONSTANT},
            ),
        },
        tables={
            "bonds": table("harmonic_bond", [[400000.0, 0.1]], keys),
            "electrostatics": table("coulomb", [[-0.8], [0.4], [0.4]]),
        },
        exceptions=fb.Exceptions(bonds, np.zeros(2), np.zeros(2)),
        system_names=("[O:1]([H:2])[H:3]",),
    )


@pytest.fixture
def water(bundle, tmp_path):
    path = tmp_path / "water.ffb"
    fb.save(bundle, path)
    return path


@pytest.fixture
def positions():
    """Bonds of 0.11 and 0.1 nm: 400000/2 · 0.01² = 20 kJ/mol and 0; the hydrogens are 0.21 nm apart."""
    return np.array([[0.0, 0.0, 0.0], [0.11, 0.0, 0.0], [-0.1, 0.0, 0.0]])
