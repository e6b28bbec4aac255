"""The registry of forms, as the bridge reads it from the standard."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from ffbridge.errors import UnknownNameError
from ffbridge.forms import form, forms
from ffbridge_spec import load_forms


def test_every_form_of_the_standard_is_read():
    declared = load_forms()["forms"]
    assert list(forms()) == list(declared)
    for name, entry in declared.items():
        found = form(name)
        assert found.name == name
        assert found.column_names == tuple(column["name"] for column in entry["columns"])
        assert found.units == tuple(column["unit"] for column in entry["columns"])
        assert (found.kind, found.arity) == (entry["kind"], entry["arity"])
        coordinates = [{"kind": each.kind, "atoms": list(each.atoms)} for each in found.coordinates]
        assert coordinates == entry.get("coordinates", [])
        assert found.methods == tuple(entry.get("methods", ()))
        assert found.settings == tuple(entry.get("settings", ()))
        assert found.mixing_rules == tuple(entry.get("mixing_rules", ()))


def test_what_columns_may_hold():
    periodicity = form("periodic_torsion").columns[2]
    assert (periodicity.name, periodicity.unit, periodicity.integer, periodicity.minimum) == (
        "periodicity",
        "1",
        True,
        1,
    )
    assert not form("harmonic_bond").columns[0].integer
    assert form("lennard_jones").columns[0].minimum == 0
    assert form("coulomb").columns[0].minimum is None


def test_a_column_with_a_shape_stands_for_one_of_each_index():
    found = form("cmap").columns_for({"size": 4})
    assert [column.name for column in found][:6] == [
        f"energy_{a}_{b}" for a, b in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    ]
    assert (len(found), found[-1].name) == (16, "energy_3_3")
    assert {(column.unit, column.shape) for column in found} == {("kJ/mol", ())}
    assert form("cmap").lengths({"size": 4}) == ((4, 4),)
    assert form("periodic_torsion").columns_for({}) == form("periodic_torsion").columns


def test_nonbonded_forms_say_how_pairs_are_made():
    assert form("lennard_jones").mixing_rules == ("lorentz_berthelot", "geometric")
    assert form("coulomb").mixing_rules == ()
    assert form("lennard_jones").exceptions == "kept_lj"
    assert form("coulomb").exceptions == "kept_charge"
    assert form("harmonic_bond").methods == ()


def test_an_unknown_form_is_named_with_those_there_are():
    with pytest.raises(
        UnknownNameError, match=r"unknown form 'fene'.*version 1\.0.*: angle_angle, angle_angle_torsion, "
    ):
        form("fene")


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        forms()["fene"] = form("harmonic_bond")
    with pytest.raises(FrozenInstanceError):
        form("harmonic_bond").arity = 3
