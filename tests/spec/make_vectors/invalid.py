"""Bundles that break one rule each: a valid one with a change, or a file."""
# ruff: noqa: E501 (CHANGES is a table, one vector a line)

from __future__ import annotations

import json

import rfc8785

from tests.spec import independent

from . import valid
from .write import array, ints, reals

FULL_KEYS = valid.full()[0]["tables"]["bonds"]["keys"]
ARRAYS = valid.full()[1]
LONE_PAIRS = "terms/lone_pairs/"
HASH = valid.full()[0]["models"]["net"]["sha256"]


def edited(path, *changes):
    """An array of `full` with some of its values, counted in C order, replaced."""
    data = list(ARRAYS[path]["data"])
    for position, value in changes:
        data[position] = value
    return {path: ARRAYS[path] | {"data": data}}


def settings(name, **changes):
    return {"terms": {name: {"settings": changes}}}


def in_table(name, **changes):
    return {"tables": {name: changes}}


def in_term(name, **changes):
    return {"terms": {name: changes}}


def two_sites():
    """The virtual site of `full` listed twice."""
    return {
        f"{LONE_PAIRS}indices": ints([[4, 1, 2, 0], [4, 2, 1, 3]]),
        f"{LONE_PAIRS}mapping/index": ints([0, 0]),
    }


NEW_TABLE = {"tables": {"spare": valid.BOND}}
OWN_PAIRS = {
    "tables": {"pairs": valid.CHARGE_PRODUCT},
    "terms": {"pairs": valid.term("coulomb_pair", "pairs", "identity")},
}
MAP_ARRAYS = {
    "tables/map/values": reals([range(16)]),
    "terms/map/indices": ints([[0, 1, 2, 3, 1, 2, 3, 0]]),
}


def a_map(columns=valid.CMAP_4, **settings):
    return {"tables": {"map": columns}, "terms": {"map": valid.term("cmap", "map", "identity", settings)}}


def two_maps():
    parts = a_map(size=4)
    return parts | {"terms": parts["terms"] | {"other_map": valid.term("cmap", "map", "identity", {"size": 5})}}


OFFSETS, COLUMNS, WEIGHTS = (f"terms/improper_torsions/mapping/{part}" for part in ("offsets", "columns", "weights"))

