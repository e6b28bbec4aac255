"""Measured properties of OpenFF Evaluator's data sets, and trajectories, whole and damaged."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import MissingDependencyError, TargetError

from .molecules import PEROXIDE, noisy, peroxide


def quantity(value, unit):
    return {"@type": "openff.evaluator.unit.Quantity", "unit": unit, "value": value}


def entry(kind="density.Density", measured=(0.785, "g / ml"), identity="a", **change):
    """A property as Evaluator's own serialization lays it out."""
    return {
        "@type": f"openff.evaluator.properties.{kind}",
        "gradients": [],
        "id": identity,
        "metadata": {},
        "phase": 2,
        "source": {"@type": "openff.evaluator.datasets.provenance.MeasurementSource", "doi": "10.1/x", "reference": ""},
        "substance": {
            "@type": "openff.evaluator.substances.substances.Substance",
            "amounts": {
                f"{smiles}{{solv}}": [{"@type": "openff.evaluator.substances.amounts.MoleFraction", "value": fraction}]
                for smiles, fraction in (("CCO", 0.25), ("O", 0.75))
            },
            "components": [
                {
                    "@type": "openff.evaluator.substances.components.Component",
                    "role": {"@type": "openff.evaluator.substances.components.Component.Role", "value": "solv"},
                    "smiles": smiles,
                }
                for smiles in ("CCO", "O")
            ],
        },
        "thermodynamic_state": {
            "@type": "openff.evaluator.thermodynamics.ThermodynamicState",
            "pressure": quantity(101.325, "kilopascal"),
            "temperature": quantity(298.15, "kelvin"),
        },
        "uncertainty": quantity(0.001, "g / ml"),
        "value": quantity(*measured),
    } | change


@pytest.fixture
def write(tmp_path):
    pytest.importorskip("pint", reason="pint is not installed")

    def of(*entries):
        path = tmp_path / "data.json"
        kind = "openff.evaluator.datasets.datasets.PhysicalPropertyDataSet"
        path.write_text(json.dumps({"@type": kind, "properties": entries}))
        return path

    return of


def test_properties_of_evaluator(write):
    path = write(
        entry(),
        entry("enthalpy.EnthalpyOfVaporization", (10.0, "kilocalorie / mole"), "b", phase=6, uncertainty=None),
        entry(
            "dielectric.DielectricConstant", (24.5, "dimensionless"), "c", uncertainty=quantity(0.0, "dimensionless")
        ),
    )
    density, enthalpy, dielectric = fb.targets.read_evaluator(path).complete()
    assert (density.name, density.quantity, density.unit, density.phase) == ("a", "density", "kg/m^3", "liquid")
    np.testing.assert_allclose([density.value, density.uncertainty], [785, 1])
    np.testing.assert_allclose([density.temperature, density.pressure], [298.15, 1.01325])
    assert density.components == ("CCO", "O")
    np.testing.assert_allclose(density.mole_fractions, [0.25, 0.75])
    np.testing.assert_allclose(enthalpy.value, 41.84)
    assert (enthalpy.uncertainty, enthalpy.phase) == (None, "liquid+gas")
    assert (dielectric.unit, dielectric.value, dielectric.uncertainty) == ("1", 24.5, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"@type": "openff.evaluator.properties.viscosity.Viscosity"}, "@type: .*Viscosity', expected a property of"),
        ({"value": {"value": 3.0}}, r"value: the unit is missing, expected one of kg/m\^3"),
        ({"value": quantity(3.0, "kelvin")}, "value: the unit 'kelvin' does not convert to kg/m"),
        ({"value": quantity(3.0, "grum")}, "value: the unit 'grum' does not convert"),
        ({"value": quantity("3", "g/ml")}, "value: got .*, expected a value with a unit"),
        ({"value": None}, "value: missing"),
        ({"value": quantity(float("nan"), "g / ml")}, "value: nan, expected finite"),
        ({"thermodynamic_state": None}, "thermodynamic_state.temperature: missing"),
        ({"phase": 99}, "phase: got 99, expected a sum of"),
        ({"substance": {"components": [{"role": None}]}}, "substance: components: smiles: missing"),
        ({"substance": None}, "substance: components: missing"),
    ],
)
def test_damaged_properties_are_named(change, message, write):
    reading = fb.targets.read_evaluator(write(entry(identity="good"), entry(identity="bad", **change)))
    assert [target.name for target in reading.targets] == ["good"]
    with pytest.raises(TargetError, match=f"bad: {message}"):
        reading.complete()


def test_what_is_no_data_set_is_refused(tmp_path):
    path = tmp_path / "data.json"
    with pytest.raises(TargetError, match="data.json: cannot be read as JSON"):
        fb.targets.read_evaluator(path)
    path.write_text('{"@type": "Other", "properties": []}')
    with pytest.raises(TargetError, match="no PhysicalPropertyDataSet of OpenFF Evaluator"):
        fb.targets.read_evaluator(path)


