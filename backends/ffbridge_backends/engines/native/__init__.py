"""The engine ``native``: the standard's energies and first derivatives by compiled loops on the CPU, by numba.

Each form has its energy and derivatives in one fused loop, with conformers side by side, or interactions where there
are few conformers (:mod:`.compiled`); what this package has beside the loops brings tables to interactions, and work to
threads. Working memory is twice the positions: interactions have none, but for sixteen conformers of one of them.
Arithmetic is in double precision.

numba compiles on the user's machine: pip installs it where there is no compiler, and it uses that machine's vector
instructions. Measured side by side on one core, Lennard-Jones and Coulomb of one pair and conformer with all
derivatives take 4.9 ns; in C++ 3.8 ns with the core's own instructions, and 8.4 ns with those that a portable wheel
could use. Each form is compiled when it is first used, once for few conformers and once for many, in 1 to 4 s; later
processes find the code on disk, and start in 0.4 s.

=====================  ===============================================================================================
module                 holds
=====================  ===============================================================================================
:mod:`.engine`         the engine, and what it refuses
:mod:`.evaluator`      a bundle made ready, in the shapes that callers use
:mod:`.terms`          terms made ready for the loops: parameters from tables, and derivatives back to them
:mod:`.tiles`          pairs as triangles in tiles
:mod:`.evaluation`     one evaluation: memory, blocks of conformers, threads
:mod:`.compiled`       the loops
=====================  ===============================================================================================
"""

from ffbridge_backends.engines.native.engine import NativeEngine, engine

__all__ = ["NativeEngine", "engine"]
