"""Fingerprints of models: one digest for the same weights in any framework; bundles record and carry them."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError, ModelError, UnknownNameError, ValidationError
from tests.spec import independent

from .samples import BACKENDS, bundle, framework

RANDOM = np.random.default_rng(8)
LAYERS = [
    {"weight": RANDOM.normal(size=(4, 3)), "bias": RANDOM.normal(size=4)},
    {"weight": RANDOM.normal(size=(2, 4)), "bias": RANDOM.normal(size=2)},
]
FLAT = {f"layers.{number}.{name}": array for number, layer in enumerate(LAYERS) for name, array in layer.items()}


def by_the_text(weights):
    """The fingerprint by the standard's text alone."""
    return independent.fingerprint(
        {
            name: {"dtype": str(array.dtype), "shape": list(array.shape), "data": array.reshape(-1).tolist()}
            for name, array in weights.items()
        }
    )


KNOWN = by_the_text(FLAT)


@pytest.fixture
def jax():
    with framework("jax"):
        yield pytest.importorskip("jax")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def network(torch):
    """The weights as a torch module."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)])

    made = Network().double()
    made.load_state_dict({name: torch.from_numpy(array) for name, array in FLAT.items()})
    return made


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_in_every_framework_nested_or_flat(backend):
    with framework(backend):
        flat = {name: fb.to(array, backend) for name, array in FLAT.items()}
        nested = {"layers": [{name: fb.to(array, backend) for name, array in layer.items()} for layer in LAYERS]}
        assert fb.fingerprint(flat) == fb.fingerprint(nested) == KNOWN
        assert fb.named_weights(nested).keys() == flat.keys()


def test_of_a_torch_module_with_gradients(network, torch):
    assert fb.fingerprint(network) == fb.fingerprint(network.state_dict()) == KNOWN
    assert fb.fingerprint(dict(network.named_parameters())) == KNOWN
    with torch.no_grad():
        network.layers[1].bias[0] += 1e-15
    assert fb.fingerprint(network) != KNOWN


def test_of_an_equinox_module(jax):
    """Its activation function and its missing biases are no weights."""
    equinox = pytest.importorskip("equinox")

    class Network(equinox.Module):
        layers: list
        activation: object
        scale: float

    def linear(layer, *, use_bias=True):
        made = equinox.nn.Linear(*layer["weight"].shape[::-1], use_bias=use_bias, key=jax.random.key(0))
        for name in ("weight", "bias") if use_bias else ("weight",):
            made = equinox.tree_at(lambda tree, n=name: getattr(tree, n), made, jax.numpy.asarray(layer[name]))
        return made

    assert fb.fingerprint(Network([linear(layer) for layer in LAYERS], jax.nn.relu, 0.5)) == KNOWN
    without = {name: array for name, array in FLAT.items() if not name.endswith("bias")}
    found = fb.named_weights(Network([linear(layer, use_bias=False) for layer in LAYERS], jax.nn.relu, 0.5))
    assert found.keys() == without.keys()
    assert fb.fingerprint(found) == by_the_text(without)


def test_modules_within_containers(network):
    assert fb.fingerprint({"encoder": network, "scale": np.ones(1)}) == by_the_text(
        {f"encoder.{name}": array for name, array in FLAT.items()} | {"scale": np.ones(1)}
    )


def test_keys_attributes_and_places_are_the_path():
    pair = namedtuple("pair", "first second")
    one = np.ones(1)
    found = fb.named_weights({"a": (one, [one]), "b": pair(one, None), 3: {"c": one}})
    assert list(found) == ["a.0", "a.1.0", "b.first", "3.c"]


def test_no_framework_is_imported():
    code = (
        "import numpy, sys, ffbridge; ffbridge.fingerprint({'w': numpy.ones(3)}); "
        "print(*{'torch', 'jax'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, r"the model \(dict\) holds no weights"),
        (None, "holds no weights"),
        ({"a.b": np.ones(1), "a": {"b": np.ones(1)}}, "two weights have the name 'a.b'"),
        (np.ones(1), "a single array has no name"),
    ],
)
def test_models_without_names_are_refused(model, message):
    with pytest.raises(ModelError, match=message):
        fb.fingerprint(model)


@pytest.mark.parametrize("leaf", [1.5, "text", object(), len])
def test_what_is_no_array_is_named(leaf):
    with pytest.raises(ExchangeError, match=r"weight 'layers\.0\.rate': .* is not an array"):
        fb.fingerprint({"layers": [{"rate": leaf, "weight": np.ones(1)}]})


class TestRecord:
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_a_file_keeps_weights_fingerprint_and_tables(self, backend, tmp_path):
        with framework(backend):
            weights = {name: fb.to(array, backend) for name, array in FLAT.items()}
            model = fb.Model(version="2", framework=backend, sha256=fb.fingerprint(weights), weights=weights)
            recorded = bundle().to(backend).with_model("charges", model, tables=["electrostatics"])
            fb.save(recorded, tmp_path / "a.ffb")
            loaded = fb.load(tmp_path / "a.ffb")
        found = loaded.models["charges"]
        assert (found.version, found.framework, found.sha256) == ("2", backend, KNOWN)
        assert fb.fingerprint(found.weights) == KNOWN
        assert loaded.table("electrostatics").model == "charges"
        assert loaded.models.keys() == {*bundle().models, "charges"}
        assert recorded.content_hash == loaded.content_hash

    def test_weights_count_in_the_content_hash(self):
        model = fb.Model(version="2", framework="numpy", weights=FLAT)
        changed = {**FLAT, "layers.0.bias": FLAT["layers.0.bias"] + 1}
        first, second = (bundle().with_model("m", replace(model, weights=each)) for each in (FLAT, changed))
        assert first.content_hash != second.content_hash

    def test_weights_of_another_model_are_refused(self, tmp_path):
        model = fb.Model(version="2", framework="numpy", sha256=fb.fingerprint({"w": np.ones(2)}), weights=FLAT)
        with pytest.raises(ValidationError, match=f"models/m/sha256.*{KNOWN}"):
            fb.save(bundle().with_model("m", model), tmp_path / "a.ffb")

    def test_a_cast_leaves_the_weights_as_they_are(self):
        model = fb.Model(version="2", framework="numpy", sha256=KNOWN, weights=FLAT)
        narrow = bundle().with_model("m", model).to("numpy", dtype="float32")
        assert narrow.table("bonds").values.dtype == np.float32
        assert fb.fingerprint(narrow.models["m"].weights) == KNOWN
        fb.validate(narrow)

    def test_unknown_tables_are_named(self):
        with pytest.raises(UnknownNameError, match="no table 'charges'"):
            bundle().with_model("m", fb.Model(version="2", framework="numpy"), tables=["charges"])