@pytest.fixture
def trajectory(tmp_path):
    """A DCD file and a PDB file, written by MDTraj."""
    md = pytest.importorskip("mdtraj", reason="MDTraj is not installed")
    topology = md.Topology()
    residue = topology.add_residue("HOO", topology.add_chain())
    for number, symbol in enumerate("HOOH"):
        topology.add_atom(f"{symbol}{number}", md.element.get_by_symbol(symbol), residue)
    x = noisy(peroxide(), 6)
    frames = md.Trajectory(x, topology)
    frames.save_dcd(str(tmp_path / "run.dcd"))
    frames[0].save_pdb(str(tmp_path / "run.pdb"))
    return tmp_path, x


def test_trajectories(trajectory):
    folder, x = trajectory
    found = fb.targets.read_trajectory(folder / "run.dcd", topology=folder / "run.pdb")
    np.testing.assert_allclose(found.positions, x, atol=1e-6)
    assert found.atomic_numbers.tolist() == [1, 8, 8, 1]
    assert found.box is None
    every_other = fb.targets.read_trajectory(folder / "run.dcd", topology=folder / "run.pdb", stride=2)
    np.testing.assert_allclose(every_other.positions, x[::2], atol=1e-6)
    target = fb.targets.ObservableTarget(
        name="m", smiles=PEROXIDE, quantity="q", value=1.0, unit="1", temperature=300.0
    )
    with_frames = fb.targets.with_trajectory(target, found, potential_energies=np.zeros(6), values=np.ones(6))
    assert with_frames.has_trajectory
    assert not target.has_trajectory
    with pytest.raises(TargetError, match=r"target 'm': positions: got shape \(6, 4, 3\), expected .* n_frames = 5"):
        fb.targets.with_trajectory(target, found, potential_energies=np.zeros(5), values=np.ones(5))


def test_damaged_trajectories(trajectory):
    import mdtraj as md

    folder, _ = trajectory
    with pytest.raises(TargetError, match=r"run.dcd: MDTraj cannot read it; .* \(topology=\)"):
        fb.targets.read_trajectory(folder / "run.dcd")
    with pytest.raises(TargetError, match="gone.dcd: there is no such file"):
        fb.targets.read_trajectory(folder / "gone.dcd", topology=folder / "run.pdb")
    with pytest.raises(TargetError, match="gone.pdb: there is no such file"):
        fb.targets.read_trajectory(folder / "run.dcd", topology=folder / "gone.pdb")
    frames = md.load(str(folder / "run.dcd"), top=str(folder / "run.pdb"))
    frames.xyz[3, 2] = np.nan
    frames.save_dcd(str(folder / "nan.dcd"))
    with pytest.raises(TargetError, match="nan.dcd: frame 3: the position of atom 2 is not finite"):
        fb.targets.read_trajectory(folder / "nan.dcd", topology=folder / "run.pdb")
    (folder / "cut.dcd").write_bytes((folder / "run.dcd").read_bytes()[:-40])
    for stride, (found, stated) in {1: (5, 6), 5: (1, 2)}.items():
        with pytest.raises(TargetError, match=f"cut.dcd: {found} frames, .* header says {stated}: .* cut"):
            fb.targets.read_trajectory(folder / "cut.dcd", topology=folder / "run.pdb", stride=stride)


def test_a_format_that_needs_another_package(trajectory):
    folder, _ = trajectory
    if find_spec("tables") is not None:
        pytest.skip("PyTables is installed")
    (folder / "run.h5").write_bytes(b"any")
    with pytest.raises(MissingDependencyError, match="run.h5: MDTraj needs tables for this format, which is not"):
        fb.targets.read_trajectory(folder / "run.h5")


def test_a_trajectory_of_other_atoms_is_refused(trajectory):
    """The same elements, and in the second case the same order of elements, but not the SMILES' bonds."""
    folder, _ = trajectory
    found = fb.targets.read_trajectory(folder / "run.dcd", topology=folder / "run.pdb")
    for smiles, message in (
        ("[O:1]([H:2])[O:3][H:4]", "target 'm': atomic_numbers: atom 0 is element 1, and map number 1"),
        ("[H:4][O:2][O:3][H:1]", "target 'm': .*the atoms are in another order"),
    ):
        target = fb.targets.ObservableTarget(
            name="m", smiles=smiles, quantity="q", value=1.0, unit="1", temperature=300.0
        )
        with pytest.raises(TargetError, match=message):
            fb.targets.with_trajectory(target, found, potential_energies=np.zeros(6), values=np.ones(6))
