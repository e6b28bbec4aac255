"""The rules at their limits: what is just allowed, what is not, and what is then said, to the letter."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from ffbridge.rules import find_faults
from ffbridge.rules.document import version_fault
from ffbridge.rules.fault import listed, named, shortened
from tests.spec.load import arrays_of, load

TORSIONS, IMPROPERS = "tables/proper_torsions/values", "terms/improper_torsions/mapping"
NOT_TRIANGULAR = "box[1]: must be lower triangular with a positive diagonal (rows are vectors) [G-5]"
NOT_REDUCED = "box[1]: must be reduced: |b_x|, |c_x| <= a_x/2 and |c_y| <= b_y/2; add multiples of a and b [G-5]"
NOT_INCREASING = "system_offsets: must begin with 0 and increase: each system has at least one atom [G-1]"
NO_ENTRIES = "terms/electrostatics/mapping/offsets: must begin with 0, not decrease, and end with n_entries = 10 [M-4]"
NO_UNIT_SUM = f"{IMPROPERS}/weights[0]: must sum to 1 for each interaction, as periodicity is an integer [M-6]"
MIXED = (
    f"{IMPROPERS}/columns[0]: rows that make one interaction must have the same periodicity, as it is an integer [M-6]"
)
PERIODIC = ("vdw/settings: the method cutoff", "electrostatics/settings: the method pme")
WITHOUT_BOX = "terms/{} is periodic, and the bundle has no box: give one box for each system [S-7]".format
NO_PLACE = "the standard and the document have no place for this array: leave it out [A-1]"


def faults(edit, vector="full"):
    """What is found in a vector after a change of its document and arrays."""
    document, arrays = deepcopy(load("valid")[vector]["document"]), arrays_of(load("valid")[vector])
    edit(document, arrays)
    return [str(fault) for fault in find_faults(document, arrays)]


VALUES = [
    ({("system_offsets", 2): 9}, ["system_offsets: ends with 9, expected n_atoms = 8 [G-1]"]),
    ({("system_offsets", 1): 0}, [NOT_INCREASING]),
    ({("system_offsets", 0): 1}, [NOT_INCREASING]),
    ({("atomic_numbers", 3): 118, ("atomic_numbers", 5): 0, ("masses", 3): 0}, []),
    (
        {("atomic_numbers", 3): 119, ("atomic_numbers", 5): -1},
        ["atomic_numbers[3, 5]: must be 0 (no atom) to 118, found 119 [G-2]"],
    ),
    ({("masses", 3): -0.5, ("masses", 5): -2}, ["masses[3, 5]: a mass must not be negative, found -0.5 Da [G-3]"]),
    ({("box", (1, 0, 1)): 0.1}, [NOT_TRIANGULAR]),
    ({("box", (1, 0, 2)): 0.1}, [NOT_TRIANGULAR]),
    ({("box", (1, 1, 2)): -0.1}, [NOT_TRIANGULAR]),
    *(({("box", (1, axis, axis)): width}, [NOT_TRIANGULAR]) for axis in range(3) for width in (0, -1)),
    ({("box", (1, 1, 0)): 1.5, ("box", (1, 2, 0)): -1.5, ("box", (1, 2, 1)): 1.4}, []),
    ({("box", (1, 1, 0)): 1.51}, [NOT_REDUCED]),
    ({("box", (1, 2, 0)): -1.51}, [NOT_REDUCED]),
    ({("box", (1, 1, 0)): 1.51, ("box", (1, 2, 0)): 1.51}, [NOT_REDUCED]),
    ({("box", (1, 2, 1)): -1.41}, [NOT_REDUCED]),
    ({("bonds", 0): [1, 1]}, ["bonds[0]: the atoms of a row must all be different [I-5]"]),
    ({("bonds", 0): [2, 1]}, ["bonds[1]: each pair must stand once, in either order [G-4]"]),
    ({("bonds", 0): [0, 5]}, ["bonds[0]: all atoms of a row must be of the same system [I-4]"]),
    (
        {("bonds", 0): [0, 8], ("bonds", 3): [5, -1]},
        ["bonds[0, 3]: atoms must be in [0, 8), found 8 [I-3]"],
    ),
    (
        {("exceptions/pairs", 8): [7, 6]},
        ["exceptions/pairs[8]: the first atom of a pair must be less than the second [G-6]"],
    ),
    (
        {("exceptions/pairs", 8): [5, 7]},
        ["exceptions/pairs[8]: each pair must stand once, in either order [G-7]"],
    ),
    ({("exceptions/pairs", 8): [7, 7]}, ["exceptions/pairs[8]: the atoms of a row must all be different [I-5]"]),
    (
        {("constraints/pairs", 2): [7, 5]},
        ["constraints/pairs[2]: each pair must stand once, in either order [G-8]"],
    ),
    ({("constraints/pairs", 2): [7, 7]}, ["constraints/pairs[2]: the atoms of a row must all be different [I-5]"]),
    (
        {("constraints/lengths", 1): 0},
        ["constraints/lengths[1]: a constraint's length must be greater than 0 nm [G-8]"],
    ),
    ({("terms/vdw/indices", 1): 0}, ["terms/vdw/indices[1]: an atom must stand once in a nonbonded term [I-6]"]),
    ({("tables/vdw/values", (2, 0)): 0}, []),
    (
        {("tables/vdw/values", (0, 0)): -0.2, ("tables/vdw/values", (2, 0)): -0.1},
        ["tables/vdw/values[0, 2]: sigma must be at least 0 nm, found -0.2 [T-7]"],
    ),
    (
        {("terms/bonds/mapping/index", 1): 3, ("terms/bonds/mapping/index", 3): -1},
        ["terms/bonds/mapping/index[1, 3]: rows of table bonds must be in [0, 3), found 3 [M-3]"],
    ),
    (
        {(f"{IMPROPERS}/columns", 0): 3, (f"{IMPROPERS}/columns", 1): -1},
        [f"{IMPROPERS}/columns[0, 1]: rows of the table must be in [0, 3), found 3 [M-5]"],
    ),
    (
        {(f"{IMPROPERS}/columns", 0): 0},
        [MIXED],
    ),
    # A row that is not counted may have another one.
    ({(f"{IMPROPERS}/columns", 0): 0, (f"{IMPROPERS}/weights", 0): 0, (f"{IMPROPERS}/weights", 1): 1}, []),
    ({(f"{IMPROPERS}/weights", 0): 0, (f"{IMPROPERS}/weights", 1): 0}, [NO_UNIT_SUM]),
    ({(f"{IMPROPERS}/weights", 0): 0.25 + 5e-7}, []),
    ({(f"{IMPROPERS}/weights", 0): 0.25 - 2e-6}, [NO_UNIT_SUM]),
    ({(f"{IMPROPERS}/weights", 0): 0.25 + 2e-6}, [NO_UNIT_SUM]),
    ({("terms/electrostatics/mapping/offsets", 2): 1}, []),
    ({("terms/electrostatics/mapping/offsets", 8): 9}, [NO_ENTRIES]),
    ({("terms/electrostatics/mapping/offsets", 0): 1}, [NO_ENTRIES]),
    (
        {("terms/electrostatics/mapping/offsets", 1): 3, ("terms/electrostatics/mapping/offsets", 2): 1},
        [NO_ENTRIES],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), VALUES)
def test_values(changes, expected):
    def edit(document, arrays):
        for (path, place), value in changes.items():
            arrays[path][place] = value

    assert faults(edit) == expected


ARRAYS = [
    (
        "masses",
        np.ones(7),
        ["masses: shape (7,), expected (n_atoms,) with n_atoms = 8, as atomic_numbers has it [A-3]"],
    ),
    ("masses", np.ones((8, 1)), ["masses: shape (8, 1), expected (n_atoms,) [A-3]"]),
    ("masses", np.ones(8, dtype=np.float16), ["masses: dtype float16, expected float64 or float32 [A-2]"]),
    ("bonds", np.ones((2, 3), dtype=np.int32), ["bonds: shape (2, 3), expected (n_bonds, 2) [A-3]"]),
    ("system_offsets", None, ["system_offsets: this array is missing [A-1]"]),
    # What has no length defines none for others.
    ("system_offsets", np.zeros(0, dtype=np.int32), ["system_offsets: shape (0,), expected (n_systems + 1,) [A-3]"]),
    (
        "box",
        np.ones((2, 3, 4)),
        ["box: shape (2, 3, 4), expected (n_systems, 3, 3) [A-3]", *map(WITHOUT_BOX, PERIODIC)],
    ),
    (
        "box",
        np.ones((2, 4, 3)),
        ["box: shape (2, 4, 3), expected (n_systems, 3, 3) [A-3]", *map(WITHOUT_BOX, PERIODIC)],
    ),
    ("exceptions/kept_lj", None, ["exceptions/kept_lj: this array is missing [A-1]"]),
    ("extra", np.ones(2), [f"extra: {NO_PLACE}"]),
    ("models/net/", np.ones(2), [f"models/net/: {NO_PLACE}"]),
    ("models/other/weight", np.ones(2), [f"models/other/weight: {NO_PLACE}"]),
    ("other/net/weight", np.ones(2), [f"other/net/weight: {NO_PLACE}"]),
    (f"{IMPROPERS}/weights", np.ones(2, dtype="f4"), [f"{IMPROPERS}/weights: dtype float32, expected float64 [A-2]"]),
]


@pytest.mark.parametrize(("path", "array", "expected"), ARRAYS)
def test_arrays(path, array, expected):
    def edit(document, arrays):
        arrays.pop(path, None)
        if array is not None:
            arrays[path] = array

    assert faults(edit) == expected


TAKES = "which takes: cutoff, dispersion_correction, method, mixing_rule, periodic, switch_distance [S-4]"
VDW, SITE = "terms/vdw/settings", "terms/lone_pairs/settings"
FRAME = "origin_weights, x_weights, y_weights"
SETTINGS = [
    ("vdw", {"switch_distance": 0.89, "cutoff": 1.25}, []),
    ("vdw", {"switch_distance": 0.9}, ["terms/vdw/settings/switch_distance: must be less than the cutoff [S-6]"]),
    (
        "vdw",
        {"cutoff": 1.26},
        ["box[0]: a width of 2.5 nm is less than twice the cutoff of terms/vdw/settings (1.26 nm) [S-8]"],
    ),
    ("vdw", {"cutoff": 1.26, "periodic": False}, []),
    (
        "vdw",
        {"cutoff": None},
        ["terms/vdw/settings: cutoff missing: lennard_jones by the method cutoff needs it [S-4]"],
    ),
    ("vdw", {"beta": 2.0}, [f"terms/vdw/settings: beta not known to lennard_jones by the method cutoff, {TAKES}"]),
    (
        "vdw",
        {"method": "pme"},
        ["terms/vdw/settings/method: 'pme'; the form lennard_jones has: no_cutoff, cutoff, ljpme [S-3]"],
    ),
    (
        "vdw",
        {"mixing_rule": "buckingham"},
        [f"{VDW}/mixing_rule: 'buckingham'; the form lennard_jones has: lorentz_berthelot, geometric [S-5]"],
    ),
    (
        "lone_pairs",
        {"y_weights": None},
        [f"{SITE}: y_weights missing; settings of the form local_coordinates_3_site: {FRAME} [S-2]"],
    ),
    (
        "lone_pairs",
        {"size": 4},
        [f"{SITE}: size not known to the form local_coordinates_3_site; its settings: {FRAME} [S-2]"],
    ),
    (
        "bonds",
        {"size": 4},
        ["terms/bonds/settings: size not known to the form harmonic_bond; its settings: none [S-2]"],
    ),
    (
        "lone_pairs",
        {"origin_weights": [1, 0]},
        ["terms/lone_pairs/settings/origin_weights: 2 weights; local_coordinates_3_site has 3 parents [S-10]"],
    ),
    (
        "lone_pairs",
        {"origin_weights": [1, 0.1, 0]},
        ["terms/lone_pairs/settings/origin_weights: the weights must sum to 1, and sum to 1.1 [G-9]"],
    ),
    ("lone_pairs", {"x_weights": [-1, 1, 5e-7]}, []),
    (
        "lone_pairs",
        {"x_weights": [-1, 1, -0.001]},
        ["terms/lone_pairs/settings/x_weights: the weights must sum to 0, and sum to -0.001 [G-9]"],
    ),
]


@pytest.mark.parametrize(("term", "changes", "expected"), SETTINGS)
def test_settings(term, changes, expected):
    def edit(document, arrays):
        settings = document["terms"][term].setdefault("settings", {})
        settings.update(changes)
        for name in [name for name, value in changes.items() if value is None]:
            del settings[name]

    assert faults(edit) == expected


WEIGHTS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("dtype", [*WEIGHTS, "float16", "float32", "float64"])
def test_weights_of_models_may_have_any_dtype_of_files(dtype):
    def edit(document, arrays):
        arrays["models/net/more"] = np.ones(2, dtype=dtype)

    (found,) = faults(edit)
    assert found.endswith(" [P-3]")  # the fingerprint's, not the dtype's


def test_a_periodic_method_needs_a_box():
    def edit(document, arrays):
        del arrays["box"]

    assert faults(edit) == [*map(WITHOUT_BOX, PERIODIC)]


def test_sites_that_two_terms_place_are_faults_of_the_later_one():
    def edit(document, arrays):
        arrays["terms/apex/indices"][0, 0] = 5
        arrays["terms/points/indices"][1] = [7, 2, 4]

    assert faults(edit, "virtual_sites") == [
        "terms/points/indices[1]: a parent must not be a virtual site itself [G-9]",
        "terms/apex/indices[0]: an atom can be placed as a virtual site once [G-9]",
    ]


@pytest.mark.parametrize("mapping", ["identity", "select"])
def test_increments_of_one_term_are_no_values_of_another(mapping):
    """The table has a row of negative increments."""

    def edit(document, arrays):
        document["terms"]["again"] = {**document["terms"]["vdw"], "mapping": mapping}
        arrays["terms/again/indices"] = np.array([[0], [1]], dtype=np.int32)
        if mapping == "select":
            arrays["terms/again/mapping/index"] = np.array([0, 1], dtype=np.int32)

    sigma, epsilon = faults(edit, "increments")
    assert sigma.startswith("tables/vdw/values[1]: sigma must be at least 0 nm, found -0.05")
    assert epsilon.startswith("tables/vdw/values[1]: epsilon must be at least 0 kJ/mol, found -0.1")


def test_overrides_list_each_pair_of_rows_once_in_order():
    def edit(document, arrays):
        arrays["terms/vdw/overrides/pairs"][:] = [[3, 1], [2, 4]]

    path = "terms/vdw/overrides/pairs"
    assert faults(edit, "overrides") == [
        f"{path}[0, 1]: rows of table vdw must be in [0, 3), found 3 [O-3]",
        f"{path}[0]: the first row of a pair must not be greater than the second [O-3]",
    ]


def test_weights_must_be_those_of_the_fingerprint():
    def edit(document, arrays):
        arrays["models/net/layer.bias"][0] = 1

    (found,) = faults(edit)
    stated = load("valid")["full"]["document"]["models"]["net"]["sha256"]
    assert found.startswith(f"models/net/sha256: {stated}, and the weights have ")
    assert found.endswith(" [P-3]")


class TestDocument:
    def check(self, edit, *expected):
        assert faults(lambda document, arrays: edit(document)) == list(expected)

    def test_provenance_is_an_object(self):
        self.check(lambda document: document.update(provenance=[1]), "provenance: [1] is not of type 'object' [D-1]")

    def test_names_of_systems_are_texts(self):
        names = ["one", 2]
        self.check(
            lambda document: document.update(system_names=names), "system_names/1: 2 is not of type 'string' [D-1]"
        )

    def test_keys_are_one_for_each_row_and_all_different(self):
        def edit(document):
            keys = document["tables"]["bonds"]["keys"]
            keys += [keys[1], keys[0]]

        self.check(
            edit,
            "tables/bonds/keys: 5 keys for 3 rows of values [T-3]",
            "tables/bonds/keys[3, 4]: keys must all be different; {'handler': 'Bonds', 'pattern': '[#8:1]-[#8:2]'} "
            "stands at 1 too [T-4]",
        )

    def test_a_table_that_is_not_there(self):
        """The tables that are there are not called unused: one of them is meant."""
        self.check(
            lambda document: document["terms"]["bonds"].update(table="bond"),
            "terms/bonds/table: there is no table 'bond'; there are: angles, bonds, electrostatics, lone_pairs, "
            "proper_torsions, vdw [I-2]",
        )

    def test_a_table_that_nothing_uses(self):
        self.check(
            lambda document: document["tables"].update(more=document["tables"]["bonds"]),
            "tables/more: no term uses this table: leave it out, or name it in a term [T-5]",
        )

    def test_a_model_that_is_not_there(self):
        self.check(
            lambda document: document["tables"]["angles"].update(model="nets"),
            "tables/angles/model: there is no model 'nets'; there are: net [P-2]",
        )

    def test_columns_in_another_order(self):
        self.check(
            lambda document: document["tables"]["bonds"].update(columns=["length", "k"]),
            "tables/bonds/columns: length, k; the form harmonic_bond has: k, length, in this order [T-1]",
        )

    @pytest.mark.parametrize("version", ["0.9", "2.0", "10.0", "", 1, None])
    def test_another_major_version_is_refused_with_the_way_out(self, version):
        found = version_fault({"format": "ffbridge-bundle", "version": version})
        assert found.startswith(f"version is {version!r}, and this ffbridge reads version 1.x. ")
        assert found.endswith("pip install --upgrade ffbridge [D-3]")

    @pytest.mark.parametrize("version", ["1.0", "1.1", "1.10"])
    def test_every_minor_version_is_read(self, version):
        assert version_fault({"format": "ffbridge-bundle", "version": version}) is None

    def test_another_format_is_no_bundle(self):
        for document in ({}, {"format": "ffbridge-bundles", "version": "1.0"}):
            found = repr(document.get("format"))
            expected = f"format is {found}, expected 'ffbridge-bundle': this is no bundle [D-2]"
            assert version_fault(document) == expected


def test_rows_are_listed_up_to_three():
    bad = np.zeros((9, 2), dtype=bool)
    bad[[1, 4, 6], [0, 1, 1]] = True
    assert listed(bad) == "[1, 4, 6]"
    bad[8] = True
    assert listed(bad) == "[1, 4, 6, … 4 in all]"


def test_names_and_texts_lose_their_middle():
    assert named([]) == "none"
    assert named(list("abcdefghijkl")) == "a, b, c, d, e, f, g, h, i, j, k, l"
    assert named(list("abcdefghijklm")) == "a, b, c, d, e, f, …, h, i, j, k, l, m"
    assert shortened("x" * 100) == "x" * 100
    assert shortened("a" * 50 + "b" + "c" * 50) == "a" * 50 + "…" + "c" * 50
    assert shortened("abcde", 4) == "ab…de"
