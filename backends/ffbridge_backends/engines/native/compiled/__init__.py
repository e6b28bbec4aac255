"""Compiled loops over interactions, by numba, which these modules import as soon as they are imported themselves.

====================  ===============================================================================================
module                holds
====================  ===============================================================================================
:mod:`.lanes`         conformers side by side: the layout of positions, and how functions are compiled and chosen
:mod:`.arctangent`    angles of two numbers, as vector instructions
:mod:`.coordinates`   internal coordinates of one lane, and their pullback to the atoms
:mod:`.bonded_form`   what a bonded form is
:mod:`.bonded`        bonded forms of one coordinate, and the loop over interactions that all of them share
:mod:`.coupling`      bonded forms of several coordinates
:mod:`.nonbonded`     nonbonded forms and methods, and the loop over pairs that all of them share
:mod:`.means`         how parameters of pairs follow from those of atoms
:mod:`.few`           the loop over bonded interactions of few conformers
:mod:`.triangle`      the loop over pairs of few conformers
====================  ===============================================================================================
"""

__all__: list[str] = []
