"""A small fit in a folder of its own: hydrogen peroxide and methanol, with data of changed parameters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ffbridge as fb
from tests.bridge.targets import molecules

SETTINGS = """
[model]
bundle = "start.ffb"

[targets]
files = {files}
weights = {{ torsion_drive = 0.5 }}
relax = {relax}

{validation}

[[parameters]]
handler = "Bonds"
attribute = "k"
scale = 2e4

[[parameters]]
handler = "Bonds"
attribute = "length"
scale = 0.002

[[parameters]]
handler = "Torsions"
attribute = "k"
patterns = ["1-8-8-1"]
scale = 1.0

[prior]
weight = {prior}

[optimizer]
name = "{name}"
steps = {steps}
{optimizer}

[run]
host = "{host}"
checkpoint_every = 3

[report]
relaxed = false
identifiability = {identifiability}
"""

DEFAULTS = {
    "files": '["conformers.parquet", "drives.parquet"]',
    "relax": "false",
    "validation": "",
    "prior": 0,
    "name": "lbfgs",
    "steps": 40,
    "optimizer": "",
    "host": "torch",
    "identifiability": "false",
}


def answer(bundle):
    """The tables that made the data."""
    tables = {name: np.array(table.values) for name, table in bundle.tables.items()}
    tables["bonds"] *= [1.08, 1.01]
    keys = bundle.tables["torsions"].keys
    peroxide = [row for row, key in enumerate(keys) if key.pattern == "1-8-8-1"]
    tables["torsions"][peroxide, 0] *= 1.4
    return tables


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder of the bundle that a fit starts from, and of the targets."""
    pytest.importorskip("pyarrow", reason="PyArrow is not installed")
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    folder = tmp_path_factory.mktemp("fit")
    fb.save(molecules.batch(molecules.PEROXIDE, molecules.METHANOL), folder / "start.ffb")
    peroxide, methanol = (molecules.bundle(each) for each in (molecules.PEROXIDE, molecules.METHANOL))
    twisted = np.concatenate([molecules.noisy(molecules.peroxide(angle), 4, seed=7) for angle in (-2.5, -1, 0.5, 2)])
    conformers = [
        molecules.conformers(molecules.PEROXIDE, twisted, tables=answer(peroxide), name="peroxide"),
        molecules.conformers(
            molecules.METHANOL, molecules.noisy(molecules.methanol(), 8), tables=answer(methanol), name="methanol"
        ),
    ]
    fb.targets.save(conformers, folder / "conformers.parquet")
    drive = molecules.drive()
    made = fb.potential(peroxide, "numpy")(drive.positions, answer(peroxide))[:, 0]
    fb.targets.save([molecules.drive(energies=made)], folder / "drives.parquet")
    return folder


@pytest.fixture
def settings_file(data, tmp_path):
    """Write a TOML file beside the data, with some of its settings changed."""
    numbers = itertools.count()

    def write(**changed):
        path = data / f"{tmp_path.name}-{next(numbers)}.toml"
        path.write_text(SETTINGS.format(**{**DEFAULTS, **changed}))
        return path

    return write
