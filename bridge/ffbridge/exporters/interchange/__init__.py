"""From bundles to OpenFF Interchange.

=====================  ===============================================================================================
module                 holds
=====================  ===============================================================================================
:mod:`.interchange`    `to_interchange`
:mod:`.topology`       the topology, checked against the bundle
:mod:`.potentials`     rows of tables as potentials and their keys
:mod:`.valence`        Bonds, Angles, ProperTorsions, ImproperTorsions, RBTorsions, Constraints
:mod:`.virtual_sites`  VirtualSites
:mod:`.nonbonded`      vdW
:mod:`.charges`        Electrostatics
:mod:`.scales`         exceptions as the scales of 1-2, 1-3 and 1-4 pairs
=====================  ===============================================================================================
"""

from ffbridge.exporters.interchange.interchange import to_interchange

__all__ = ["to_interchange"]
