"""From OpenMM: a ``System`` becomes a bundle.

==========================  ============================================================================================
module                      holds
==========================  ============================================================================================
:mod:`.system`              `from_openmm`; which reader reads which force
:mod:`.bonded`              bonded forces
:mod:`.cmap`                correction maps
:mod:`.custom`              custom forces, whose expressions are compared with the forms of the standard
:mod:`.compound`            those of several coordinates
:mod:`.improper`            harmonic impropers
:mod:`.nonbonded`           ``NonbondedForce`` and ``CustomNonbondedForce``
:mod:`.pair_expressions`    expressions of ``CustomNonbondedForce``, compared with the forms of the standard
:mod:`.custom_exceptions`   exceptions of ``CustomNonbondedForce``, which are a ``CustomBondForce``
:mod:`.type_tables`         ``CustomNonbondedForce`` with tables of types
:mod:`.methods`             their methods, as settings of the standard
:mod:`.exceptions`          the fractions that exceptions keep
:mod:`.particles`           atomic numbers, masses, bonds, box, constraints
:mod:`.virtual_sites`       virtual sites
:mod:`.found`               what a force was found to hold
==========================  ============================================================================================
"""

from ffbridge.producers.openmm.system import from_openmm

__all__ = ["from_openmm"]
