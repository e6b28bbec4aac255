"""Bundles that follow the standard; `full` has every part and obeys every rule."""

from __future__ import annotations

from math import pi

import rfc8785

from tests.spec import independent

from .write import array, ints, reals

COULOMB = 138.93545764438198

BOND = {"columns": ["k", "length"], "units": ["kJ/mol/nm^2", "nm"]}
ANGLE = {"columns": ["k", "angle"], "units": ["kJ/mol/rad^2", "rad"]}
TORSION = {"columns": ["k", "phase", "periodicity"], "units": ["kJ/mol", "rad", "1"]}
VDW = {"columns": ["sigma", "epsilon"], "units": ["nm", "kJ/mol"]}
CHARGE = {"columns": ["charge"], "units": ["e"]}
MORSE = {"columns": ["depth", "steepness", "length"], "units": ["kJ/mol", "1/nm", "nm"]}
CHARGE_PRODUCT = {"columns": ["charge_product"], "units": ["e^2"]}
RYCKAERT_BELLEMANS = {"columns": ["c0", "c1", "c2", "c3", "c4", "c5"], "units": ["kJ/mol"] * 6}
BUCKINGHAM = {"columns": ["a", "b", "c"], "units": ["kJ/mol", "1/nm", "kJ*nm^6/mol"]}
DOUBLE_EXPONENTIAL = {"columns": ["r_min", "epsilon"], "units": ["nm", "kJ/mol"]}
COUPLINGS = {
    "bond_bond": {"columns": ["k", "length1", "length2"], "units": ["kJ/mol/nm^2", "nm", "nm"]},
    "bond_bond_13": {"columns": ["k", "length1", "length2"], "units": ["kJ/mol/nm^2", "nm", "nm"]},
    "bond_angle": {"columns": ["k", "length", "angle"], "units": ["kJ/mol/nm/rad", "nm", "rad"]},
    "angle_angle": {"columns": ["k", "angle1", "angle2"], "units": ["kJ/mol/rad^2", "rad", "rad"]},
    "middle_bond_torsion": {"columns": ["k1", "k2", "k3", "length"], "units": [*["kJ/mol/nm"] * 3, "nm"]},
    "end_bond_torsion": {"columns": ["k1", "k2", "k3", "length"], "units": [*["kJ/mol/nm"] * 3, "nm"]},
    "angle_torsion": {"columns": ["k1", "k2", "k3", "angle"], "units": [*["kJ/mol/rad"] * 3, "rad"]},
    "angle_angle_torsion": {"columns": ["k", "angle1", "angle2"], "units": ["kJ/mol/rad^2", "rad", "rad"]},
}
EXPONENTS = {"repulsion_exponent": 16.766, "attraction_exponent": 4.427}
LOCAL_COORDINATES = {"columns": ["x", "y", "z"], "units": ["nm"] * 3}
TWO_PARTICLE = {"columns": ["weight", "distance"], "units": ["1", "nm"]}
OUT_OF_PLANE = {"columns": ["weight_12", "weight_13", "weight_cross"], "units": ["1", "1", "1/nm"]}
FRAME = {"origin_weights": [1, 0, 0], "x_weights": [-1, 1, 0], "y_weights": [-1, 0, 1]}
NO_CUTOFF_VDW = {"method": "no_cutoff", "mixing_rule": "lorentz_berthelot"}
NO_CUTOFF_BUCKINGHAM = {"method": "no_cutoff", "mixing_rule": "buckingham"}
NO_CUTOFF_CHARGE = {"method": "no_cutoff", "coulomb_constant": COULOMB}

WEIGHTS = {
    "layer.weight": array([[0.5, -1.25], [2.0, 0.0]], "float32"),
    "layer.bias": array([0.0, 1.0], "float16"),
    "trained": array(True, "bool"),
    "steps": array(12, "int64"),
}


def document(**members):
    return {"format": "ffbridge-bundle", "version": "1.0", **members}


def map_columns(size):
    """The columns of correction maps of one size, as a table states them."""
    names = [f"energy_{a}_{b}" for a in range(size) for b in range(size)]
    return {"columns": names, "units": ["kJ/mol"] * size**2}


CMAP_4 = map_columns(4)


def term(form, table, mapping, settings=None):
    return {"form": form, "table": table, "mapping": mapping} | ({"settings": settings} if settings else {})


def keys(handler, *patterns):
    return [{"handler": handler, "pattern": pattern} for pattern in patterns]


