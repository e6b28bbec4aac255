"""Energies of the standard's forms, each formula once, over the array-API namespace of any backend.

=====================  ===============================================================================================
module                 holds
=====================  ===============================================================================================
:mod:`.geometry`       internal coordinates of atoms, and the pullback of their derivatives to the atoms
:mod:`.bonded_form`    what a bonded form is: a function of internal coordinates, with its derivatives
:mod:`.bonded`         forms of one internal coordinate; the list of all bonded forms
:mod:`.coupling`       couplings of class II force fields, of several coordinates
:mod:`.cmap`           correction maps, splines of two dihedrals
:mod:`.mixing`         mixing rules: parameters of pairs from those of atoms, with their derivatives
:mod:`.nonbonded`      forms of atom pairs, with their derivatives
:mod:`.overrides`      pairs whose parameters are listed instead of mixed, with their derivatives
:mod:`.methods`        nonbonded methods: factors of a pair's energy that end at a cutoff, with their derivatives
:mod:`.pairs`          which pairs of atoms interact
:mod:`.plan`           what a bundle becomes before it is evaluated: index arrays and a hashable structure
:mod:`.vectors`        lengths and products of vectors without NaN where a vector has no direction
:mod:`.virtual_sites`  forms of virtual sites: where parents place a particle, with the pullback to them
:mod:`.placement`      virtual sites of a bundle among its atoms
:mod:`.corners`        the atoms of interactions: one gather of positions, one scatter of derivatives
:mod:`.total`          the energy of every term
:mod:`.tangents`       the same with analytic tangents, for frameworks that take such rules
:mod:`.derivatives`    the energy of every term with its analytic derivatives to positions and tables
:mod:`.api`            the same in the shapes that callers use
:mod:`.evaluator`      a bundle's plan and arrays in one framework, as engines hold them
=====================  ===============================================================================================

Inside, positions are ``(3, n_atoms, n_conformers)``: x, y and z apart, and conformers the last, contiguous axis.
"""

__all__: list[str] = []
