"""Bundles for tests, from the vectors of the standard."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

from ffbridge import Bundle
from tests.spec.load import arrays_of, load, to_numpy

BACKENDS = ("numpy", "torch", "jax")


def bundle(name="full", kind="valid"):
    """The bundle of a vector, in NumPy."""
    vector = load(kind)[name]
    return Bundle.from_parts(vector["document"], arrays_of(vector))


def without_cutoff(source):
    """The bundle with nonbonded methods that every engine evaluates."""
    kept = ("mixing_rule", "coulomb_constant")
    terms = {
        name: replace(
            term, settings={"method": "no_cutoff"} | {key: term.settings[key] for key in kept if key in term.settings}
        )
        for name, term in source.terms.items()
        if "method" in term.settings
    }
    return replace(source, box=None, terms={**source.terms, **terms})


def positions(name):
    """Positions of an energy vector (n_conformers, n_atoms, 3) [nm]."""
    return to_numpy(load("energy")[name]["positions"])


@contextmanager
def framework(name):
    """The scope in which a framework holds 64-bit numbers; skips the test where it is not installed."""
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    with module.enable_x64(True) if name == "jax" else nullcontext():
        yield


def assert_equal(found, expected):
    """Equal documents, and equal arrays in NumPy to the last bit."""
    assert found.document() == expected.document()
    assert found.arrays().keys() == expected.arrays().keys()
    for path, array in expected.arrays().items():
        np.testing.assert_array_equal(np.asarray(found.arrays()[path]), np.asarray(array), err_msg=path)
        assert np.asarray(found.arrays()[path]).dtype == np.asarray(array).dtype, path
