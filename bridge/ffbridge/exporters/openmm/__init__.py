"""From bundles to OpenMM.

=====================  ===============================================================================================
module                 holds
=====================  ===============================================================================================
:mod:`.system`         `to_openmm`; a System with everything but forces
:mod:`.forces`         which OpenMM forces the terms of a bundle become
:mod:`.bonded`         bonded terms
:mod:`.coupling`       the expressions of those that are of several coordinates
:mod:`.cmap`           correction maps
:mod:`.nonbonded`      terms that ``NonbondedForce`` evaluates
:mod:`.methods`        nonbonded methods, as ``NonbondedForce`` is told of them
:mod:`.pairs`          terms of other forms, methods and mixing rules, by ``CustomNonbondedForce``
:mod:`.parameters`     parameters of interactions and of pairs, as plain numbers
=====================  ===============================================================================================
"""

from ffbridge.exporters.openmm.forces import TermForces
from ffbridge.exporters.openmm.system import build_system, to_openmm

__all__ = ["TermForces", "build_system", "to_openmm"]
