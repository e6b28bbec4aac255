"""Force fields and networks through the command, and what of them cannot be fitted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import FitError
from ffbridge.fitting import fit, read_settings
from ffbridge.fitting.models import fit_model
from ffbridge.fitting.network import network_model
from ffbridge.fitting.selection import select
from ffbridge.fitting.settings import ParameterSettings
from ffbridge.fitting.split import read_targets
from tests.bridge.targets import molecules

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

EXAMPLES = Path(__file__).parents[3] / "examples"
QC = EXAMPLES.parent / "data/qc"

NETWORK = """
import numpy as np, torch
import ffbridge as fb
from dataclasses import replace
from tests.bridge.targets import molecules

class Network(torch.nn.Module):
    def __init__(self, start):
        super().__init__()
        self.start = torch.nn.Parameter(torch.full((3,), start, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(1, dtype=torch.float64))

    def forward(self, smiles):
        bundle = molecules.batch(*smiles).to("torch")
        table = bundle.tables["torsions"]
        k = self.unit * self.start.repeat(len(table) // 3)
        values = torch.cat([k[:, None], table.values[:, 1:]], dim=1)
        return replace(bundle, tables={**bundle.tables, "torsions": replace(table, values=values)})

def make(smiles, *, start=0.0):
    return Network(start)

class Noisy(Network):
    def __init__(self, smiles):
        super().__init__(0.5)

    def forward(self, smiles):
        made = super().forward(smiles)
        table = made.tables["torsions"]
        factor = torch.cat([1 + 0.1 * torch.rand(1, dtype=torch.float64), self.unit, self.unit])
        noisy = replace(table, values=table.values * factor)
        return replace(made, tables={**made.tables, "torsions": noisy})

def broken(smiles):
    return "no module"

class Wrong(torch.nn.Module):
    def __init__(self, smiles):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(1))
    def forward(self, smiles):
        return 3
"""

SETTINGS = """
[model]
network = "{network}"
{options}

[targets]
files = ["drives.parquet"]

[optimizer]
steps = 12

[report]
relaxed = false
"""


@pytest.fixture
def network(data, tmp_path):
    (data / "network.py").write_text(NETWORK)

    def write(name="network.py:make", options=""):
        path = data / f"{tmp_path.name}.toml"
        path.write_text(SETTINGS.format(network=name, options=options))
        return read_settings(path)

    return write


def test_a_networks_weights_are_fitted_and_read_back(network, tmp_path):
    """Weights that are the torsion's k, of data with k of 4.2, 5 and 1 in sequence: the first moved by 1.4."""
    from safetensors.torch import load_file

    report = fit(network(options="options.start = 2.0"), tmp_path / "out")
    state = load_file(report.fitted)
    np.testing.assert_allclose(state["start"], np.array([3.0, 5.0, 1.0]) * 1.4, rtol=1e-6)
    assert set(state) == {"start", "unit"}
    again = network_model(network(), read_targets(network())).module
    again.load_state_dict(state)
    bundle = again((molecules.PEROXIDE,)).snapshot()
    (drive,) = fb.targets.load(network().targets.files[0])
    compared = fb.targets.objective([drive], fb.potential(bundle, "numpy")).compare()
    assert compared[0].rmse == pytest.approx(report.errors[0].after, abs=1e-9)


def test_what_a_network_does_by_chance_goes_on_too(network, tmp_path):
    def settings(steps):
        found = network("network.py:Noisy")
        return replace(found, optimizer=replace(found.optimizer, name="adam", learning_rate=0.1, steps=steps))

    def losses(folder):
        return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]

    before = torch.random.get_rng_state()
    whole = fit(settings(9), tmp_path / "whole")
    fit(settings(6), tmp_path / "parts")
    torch.rand(3)
    parts = fit(settings(9), tmp_path / "parts", resume=True)
    assert losses(parts.folder) == losses(whole.folder)
    assert len(set(losses(whole.folder))) == 10
    np.testing.assert_array_equal(load_weights(parts), load_weights(whole))
    torch.random.set_rng_state(before)


def load_weights(report):
    from safetensors.numpy import load_file

    return load_file(report.fitted)["start"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("none.py:make", "", r"model.network: there is no file .*none.py"),
        ("network.py:none", "", r"model.network: .*network.py has no function 'none'"),
        ("no_such_module:make", "", "model.network: module 'no_such_module' cannot be imported"),
        ("network.py:broken", "", r"returned str, expected a torch.nn.Module"),
        ("network.py:Wrong", "", "the network returned int, expected a bundle"),
        ("network.py:make", "options.width = 3", "model.options: .*network.py:make does not take them: .*'width'"),
    ],
)
def test_what_is_no_network_is_refused(network, tmp_path, name, options, message):
    with pytest.raises(FitError, match=message):
        fit(network(name, options), tmp_path / "out")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"handler": "Bond"},
            r"parameters\[0\].handler: the training targets use no parameters of 'Bond'; .* Angles, ",
        ),
        ({"attribute": "depth"}, r"parameters\[0\].attribute: Bonds has no 'depth', expected one of k, length"),
        ({"attribute": "k2"}, r"parameters\[0\].attribute: the training targets use no Bonds with k2"),
        ({"patterns": ("9-9",)}, r"parameters\[0\].patterns: the training targets use no Bonds '9-9' .*: 1-6, 1-8"),
        ({"ids": ("b1",)}, r"parameters\[0\].ids: the training targets use no Bonds 'b1'"),
    ],
)
def test_parameters_that_are_not_there_are_refused(wanted, message):
    bundle = molecules.batch(molecules.PEROXIDE, molecules.METHANOL)
    settings = ParameterSettings(**{"handler": "Bonds", "attribute": "k", "scale": 1.0, **wanted})
    with pytest.raises(FitError, match=message):
        select(bundle, [settings], where="fit.toml")