def full():
    """Hydrogen peroxide with a virtual site, and water: two periodic systems, with every optional part."""
    torsion = {"handler": "ProperTorsions", "pattern": "[*:1]-[#8:2]-[#8:3]-[*:4]", "id": "t1"}
    parts = document(
        system_names=["[H:1][O:2][O:3][H:4]", "[O:1]([H:2])[H:3]"],
        models={"net": {"version": "0.3.1", "framework": "torch", "sha256": independent.fingerprint(WEIGHTS)}},
        provenance={"producer": {"name": "make_vectors", "version": "1"}, "notes": ["Å and µ are UTF-8", None, 0.5]},
        tables={
            "bonds": {**BOND, "keys": keys("Bonds", "[#8:1]-[#1:2]", "[#8:1]-[#8:2]", "[#8X2H2:1]-[#1:2]")},
            "angles": {**ANGLE, "model": "net"},
            "proper_torsions": {**TORSION, "keys": [torsion | {"index": n} for n in range(3)]},
            "vdw": {**VDW, "keys": keys("vdW", "[#1:1]", "[#8:1]", "site")},
            "electrostatics": CHARGE,
            "lone_pairs": {**LOCAL_COORDINATES, "keys": keys("VirtualSites", "[#8:1](-[#8:2])-[#1:3]")},
        },
        terms={
            "lone_pairs": term("local_coordinates_3_site", "lone_pairs", "select", FRAME),
            "bonds": term("harmonic_bond", "bonds", "select"),
            "angles": term("harmonic_angle", "angles", "identity"),
            "proper_torsions": term("periodic_torsion", "proper_torsions", "select"),
            "improper_torsions": term("periodic_torsion", "proper_torsions", "linear"),
            "vdw": term(
                "lennard_jones",
                "vdw",
                "select",
                {
                    "method": "cutoff",
                    "mixing_rule": "lorentz_berthelot",
                    "cutoff": 0.9,
                    "periodic": True,
                    "switch_distance": 0.8,
                    "dispersion_correction": True,
                },
            ),
            "electrostatics": term(
                "coulomb",
                "electrostatics",
                "linear",
                {
                    "method": "pme",
                    "coulomb_constant": COULOMB,
                    "cutoff": 0.9,
                    "tolerance": 0.0005,
                    "beta": 3.1,
                    "grid": [24, 24, 24],
                },
            ),
        },
    )
    return parts, {
        **_full_topology(),
        **_full_terms(),
        **{f"models/net/{name}": value for name, value in WEIGHTS.items()},
    }


def _full_topology():
    box = [[[2.5, 0, 0], [0, 2.5, 0], [0, 0, 2.5]], [[3, 0, 0], [0.5, 2.8, 0], [-1.0, 0.25, 2.6]]]
    return {
        "system_offsets": ints([0, 5, 8]),
        "atomic_numbers": ints([1, 8, 8, 1, 0, 8, 1, 1]),
        "masses": reals([1.008, 15.999, 15.999, 1.008, 0, 15.999, 1.008, 1.008]),
        "bonds": ints([[0, 1], [1, 2], [3, 2], [5, 6], [5, 7]]),
        "box": reals(box),
        "exceptions/pairs": ints([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3], [5, 6], [5, 7], [6, 7]]),
        "exceptions/kept_charge": reals([0, 0, 0.8333333333, 0, 0, 0, 0, 0, 0]),
        "exceptions/kept_lj": reals([0, 0, 0.5, 0, 0, 0, 0, 0, 0]),
        "constraints/pairs": ints([[5, 6], [5, 7], [6, 7]]),
        "constraints/lengths": reals([0.09572, 0.09572, 0.15139]),
    }


