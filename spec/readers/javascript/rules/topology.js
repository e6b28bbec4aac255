/** Systems, atoms and indices (section 3, I-3 to I-6), and where virtual sites are placed. */

import { rows } from "../arrays.js";
import { FORMS } from "../standard.js";
import { fault, faultsInRows } from "./fault.js";

export const ROUNDING = 1e-6;

const REPEATED = { bonds: "G-4", "exceptions/pairs": "G-7", "constraints/pairs": "G-8" };
const SUMS = { origin_weights: 1, x_weights: 0, y_weights: 0 };

export function topologyFaults(document, arrays) {
  const systems = systemFaults(arrays);
  const found = [...systems, ...atomFaults(arrays)];
  const offsets = systems.length ? undefined : arrays.system_offsets?.values;
  if (offsets && document.system_names && document.system_names.length !== offsets.length - 1) {
    found.push(fault("system_names", "D-6"));
  }
  if (arrays.box) found.push(...boxFaults(rows(arrays.box)));
  for (const [path, rule] of Object.entries(REPEATED)) {
    if (!arrays[path]) continue;
    const pairs = rows(arrays[path]);
    found.push(...indexFaults(path, pairs, arrays, offsets));
    found.push(...faultsInRows(path, rule, repeated(pairs.map(ascending))));
  }
  if (arrays["exceptions/pairs"]) {
    const descending = rows(arrays["exceptions/pairs"]).map(([one, other]) => one > other);
    found.push(...faultsInRows("exceptions/pairs", "G-6", descending));
  }
  if (arrays["constraints/lengths"]) {
    const { values } = arrays["constraints/lengths"];
    found.push(...faultsInRows("constraints/lengths", "G-8", values.map((length) => length <= 0)));
  }
  for (const [name, term] of Object.entries(document.terms)) {
    const path = `terms/${name}/indices`;
    const form = FORMS.get(term.form);
    if (!form || !arrays[path]) continue;
    const indices = rows(arrays[path]);
    found.push(...indexFaults(path, indices, arrays, offsets, form));
    if (form.kind === "nonbonded") found.push(...faultsInRows(path, "I-6", repeated(indices)));
  }
  return [...found, ...siteFaults(document, arrays)];
}

function systemFaults({ system_offsets: offsets, atomic_numbers: numbers }) {
  if (!offsets) return [];
  const { values } = offsets;
  const increase = values.every((value, place) => place === 0 || value > values[place - 1]);
  const ends = !numbers || values.at(-1) === numbers.values.length;
  return values.length > 1 && values[0] === 0 && increase && ends ? [] : [fault("system_offsets", "G-1")];
}

function atomFaults({ atomic_numbers: numbers, masses }) {
  const elements = numbers?.values.map((number) => number < 0 || number > 118) ?? [];
  const negative = masses?.values.map((mass) => mass < 0) ?? [];
  return [...faultsInRows("atomic_numbers", "G-2", elements), ...faultsInRows("masses", "G-3", negative)];
}

function boxFaults(boxes) {
  const sound = ([ax, ay, az, bx, by, bz, cx, cy, cz]) => {
    const [halfA, halfB] = [(ax / 2) * (1 + ROUNDING), (by / 2) * (1 + ROUNDING)];
    const triangular = ay === 0 && az === 0 && bz === 0 && ax > 0 && by > 0 && cz > 0;
    return triangular && Math.abs(bx) <= halfA && Math.abs(cx) <= halfA && Math.abs(cy) <= halfB;
  };
  return faultsInRows("box", "G-5", boxes.map((box) => !sound(box)));
}

function indexFaults(path, indices, { atomic_numbers: numbers }, offsets, form) {
  const inside = (atom) => atom >= 0 && atom < (numbers?.values.length ?? Infinity);
  const system = (atom) => offsets.findLastIndex((start) => start <= atom);
  const groups = form?.repeated_atoms ? form.coordinates.map(({ atoms }) => atoms) : [null];
  const twice = (row) => groups.some((places) => {
    const atoms = places ? places.map((place) => row[place]) : row;
    return new Set(atoms).size < atoms.length;
  });
  const apart = (row) => offsets && row.every(inside) && row.some((atom) => system(atom) !== system(row[0]));
  return [
    ...faultsInRows(path, "I-3", indices.map((row) => !row.every(inside))),
    ...faultsInRows(path, "I-4", indices.map(apart)),
    ...faultsInRows(path, "I-5", indices.map(twice)),
  ];
}

/** Returns which rows are equal to an earlier one. */
export function repeated(list) {
  const seen = new Set();
  return list.map((row) => {
    const text = row.join();
    const again = seen.has(text);
    seen.add(text);
    return again;
  });
}

export const ascending = (row) => [...row].sort((one, other) => one - other);

function siteFaults(document, arrays) {
  const found = [];
  const terms = Object.entries(document.terms)
    .filter(([name, { form }]) => FORMS.get(form)?.kind === "virtual_site" && arrays[`terms/${name}/indices`])
    .map(([name, term]) => [name, term, rows(arrays[`terms/${name}/indices`])]);
  const sites = new Set(terms.flatMap(([, , indices]) => indices.map(([site]) => site)));
  const placed = new Set();
  for (const [name, { settings = {} }, indices] of terms) {
    const bad = indices.map(([site, ...parents]) => {
      const again = placed.has(site);
      placed.add(site);
      return again || parents.some((parent) => parent !== site && sites.has(parent));
    });
    found.push(...faultsInRows(`terms/${name}/indices`, "G-9", bad));
    for (const [setting, total] of Object.entries(SUMS)) {
      const sum = settings[setting]?.reduce((all, weight) => all + weight, 0) ?? total;
      if (Math.abs(sum - total) > ROUNDING) found.push(fault(`terms/${name}/settings/${setting}`, "G-9"));
    }
  }
  return found;
}
