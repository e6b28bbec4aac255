"""What a TOML file may say, and that everything else is refused by key, value and place."""

from __future__ import annotations

import pytest

from ffbridge.errors import FitError
from ffbridge.fitting import read_settings

GOOD = """
[model]
force_field = "openff-2.3.0"

[targets]
files = ["drives.parquet"]

[[parameters]]
handler = "ProperTorsions"
attribute = "k"
scale = 2
"""

NETWORK = """
[model]
network = "network.py:make"
options.width = 16

[targets]
files = ["drives.parquet"]
"""

WRONG = {
    "no TOML": ("[model", r"fit.toml: is no TOML: Expected .* table declaration"),
    "no model": ('targets.files = ["a"]', r"fit.toml: model: missing, expected a section"),
    "empty model": (
        GOOD.replace('force_field = "openff-2.3.0"', ""),
        "model: got nothing, expected one of",
    ),
    "two models": (
        GOOD.replace("[targets]", 'bundle = "a.ffb"\n[targets]'),
        "model: got force_field and bundle, expected one of force_field, bundle, network",
    ),
    "model of another type": (GOOD.replace('"openff-2.3.0"', "3"), r"model.force_field: got 3, expected a text"),
    "unknown section": (GOOD + "[optimiser]\n", r"optimiser: there is no such key; 'optimizer' may be meant"),
    "unknown key": (GOOD + "[optimizer]\nstep = 3\n", r"optimizer.step: there is no such key; 'steps' may be meant"),
    "unknown key of parameters": (
        GOOD + "width = 3\n",
        r"parameters\[0\].width: there is no such key.* Known here are: attribute, handler, ids, patterns, scale",
    ),
    "unknown kind": (GOOD + "[targets.weights]\ntorsions = 3\n", "targets.weights.torsions: there is no such key"),
    "unknown scale": (GOOD + "[targets.scales]\nforces = 3\n", "targets.scales.forces: .* 'force' may be meant"),
    "option of a force field": (GOOD + "[model.options]\nwidth = 3\n", "model.options: there is no such key"),
    "no targets": (GOOD.replace("[targets]", "[target]"), "targets: missing, expected a section"),
    "section in capitals": (GOOD.replace("[model]", "[Model]"), "model: missing, .*; there is 'Model'"),
    "no files": (GOOD.replace('["drives.parquet"]', "[]"), r"targets.files: got \[\], expected a list of texts"),
    "file that is no list": (GOOD.replace('["drives.parquet"]', '"a"'), "targets.files: got 'a', expected a list"),
    "no parameters": (
        GOOD.partition("[[")[0],
        r"parameters: missing, expected at least one section \[\[parameters\]\]",
    ),
    "parameters in one section": (
        GOOD.replace("[[parameters]]", "[parameters]"),
        r"parameters: got \{.*\}, expected an array of sections, written \[\[parameters\]\]",
    ),
    "no scale": (GOOD.replace("scale = 2", ""), r"parameters\[0\].scale: missing, expected a number more than 0"),
    "scale 0": (GOOD.replace("scale = 2", "scale = 0"), r"parameters\[0\].scale: got 0, expected a number more than 0"),
    "scale nan": (GOOD.replace("scale = 2", "scale = nan"), r"parameters\[0\].scale: got nan, expected a number"),
    "scale inf": (GOOD.replace("scale = 2", "scale = inf"), r"parameters\[0\].scale: got inf, expected a number"),
    "scale of another type": (GOOD.replace("scale = 2", "scale = true"), r"parameters\[0\].scale: got True"),
    "prior": (GOOD + "[prior]\nweight = -1\n", "prior.weight: got -1, expected a number, 0 or more"),
    "optimizer": (GOOD + '[optimizer]\nname = "bfgs"\n', "optimizer.name: got 'bfgs', expected one of lbfgs, adam"),
    "steps": (GOOD + "[optimizer]\nsteps = 1.5\n", "optimizer.steps: got 1.5, expected a whole number, 1 or more"),
    "no steps": (GOOD + "[optimizer]\nsteps = 0\n", "optimizer.steps: got 0, expected a whole number, 1 or more"),
    "watch": (
        GOOD + '[optimizer]\nwatch = "validation"\n',
        "optimizer.watch: got 'validation', expected one of training",
    ),
    "host": (GOOD + '[run]\nhost = "numpy"\n', "run.host: got 'numpy', expected one of torch, jax"),
    "flag": (GOOD + "[report]\nrelaxed = 1\n", "report.relaxed: got 1, expected true or false"),
    "no validation": (
        GOOD + "[validation]\nseed = 3\n",
        r"validation: got \['seed'\], expected one of files, molecules",
    ),
    "two validations": (
        GOOD + '[validation]\nmolecules = ["a"]\nfraction = 0.5\n',
        "validation: got .*, expected one of files, molecules, fraction",
    ),
    "fraction": (GOOD + "[validation]\nfraction = 1\n", "validation.fraction: got 1.0, expected less than 1"),
    "network's parameters": (NETWORK + GOOD[GOOD.index("[[") :], "parameters: a network's weights all move"),
    "network's host": (NETWORK + '[run]\nhost = "jax"\n', "run.host: got 'jax', expected torch"),
    "network without function": (NETWORK.replace(":make", ""), "model.network: got 'network.py', expected file.py:f"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path, case):
    text, message = WRONG[case]
    (tmp_path / "fit.toml").write_text(text)
    with pytest.raises(FitError, match=message) as caught:
        read_settings(tmp_path / "fit.toml")
    assert str(caught.value).startswith(str(tmp_path / "fit.toml"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FitError, match=r"none.toml: cannot be read: No such file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(FitError, match=r"bytes.toml: cannot be read: .*utf-8"):
        read_settings(tmp_path / "bytes.toml")


def test_what_is_right_is_read(tmp_path):
    path = tmp_path / "fit.toml"
    path.write_text(GOOD)
    found = read_settings(path)
    assert found.targets.files == (tmp_path / "drives.parquet",)
    assert (found.optimizer.name, found.optimizer.learning_rate, found.run.engine) == ("lbfgs", 1.0, "torch")
    assert found.parameters[0].scale == 2.0
    path.write_text(GOOD + '[optimizer]\nname = "adam"\n[run]\nhost = "jax"\n[targets.scales]\nforce = 100\n')
    found = read_settings(path)
    assert (found.optimizer.learning_rate, found.run.engine) == (0.02, "jax")
    assert (found.targets.scales.force, found.targets.scales.energy) == (100.0, 4.184)
    path.write_text(NETWORK)
    found = read_settings(path)
    assert found.model.source == f"{tmp_path / 'network.py'}:make"
    assert dict(found.model.options) == {"width": 16}


def test_what_does_not_change_the_way_is_no_part_of_the_identity(tmp_path):
    path = tmp_path / "fit.toml"

    def identity(text):
        path.write_text(GOOD + text)
        return read_settings(path).identity()

    same = identity("[optimizer]\nsteps = 7\npatience = 3\n[run]\ncheckpoint_every = 1\n[report]\nopenmm = false\n")
    assert same == identity("")
    for other in ("[optimizer]\nlearning_rate = 0.5\n", "[run]\nseed = 1\n", "[prior]\nweight = 2\n"):
        assert identity(other) != identity("")