def _full_terms():
    atoms = [[atom] for atom in range(8)]
    return {
        "tables/bonds/values": reals([[463000, 0.0965], [250000, 0.145], [462750.4, 0.09572]]),
        "tables/angles/values": reals([[420.5, 1.72], [420.5, 1.72], [836.8, 1.82421813]]),
        "tables/proper_torsions/values": reals([[5.5, 0, 1], [-7.25, pi, 2], [9, 0.3, 2]]),
        "tables/vdw/values": reals([[0.053, 0.0656], [0.3, 0.71], [0.1, 0]]),
        "tables/electrostatics/values": reals([[-0.4], [0.4], [-0.8], [0.1]]),
        "tables/lone_pairs/values": reals([[-0.02, 0.01, 0]]),
        "terms/lone_pairs/indices": ints([[4, 1, 2, 0]]),
        "terms/lone_pairs/mapping/index": ints([0]),
        "terms/bonds/indices": ints([[0, 1], [1, 2], [3, 2], [5, 6], [5, 7]]),
        "terms/bonds/mapping/index": ints([0, 1, 0, 2, 2]),
        "terms/angles/indices": ints([[0, 1, 2], [1, 2, 3], [6, 5, 7]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3], [0, 1, 2, 3]]),
        "terms/proper_torsions/mapping/index": ints([0, 1]),
        "terms/improper_torsions/indices": ints([[1, 0, 2, 3]]),
        "terms/improper_torsions/mapping/offsets": ints([0, 2]),
        "terms/improper_torsions/mapping/columns": ints([1, 2]),
        "terms/improper_torsions/mapping/weights": reals([0.25, 0.75]),
        "terms/vdw/indices": ints(atoms),
        "terms/vdw/mapping/index": ints([0, 1, 1, 0, 2, 1, 0, 0]),
        "terms/electrostatics/indices": ints(atoms),
        "terms/electrostatics/mapping/offsets": ints([0, 1, 3, 5, 6, 7, 8, 9, 10]),
        "terms/electrostatics/mapping/columns": ints([1, 0, 3, 0, 3, 1, 3, 2, 1, 1]),
        "terms/electrostatics/mapping/weights": reals([1, 1, -0.5, 1, -0.5, 1, 1, 1, 1, 1]),
    }


def minimal():
    """Two atoms and a bond: nothing that is optional."""
    parts = document(tables={"bonds": BOND}, terms={"bonds": term("harmonic_bond", "bonds", "identity")})
    return parts, {
        "system_offsets": ints([0, 2]),
        "atomic_numbers": ints([1, 1]),
        "tables/bonds/values": reals([[1000, 0.0741]]),
        "terms/bonds/indices": ints([[0, 1]]),
    }


def empty():
    """An atom without any interaction: lengths of 0, and no terms beside an empty one."""
    parts = document(tables={"bonds": {**BOND, "keys": []}}, terms={"bonds": term("harmonic_bond", "bonds", "select")})
    return parts, {
        "system_offsets": ints([0, 1]),
        "atomic_numbers": ints([18]),
        "bonds": array([], "int32") | {"shape": [0, 2]},
        "tables/bonds/values": reals([]) | {"shape": [0, 2]},
        "terms/bonds/indices": ints([]) | {"shape": [0, 2]},
        "terms/bonds/mapping/index": ints([]),
    }


def increments():
    """Lennard-Jones parameters as sums of increments, some negative; one ends at 0 up to rounding; float32."""
    parts = document(tables={"vdw": VDW}, terms={"vdw": term("lennard_jones", "vdw", "linear", NO_CUTOFF_VDW)})
    return parts, {
        "system_offsets": ints([0, 3]),
        "atomic_numbers": ints([6, 6, 6]),
        "tables/vdw/values": array([[0.35, 0.7], [-0.05, -0.1]], "float32"),
        "terms/vdw/indices": ints([[0], [1], [2]]),
        "terms/vdw/mapping/offsets": ints([0, 1, 3, 6]),
        "terms/vdw/mapping/columns": ints([0, 0, 1, 1, 0, 1]),
        "terms/vdw/mapping/weights": array([1, 1, 1, 3, 1, 4], "float32"),
    }


def later_minor():
    """A bundle of a later minor version that has nothing unknown."""
    parts, arrays = minimal()
    return parts | {"version": "1.12"}, arrays


def reaction_field():
    """Other methods and settings: a reaction field, not periodic, and geometric mixing."""
    field = {
        "method": "reaction_field",
        "coulomb_constant": COULOMB,
        "cutoff": 1,
        "periodic": False,
        "dielectric": 78.3,
    }
    mixing = {"method": "cutoff", "mixing_rule": "geometric", "cutoff": 1, "periodic": False}
    parts = document(
        tables={"vdw": VDW, "electrostatics": CHARGE},
        terms={
            "vdw": term("lennard_jones", "vdw", "identity", mixing),
            "electrostatics": term("coulomb", "electrostatics", "identity", field),
        },
    )
    return parts, {
        "system_offsets": ints([0, 2]),
        "atomic_numbers": ints([11, 17]),
        "tables/vdw/values": reals([[0.33, 0.0116], [0.44, 0.4184]]),
        "tables/electrostatics/values": reals([[1], [-1]]),
        "terms/vdw/indices": ints([[0], [1]]),
        "terms/electrostatics/indices": ints([[1], [0]]),
    }


