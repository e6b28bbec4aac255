/** Pair energies of nonbonded forms, mixing, and the methods without images (sections 5, 7). */

export class Unsupported extends Error {}

const mean = (a, b) => (a + b) / 2;
const geometric = (a, b) => Math.sqrt(a * b);
const harmonic = (a, b) => (a + b === 0 ? 0 : (2 * a * b) / (a + b));

/** By rule, the mean of each column of the form. */
const MIXING = {
  lorentz_berthelot: [mean, geometric],
  geometric: [geometric, geometric],
  buckingham: [geometric, harmonic, geometric],
};

const PAIRS = {
  lennard_jones: (r, [sigma, epsilon]) => 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6),
  coulomb: (r, [charges], { coulomb_constant: constant }) => (constant * charges) / r,
  buckingham: (r, [a, b, c]) => a * Math.exp(-b * r) - c / r ** 6,
  double_exponential(r, [rMin, epsilon], { repulsion_exponent: alpha, attraction_exponent: beta }) {
    if (rMin === 0) return 0;
    const [repulsion, attraction] = [alpha, beta].map((exponent) => Math.exp(exponent * (1 - r / rMin)));
    return (epsilon * (beta * repulsion - alpha * attraction)) / (alpha - beta);
  },
};

/** Factors of the pairs that are no exceptions. */
const FACTORS = {
  no_cutoff: () => 1,
  cutoff(r, { cutoff, switch_distance: start = cutoff }) {
    if (r >= cutoff) return 0;
    const x = r <= start ? 0 : (r - start) / (cutoff - start);
    return 1 - 10 * x ** 3 + 15 * x ** 4 - 6 * x ** 5;
  },
};

/** Returns the energy of a pair, or throws Unsupported for what is not evaluated exactly [E-5]. */
export function pairEnergy(form, settings) {
  const { method, periodic, mixing_rule: rule } = settings;
  if (!(form in PAIRS)) throw new Unsupported(`the form ${form}`);
  if (!(method in FACTORS) || periodic) throw new Unsupported(`the method ${method}${periodic ? ", periodic" : ""}`);
  const means = rule ? MIXING[rule] : [(a, b) => a * b];
  return (r, one, other, kept, override) => {
    if (kept === 0) return 0;
    if (r === 0) return Infinity;
    const parameters = override ?? means.map((mix, column) => mix(one[column], other[column]));
    const energy = PAIRS[form](r, parameters, settings);
    return kept === undefined ? energy * FACTORS[method](r, settings) : kept * energy;
  };
}
