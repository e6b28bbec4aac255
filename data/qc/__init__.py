"""Targets by quantum chemistry: torsion drives, conformers with forces, minima and Hessians of small fragments."""