# name: rule, path of the fault, title, document patch, changed arrays, of the valid vector `full`
CHANGES = {
    "unknown_member": ("D-1", "document", "a member that the standard does not have", {"charge_model": "am1bcc"}, {}),
    "missing_terms": ("D-1", "document", "no terms", {"terms": None}, {}),
    "unknown_table_member": ("D-1", "tables/bonds", "a table with an unknown member", in_table("bonds", scale=2), {}),
    "term_without_form": ("D-1", "terms/bonds", "a term without form", in_term("bonds", form=None), {}),
    "names_not_texts": ("D-1", "system_names/1", "a name that is a number", {"system_names": ["a", 2]}, {}),
    "other_format": ("D-2", "format", "another format", {"format": "bundle"}, {}),
    "major_version": ("D-3", "version", "a later major version", {"version": "2.0"}, {}),
    "version_with_zero": ("D-3", "version", "a minor version with a leading zero", {"version": "1.01"}, {}),
    "version_with_newline": ("D-3", "version", "a version that ends with a line feed, which some dialects of regular expressions overlook", {"version": "1.0\n"}, {}),
    "name_with_newline": ("D-4", "models", "a name that ends with a line feed", {"models": {"other\n": {"version": "", "framework": "", "sha256": ""}}}, {}),
    "name_with_slash": ("D-4", "models", "a name with a slash", {"models": {"a/b": {"version": "", "framework": "", "sha256": ""}}}, {}),
    "key_without_pattern": ("D-5", "tables/bonds/keys/2", "a key without pattern", in_table("bonds", keys=[*FULL_KEYS[:2], {"handler": "Bonds"}]), {}),
    "key_with_empty_text": ("D-5", "tables/bonds/keys/0/handler", "a key with an empty handler", in_table("bonds", keys=[{"handler": "", "pattern": "a"}, *FULL_KEYS[1:]]), {}),
    "key_with_negative_index": ("D-5", "tables/bonds/keys/1/index", "a key with a negative index", in_table("bonds", keys=[FULL_KEYS[0], FULL_KEYS[1] | {"index": -1}, FULL_KEYS[2]]), {}),
    "too_few_names": ("D-6", "system_names", "one name for two systems", {"system_names": ["water"]}, {}),
    "column_renamed": ("T-1", "tables/bonds/columns", "a column by another name", in_table("bonds", columns=["k", "r0"]), {}),
    "columns_swapped": ("T-1", "tables/proper_torsions/columns", "columns in another order", in_table("proper_torsions", columns=["phase", "k", "periodicity"]), {}),
    "wrong_units": ("T-2", "tables/bonds/units", "kilocalories and ångströms", in_table("bonds", units=["kcal/mol/angstrom^2", "angstrom"]), {}),
    "too_few_keys": ("T-3", "tables/bonds/keys", "two keys for three rows", in_table("bonds", keys=FULL_KEYS[:2]), {}),
    "repeated_key": ("T-4", "tables/bonds/keys[2]", "a key twice", in_table("bonds", keys=[*FULL_KEYS[:2], FULL_KEYS[0]]), {}),
    "unused_table": ("T-5", "tables/spare", "a table that no term uses", NEW_TABLE, {"tables/spare/values": reals([[1, 2]])}),
    "fractional_periodicity": ("T-6", "tables/proper_torsions/values[0]", "a periodicity of 1.5", {}, edited("tables/proper_torsions/values", (2, 1.5))),
    "periodicity_zero": ("T-7", "tables/proper_torsions/values[0]", "a periodicity of 0", {}, edited("tables/proper_torsions/values", (2, 0))),
    "negative_sigma": ("T-7", "tables/vdw/values[1]", "a negative sigma", {}, edited("tables/vdw/values", (2, -0.3))),
    "unknown_form": ("I-1", "terms/bonds/form", "a form that the standard does not have", in_term("bonds", form="fene_bond"), {}),
    "unknown_table": ("I-2", "terms/bonds/table", "a table that is not there", in_term("bonds", table="bond"), {}),
    "atom_out_of_range": ("I-3", "terms/bonds/indices[3]", "an atom beyond the last", {}, edited("terms/bonds/indices", (7, 8))),
    "negative_atom": ("I-3", "exceptions/pairs[0]", "an atom before the first", {}, edited("exceptions/pairs", (0, -1))),
    "atoms_of_two_systems": ("I-4", "terms/angles/indices[1]", "an angle across systems", {}, edited("terms/angles/indices", (5, 5))),
    "site_of_another_system": ("I-4", f"{LONE_PAIRS}indices[0]", "a virtual site with parents of another system", {}, edited(f"{LONE_PAIRS}indices", (1, 5), (2, 6), (3, 7))),
    "atom_twice_in_row": ("I-5", "terms/proper_torsions/indices[0]", "an atom twice in a torsion", {}, edited("terms/proper_torsions/indices", (3, 0))),
    "atom_twice_in_term": ("I-6", "terms/vdw/indices[7]", "an atom twice in a nonbonded term", {}, edited("terms/vdw/indices", (7, 6))),
    "unknown_mapping": ("M-1", "terms/bonds/mapping", "a mapping that the standard does not have", in_term("bonds", mapping="dense"), {}),
    "identity_of_other_length": ("M-2", "terms/angles/mapping", "identity with more rows than interactions", {}, {"terms/angles/indices": ints([[0, 1, 2], [1, 2, 3]])}),
    "select_out_of_range": ("M-3", "terms/bonds/mapping/index[1, 4]", "rows beyond the table", {}, edited("terms/bonds/mapping/index", (1, 3), (4, -1))),
    "offsets_end_early": ("M-4", OFFSETS, "entries that no interaction has", {}, {OFFSETS: ints([0, 1])}),
    "offsets_decrease": ("M-4", "terms/electrostatics/mapping/offsets", "offsets that decrease", {}, edited("terms/electrostatics/mapping/offsets", (3, 2))),
    "linear_out_of_range": ("M-5", f"{COLUMNS}[1]", "rows beyond the table", {}, {COLUMNS: ints([1, 3])}),
    "integer_scaled": ("M-6", f"{WEIGHTS}[0]", "weights of a torsion that sum to 0.75", {}, {WEIGHTS: reals([0.25, 0.5])}),
    "integers_mixed": ("M-6", f"{COLUMNS}[0]", "periodicities 1 and 2 in one torsion", {}, {COLUMNS: ints([0, 2])}),
    "cutoff_as_text": ("S-1", "terms/vdw/settings/cutoff", "a cutoff that is a text", settings("vdw", cutoff="0.9"), {}),
    "negative_cutoff": ("S-1", "terms/vdw/settings/cutoff", "a negative cutoff", settings("vdw", cutoff=-1), {}),
    "unknown_setting": ("S-1", "terms/vdw/settings", "a setting that the standard does not have", settings("vdw", skin=0.2), {}),
    "bonded_with_settings": ("S-2", "terms/bonds/settings", "settings of a bonded form", settings("bonds", cutoff=1), {}),
    "bonded_without_settings": ("S-2", "terms/pairs/settings", "a Coulomb term of pairs without its constant", OWN_PAIRS, {"tables/pairs/values": reals([[0.1]]), "terms/pairs/indices": ints([[0, 1]])}),
    "map_without_size": ("S-2", "terms/map/settings", "a map without its size", a_map(), MAP_ARRAYS),
    "map_too_small": ("S-1", "terms/map/settings/size", "a map of 3 points along each angle", a_map(size=3), MAP_ARRAYS),
    "map_of_another_size": ("T-1", "tables/map/columns", "16 columns for a map of 5 by 5", a_map(size=5), MAP_ARRAYS),
    "maps_of_two_sizes": ("T-1", "tables/map/columns", "a table of 16 columns used by maps of 4 by 4 and of 5 by 5", two_maps(), MAP_ARRAYS | {"terms/other_map/indices": ints([[0, 1, 2, 3, 1, 2, 3, 0]])}),
    "map_transposed": ("T-1", "tables/map/columns", "columns of a map with the first index running fastest", a_map({"columns": [f"energy_{a}_{b}" for b in range(4) for a in range(4)], "units": ["kJ/mol"] * 16}, size=4), MAP_ARRAYS),
    "atom_twice_in_dihedral": ("I-5", "terms/map/indices[0]", "a map's second dihedral with an atom twice", a_map(size=4), MAP_ARRAYS | {"terms/map/indices": ints([[0, 1, 2, 3, 1, 2, 3, 1]])}),
    "method_of_another_form": ("S-3", "terms/vdw/settings/method", "Lennard-Jones by a reaction field", settings("vdw", method="reaction_field"), {}),
    "no_method": ("S-3", "terms/vdw/settings/method", "no method", settings("vdw", method=None), {}),
    "no_coulomb_constant": ("S-4", "terms/electrostatics/settings", "no Coulomb constant", settings("electrostatics", coulomb_constant=None), {}),
    "setting_of_another_method": ("S-4", "terms/electrostatics/settings", "a dielectric constant for PME", settings("electrostatics", dielectric=80), {}),
    "unknown_mixing_rule": ("S-5", "terms/vdw/settings/mixing_rule", "a mixing rule that the standard does not have", settings("vdw", mixing_rule="waldman_hagler"), {}),
    "mixing_rule_of_another_form": ("S-5", "terms/vdw/settings/mixing_rule", "Lennard-Jones by the mixing rule of Buckingham", settings("vdw", mixing_rule="buckingham"), {}),
    "switch_beyond_cutoff": ("S-6", "terms/vdw/settings/switch_distance", "switching that begins at the cutoff", settings("vdw", switch_distance=0.9), {}),
    "periodic_without_box": ("S-7", "terms/vdw/settings", "periodic, and no box", {}, {"box": None}),
    "box_too_small": ("S-8", "box[0]", "a box less than twice the cutoff wide", settings("vdw", cutoff=1.26), {}),
    "missing_array": ("A-1", "terms/bonds/indices", "an array that is required is missing", {}, {"terms/bonds/indices": None}),
    "incomplete_group": ("A-1", "exceptions/kept_lj", "a group without one of its arrays", {}, {"exceptions/kept_lj": None}),
    "unknown_array": ("A-1", "velocities", "an array that the standard does not have", {}, {"velocities": reals([[0, 0, 0]] * 8)}),
    "mapping_array_too_many": ("A-1", "terms/angles/mapping/index", "an index for an identity", {}, {"terms/angles/mapping/index": ints([0, 1, 2])}),
    "indices_of_64_bits": ("A-2", "terms/bonds/indices", "indices of 64 bits", {}, {"terms/bonds/indices": ARRAYS["terms/bonds/indices"] | {"dtype": "int64"}}),
    "half_precision": ("A-2", "tables/vdw/values", "parameters of 16 bits", {}, {"tables/vdw/values": array([[0.5, 1]] * 3, "float16")}),
    "weights_of_another_dtype": ("A-2", WEIGHTS, "weights of 32 bits for a table of 64", {}, {WEIGHTS: array([0.25, 0.75], "float32")}),
    "wrong_arity": ("A-3", "terms/angles/indices", "pairs for a form of three atoms", {}, {"terms/angles/indices": ints([[0, 1]] * 3)}),
    "wrong_rank": ("A-3", "terms/vdw/indices", "a vector where a matrix is expected", {}, {"terms/vdw/indices": ints(list(range(8)))}),
    "wrong_length": ("A-3", "masses", "seven masses for eight atoms", {}, {"masses": reals([1] * 7)}),
    "parameter_nan": ("A-4", "tables/bonds/values[1]", "a force constant that is no number", {}, edited("tables/bonds/values", (2, "nan"))),
    "kept_infinite": ("A-4", "exceptions/kept_lj[2]", "an infinite fraction", {}, edited("exceptions/kept_lj", (2, "inf"))),
    "offsets_do_not_begin": ("G-1", "system_offsets", "offsets that begin with 1", {}, {"system_offsets": ints([1, 5, 8])}),
    "empty_system": ("G-1", "system_offsets", "a system without atoms", {}, {"system_offsets": ints([0, 8, 8])}),
    "offsets_do_not_end": ("G-1", "system_offsets", "offsets that end before the last atom", {}, {"system_offsets": ints([0, 5, 7])}),
    "unknown_element": ("G-2", "atomic_numbers[0]", "an element beyond 118", {}, edited("atomic_numbers", (0, 119))),
    "negative_mass": ("G-3", "masses[3]", "a negative mass", {}, edited("masses", (3, -1.008))),
    "repeated_bond": ("G-4", "bonds[2]", "a bond in both directions", {}, edited("bonds", (4, 2), (5, 1))),
    "box_not_triangular": ("G-5", "box[0]", "a box that is not lower triangular", {}, edited("box", (1, 0.1))),
    "box_flat": ("G-5", "box[1]", "a box without height", {}, edited("box", (17, 0))),
    "box_not_reduced": ("G-5", "box[1]", "a box that is not reduced", {}, edited("box", (12, 1.6))),
    "exception_reversed": ("G-6", "exceptions/pairs[3]", "an exception in descending order", {}, edited("exceptions/pairs", (6, 2), (7, 1))),
    "repeated_exception": ("G-7", "exceptions/pairs[2]", "an exception twice", {}, edited("exceptions/pairs", (5, 2))),
    "repeated_constraint": ("G-8", "constraints/pairs[1]", "a constraint in both directions", {}, edited("constraints/pairs", (2, 6), (3, 5))),
    "constraint_of_length_zero": ("G-8", "constraints/lengths[0]", "a constraint of length 0", {}, edited("constraints/lengths", (0, 0))),
    "site_placed_twice": ("G-9", f"{LONE_PAIRS}indices[1]", "a virtual site twice", {}, two_sites()),
    "site_weights": ("G-9", f"{LONE_PAIRS}settings/origin_weights", "origin weights that sum to 0.5", settings("lone_pairs", origin_weights=[0.5, 0, 0]), {}),
    "site_axis_weights": ("G-9", f"{LONE_PAIRS}settings/y_weights", "weights of an axis that sum to 1", settings("lone_pairs", y_weights=[-1, 0, 2]), {}),
    "site_its_own_parent": ("I-5", f"{LONE_PAIRS}indices[0]", "a virtual site that is its own parent", {}, {f"{LONE_PAIRS}indices": ints([[4, 1, 2, 4]])}),
    "site_without_frame": ("S-2", f"{LONE_PAIRS}settings", "local coordinates without one of their axes", settings("lone_pairs", y_weights=None), {}),
    "site_with_cutoff": ("S-2", f"{LONE_PAIRS}settings", "a cutoff for virtual sites", settings("lone_pairs", cutoff=1), {}),
    "site_weights_of_two": ("S-10", f"{LONE_PAIRS}settings/x_weights", "two weights for three parents", settings("lone_pairs", x_weights=[-1, 1]), {}),
    "site_weights_as_text": ("S-1", f"{LONE_PAIRS}settings/x_weights/0", "weights that are texts", settings("lone_pairs", x_weights=["-1", 1, 0]), {}),
    "model_without_hash": ("P-1", "models/net", "a model without sha256", {"models": {"net": {"sha256": None}}}, {}),
    "model_hash_not_hexadecimal": ("P-1", "models/net/sha256", "a hash in capitals", {"models": {"net": {"sha256": HASH.upper()}}}, {}),
    "unknown_model": ("P-2", "tables/angles/model", "a model that is not there", in_table("angles", model="nets"), {}),
    "other_weights": ("P-3", "models/net/sha256", "weights of another model", {}, edited("models/net/layer.weight", (0, 0.75))),
}  # fmt: skip


