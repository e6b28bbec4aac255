"""`from_arrays`: its own example, conversions, exceptions of bonds, and what it refuses."""

from __future__ import annotations

import inspect
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import BundleError, ExchangeError, UnknownNameError, ValidationError
from ffbridge.producers.arrays import TermArrays, from_arrays
from tests.bridge import drugs

BOND = TermArrays("harmonic_bond", indices=[[0, 1]], parameters={"k": [2.0], "length": [0.1]})


def test_the_example_of_the_docstring_runs():
    text = inspect.getdoc(from_arrays)
    code = text.split("::\n", 1)[1].split("\n\nEach term", 1)[0]
    values = {}
    exec(compile(dedent(code), "example", "exec"), values)
    water, x = values["water"], np.array(values["x"])
    q, constant = [-0.834, 0.417, 0.417], water.terms["electrostatics"].settings["coulomb_constant"]
    assert q == water.tables["electrostatics"].values[:, 0].tolist()
    assert constant == pytest.approx(138.93545764, rel=1e-10)
    # All pairs are exceptions that keep nothing: what is left are bonds and the angle, by hand.
    r = np.linalg.norm(x[1:] - x[0], axis=1)
    theta = np.arccos((x[1] - x[0]) @ (x[2] - x[0]) / r.prod())
    expected = 0.5 * 462750.4 * ((r - 0.09572) ** 2).sum() + 0.5 * 836.8 * (theta - 1.82421813418) ** 2
    assert values["energy"] == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize("name", drugs.NAMES)
