"""Bonded forms, compiled, and the loop over interactions that all of them share.

The formulas are those of :mod:`ffbridge.energy.bonded`. A form is a NamedTuple, which holds the settings that it has,
and two functions: `fold` takes an interaction's parameters, which are the same for all conformers, and `value` has the
energy and its derivatives in one lane. A new form is these three and an entry of :data:`FORMS`; what costs much to make
of parameters, such as sines, is made before the loop, by an entry of :data:`CONSTANTS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ffbridge_backends.engines.native.compiled.bonded_form import fold, value
from ffbridge_backends.engines.native.compiled.coordinates import add_to_atoms, corners, measure, n_ends, pull_back
from ffbridge_backends.engines.native.compiled.coupling import COUPLINGS
from ffbridge_backends.engines.native.compiled.lanes import SOURCES, add, case, compiled, plus, width

__all__ = ["CONSTANTS", "FORMS", "HIGHEST_PERIODICITY", "bonded"]

Floats = NDArray[np.float64]

HIGHEST_PERIODICITY = 15
"""cos nφ and sin nφ are powers of a complex number, by repeated squaring of four steps."""


class Harmonic(NamedTuple):
    """U = k/2 (q - rest)²."""

    n_slopes: int = 2


@case(fold, Harmonic)
def _harmonic_constants(form: Any, p: Any) -> Any:
    return p[0], p[1]


@case(value, Harmonic)
def _harmonic(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k, rest = constants
    stretch = q - rest
    out[c], out[c + w] = 0.5 * stretch * stretch, -k * stretch
    return 0.5 * k * stretch * stretch, k * stretch


class Morse(NamedTuple):
    """U = depth (1 - exp(-steepness (q - length)))²."""

    n_slopes: int = 3


@case(fold, Morse)
def _morse_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2]


@case(value, Morse)
def _morse(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    depth, steepness, length = constants
    stretch = q - length
    decay = math.exp(-steepness * stretch)
    # dU/d(steepness · stretch).
    slope = 2.0 * depth * (1.0 - decay) * decay
    out[c], out[c + w], out[c + 2 * w] = (1.0 - decay) ** 2, slope * stretch, -slope * steepness
    return depth * (1.0 - decay) ** 2, slope * steepness


class Quartic(NamedTuple):
    """U = k2 d² + k3 d³ + k4 d⁴, d = q - rest."""

    n_slopes: int = 4


@case(fold, Quartic)
def _quartic_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2], p[3]


@case(value, Quartic)
def _quartic(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k2, k3, k4, rest = constants
    d = q - rest
    square = d * d
    slope = d * (2.0 * k2 + d * (3.0 * k3 + d * 4.0 * k4))
    out[c], out[c + w], out[c + 2 * w], out[c + 3 * w] = square, square * d, square * square, -slope
    return square * (k2 + d * (k3 + d * k4)), slope


class LennardJonesPair(NamedTuple):
    """U = 4ε ((σ/r)¹² - (σ/r)⁶), +∞ at r = 0."""

    n_slopes: int = 2


@case(fold, LennardJonesPair)
def _lennard_jones_constants(form: Any, p: Any) -> Any:
    return p[0], p[1]


@case(value, LennardJonesPair)
def _lennard_jones(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    sigma, epsilon = constants
    apart = q > 0
    inverse = 1.0 / (q if apart else 1.0)
    ratio = sigma * inverse
    square = ratio * ratio
    sixth = square * square * square
    du_dsigma = 24.0 * epsilon * (2.0 * sixth - 1.0) * square * square * ratio * inverse
    out[c] = du_dsigma if apart else 0.0
    out[c + w] = 4.0 * sixth * (sixth - 1.0) if apart else 0.0
    slope = -24.0 * epsilon * (2.0 * sixth * sixth - sixth) * inverse
    return 4.0 * epsilon * sixth * (sixth - 1.0) if apart else math.inf, slope if apart else 0.0


class CoulombPair(NamedTuple):
    """U = coulomb_constant · charge_product / r, +∞ at r = 0."""

    n_slopes: int = 1
    coulomb_constant: float = 0.0


@case(fold, CoulombPair)
def _coulomb_constants(form: Any, p: Any) -> Any:
    return form.coulomb_constant, form.coulomb_constant * p[0]


@case(value, CoulombPair)
def _coulomb(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    constant, strength = constants
    apart = q > 0
    inverse = 1.0 / (q if apart else 1.0)
    out[c] = constant * inverse if apart else 0.0
    return strength * inverse if apart else math.inf, -strength * inverse * inverse if apart else 0.0


class PeriodicTorsion(NamedTuple):
    """U = k (1 + cos(nφ - phase)), n the periodicity."""

    n_slopes: int = 2


@case(fold, PeriodicTorsion)
def _periodic_torsion_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2], p[3], int(p[4])


@compiled
def _fourier(columns: Any) -> Any:
    """Return k, cos phase, sin phase, n and n's bits. Tables are not checked: n is NaN where it is no periodicity."""
    found = np.empty((len(columns), 5))
    for row in range(len(columns)):
        k, phase, n = columns[row, 0], columns[row, 1], columns[row, 2]
        known = n == math.floor(n) and 0 <= n <= HIGHEST_PERIODICITY
        found[row, 0], found[row, 1], found[row, 2] = k, math.cos(phase), math.sin(phase)
        found[row, 3], found[row, 4] = (n, n) if known else (math.nan, 0.0)
    return found