# Likewise, of the valid vector `other_forms`.
CHANGES_OF_OTHER_FORMS = {
    "equal_exponents": ("S-9", "terms/vdw/settings/repulsion_exponent", "repulsion and attraction of the same exponent", settings("vdw", attraction_exponent=valid.EXPONENTS["repulsion_exponent"]), {}),
    "exponents_exchanged": ("S-9", "terms/vdw/settings/repulsion_exponent", "an attraction steeper than the repulsion", settings("vdw", repulsion_exponent=4, attraction_exponent=16), {}),
    "exponent_zero": ("S-1", "terms/vdw/settings/attraction_exponent", "an exponent of 0", settings("vdw", attraction_exponent=0), {}),
    "no_exponent": ("S-4", "terms/vdw/settings", "a double exponential of one exponent", settings("vdw", attraction_exponent=None), {}),
    "exponent_for_another_form": ("S-4", "terms/buckingham/settings", "an exponent for Buckingham", settings("buckingham", repulsion_exponent=12), {}),
    "negative_coefficient": ("T-7", "tables/buckingham/values[1]", "a negative repulsion", {}, {"tables/buckingham/values": reals([[350000, 36, 0.0025], [-1, 0, 0]])}),
}  # fmt: skip


# Likewise, of the valid vector `virtual_sites`.
CHANGES_OF_SITES = {
    "site_on_site": ("G-9", "terms/planes/indices[0]", "a virtual site whose parent another term places", {}, {"terms/planes/indices": ints([[5, 0, 1, 4]])}),
    "site_of_two_terms": ("G-9", "terms/planes/indices[0]", "a virtual site that two terms place", {}, {"terms/planes/indices": ints([[4, 0, 1, 2]])}),
}  # fmt: skip


