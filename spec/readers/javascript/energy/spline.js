/** Weights of the knots in the cubic spline of period 2π, for `cmap` (7.16). */

const CURVATURES = new Map();

/** Returns w_a(angle) for each knot a: the spline through values y at the knots is Σ w_a y_a. */
export function splineWeights(size, angle) {
  const step = (2 * Math.PI) / size;
  const place = (((angle / step) % size) + size) % size;
  const [knot, beyond] = [Math.floor(place) % size, (Math.floor(place) + 1) % size];
  const right = place - Math.floor(place);
  const left = 1 - right;
  const curvature = curvatures(size);
  return Array.from({ length: size }, (_, a) => {
    const bent = (left ** 3 - left) * curvature[knot][a] + (right ** 3 - right) * curvature[beyond][a];
    return left * Number(a === knot) + right * Number(a === beyond) + bent / 6;
  });
}

/**
 * Returns step² × the second derivatives at the knots as a matrix that acts on the values: with continuous first
 * derivatives they solve M[i−1] + 4 M[i] + M[i+1] = 6 (y[i−1] − 2 y[i] + y[i+1]), indices modulo size.
 */
function curvatures(size) {
  if (!CURVATURES.has(size)) {
    const band = (middle, side) =>
      Array.from({ length: size }, (_, i) =>
        Array.from({ length: size }, (_, j) => {
          const away = Math.min((i - j + size) % size, (j - i + size) % size);
          return away === 0 ? middle : away === 1 ? side : 0;
        }));
    CURVATURES.set(size, solved(band(4, 1), band(-12, 6)));
  }
  return CURVATURES.get(size);
}

/** Returns A⁻¹ B. A is diagonally dominant, so no rows need to be exchanged. */
function solved(a, b) {
  const size = a.length;
  for (let column = 0; column < size; column += 1) {
    for (let row = 0; row < size; row += 1) {
      if (row === column) continue;
      const factor = a[row][column] / a[column][column];
      for (const matrix of [a, b]) matrix[row] = matrix[row].map((value, n) => value - factor * matrix[column][n]);
    }
  }
  return b.map((row, n) => row.map((value) => value / a[n][n]));
}
