"""Pair lists against an enumeration by loops."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ffbridge.energy.pairs import pair_list


@st.composite
def systems(draw):
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    atoms = draw(st.permutations(range(offsets[-1])))
    members = np.array(atoms[: draw(st.integers(0, len(atoms)))], dtype=np.int32)
    inside = [pair for a, b in pairwise(offsets) for pair in combinations(range(a, b), 2)]
    excepted = draw(st.lists(st.sampled_from(inside), unique=True)) if inside else []
    kept = draw(
        st.lists(st.tuples(*2 * [st.sampled_from([0.0, 0.5, 1.0])]), min_size=len(excepted), max_size=len(excepted))
    )
    return offsets, members, inside, dict(zip(excepted, kept, strict=True))


@given(systems())
def test_pairs_equal_an_enumeration(case):
    offsets, members, inside, exceptions = case
    arrays = (
        np.array(list(exceptions), dtype=np.int32).reshape(-1, 2),
        *(np.array([kept[part] for kept in exceptions.values()], dtype=float) for part in range(2)),
    )
    found = pair_list(members, offsets, arrays)
    expected = {
        pair: exceptions.get(pair, (1.0, 1.0))
        for pair in inside
        if set(pair) <= set(members.tolist()) and any(exceptions.get(pair, (1.0, 1.0)))
    }
    kept = zip(found.kept_charge.tolist(), found.kept_lj.tolist(), strict=True)
    assert dict(zip(map(tuple, found.atoms.tolist()), kept, strict=True)) == expected
    assert len(found.atoms) == len(expected)
    assert found.excepted.tolist() == [pair in exceptions for pair in map(tuple, found.atoms.tolist())]


def test_without_exceptions_every_pair_interacts():
    found = pair_list(np.arange(5, dtype=np.int32), np.array([0, 2, 5], dtype=np.int32), None)
    assert found.atoms.tolist() == [[0, 1], [2, 3], [3, 4], [2, 4]]
    assert found.atoms.dtype == np.int32