LINEAR = (
    {"terms/vdw/mapping/index": None}
    | {f"terms/vdw/mapping/{part}": ints(values) for part, values in (("offsets", range(5)), ("columns", [0, 1, 2, 2]))}
    | {"terms/vdw/mapping/weights": reals([1, 1, 1, 1])}
)
LATTICE = {"method": "ljpme", "tolerance": 1e-4, "switch_distance": None, "periodic": None}
BOX = {"box": reals([[[2, 0, 0], [0, 2, 0], [0, 0, 2]]])}
OF_BONDS = {
    "tables": {"bonds": valid.BOND},
    "terms": {
        "vdw": {"overrides": None},
        "bonds": valid.term("harmonic_bond", "bonds", "identity") | {"overrides": "bonds"},
    },
}
PAIRS = "terms/vdw/overrides/pairs"

CHANGES_OF_OVERRIDES = {
    "overrides_unknown": (
        "O-1",
        "terms/vdw/overrides",
        "a table of overrides that is not there",
        in_term("vdw", overrides="nbfix"),
        {},
    ),
    "overrides_of_sums": (
        "O-2",
        "terms/vdw/overrides",
        "overrides of a term that sums rows",
        in_term("vdw", mapping="linear"),
        LINEAR,
    ),
    "overrides_of_lattice_sums": (
        "O-2",
        "terms/vdw/overrides",
        "overrides of a lattice sum",
        in_term("vdw", settings=LATTICE),
        BOX,
    ),
    "overrides_of_bonds": (
        "O-2",
        "terms/bonds/overrides",
        "overrides of a form that does not mix",
        OF_BONDS,
        {
            "tables/bonds/values": reals([[1, 2]]),
            "terms/bonds/indices": ints([[0, 1]]),
            "terms/bonds/overrides/pairs": ints([[0, 0]]),
            PAIRS: None,
            "tables/vdw_overrides/values": reals([[0.33, 0.35], [0.28, 0.31]]),
        },
    ),
    "overrides_out_of_range": (
        "O-3",
        f"{PAIRS}[1]",
        "a pair of a row that the table does not have",
        {},
        {PAIRS: ints([[0, 1], [2, 3]])},
    ),
    "overrides_reversed": (
        "O-3",
        f"{PAIRS}[0]",
        "a pair whose first row is greater",
        {},
        {PAIRS: ints([[1, 0], [2, 2]])},
    ),
    "overrides_repeated": ("O-3", f"{PAIRS}[1]", "a pair that stands twice", {}, {PAIRS: ints([[0, 1], [0, 1]])}),
    "overrides_too_few": ("A-3", PAIRS, "fewer pairs than rows", {}, {PAIRS: ints([[0, 1]])}),
    "overrides_of_other_columns": (
        "T-1",
        "tables/none/columns",
        "overrides with columns of another form",
        in_table("none", columns=["charge", "epsilon"]),
        {},
    ),
    "overrides_below_minimum": (
        "T-7",
        "tables/vdw_overrides/values[0]",
        "an override with a negative sigma",
        {},
        {"tables/vdw_overrides/values": reals([[-0.33, 0.35], [0.28, 0.31]])},
    ),
}