def test_numbered_attributes_and_later_scales():
    bundle = molecules.bundle(molecules.PEROXIDE)
    wanted = [
        ParameterSettings(handler="Torsions", attribute="k", scale=1.0),
        ParameterSettings(handler="Torsions", attribute="k2", scale=3.0),
    ]
    found = select(bundle, wanted, where="fit.toml")
    assert [each.attribute for each in found.moving] == ["k1", "k2", "k3"]
    assert found.scale.tolist() == [1.0, 3.0, 1.0]
    assert found.initial.tolist() == [3.0, 5.0, 1.0]


def test_optimized_geometries_need_relaxation(settings_file, data, tmp_path):
    geometry = fb.targets.OptimizedGeometry(
        name="minimum", smiles=molecules.PEROXIDE, atomic_numbers=[1, 8, 8, 1], positions=molecules.peroxide()
    )
    fb.targets.save([geometry], data / "geometries.parquet")
    settings = read_settings(settings_file(files='["geometries.parquet"]'))
    with pytest.raises(FitError, match="targets.relax: false, and 'minimum' is an optimized geometry"):
        fit(settings, tmp_path / "out")


@pytest.mark.parametrize(("handler", "attribute"), [("LibraryCharges", "charge"), ("ProperTorsions", "periodicity")])
def test_what_is_not_written_to_a_force_field_is_refused(data, tmp_path, handler, attribute):
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    path = data / f"{tmp_path.name}.toml"
    path.write_text(
        f'[model]\nforce_field = "openff_unconstrained-2.3.0"\n[targets]\nfiles = ["drives.parquet"]\n'
        f'[[parameters]]\nhandler = "{handler}"\nattribute = "{attribute}"\nscale = 1\n'
    )
    settings = read_settings(path)
    with pytest.raises(FitError, match=r"parameters\[0\]: got .*, expected what can be written .* Bonds: length, k"):
        fit_model(settings, read_targets(settings))


def fitted_example(tmp_path, name, **changed):
    """Fit an example in small: some of its molecules, few steps."""
    text = (EXAMPLES / f"fit/{name}.toml").read_text().replace("../../data/qc", str(QC))
    text = text.replace("../espaloma_network.py", str(EXAMPLES / "espaloma_network.py"))
    for old, new in changed.values():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "fit.toml").write_text(text)
    return fit(read_settings(tmp_path / "fit.toml"), tmp_path / "out")


ETHERS = ("[targets]\n", '[targets]\nonly = ["anisole*", "ethoxybenzene*"]\n')


def test_openff_is_fitted_to_quantum_chemistry(tmp_path):
    """Anisole's drive at the data's geometries, and what that is worth for ethoxybenzene."""
    pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
    from openff.toolkit import ForceField

    report = fitted_example(
        tmp_path,
        "torsions",
        only=ETHERS,
        relax=("relax = true", "relax = false"),
        steps=("steps = 25", "steps = 6"),
        report=('watch = "training"', 'watch = "training"\n[report]\nrelaxed = false\nidentifiability = false'),
    )
    drives = {each.part: each for each in report.errors if each.kind == "torsion_drive"}
    assert drives["training"].change < -0.4
    assert drives["validation"].change < -0.2
    assert report.openmm_difference < 1e-6
    assert ForceField(str(report.fitted)).get_parameter_handler("Bonds").parameters
    assert json.loads((tmp_path / "out/report.json").read_text())["openmm_difference"] == report.openmm_difference


@pytest.mark.slow
def test_openff_improves_molecules_that_it_has_not_seen(tmp_path):
    """The example as it stands: held-out torsion profiles of both kinds at least 40 % better, forces no worse."""
    report = fitted_example(tmp_path, "torsions")
    held_out = {(each.kind, each.quantity, each.relaxed): each for each in report.errors if each.part == "validation"}
    for relaxed in (False, True):
        assert held_out["torsion_drive", "relative energy", relaxed].change < -0.4
    assert held_out["conformers", "force", False].change < 0
    assert report.openmm_difference < 1e-6


@pytest.mark.slow
def test_a_graph_neural_network_learns_from_the_same_targets_through_jax(tmp_path):
    """In PyTorch and DGL, by the loss that OpenFF is fitted with; the engine is JAX."""
    for package in ("dgl", "jax", "openff.interchange"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    report = fitted_example(tmp_path, "espaloma", only=ETHERS, steps=("steps = 60", "steps = 12"))
    found = {(each.part, each.kind, each.quantity): each for each in report.errors}
    for part in ("training", "validation"):
        assert found[part, "torsion_drive", "relative energy"].change < -0.3
        assert found[part, "conformers", "force"].change < -0.5
