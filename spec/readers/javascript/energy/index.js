/** Energies of the terms of a bundle [kJ/mol]. */

import { rows } from "../arrays.js";
import { FORMS } from "../standard.js";
import { BONDED } from "./bonded.js";
import { COORDINATES } from "./coordinates.js";
import { Unsupported, pairEnergy } from "./nonbonded.js";
import { SITES } from "./sites.js";
import { norm, subtract } from "./vector.js";

export { Unsupported };

const range = (start, stop) => Array.from({ length: stop - start }, (_, place) => start + place);

/** Returns the parameters of each interaction, p = M θ (section 4). */
function mapped(name, { table, mapping }, arrays) {
  const values = rows(arrays[`tables/${table}/values`]);
  const part = (each) => arrays[`terms/${name}/mapping/${each}`].values;
  if (mapping === "identity") return values;
  if (mapping === "select") return part("index").map((row) => values[row]);
  const [offsets, columns, weights] = ["offsets", "columns", "weights"].map(part);
  const width = arrays[`tables/${table}/values`].shape[1];
  return offsets.slice(1).map((stop, row) =>
    range(0, width).map((column) =>
      range(offsets[row], stop).reduce((sum, entry) => sum + weights[entry] * values[columns[entry]][column], 0)));
}

/** Returns positions with virtual sites where they belong [E-31]. */
function placed(document, arrays, positions) {
  const found = [...positions];
  for (const [name, term] of Object.entries(document.terms)) {
    if (FORMS.get(term.form).kind !== "virtual_site") continue;
    const parameters = mapped(name, term, arrays);
    rows(arrays[`terms/${name}/indices`]).forEach(([site, ...parents], row) => {
      found[site] = SITES[term.form](parents.map((parent) => positions[parent]), parameters[row], term.settings);
    });
  }
  return found;
}

/**
 * Returns the energy of each term of a valid bundle that has any: by name, one for each system, at the positions of one
 * conformer ([[x, y, z], ...], nm). Throws Unsupported for a term that cannot be evaluated exactly.
 */
export function energies(document, arrays, positions) {
  const x = placed(document, arrays, positions);
  const offsets = arrays.system_offsets.values;
  const found = {};
  for (const [name, term] of Object.entries(document.terms)) {
    const { kind } = FORMS.get(term.form);
    if (kind === "virtual_site") continue;
    const bySystem = new Array(offsets.length - 1).fill(0);
    const add = (atom, energy) => {
      bySystem[offsets.findLastIndex((start) => start <= atom)] += energy;
    };
    (kind === "bonded" ? addBonded : addPairs)(name, term, arrays, x, offsets, add);
    found[name] = bySystem;
  }
  return found;
}

function addBonded(name, term, arrays, x, offsets, add) {
  if (!(term.form in BONDED)) throw new Unsupported(`the form ${term.form}`);
  const { coordinates } = FORMS.get(term.form);
  const parameters = mapped(name, term, arrays);
  rows(arrays[`terms/${name}/indices`]).forEach((indices, row) => {
    const q = coordinates.map(({ kind, atoms }) => COORDINATES[kind](atoms.map((place) => x[indices[place]])));
    add(indices[0], BONDED[term.form](q, parameters[row], term.settings ?? {}));
  });
}

function addPairs(name, term, arrays, x, offsets, add) {
  const energy = pairEnergy(term.form, term.settings);
  const parameters = mapped(name, term, arrays);
  const kept = keptFractions(arrays, FORMS.get(term.form).exceptions);
  const override = overrides(name, term, arrays);
  const members = arrays[`terms/${name}/indices`].values.map((atom, row) => ({ atom, row }));
  members.sort((one, other) => one.atom - other.atom);
  members.forEach((one, place) => {
    const end = offsets.find((start) => start > one.atom);
    for (const other of members.slice(place + 1)) {
      if (other.atom >= end) break;
      const r = norm(subtract(x[one.atom], x[other.atom]));
      const fraction = kept.get(`${one.atom} ${other.atom}`);
      const own = override(one.row, other.row);
      add(one.atom, energy(r, parameters[one.row], parameters[other.row], fraction, own));
    }
  });
}

function keptFractions(arrays, fraction) {
  const pairs = arrays["exceptions/pairs"];
  if (!pairs) return new Map();
  const { values } = arrays[`exceptions/${fraction}`];
  return new Map(rows(pairs).map(([one, other], row) => [`${one} ${other}`, values[row]]));
}

/** Returns what gives the parameters of two interactions whose rows of the table `overrides` names (5.5). */
function overrides(name, term, arrays) {
  if (term.overrides === undefined) return () => undefined;
  const values = rows(arrays[`tables/${term.overrides}/values`]);
  const listed = new Map(rows(arrays[`terms/${name}/overrides/pairs`]).map((pair, row) => [pair.join(" "), values[row]]));
  const chosen = term.mapping === "select" ? arrays[`terms/${name}/mapping/index`].values : null;
  const own = (row) => (chosen ? chosen[row] : row);
  return (one, other) => {
    const [low, high] = [own(one), own(other)].sort((a, b) => a - b);
    return listed.get(`${low} ${high}`);
  };
}