def test_a_drug_written_as_plain_lists_and_tensors_is_the_same_bundle(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    _, bundle, x = drugs.drug(name)
    terms = {
        key: TermArrays(
            term.form,
            parameters=dict(zip(table.columns, (torch.tensor(column) for column in table.values.T), strict=True)),
            indices=term.indices.tolist(),
            mapping=term.mapping,
            settings=term.settings,
            keys=table.keys,
        )
        for key, term in bundle.terms.items()
        for table in [bundle.tables[term.table]]
    }
    again = from_arrays(
        atomic_numbers=bundle.atomic_numbers.tolist(),
        masses=bundle.masses.tolist(),
        bonds=torch.tensor(bundle.bonds),
        terms=terms,
        kept_charge=(0, 0, 1 / 1.2),
        kept_lj=(0, 0, 0.5),
        system_names=bundle.system_names,
        constraints=bundle.constraints,
    )
    np.testing.assert_array_equal(again.exceptions.pairs, bundle.exceptions.pairs)
    for path, array in again.arrays().items():
        assert array.dtype == bundle.arrays()[path].dtype, path
    energies = (fb.potential(each, "numpy")(x) for each in (again, bundle))
    np.testing.assert_allclose(*energies, rtol=1e-9)


def test_everything_but_the_number_of_atoms_is_optional():
    bundle = from_arrays(n_atoms=3)
    assert bundle.atomic_numbers.tolist() == [0, 0, 0]
    assert (bundle.n_systems, dict(bundle.terms), bundle.exceptions) == (1, {}, None)


def test_numbers_are_converted():
    term = TermArrays(
        "harmonic_bond", np.float32([[2, 1]]), indices=np.int64([[0, 1], [1, 0]]), mapping=np.uint8([0, 0])
    )
    bundle = from_arrays(atomic_numbers=np.int64([1, 1]), terms={"bonds": term}, box=[[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    assert bundle.box.shape == (1, 3, 3)
    kinds = {path: str(array.dtype) for path, array in bundle.arrays().items()}
    assert kinds == {
        "system_offsets": "int32",
        "atomic_numbers": "int32",
        "box": "float64",
        "tables/bonds/values": "float64",
        "terms/bonds/indices": "int32",
        "terms/bonds/mapping/index": "int32",
    }


def test_columns_may_be_named_in_any_order_or_given_together():
    named = TermArrays("harmonic_bond", {"length": [0.1], "k": [2.0]}, indices=[[0, 1]])
    together = TermArrays("harmonic_bond", [[2.0, 0.1]], indices=[[0, 1]])
    assert [from_arrays(n_atoms=2, terms={"b": each}).content_hash for each in (named, together)] == [
        from_arrays(n_atoms=2, terms={"b": BOND}).content_hash
    ] * 2


def test_several_systems():
    bundle = from_arrays(n_atoms=4, system_offsets=[0, 2, 4], terms={"bonds": BOND})
    assert bundle.n_systems == 2
    with pytest.raises(ValidationError, match="I-4"):
        from_arrays(n_atoms=4, system_offsets=[0, 1, 4], terms={"bonds": BOND})


def test_a_ring_of_four_has_no_one_four_pairs():
    ring = [[0, 1], [1, 2], [2, 3], [3, 0]]
    found = from_arrays(n_atoms=4, bonds=ring, kept_charge=(0.1, 0.2, 0.3), kept_lj=(0.4, 0.5, 0.6)).exceptions
    assert dict(zip(map(tuple, found.pairs.tolist()), found.kept_lj.tolist(), strict=True)) == {
        (0, 1): 0.4,
        (0, 2): 0.5,
        (0, 3): 0.4,
        (1, 2): 0.4,
        (1, 3): 0.5,
        (2, 3): 0.4,
    }
    assert set(found.kept_charge.tolist()) == {0.1, 0.2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "atomic_numbers: missing"),
        ({"atomic_numbers": [1], "n_atoms": 2}, "n_atoms: got 2, and there are 1 atomic_numbers"),
        ({"atomic_numbers": [1.0]}, "atomic_numbers: got float64 numbers, expected whole ones"),
        ({"atomic_numbers": [2**40]}, "does not fit into int32"),
        ({"n_atoms": 2, "bonds": [[0, 1, 1]]}, r"bonds: got the shape \(1, 3\), expected \(n, 2\)"),
        ({"n_atoms": 2, "bonds": [[0, 1], [0]]}, "bonds: the rows are of different lengths"),
        ({"n_atoms": 2, "masses": ["1"]}, "masses: got <U1 values, expected real numbers"),
        ({"n_atoms": 2, "kept_lj": (0, 0, 1)}, "exceptions are made from bonds, kept_charge and kept_lj together"),
        (
            {"n_atoms": 2, "bonds": [[0, 1]], "kept_lj": (0, 1), "kept_charge": (0, 0, 1)},
            r"kept_lj: got the shape \(2,\), expected three fractions",
        ),
        (
            {"n_atoms": 2, "bonds": [[0, 2]], "kept_lj": (0, 0, 1), "kept_charge": (0, 0, 1)},
            r"bonds: atoms must be in \[0, 2\), found 0 to 2",
        ),
    ],
)
def test_what_is_wrong_is_told(given, message):
    with pytest.raises(BundleError, match=message):
        from_arrays(**given)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (TermArrays("harmonic_bond", [[1, 1]]), "terms/t/indices: missing; harmonic_bond has 2 atoms"),
        (TermArrays("coulomb", {"q": [1]}), r"tables/t: got the columns q; coulomb has charge \[e\]"),
        (
            TermArrays("lennard_jones", {"sigma": [1, 1], "epsilon": [1]}),
            r"tables/t: columns .* found the shapes sigma \(2,\), epsilon \(1,\)",
        ),
        (
            TermArrays("cmap", {"energy": np.zeros((1, 4, 5))}, [range(8)], settings={"size": 4}),
            r"tables/t: columns .* of one length, with \(4, 4\) after it, found the shapes energy \(1, 4, 5\)",
        ),
        (
            TermArrays("cmap", {"energy": np.zeros((1, 4, 4))}, [range(8)]),
            "terms/t/settings: size missing; the columns",
        ),
        (TermArrays("coulomb", [[1, 1]]), r"tables/t: got the shape \(1, 2\), expected \(n, 1\)"),
        (TermArrays("coulomb", [[1]] * 3), "M-2"),
        (TermArrays("lennard_jones", [[1, 1]] * 2), "S-4.*mixing_rule|mixing_rule.*S-"),
        (TermArrays("coulomb", [[1]], mapping=[0, 1]), "M-3"),
    ],
)
def test_what_is_wrong_in_a_term_is_told(term, message):
    with pytest.raises(BundleError, match=message):
        from_arrays(n_atoms=2, terms={"t": term})


