/** Internal coordinates of bonded forms (7.1 to 7.3), with what the standard says of degenerate ones [E-3]. */

import { cross, dot, norm, scale, subtract } from "./vector.js";

export const COORDINATES = {
  distance: ([a, b]) => norm(subtract(a, b)),

  angle([a, b, c]) {
    const [u, v] = [subtract(a, b), subtract(c, b)];
    return norm(u) === 0 || norm(v) === 0 ? 0 : Math.atan2(norm(cross(u, v)), dot(u, v));
  },

  dihedral([a, b, c, d]) {
    const [b1, b2, b3] = [subtract(b, a), subtract(c, b), subtract(d, c)];
    const [one, other] = [cross(b1, b2), cross(b2, b3)];
    if (norm(one) === 0 || norm(other) === 0) return 0;
    return Math.atan2(dot(scale(norm(b2), b1), other), dot(one, other));
  },
};