_BASES = {
    "full": CHANGES,
    "other_forms": CHANGES_OF_OTHER_FORMS,
    "virtual_sites": CHANGES_OF_SITES,
    "overrides": CHANGES_OF_OVERRIDES,
}


def vectors():
    made = {
        name: {"title": title, "rule": rule, "path": path, "base": base}
        | ({"document": document} if document else {})
        | ({"arrays": arrays} if arrays else {})
        for base, changes in _BASES.items()
        for name, (rule, path, title, document, arrays) in changes.items()
    }
    made["increments_below_minimum"] = {
        "title": "increments that add up to a negative epsilon",
        "rule": "T-7",
        "path": "terms/vdw/mapping[2]",
        "base": "increments",
        "arrays": {"terms/vdw/mapping/weights": array([1, 1, 1, 3, 1, 5], "float32")},
    }
    made["increments_as_values"] = {
        "title": "a table whose rows are increments of one term and values of another",
        "rule": "T-7",
        "path": "tables/vdw/values[1]",
        "base": "increments",
        "document": {"terms": {"other": valid.term("lennard_jones", "vdw", "select", valid.NO_CUTOFF_VDW)}},
        "arrays": {"terms/other/indices": ints([[0]]), "terms/other/mapping/index": ints([0])},
    }
    for name, (rule, title, _) in _made_files().items():
        made[name] = {"title": title, "rule": rule, "path": "", "file": f"{name}.ffb"}
    made["not_canonical"]["may_accept"] = True
    return made