@case(value, PeriodicTorsion)
def _periodic_torsion(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k, cos_phase, sin_phase, n, bits = constants
    a, b = q
    real, imaginary = (a, b) if bits & 1 else (1.0, 0.0)
    a, b = a * a - b * b, 2.0 * a * b
    real, imaginary = (real * a - imaginary * b, real * b + imaginary * a) if bits & 2 else (real, imaginary)
    a, b = a * a - b * b, 2.0 * a * b
    real, imaginary = (real * a - imaginary * b, real * b + imaginary * a) if bits & 4 else (real, imaginary)
    a, b = a * a - b * b, 2.0 * a * b
    real, imaginary = (real * a - imaginary * b, real * b + imaginary * a) if bits & 8 else (real, imaginary)
    cosine = real * cos_phase + imaginary * sin_phase + 0.0 * n
    sine = imaginary * cos_phase - real * sin_phase
    out[c], out[c + w] = 1.0 + cosine, k * sine
    return k * (1.0 + cosine), -n * k * sine


class RyckaertBellemans(NamedTuple):
    """U = Σ c_n cosⁿψ, ψ = φ - π, n from 0 to 5."""

    n_slopes: int = 6


@case(fold, RyckaertBellemans)
def _ryckaert_bellemans_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2], p[3], p[4], p[5]


