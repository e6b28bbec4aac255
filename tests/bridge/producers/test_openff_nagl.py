"""The cached charge model gives the very charges that OpenFF gives itself, and leaves OpenFF as it was."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

SMILES = ("CC(=O)Nc1ccc(O)cc1", "[NH3+]CC(=O)[O-]", "CS(=O)(=O)Nc1ccc(cc1)[N+](=O)[O-]")


def charges(interchange):
    return interchange["Electrostatics"].get_charge_array().m_as("elementary_charge")


@pytest.mark.parametrize("smiles", SMILES)
def test_charges_equal_those_of_the_uncached_model(openff, force_field, smiles):
    from openff.interchange import Interchange
    from openff.interchange.smirnoff import SMIRNOFFElectrostaticsCollection

    molecule = openff.read_molecules(smiles)[0]
    cached = openff.parametrize([molecule])
    # Interchange remembers charges by molecule, which would make this test compare them with themselves.
    SMIRNOFFElectrostaticsCollection._compute_partial_charges.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uncached = Interchange.from_smirnoff(force_field, molecule.to_topology())
    np.testing.assert_array_equal(charges(cached), charges(uncached))
    assert cached["Electrostatics"].key_map == uncached["Electrostatics"].key_map


def test_the_model_is_read_once(openff, monkeypatch):
    from openff.interchange.smirnoff import SMIRNOFFElectrostaticsCollection
    from openff.nagl import GNNModel

    from ffbridge.producers.openff import nagl

    loads = []
    load = GNNModel.load
    monkeypatch.setattr(GNNModel, "load", lambda *args, **kwargs: loads.append(args) or load(*args, **kwargs))
    nagl.nagl_model.cache_clear()
    nagl._load.cache_clear()
    for smiles in ("CCO", "CCN", "CCC"):
        SMIRNOFFElectrostaticsCollection._compute_partial_charges.cache_clear()
        openff.parametrize(openff.read_molecules(smiles))
    assert len(loads) == 1


def test_the_toolkits_are_put_back_even_after_an_error(openff):
    from openff.toolkit.utils.toolkits import GLOBAL_TOOLKIT_REGISTRY as registry

    def fail_inside():
        with openff.cached_nagl():
            assert len(registry.registered_toolkits) == len(before) + 1
            raise RuntimeError("on purpose")

    before = registry.registered_toolkits
    with pytest.raises(RuntimeError, match="on purpose"):
        fail_inside()
    assert registry.registered_toolkits == before


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("openff-gnn-am1bcc-1.0.0.pt", ("openff-gnn-am1bcc", "1.0.0")),
        ("openff-gnn-am1bcc-0.1.0-rc.3.pt", ("openff-gnn-am1bcc", "0.1.0-rc.3")),
        ("my_model.pt", ("my_model.pt", "")),
    ],
)
def test_name_and_version_come_from_the_file_name(file, expected):
    from ffbridge.producers.openff.nagl import split_model_file

    assert split_model_file(file) == expected


def test_a_bundle_has_the_fingerprint_of_the_weights(openff, acetaminophen):
    from openff.nagl import GNNModel
    from openff.nagl_models import list_available_nagl_models

    import ffbridge as fb

    (path,) = (path for path in list_available_nagl_models() if path.name == "openff-gnn-am1bcc-1.0.0.pt")
    model = fb.from_interchange(acetaminophen).models["openff-gnn-am1bcc"]
    assert model.sha256 == fb.fingerprint(GNNModel.load(str(path), eval_mode=True))
    assert len(model.sha256) == 64


def test_a_model_that_is_not_installed_has_no_fingerprint(openff):
    from ffbridge.producers.openff.nagl import nagl_fingerprint

    assert nagl_fingerprint("somebody-elses-model-1.0.0.pt") == ""


def test_a_model_is_read_once_whatever_names_it(openff):
    from ffbridge.producers.openff.nagl import nagl_model

    file = "openff-gnn-am1bcc-1.0.0.pt"
    assert nagl_model(file, "10.5072/zenodo.1", None) is nagl_model(file)
