/** Where virtual sites are, given their parents and their geometry (7.25 to 7.28). */

import { add, combined, cross, scale, subtract, unit } from "./vector.js";

function local(parents, [x, y, z], { origin_weights: origin, x_weights: along, y_weights: across }) {
  const ex = unit(combined(along, parents));
  const ez = unit(cross(combined(along, parents), combined(across, parents)));
  return add(combined(origin, parents), combined([x, y, z], [ex, cross(ez, ex), ez]));
}

export const SITES = {
  two_particle_site([a, b], [weight, distance]) {
    const u = subtract(b, a);
    return add(a, add(scale(weight, u), scale(distance, unit(u))));
  },
  out_of_plane_site([a, b, c], weights) {
    const [u, v] = [subtract(b, a), subtract(c, a)];
    return add(a, combined(weights, [u, v, cross(u, v)]));
  },
  local_coordinates_3_site: local,
  local_coordinates_4_site: local,
};