def test_maps_are_given_as_grids():
    grids = np.random.default_rng(1).normal(size=(2, 5, 5))
    chain = [[0, 1, 2, 3, 1, 2, 3, 4], [1, 2, 3, 4, 2, 3, 4, 5]]
    by_name, by_rows = (
        from_arrays(n_atoms=6, terms={"cmap": TermArrays("cmap", given, chain, settings={"size": 5})})
        for given in ({"energy": grids}, grids.reshape(2, 25))
    )
    assert by_name.content_hash == by_rows.content_hash
    table = by_name.tables["cmap"]
    assert table.column("energy_3_1").tolist() == grids[:, 3, 1].tolist()
    assert from_arrays(
        n_atoms=6,
        terms={"cmap": TermArrays("cmap", {"energy": np.zeros((0, 5, 5))}, np.zeros((0, 8)), settings={"size": 5})},
    )


OVERRIDDEN = TermArrays(
    "lennard_jones",
    {"sigma": [0.3, 0.2], "epsilon": [0.5, 0.8]},
    mapping=[0, 1, 1],
    settings={"mixing_rule": "lorentz_berthelot"},
    overrides=[[1, 0]],
    override_parameters={"epsilon": [0.9], "sigma": [0.28]},
)


def test_pairs_that_are_not_mixed():
    """Atom 0 with both others by the override, and the two others with each other as they are; by hand."""
    bundle = from_arrays(n_atoms=3, terms={"vdw": OVERRIDDEN})
    assert bundle.term("vdw").overrides.pairs.tolist() == [[0, 1]]
    assert bundle.tables["vdw_overrides"].values.tolist() == [[0.28, 0.9]]
    x = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 0.4, 0]])

    def energy(sigma, epsilon, r):
        return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)

    expected = energy(0.28, 0.9, 0.3) + energy(0.28, 0.9, 0.4) + energy(0.2, 0.8, 0.5)
    assert fb.potential(bundle, "numpy")(x) == pytest.approx([expected], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overrides": None}, "terms/vdw/overrides: .* got only one of the two"),
        ({"override_parameters": None}, "terms/vdw/overrides: .* got only one of the two"),
        ({"overrides": [[0, 1, 1]]}, r"terms/vdw/overrides: got the shape \(1, 3\), expected \(n, 2\)"),
        ({"override_parameters": {"sigma": [0.1]}}, "tables/vdw_overrides: got the columns sigma; lennard_jones has"),
        ({"override_parameters": [[0.1, 0.1]] * 2}, "terms/vdw/overrides"),
        ({"overrides": [[0, 2]]}, "terms/vdw/overrides/pairs"),
    ],
)
def test_what_is_wrong_in_overrides_is_told(changes, message):
    with pytest.raises(BundleError, match=message):
        from_arrays(n_atoms=3, terms={"vdw": replace(OVERRIDDEN, **changes)})


def test_overrides_of_a_bonded_form_are_refused():
    wrong = replace(BOND, overrides=[[0, 0]], override_parameters=[[2.0, 0.1]])
    with pytest.raises(ValidationError, match="terms/bonds"):
        from_arrays(n_atoms=2, terms={"bonds": wrong})


def test_a_term_of_the_name_of_the_overrides_table_is_told():
    with pytest.raises(BundleError, match="terms/vdw_overrides: a term of this name .* give the term another name"):
        from_arrays(n_atoms=3, terms={"vdw": OVERRIDDEN, "vdw_overrides": TermArrays("coulomb", [[1]] * 3)})


def test_an_unknown_form_is_told():
    with pytest.raises(UnknownNameError, match="unknown form 'quartic'"):
        from_arrays(n_atoms=2, terms={"t": TermArrays("quartic", [[1]])})


def test_a_gradient_is_not_dropped_silently():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    charge = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ExchangeError, match="detach"):
        from_arrays(n_atoms=2, terms={"t": TermArrays("coulomb", charge)})