@case(value, RyckaertBellemans)
def _ryckaert_bellemans(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    c0, c1, c2, c3, c4, c5 = constants
    # cos ψ = -cos φ, so its derivative to φ is sin φ.
    x, sine = -q[0], q[1]
    square = x * x
    out[c], out[c + w], out[c + 2 * w] = 1.0, x, square
    out[c + 3 * w], out[c + 4 * w], out[c + 5 * w] = square * x, square * square, square * square * x
    slope = c1 + x * (2.0 * c2 + x * (3.0 * c3 + x * (4.0 * c4 + x * 5.0 * c5)))
    return c0 + x * (c1 + x * (c2 + x * (c3 + x * (c4 + x * c5)))), slope * sine


class HarmonicImproper(NamedTuple):
    """U = k/2 d², d = φ - angle between -π and π."""

    n_slopes: int = 2


@case(fold, HarmonicImproper)
def _harmonic_improper_constants(form: Any, p: Any) -> Any:
    return p[0], p[1], p[2]


def _direction(columns: Floats) -> Floats:
    """Return k, and the cosine and sine of the angle."""
    k, angle = columns.T
    return np.stack([k, np.cos(angle), np.sin(angle)], axis=1)


@case(value, HarmonicImproper)
def _harmonic_improper(form: Any, q: Any, constants: Any, out: Any, c: Any, w: Any) -> Any:
    k, cosine, sine = constants
    turn = math.atan2(q[1] * cosine - q[0] * sine, q[0] * cosine + q[1] * sine)
    out[c], out[c + w] = 0.5 * turn * turn, -k * turn
    return 0.5 * k * turn * turn, k * turn


FORMS: dict[str, type[Any]] = {
    "harmonic_bond": Harmonic,
    "urey_bradley": Harmonic,
    "morse": Morse,
    "quartic_bond": Quartic,
    "lennard_jones_pair": LennardJonesPair,
    "coulomb_pair": CoulombPair,
    "harmonic_angle": Harmonic,
    "quartic_angle": Quartic,
    "periodic_torsion": PeriodicTorsion,
    "ryckaert_bellemans": RyckaertBellemans,
    "harmonic_improper": HarmonicImproper,
    **COUPLINGS,
}
"""The forms by their name in the standard, which says of which coordinates they are."""

CONSTANTS: dict[type[Any], Callable[[Floats], Floats]] = {PeriodicTorsion: _fourier, HarmonicImproper: _direction}
"""What is made of the columns of a form's parameters for the loop; others are taken as they are."""


@compiled
def bonded(
    lanes: Any,
    coordinate: Any,
    form: Any,
    arity: int,
    atoms: Any,
    systems: Any,
    owners: Any,
    parameters: Any,
    x: Any,
    weights: Any,
    energy: Any,
    gradient: Any,
    slopes: Any,
    rows: tuple[int, int],
    blocks: tuple[int, int],
    counts: Any,
    wanted: int,
    sources: int = SOURCES,
) -> None:
    """Add the energies of one term's interactions, and their derivatives.

    Args:
        lanes: the layout of conformers.
        coordinate: the internal coordinates.
        form: the form.
        arity: atoms of a row.
        atoms: ``(n_terms * arity,) intp``.
        systems: ``(n_terms,) intp``.
        owners: ``(n_terms,) intp``, the row of the parameters of each interaction.
        parameters: ``(n_rows, ·)``, as :data:`CONSTANTS` makes them of columns.
        x: positions ``(n_blocks, n_atoms * 3 * width)`` [nm].
        weights: dL/dU ``(n_blocks, n_systems * width)``.
        energy: ``(n_blocks, n_systems * width)`` [kJ/mol], to which energies are added.
        gradient: like x, to which dL/dx is added.
        slopes: ``(n_rows, n_columns)``, to which dL/dp is added.
        rows: the first interaction, and the one after the last.
        blocks: likewise.
        counts: ``(n_blocks,) intp``, the lanes that are computed.
        wanted: 0 for energies, 1 for derivatives to positions as well, 2 for those to parameters as well.
        sources: not used; see :data:`SOURCES`.
    """
    w, ends = width(lanes), n_ends(coordinate)
    out = np.empty((3 * ends + 1 + form.n_slopes) * w)
    # The rows of the small array: dL/dx, then U, then dU/dp.
    energies, derivatives = 3 * ends * w, (3 * ends + 1) * w
    for block in range(blocks[0], blocks[1]):
        of_block, onto_block = x[block], gradient[block]
        for row in range(rows[0], rows[1]):
            at = corners(coordinate, of_block, atoms, arity * row, 3 * w)
            constants = fold(form, parameters[owners[row]])
            system = w * systems[row]
            weight = weights[block, system : system + w]
            for c in range(counts[block]):
                q, state = measure(coordinate, at, w, c)
                out[energies + c], slope = value(form, q, constants, out, derivatives + c, w)
                pull_back(coordinate, state, weight[c], slope, out, w, c)
            add(energy[block, system : system + w], out, energies, w)
            if wanted > 0:
                add_to_atoms(coordinate, onto_block, atoms, arity * row, out, 0, 3 * w)
            if wanted > 1:
                for column in range(form.n_slopes):
                    slope = 0.0
                    for c in range(counts[block]):
                        slope = plus(slope, weight[c] * out[derivatives + column * w + c])
                    slopes[owners[row], column] += slope