def files():
    return {f"{name}.ffb": content for name, (_, _, content) in _made_files().items()}


def _made_files():
    parts, arrays = valid.minimal()
    document = rfc8785.dumps(parts)
    text, digest = document.decode(), independent.content_hash(document, arrays)
    whole = independent.bundle_file(document, arrays)
    tensors = sorted(arrays.items())
    spaced = json.dumps(parts).encode()
    twice = text.replace('"version":"1.0"', '"version":"1.0","version":"1.0"').encode()
    lost = text.replace('"version":"1.0"', '"provenance":{"x":NaN},"version":"1.0"').encode()
    named = [("ffbridge", text), ("ffbridge_sha256", digest)]

    def stored(content):
        return independent.bundle_file(content, arrays)

    return {
        "truncated": ("F-1", "a file that is cut off", whole[:-8]),
        "not_safetensors": ("F-1", "an archive of another kind", b"PK\x03\x04" + bytes(200)),
        "empty_file": ("F-1", "a file of no length", b""),
        "no_document": ("F-2", "tensors without a document", independent.safetensors_file([("format", "pt")], tensors)),
        "not_canonical": ("F-3", "a document with spaces between its members", stored(spaced)),
        "not_json": ("F-3", "a document that is no JSON", stored(b"{format: ffbridge-bundle}")),
        "nan_in_document": ("F-3", "a document with NaN", stored(lost)),
        "name_twice_in_document": ("F-4", "a member that stands twice", stored(twice)),
        "name_twice_in_header": (
            "F-4",
            "a member of the metadata that stands twice",
            independent.safetensors_file([named[0], *named], tensors),
        ),
        "value_changed": ("F-5", "a value that was changed in the file", whole[:-1] + bytes([whole[-1] ^ 1])),
        "no_hash": ("F-5", "a file without a hash", independent.safetensors_file(named[:1], tensors)),
    }
