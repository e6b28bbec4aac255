"""Deep copies and pickles, of which worker processes are made: the same content, of the same kind, of its own."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import ExchangeError
from ffbridge.graph import EdgeSet, NodeSet
from ffbridge.memory import ALIGNMENT

from .bundles import random_bundle, zigzag
from .samples import BACKENDS, assert_equal, bundle, framework

WAYS = {
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}
by_way = pytest.mark.parametrize("way", WAYS)
by_backend = pytest.mark.parametrize("backend", BACKENDS)


def named(backend):
    """The bundle of all parts, with weights of a model, in a framework."""
    weights = {"w": np.arange(3, dtype=np.float32), "b/c": np.zeros((0, 2))}
    return bundle().with_model("net", fb.Model("1", "numpy", weights=weights), tables=["bonds"]).to(backend)


def graph():
    ids, order = np.array([0, 1]), np.array([1, 0])
    bonds = EdgeSet(src=ids, dst=order, fields={"w": np.ones(2)}, batch_sizes=np.array([2]))
    atoms = NodeSet(count=2, fields={"x": np.array([[1.5], [2.5]])}, batch_sizes=np.array([2]))
    return fb.Graph(nodes={"atom": atoms}, edges={("atom", "bond", "atom"): bonds})


@by_way
@by_backend
def test_a_bundle(backend, way):
    with framework(backend):
        source = named(backend)
        found = WAYS[way](source)
        assert_equal(found, source)
        assert found.content_hash == source.content_hash
        assert found.provenance == source.provenance
        for path, array in found.arrays().items():
            assert type(array) is type(source.arrays()[path]), path
            assert not np.shares_memory(np.asarray(array), np.asarray(source.arrays()[path])), path
        fb.validate(found)


@by_way
def test_what_is_read_only_stays_so(way, tmp_path):
    """Arrays of a file, which other frameworks alias; one that its owner may write stays as it is."""
    fb.save(bundle(), tmp_path / "a.ffb")
    source = fb.load(tmp_path / "a.ffb").replace_table("bonds", np.ones((3, 2)))
    found = WAYS[way](source).arrays()
    assert [path for path, array in found.items() if array.flags.writeable] == ["tables/bonds/values"]
    del found["tables/bonds/values"]
    for path, array in found.items():
        assert array.ctypes.data % ALIGNMENT == 0, path
    with pytest.raises(ValueError, match="read-only"):
        found["masses"][0] = 1.0


def test_a_shallow_copy_has_the_same_arrays():
    source = bundle()
    found = copy.copy(source)
    assert found is not source
    assert all(array is source.arrays()[path] for path, array in found.arrays().items())
    assert_equal(found, source)


def test_a_copy_does_not_change_with_its_source():
    source = bundle().replace_table("bonds", np.ones((3, 2)))
    found = copy.deepcopy(source)
    source.table("bonds").values[0, 0] = 7.0
    assert (found.table("bonds").values == 1).all()


@pytest.mark.parametrize("make", [lambda: named("jax"), lambda: graph().to("jax")], ids=["bundle", "graph"])
def test_numbers_that_jax_would_narrow_are_refused(make):
    """In a process whose x64 is off, as it is in a new one. JAX says nothing."""
    with framework("jax"):
        sent = pickle.dumps(make())
    with pytest.raises(ExchangeError, match=r"^\S+: was sent as (float|int)64, and jax made (float|int)32 of it.*x64"):
        pickle.loads(sent)


def test_parameters_of_torch_stay_leaves_and_results_are_refused():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    source = bundle().to("torch")
    leaf = source.table("bonds").values.clone().requires_grad_()
    for copied in (WAYS["deepcopy"], WAYS["pickle 4"]):
        found = copied(source.replace_table("bonds", leaf)).table("bonds").values
        assert found.is_leaf
        assert found.requires_grad
        assert torch.equal(found, leaf)
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(source.replace_table("bonds", leaf * 2))


@pytest.mark.parametrize("way", ["deepcopy", "pickle 4"])
@pytest.mark.parametrize(
    ("engine", "host", "options"),
    [("numpy", None, {}), ("torch", None, {}), ("numpy", "torch", {}), ("jax", "torch", {"shapes": "exact"})],
)
def test_a_potential(engine, host, options, way):
    with framework(engine), framework(host or engine):
        U = fb.potential(random_bundle(np.random.default_rng(5)), engine=engine, host=host, **options)
        found = WAYS[way](U)
        assert (found.engine.name, found.host.name) == (U.engine.name, U.host.name)
        assert {name: getattr(found.engine, name) for name in options} == options
        x = fb.to(zigzag(np.random.default_rng(1), 2), U.host.name)
        here, there = U.value_and_grad(x), found.value_and_grad(x)
        for one, other in [(here.energy, there.energy), (here.forces, there.forces)]:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_options_of_every_engine_are_attributes():
    """By which a potential takes them to another process."""
    from ffbridge.registry import get_engine

    checked = []
    for info in fb.engines():
        if info.available:
            engine = get_engine(info.name)
            checked += [getattr(engine, name) is not ... for name in engine.options]
    assert all(checked)


@by_way
def test_a_graph(way):
    source = graph()
    found = WAYS[way](source)
    assert found.arrays().keys() == source.arrays().keys()
    for path, array in source.arrays().items():
        np.testing.assert_array_equal(found.arrays()[path], array)
        assert found.arrays()[path].dtype == array.dtype
    assert found.n_graphs == 1
    assert repr(found) == repr(source)
    with pytest.raises(TypeError, match="mappingproxy"):
        found.node_set("atom").fields["y"] = np.zeros(2)
    for part in (source.node_set("atom"), source.edges["atom", "bond", "atom"]):
        assert WAYS[way](part).count == part.count


@by_way
def test_a_report_of_a_graph_comes_along(way):
    pytest.importorskip("torch", reason="torch is not installed")
    source = graph().to("torch")
    assert WAYS[way](source).report == source.report != ()


@by_way
def test_a_target(way):
    positions = np.zeros((2, 2, 3))
    positions[:, 1, 0] = 0.07
    source = fb.targets.ConformerTarget(
        name="a",
        smiles="[H:1][H:2]",
        atomic_numbers=[1, 1],
        positions=positions,
        energies=[0.0, 1.0],
        provenance={"source": {"id": [7]}},
    )
    found = WAYS[way](source)
    assert type(found) is fb.targets.ConformerTarget
    np.testing.assert_array_equal(found.positions, source.positions)
    assert (found.name, found.weight, found.forces) == ("a", 1.0, None)
    assert found.provenance == source.provenance
    assert not found.positions.flags.writeable
    assert replace(found, weight=2.0).weight == 2.0