def other_forms():
    """A chain of four atoms with the forms that `full` has not, and their mixing rules and settings."""
    switched = {"method": "cutoff", "cutoff": 0.9, "switch_distance": 0.8, "periodic": False}
    parts = document(
        tables={
            "bonds": MORSE,
            "urey_bradleys": BOND,
            "proper_torsions": RYCKAERT_BELLEMANS,
            "buckingham": BUCKINGHAM,
            "vdw": DOUBLE_EXPONENTIAL,
        },
        terms={
            "bonds": term("morse", "bonds", "select"),
            "urey_bradleys": term("urey_bradley", "urey_bradleys", "identity"),
            "proper_torsions": term("ryckaert_bellemans", "proper_torsions", "linear"),
            "buckingham": term("buckingham", "buckingham", "select", NO_CUTOFF_BUCKINGHAM),
            "vdw": term("double_exponential", "vdw", "select", {"mixing_rule": "geometric", **EXPONENTS, **switched}),
        },
    )
    atoms = ints([[0], [1], [2], [3]])
    return parts, {
        "system_offsets": ints([0, 4]),
        "atomic_numbers": ints([6, 6, 6, 1]),
        "tables/bonds/values": reals([[410, 20.5, 0.153], [436, 18, 0.109]]),
        "terms/bonds/indices": ints([[0, 1], [1, 2], [2, 3]]),
        "terms/bonds/mapping/index": ints([0, 0, 1]),
        "tables/urey_bradleys/values": reals([[9338.7, 0.2561], [18853, 0.2179]]),
        "terms/urey_bradleys/indices": ints([[0, 2], [3, 1]]),
        "tables/proper_torsions/values": reals([[9.28, 12.16, -13.12, -3.06, 26.24, -31.5]]),
        "terms/proper_torsions/indices": ints([[0, 1, 2, 3]]),
        "terms/proper_torsions/mapping/offsets": ints([0, 1]),
        "terms/proper_torsions/mapping/columns": ints([0]),
        "terms/proper_torsions/mapping/weights": reals([0.5]),
        "tables/buckingham/values": reals([[350000, 36, 0.0025], [0, 0, 0]]),
        "terms/buckingham/indices": atoms,
        "terms/buckingham/mapping/index": ints([0, 0, 0, 1]),
        "tables/vdw/values": reals([[0.382, 0.4577], [0.29, 0.0656]]),
        "terms/vdw/indices": atoms,
        "terms/vdw/mapping/index": ints([0, 0, 0, 1]),
    }


def several_coordinates():
    """A term with a column of many numbers, whose two dihedrals share atoms, and a coupling."""
    parts = document(
        tables={"cmap": CMAP_4, "bond_angles": COUPLINGS["bond_angle"]},
        terms={
            "cmap": term("cmap", "cmap", "select", {"size": 4}),
            "bond_angles": term("bond_angle", "bond_angles", "select"),
        },
    )
    return parts, {
        "system_offsets": ints([0, 5]),
        "atomic_numbers": ints([6, 7, 6, 6, 7]),
        "tables/cmap/values": reals([range(16)]),
        "terms/cmap/indices": ints([[0, 1, 2, 3, 1, 2, 3, 4]]),
        "terms/cmap/mapping/index": ints([0]),
        "tables/bond_angles/values": reals([[1530, 0.153, 1.9]]),
        "terms/bond_angles/indices": ints([[0, 1, 2], [2, 1, 0]]),
        "terms/bond_angles/mapping/index": ints([0, 0]),
    }


def virtual_sites():
    """Virtual sites of every form, averages among them, and a term of them that has none."""
    frame = {"origin_weights": [1, 0, 0, 0], "x_weights": [-1, 0.25, 0.25, 0.5], "y_weights": [-1, 1, 0, 0]}
    parts = document(
        tables={"points": TWO_PARTICLE, "planes": OUT_OF_PLANE, "frames": LOCAL_COORDINATES},
        terms={
            "points": term("two_particle_site", "points", "select"),
            "planes": term("out_of_plane_site", "planes", "linear"),
            "lone_pairs": term("local_coordinates_3_site", "frames", "select", FRAME),
            "apex": term("local_coordinates_4_site", "frames", "select", frame),
        },
    )
    return parts, {
        "system_offsets": ints([0, 8]),
        "atomic_numbers": ints([7, 1, 1, 1, 0, 0, 0, 0]),
        "tables/points/values": reals([[0.3, 0], [0, -0.05]]),
        "terms/points/indices": ints([[4, 0, 1], [7, 2, 3]]),
        "terms/points/mapping/index": ints([0, 1]),
        "tables/planes/values": reals([[-0.34, -0.34, -6.4]]),
        "terms/planes/indices": ints([[5, 0, 1, 2]]),
        "terms/planes/mapping/offsets": ints([0, 1]),
        "terms/planes/mapping/columns": ints([0]),
        "terms/planes/mapping/weights": reals([0.5]),
        "tables/frames/values": reals([[-0.04, 0, 0]]),
        "terms/lone_pairs/indices": ints([]) | {"shape": [0, 4]},
        "terms/lone_pairs/mapping/index": ints([]),
        "terms/apex/indices": ints([[6, 0, 1, 2, 3]]),
        "terms/apex/mapping/index": ints([0]),
    }


