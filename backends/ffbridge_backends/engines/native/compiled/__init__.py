"""Compiled loops over interactions, by numba, which these modules import as soon as they are imported themselves.

====================  ===============================================================================================
module                holds
====================  ===============================================================================================
:mod:`.lanes`         conformers side by side: the layout of positions, and how functions are compiled and chosen
:mod:`.coordinates`   internal coordinates of one lane, and their pullback to the atoms
:mod:`.bonded`        bonded forms, and the loop over interactions that all of them share
:mod:`.nonbonded`     nonbonded forms and methods, and the loop over pairs that all of them share
====================  ===============================================================================================
"""

__all__: list[str] = []
