"""Van der Waals interactions of plug-ins: their own expressions in OpenMM have the energies of the bundle.

The collections here have the expressions of smirnoff-plugins (double exponential) and of the plug-in in Interchange's
documentation (Buckingham). Neither is on a package index; what Interchange asks of a plug-in is written anew.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

import ffbridge as fb
from ffbridge.errors import UnsupportedError

pytest.importorskip("openff.interchange", reason="the OpenFF packages are not installed")
pytest.importorskip("openmm", reason="OpenMM is not installed")

from openff.interchange.components.potentials import Potential
from openff.interchange.models import PotentialKey
from openff.interchange.smirnoff import SMIRNOFFVirtualSiteCollection
from openff.interchange.smirnoff._nonbonded import _SMIRNOFFNonbondedCollection
from openff.units import Quantity

ALPHA, BETA = 16.8, 4.4


class PlugIn(_SMIRNOFFNonbondedCollection):
    is_plugin: bool = True
    acts_as: str = "vdW"
    periodic_method: str = "cutoff"
    nonperiodic_method: str = "no-cutoff"
    mixing_rule: str = ""
    switch_width: Quantity = Quantity(1.0, "angstrom")

    @classmethod
    def allowed_parameter_handlers(cls):
        return ()

    @classmethod
    def supported_parameters(cls):
        return cls.potential_parameters()

    @classmethod
    def global_parameters(cls):
        return ()

    def pre_computed_terms(self):
        return {}


class DoubleExponential(PlugIn):
    type: Literal["DoubleExponential"] = "DoubleExponential"
    expression: str = (
        "CombinedEpsilon*RepulsionFactor*RepulsionExp-CombinedEpsilon*AttractionFactor*AttractionExp;"
        "CombinedEpsilon=epsilon1*epsilon2;"
        "RepulsionExp=exp(-alpha*ExpDistance);"
        "AttractionExp=exp(-beta*ExpDistance);"
        "ExpDistance=r/CombinedR;"
        "CombinedR=r_min1+r_min2;"
    )
    alpha: Quantity = Quantity(ALPHA, "dimensionless")
    beta: Quantity = Quantity(BETA, "dimensionless")

    @classmethod
    def default_parameter_values(cls):
        return 1.0, 0.0

    @classmethod
    def potential_parameters(cls):
        return "r_min", "epsilon"

    @classmethod
    def global_parameters(cls):
        return "alpha", "beta"

    def pre_computed_terms(self):
        return {
            "RepulsionFactor": BETA * math.exp(ALPHA) / (ALPHA - BETA),
            "AttractionFactor": ALPHA * math.exp(BETA) / (ALPHA - BETA),
        }

    def modify_parameters(self, parameters):
        return {
            "r_min": parameters["r_min"].m_as("nanometer") / 2,
            "epsilon": math.sqrt(parameters["epsilon"].m_as("kilojoule / mole")),
        }


class Buckingham(PlugIn):
    type: Literal["Buckingham"] = "Buckingham"
    expression: str = "a*exp(-b*r)-c*r^-6;a=sqrt(a1*a2);b=2/(1/b1+1/b2);c=sqrt(c1*c2);"

    @classmethod
    def default_parameter_values(cls):
        return 0.0, 0.0, 0.0

    @classmethod
    def potential_parameters(cls):
        return "a", "b", "c"


def double_exponential(sigma, epsilon):
    r_min = 2 ** (1 / 6) * sigma.m_as("angstrom")
    return {"r_min": Quantity(r_min, "angstrom"), "epsilon": epsilon}


def buckingham(sigma, epsilon):
    """Exp-6 with the minimum of the Lennard-Jones potential, and 12 at its steepness."""
    r_min, depth = 2 ** (1 / 6) * sigma.m_as("nanometer"), epsilon.m_as("kilojoule / mole")
    return {
        "a": Quantity(depth * math.exp(12.0), "kilojoule / mole"),
        "b": Quantity(12.0 / r_min, "1 / nanometer"),
        "c": Quantity(2 * depth * r_min**6, "kilojoule * nanometer**6 / mole"),
    }


KINDS = {"double_exponential": (DoubleExponential, double_exponential), "buckingham": (Buckingham, buckingham)}


@pytest.fixture(params=KINDS)
def plugged(request, openff, minidrugbank):
    """The form, the Interchange of a drug whose vdW is of a plug-in with the same patterns, and positions."""
    molecule = minidrugbank["DrugBank_2642"]
    interchange = openff.parametrize([molecule])
    kind, convert = KINDS[request.param]
    old = interchange.collections.pop("vdW")
    new = kind(scale_14=0.5, cutoff=old.cutoff)
    for key, potential in old.potentials.items():
        named = PotentialKey(id=key.id, associated_handler=new.type)
        new.potentials[named] = Potential(parameters=convert(**potential.parameters))
    for atom, key in old.key_map.items():
        new.key_map[atom] = PotentialKey(id=key.id, associated_handler=new.type)
    interchange.collections[new.type] = new
    x = molecule.conformers[0].m_as("nanometer")
    return request.param, interchange, x + np.random.default_rng(6).normal(scale=0.004, size=x.shape)


def vdw_energy(interchange, x):
    """Energy and forces of the two OpenMM forces that hold van der Waals interactions."""
    from tests.bridge.exporters.openmm_reference import Reference

    system = interchange.to_openmm_system(combine_nonbonded_forces=False)
    groups = set()
    for number, force in enumerate(system.getForces()):
        force.setForceGroup(number)
        if force.getName() in ("vdW force", "vdW 1-4 force"):
            groups.add(number)
    assert len(groups) == 2
    return Reference(system)(x, groups=groups)


def test_energies_and_forces_equal_those_of_the_expression(plugged):
    form, interchange, x = plugged
    bundle = fb.from_interchange(interchange)
    fb.validate(bundle)
    assert bundle.terms["vdw"].form == form
    energy, forces = vdw_energy(interchange, x)
    only = fb.Bundle.from_parts(*_only_vdw(bundle))
    found = fb.potential(only, "numpy").value_and_grad(x)
    assert found.energy[0] == pytest.approx(energy, rel=1e-9)
    assert np.linalg.norm(found.forces - forces) < 1e-9 * np.linalg.norm(forces)
    # Parameters are the force field's own, and are shared as it shares them.
    assert {key.handler for key in bundle.tables["vdw"].keys} == {next(iter(interchange.collections.keys() & _TYPES))}
    assert len(bundle.tables["vdw"]) < bundle.n_atoms


_TYPES = {"DoubleExponential", "Buckingham"}


def _only_vdw(bundle):
    document = bundle.document()
    document |= {part: {"vdw": document[part]["vdw"]} for part in ("tables", "terms")}
    del document["models"]
    drop = ("tables/", "terms/")
    arrays = {
        path: array
        for path, array in bundle.arrays().items()
        if not path.startswith(drop) or path.split("/")[1] == "vdw"
    }
    return document, arrays


def test_a_plug_in_beside_vdw_is_refused(plugged, acetaminophen):
    _, interchange, _ = plugged
    interchange.collections["vdW"] = acetaminophen["vdW"]
    with pytest.raises(UnsupportedError, match="exports of an Interchange have one collection of van der Waals"):
        fb.from_interchange(interchange)


def test_a_plug_in_does_not_go_out(plugged):
    form, interchange, _ = plugged
    with pytest.raises(UnsupportedError, match=f"terms/vdw: an Interchange has no {form!r}.*fb.to_openmm"):
        fb.to_interchange(fb.from_interchange(interchange), interchange.topology)


class PlugInSites(SMIRNOFFVirtualSiteCollection):
    is_plugin: bool = True
    acts_as: str = "VirtualSites"


def test_virtual_sites_of_a_plug_in_have_its_parameters():
    """As in smirnoff-plugins' force field for water: the same sites, with r_min and epsilon."""
    from copy import deepcopy

    from tests.bridge.exporters.openmm_reference import Reference
    from tests.bridge.producers.test_openff_virtual_sites import water

    cluster, _, x = water("tip4p_fb.offxml")
    interchange = deepcopy(cluster)
    old, sites = interchange.collections.pop("vdW"), interchange.collections["VirtualSites"]
    new = DoubleExponential(scale_14=0.5, cutoff=old.cutoff)
    new.key_map.update(old.key_map)
    for key, potential in old.potentials.items():
        new.potentials[key] = Potential(parameters=double_exponential(**potential.parameters))
    plugged = PlugInSites(exclusion_policy="parents")
    plugged.key_map.update(sites.key_map)
    plugged.potentials.update(sites.potentials)
    interchange.collections.update({"DoubleExponential": new, "VirtualSites": plugged})
    bundle = fb.from_interchange(interchange)
    assert bundle.terms["vdw"].form == "double_exponential"
    energy, forces = Reference(interchange.to_openmm_system(combine_nonbonded_forces=False))(x)
    found = fb.potential(bundle, "numpy").value_and_grad(x)
    assert found.energy[0] == pytest.approx(energy, rel=1e-9)
    atoms = bundle.atomic_numbers > 0
    assert np.linalg.norm((found.forces - forces)[atoms]) < 1e-9 * np.linalg.norm(forces[atoms])
