/** Vectors of three numbers. */

export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scale = (factor, a) => [factor * a[0], factor * a[1], factor * a[2]];
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const norm = (a) => Math.hypot(...a);
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/** Returns the vector of length 1 in a direction; 0 where there is none. */
export const unit = (a) => (norm(a) === 0 ? [0, 0, 0] : scale(1 / norm(a), a));

/** Returns Σ weights[n] · points[n]. */
export const combined = (weights, points) =>
  points.reduce((sum, point, place) => add(sum, scale(weights[place], point)), [0, 0, 0]);
