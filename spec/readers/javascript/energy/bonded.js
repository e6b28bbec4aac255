/** The energy of one interaction of each bonded form (section 7): (coordinates, parameters, settings) to kJ/mol. */

import { splineWeights } from "./spline.js";

const harmonic = ([q], [k, reference]) => (k / 2) * (q - reference) ** 2;
const polynomial = (d, [k2, k3, k4]) => k2 * d ** 2 + k3 * d ** 3 + k4 * d ** 4;
const cosines = (phi, [k1, k2, k3]) => k1 * Math.cos(phi) + k2 * Math.cos(2 * phi) + k3 * Math.cos(3 * phi);
const quartic = ([q], [k2, k3, k4, reference]) => polynomial(q - reference, [k2, k3, k4]);
const product = ([q1, q2], [k, one, other]) => k * (q1 - one) * (q2 - other);
const torsion = ([q, phi], [k1, k2, k3, reference]) => (q - reference) * cosines(phi, [k1, k2, k3]);

/** Returns an angle less a multiple of 2π, in (−π, π]. */
const wrapped = (angle) => angle - 2 * Math.PI * Math.ceil(angle / (2 * Math.PI) - 0.5);

export const BONDED = {
  harmonic_bond: harmonic,
  harmonic_angle: harmonic,
  urey_bradley: harmonic,
  periodic_torsion: ([phi], [k, phase, periodicity]) => k * (1 + Math.cos(Math.round(periodicity) * phi - phase)),
  morse: ([r], [depth, steepness, length]) => depth * (1 - Math.exp(-steepness * (r - length))) ** 2,
  ryckaert_bellemans: ([phi], c) => c.reduce((sum, each, n) => sum + each * Math.cos(phi - Math.PI) ** n, 0),
  lennard_jones_pair: ([r], [sigma, epsilon]) =>
    r === 0 ? Infinity : 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6),
  coulomb_pair: ([r], [charges], { coulomb_constant: constant }) => (r === 0 ? Infinity : (constant * charges) / r),
  quartic_bond: quartic,
  quartic_angle: quartic,
  harmonic_improper: ([phi], [k, angle]) => (k / 2) * wrapped(phi - angle) ** 2,
  cmap([phi, psi], energies, { size }) {
    const [along, across] = [splineWeights(size, phi), splineWeights(size, psi)];
    return energies.reduce((sum, energy, n) => sum + along[Math.floor(n / size)] * energy * across[n % size], 0);
  },
  bond_bond: product,
  bond_bond_13: product,
  bond_angle: product,
  angle_angle: product,
  middle_bond_torsion: torsion,
  end_bond_torsion: torsion,
  angle_torsion: torsion,
  angle_angle_torsion: ([one, other, phi], [k, angle1, angle2]) => k * (one - angle1) * (other - angle2) * Math.cos(phi),
};