def overrides():
    """Pairs of rows that are not mixed, of a term within a cutoff, and a term of which no pair is listed."""
    switched = {"method": "cutoff", "cutoff": 0.9, "switch_distance": 0.8, "periodic": False}
    settings = {"mixing_rule": "geometric", **switched}
    parts = document(
        tables={"vdw": VDW, "vdw_overrides": VDW, "none": VDW},
        terms={
            "vdw": term("lennard_jones", "vdw", "select", settings) | {"overrides": "vdw_overrides"},
            "more": term("lennard_jones", "vdw_overrides", "identity", NO_CUTOFF_VDW) | {"overrides": "none"},
        },
    )
    return parts, {
        "system_offsets": ints([0, 4]),
        "atomic_numbers": ints([11, 17, 8, 8]),
        "tables/vdw/values": reals([[0.25, 0.2], [0.4, 0.6], [0.3, 0.5]]),
        "terms/vdw/indices": ints([[0], [1], [2], [3]]),
        "terms/vdw/mapping/index": ints([0, 1, 2, 2]),
        "tables/vdw_overrides/values": reals([[0.33, 0.35], [0.28, 0.31]]),
        "terms/vdw/overrides/pairs": ints([[0, 1], [2, 2]]),
        "terms/more/indices": ints([[2], [3]]),
        "tables/none/values": reals([]) | {"shape": [0, 2]},
        "terms/more/overrides/pairs": ints([]) | {"shape": [0, 2]},
    }


_ALL = (
    *(f"D-{n}" for n in range(1, 7)),
    *(f"T-{n}" for n in range(1, 8)),
    *(f"I-{n}" for n in range(1, 7)),
    *(f"M-{n}" for n in range(1, 7)),
    *(f"S-{n}" for n in range(1, 9)),
    *(f"A-{n}" for n in range(1, 5)),
    *(f"G-{n}" for n in range(1, 10)),
    "S-10",
    *(f"P-{n}" for n in range(1, 4)),
)
_FILE = tuple(f"F-{n}" for n in range(1, 6))
_MADE = {
    "full": (full, _ALL + _FILE),
    "minimal": (minimal, ("D-1", "A-1", "M-2", "T-5", "S-2", *_FILE)),
    "empty": (empty, ("A-3", "T-3", "M-3", "G-4")),
    "increments": (increments, ("T-7", "M-4", "M-5", "A-2", "S-4")),
    "later_minor": (later_minor, ("D-3",)),
    "reaction_field": (reaction_field, ("S-1", "S-3", "S-4", "S-5", "S-7")),
    "other_forms": (other_forms, ("I-1", "T-1", "T-2", "T-7", "S-1", "S-2", "S-4", "S-5", "S-6", "S-9")),
    "several_coordinates": (several_coordinates, ("I-1", "I-5", "T-1", "T-2", "S-1", "S-2")),
    "overrides": (overrides, ("I-1", "T-5", "O-1", "O-2", "O-3")),
    "virtual_sites": (virtual_sites, ("G-9", "I-1", "I-5", "T-1", "T-2", "S-1", "S-10")),
}
_WITH_FILE = ("full", "minimal")


def vectors():
    made = {}
    for name, (make, rules) in _MADE.items():
        parts, arrays = make()
        made[name] = {
            "title": make.__doc__,
            "rules": list(rules),
            "document": parts,
            "arrays": arrays,
            "sha256": independent.content_hash(rfc8785.dumps(parts), arrays),
        }
    return made


def files():
    return {
        f"{name}.ffb": independent.bundle_file(rfc8785.dumps(parts), arrays) for name, (parts, arrays) in _contents()
    }


def _contents():
    return [(name, _MADE[name][0]()) for name in _WITH_FILE]
