"""Concatenation: a batch has the energies of its parts, parameters stay shared, gradients flow, misfits are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.concatenate import concatenate
from ffbridge.errors import BundleError, ExchangeError

from .samples import BACKENDS, assert_equal, bundle, framework, positions

BOND = (("k", "length"), ("kJ/mol/nm^2", "nm"))
VDW = (("sigma", "epsilon"), ("nm", "kJ/mol"))
NO_CUTOFF = {"method": "no_cutoff", "mixing_rule": "lorentz_berthelot"}


def ints(values):
    return np.asarray(values, dtype=np.int32)


def keys(*patterns):
    return tuple(fb.ParameterKey("Bonds", pattern) for pattern in patterns)


def chain(patterns, *, values=None, keyed=True, **parts):
    """A chain of atoms with a bond for each pattern; equal patterns share a row, whose values follow from them."""
    rows = sorted(set(patterns))
    index = ints([rows.index(pattern) for pattern in patterns])
    number = np.arange(len(patterns), dtype=np.int32)
    table = np.asarray([[100.0 * ord(row), 0.001 * ord(row)] for row in rows]) if values is None else np.asarray(values)
    return fb.Bundle(
        system_offsets=ints([0, len(patterns) + 1]),
        atomic_numbers=ints([6] * (len(patterns) + 1)),
        terms={"bonds": fb.Term("harmonic_bond", np.stack([number, number + 1], axis=1), "bonds", fb.Select(index))},
        tables={"bonds": fb.Table(table, *BOND, keys(*rows) if keyed else None)},
        **parts,
    )


def split_energies(parts, x):
    """Energies of each bundle by itself, on its own atoms of x."""
    starts = np.cumsum([0, *(part.n_atoms for part in parts)])
    pieces = [x[..., start : start + part.n_atoms, :] for part, start in zip(parts, starts[:-1], strict=True)]
    return np.concatenate(
        [fb.potential(p, engine="numpy")(each) for p, each in zip(parts, pieces, strict=True)], axis=-1
    )


@pytest.mark.parametrize("share_parameters", [True, False])
def test_a_batch_has_the_energies_of_its_parts(share_parameters):
    """Vectors of the standard: every form and mapping, exceptions, terms that some bundles lack."""
    names = ("batch", "bonds", "coulomb", "lennard_jones", "angles", "batch")
    parts = [bundle(name, "energy") for name in names]
    batch = concatenate(parts, share_parameters=share_parameters)
    fb.validate(batch)
    x = np.concatenate([positions(name)[:2] for name in names], axis=1)
    found = fb.potential(batch, engine="numpy")(x)
    assert found.shape == (2, batch.n_systems)
    np.testing.assert_allclose(found, split_energies(parts, x), rtol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_frameworks_give_the_same_batch(backend):
    parts = [bundle("batch", "energy"), chain("ab", keyed=False), bundle("coulomb", "energy")]
    with framework(backend):
        batch = concatenate([part.to(backend) for part in parts])
        assert type(batch.term("bonds").indices) is type(parts[0].to(backend).term("bonds").indices)
        assert_equal(batch.to("numpy"), concatenate(parts))


def test_rows_with_equal_keys_are_merged():
    batch = concatenate([chain("bab"), chain("cb"), chain("a")])
    assert batch.table("bonds").keys == keys("a", "b", "c")
    assert batch.term("bonds").mapping.index.tolist() == [1, 0, 1, 2, 1, 0]
    assert batch.term("bonds").indices.tolist() == [[0, 1], [1, 2], [2, 3], [4, 5], [5, 6], [7, 8]]
    assert batch.system_offsets.tolist() == [0, 4, 7, 9]
    np.testing.assert_array_equal(batch.table("bonds").values, chain("abc").table("bonds").values)
    fb.validate(batch)


def test_a_merged_row_feels_every_molecule():
    """dU/dtable of a shared parameter is the sum over molecules, as it would be for one bundle."""
    parts = [chain("aab"), chain("ba")]
    batch = concatenate(parts)
    x = np.random.default_rng(1).normal(size=(batch.n_atoms, 3))
    found = fb.potential(batch, engine="numpy").value_and_grad(x).tables["bonds"]
    alone = [
        fb.potential(p, engine="numpy").value_and_grad(each) for p, each in zip(parts, (x[:4], x[4:]), strict=True)
    ]
    np.testing.assert_allclose(found, sum(each.tables["bonds"] for each in alone), rtol=1e-13)


def test_tables_without_keys_are_stacked():
    batch = concatenate([chain("ab", keyed=False), chain("ab", keyed=False)])
    assert batch.table("bonds").keys is None
    assert batch.term("bonds").mapping.index.tolist() == [0, 1, 2, 3]


def test_identity_stays_identity():
    parts = [bundle("minimal"), bundle("minimal")]
    batch = concatenate(parts)
    assert batch.term("bonds").mapping.kind == "identity"
    assert batch.table("bonds").values.tolist() == [[1000, 0.0741]] * 2
    fb.validate(batch)


def test_identity_becomes_select_where_another_term_uses_the_table():
    """Two terms share a table, and only the first bundle has both."""
    both = bundle("minimal")
    both = replace(both, terms={**both.terms, "more_bonds": both.term("bonds")})
    batch = concatenate([both, bundle("minimal")])
    assert batch.term("bonds").mapping.kind == "identity"
    assert batch.term("more_bonds").mapping.index.tolist() == [0]
    fb.validate(batch)


def test_linear_and_select_join_as_linear():
    linear = bundle("increments")
    table = fb.Table(np.asarray([[0.3, 0.5]], dtype=np.float32), *VDW)
    term = fb.Term("lennard_jones", ints([[0], [1]]), "vdw", fb.Select(ints([0, 0])), NO_CUTOFF)
    select = fb.Bundle(ints([0, 2]), ints([6, 6]), {"vdw": term}, {"vdw": table})
    batch = concatenate([select, linear])
    fb.validate(batch)
    mapping = batch.term("vdw").mapping
    assert mapping.offsets.tolist() == [0, 1, 2, 3, 5, 8]
    assert mapping.columns.tolist() == [0, 0, 1, 1, 2, 2, 1, 2]
    for parts in ([select, linear], [linear, select], [linear, select, select, linear]):
        expected = np.concatenate([part.parameters("vdw") for part in parts])
        np.testing.assert_allclose(concatenate(parts).parameters("vdw"), expected, rtol=1e-6)


def test_gradients_flow_through_torch_tables():
    torch = pytest.importorskip("torch")
    leaves, parts = [], []
    for patterns in ("aab", "bc"):
        part = chain(patterns).to("torch")
        leaves.append(part.table("bonds").values.clone().requires_grad_())
        parts.append(part.replace_table("bonds", leaves[-1]))
    batch = concatenate(parts)
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)[:, None] * torch.tensor([1.0, 10.0], dtype=torch.float64)
    (batch.parameters("bonds") * weights).sum().backward()
    # Rows a and b are those of the first bundle; b of the second is merged into them.
    assert leaves[0].grad.tolist() == [[3, 30], [7, 70]]
    assert leaves[1].grad.tolist() == [[0, 0], [5, 50]]


def test_one_leaf_in_several_bundles_gets_the_whole_gradient():
    pytest.importorskip("torch")
    part = chain("aab").to("torch")
    leaf = part.table("bonds").values.clone().requires_grad_()
    part = part.replace_table("bonds", leaf)
    concatenate([part, part]).parameters("bonds").sum().backward()
    assert leaf.grad.tolist() == [[4, 4], [2, 2]]


def test_jax_tables_are_differentiated_within_a_trace():
    with framework("jax"):
        import jax

        parts = [chain("ab", keyed=False).to("jax"), chain("a", keyed=False).to("jax")]

        def loss(first, second):
            tables = [part.replace_table("bonds", values) for part, values in zip(parts, (first, second), strict=True)]
            return (concatenate(tables).parameters("bonds") ** 2).sum()

        values = [part.table("bonds").values for part in parts]
        found = jax.jit(jax.grad(loss, argnums=(0, 1)))(*values)
        for gradient, value in zip(found, values, strict=True):
            np.testing.assert_allclose(gradient, 2 * value)


def test_values_that_must_be_compared_cannot_be_traced():
    with framework("jax"):
        import jax

        part = chain("ab").to("jax")
        with pytest.raises(ExchangeError, match="traced"):
            jax.jit(lambda values: concatenate([part.replace_table("bonds", values), part]).n_atoms)(
                part.table("bonds").values
            )


def test_every_part_is_joined():
    one = bundle("full")
    batch = concatenate([one, one])
    fb.validate(batch)
    assert batch.n_systems == 4
    np.testing.assert_array_equal(batch.box, np.concatenate([one.box, one.box]))
    np.testing.assert_array_equal(batch.masses, np.tile(one.masses, 2))
    np.testing.assert_array_equal(batch.bonds, np.concatenate([one.bonds, one.bonds + 8]))
    for group in ("exceptions", "constraints"):
        pairs = getattr(one, group).pairs
        np.testing.assert_array_equal(getattr(batch, group).pairs, np.concatenate([pairs, pairs + 8]))
    np.testing.assert_array_equal(batch.constraints.lengths, np.tile(one.constraints.lengths, 2))
    assert batch.virtual_sites.keys() == {"lone_pairs"}
    assert batch.term("lone_pairs").indices.tolist() == [[4, 1, 2, 0], [12, 9, 10, 8]]
    np.testing.assert_array_equal(batch.parameters("lone_pairs"), np.tile(one.parameters("lone_pairs"), (2, 1)))
    assert batch.system_names == one.system_names * 2
    assert batch.models["net"].sha256 == one.models["net"].sha256
    assert set(batch.models["net"].weights) == set(one.models["net"].weights)
    assert batch.provenance == {"concatenated": [{"systems": [0, 4], "provenance": dict(one.provenance)}]}


def test_groups_may_be_missing_in_some():
    one = bundle("full")
    batch = concatenate([replace(one, exceptions=None, constraints=None), one])
    np.testing.assert_array_equal(batch.exceptions.pairs, one.exceptions.pairs + 8)
    np.testing.assert_array_equal(batch.constraints.pairs, one.constraints.pairs + 8)
    assert concatenate([chain("a"), chain("a")]).exceptions is None


def test_provenance_tells_which_systems():
    parts = [chain("a", provenance={"force_field": name}) for name in ("x", "x", "y")]
    assert concatenate(parts).provenance["concatenated"] == [
        {"systems": [0, 2], "provenance": {"force_field": "x"}},
        {"systems": [2, 3], "provenance": {"force_field": "y"}},
    ]


def test_one_bundle_is_returned_as_it_is():
    only = chain("a")
    assert concatenate([only]) is only
    assert concatenate(iter([only])) is only


def test_different_values_of_a_key_are_named_and_can_be_kept_apart():
    parts = [chain("ab"), chain("a"), chain("ab", values=[[1, 2], [9800, 0.098]])]
    expected = (
        r"tables/bonds: the key ParameterKey\(handler='Bonds', pattern='a'.* has different values: "
        r"k=9700\.0, length=0\.097 in bundle 0 and k=1\.0, length=2\.0 in bundle 2; 1 rows.*share_parameters=False"
    )
    with pytest.raises(BundleError, match=expected):
        concatenate(parts)
    batch = concatenate(parts, share_parameters=False)
    assert batch.table("bonds").keys is None
    assert batch.term("bonds").mapping.index.tolist() == [0, 1, 2, 3, 4]
    assert concatenate([chain("a"), chain("b")], share_parameters=False).table("bonds").keys == keys("a", "b")


def with_term(source, **changes):
    return replace(source, terms={"bonds": replace(source.term("bonds"), **changes)})


def with_table(source, **changes):
    return replace(source, tables={"bonds": replace(source.table("bonds"), **changes)})


def lj(**settings):
    term = fb.Term("lennard_jones", ints([[0]]), "vdw", fb.Identity(), NO_CUTOFF | settings)
    return fb.Bundle(ints([0, 1]), ints([6]), {"vdw": term}, {"vdw": fb.Table(np.ones((1, 2)), *VDW)})


def model(**changes):
    about = {"version": "1", "framework": "torch", "sha256": "a" * 64} | changes
    return replace(chain("a"), models={"net": fb.Model(**about)})


MISFITS = {
    "masses: bundle 1 has none and others have.*replace\\(bundle, masses=None\\)": (
        chain("a", masses=np.ones(2)),
        chain("a"),
    ),
    "box: bundle 0 has none": (chain("a"), chain("a", box=np.eye(3)[None])),
    "bonds: bundle 1 has none": (chain("a", bonds=ints([[0, 1]])), chain("a")),
    "system_names: bundle 0 has none": (chain("a"), chain("a", system_names=("x",))),
    "masses: bundle 0 has 'float64', bundle 1 has 'float32'.*dtype=": (
        chain("a", masses=np.ones(2)),
        chain("a", masses=np.ones(2, dtype=np.float32)),
    ),
    "terms/bonds/form: bundle 0 has 'harmonic_bond', bundle 1 has 'morse'": (
        chain("a"),
        with_term(chain("a"), form="morse"),
    ),
    "terms/bonds/table: bundle 0 has 'bonds', bundle 1 has 'b'": (chain("a"), with_term(chain("a"), table="b")),
    "terms/vdw/settings/mixing_rule: bundle 0 has 'lorentz_berthelot', bundle 1 has 'geometric'": (
        lj(),
        lj(mixing_rule="geometric"),
    ),
    "terms/vdw/settings/cutoff: bundle 0 has None, bundle 1 has 1.2": (lj(), lj(cutoff=1.2)),
    "tables/bonds/units: bundle 0 has": (chain("a"), with_table(chain("a"), units=("kcal/mol/angstrom^2", "angstrom"))),
    "tables/bonds/model: bundle 0 has None, bundle 1 has 'net'": (chain("a"), with_table(chain("a"), model="net")),
    "tables/bonds/keys: bundle 1 has no keys and others have": (chain("a"), chain("a", keyed=False)),
    "tables/bonds/values: bundle 0 has 'float64', bundle 1 has 'float32'": (
        chain("a"),
        with_table(chain("a"), values=np.ones((1, 2), dtype=np.float32)),
    ),
    "models/net/sha256: bundle 1 has 'b+', an earlier bundle has 'a+': these are two models": (
        model(),
        model(sha256="b" * 64),
    ),
    "models/net/version: bundle 1 has '2'": (model(), model(version="2")),
}


@pytest.mark.parametrize("message", MISFITS)
def test_misfits_are_named(message):
    with pytest.raises(BundleError, match=message):
        concatenate(MISFITS[message])


def test_bundles_of_two_frameworks_do_not_go_together():
    pytest.importorskip("torch")
    with pytest.raises(BundleError, match=r'bundle 1 is in torch on cpu.*numpy on cpu.*bundle\.to\("numpy"'):
        concatenate([chain("a"), chain("a").to("torch")])


def test_no_bundles_are_refused():
    with pytest.raises(BundleError, match="no bundles"):
        concatenate([])


def test_weights_are_taken_from_a_bundle_that_has_them():
    with_weights = replace(model(), models={"net": replace(model().models["net"], weights={"w": np.ones(2)})})
    for order in ([model(), with_weights], [with_weights, model()]):
        assert set(concatenate(order).models["net"].weights) == {"w"}
